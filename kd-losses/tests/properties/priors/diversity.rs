//! Diversification of predictions: its bounds, the changes that it does not see, gradients of all peers, hard
//! inputs.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Int, Tensor};
use kd_losses::{
    PredictionDiversificationLoss, PredictionDiversificationLossConfig, prediction_diversification,
};
use proptest::prelude::*;

fn labels(samples: usize, classes: usize) -> Tensor<1, Int> {
    let labels = (0..samples).map(|sample| i64::try_from(sample % classes).unwrap_or_default());
    Tensor::from_data(labels.collect::<Vec<_>>().as_slice(), &Device::flex())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn prediction_diversification_sees_neither_order_nor_shift_nor_the_logit_of_the_label(
        phases in prop::array::uniform3(0.0_f64..6.0),
        samples in 1_usize..4,
        classes in 2_usize..6,
        temperature in 0.5_f64..8.0,
        shift in -20.0_f64..20.0,
    ) {
        let options = (&Device::flex(), DType::F64);
        let make = |phase| Tensor::<2>::from_data(wave([samples, classes], phase), options);
        let (peers, labels) = (phases.map(make), labels(samples, classes));
        let loss = |peers: &[Tensor<2>]| {
            value(prediction_diversification(peers, labels.clone(), temperature))
        };
        let plain = loss(&peers)?;
        prop_assert!(plain > 0.0 && plain <= 1.0 + 1e-9, "{plain}");
        if classes == 2 {
            prop_assert!((plain - 1.0).abs() <= 1e-9, "{plain}");
        }
        let [a, b, c] = peers.clone();
        let surer = a.clone() + labels.clone().one_hot::<2>(classes).float().cast(DType::F64) * 5.0;
        for other in [
            [c.clone(), a.clone(), b.clone()],
            [a.clone() + shift, b.clone(), c.clone()],
            [surer, b.clone(), c.clone()],
        ] {
            let other = loss(&other)?;
            prop_assert!((plain - other).abs() <= 1e-9, "{plain}, {other}");
        }
        // The mean over the three pairs, one after the other.
        let pairs = loss(&[a.clone(), b.clone()])? + loss(&[b, c.clone()])? + loss(&[c, a.clone()])?;
        prop_assert!((plain - pairs / 3.0).abs() <= 1e-9, "{plain}, {pairs}");
        prop_assert!((loss(&[a.clone(), a])? - 1.0).abs() <= 1e-9);
    }
}

#[test]
fn a_step_down_the_gradient_of_every_peer_makes_them_more_diverse() -> Outcome {
    let device = Device::flex().autodiff();
    let make = |phase| Tensor::<2>::from_data(wave([4, 5], phase), &device).require_grad();
    let (peers, labels) = ([make(0.1), make(0.4), make(0.9)], labels(4, 5));
    let loss = PredictionDiversificationLossConfig::new().init()?;
    let before = loss.forward(&peers, labels.clone())?;
    let gradients = before.backward();
    let mut moved = Vec::new();
    for peer in &peers {
        let gradient = peer.grad(&gradients).ok_or("every peer learns")?;
        assert!(
            numbers(gradient.clone())
                .iter()
                .any(|slope| slope.abs() > 1e-4)
        );
        moved.push(peer.clone().inner() - gradient * 0.5);
    }
    let after = loss.forward(&moved, labels)?;
    assert!(!after.is_autodiff());
    assert!(numbers(after)[0] < numbers(before)[0]);
    Ok(())
}

#[test]
fn prediction_diversification_survives_hard_inputs() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        for (name, one, other) in hard_pairs::<2>(shape) {
            let other = Tensor::<2>::from_data(other, &Device::flex().autodiff());
            let found = assert_finite(name, one, |one| {
                let peers = [one.clone(), other.clone(), one];
                prediction_diversification(&peers, labels(shape[0], shape[1]), 1.0)
            })?;
            assert!((-1e-5..=1.0 + 1e-5).contains(&found), "{name}: {found}");
        }
    }
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<PredictionDiversificationLoss>();
    send_and_sync::<PredictionDiversificationLossConfig>();
}
