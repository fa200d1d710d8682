//! The penalty on increments: its reference, its growth, hard inputs.

use super::{close, one};
use crate::support::{Outcome, assert_finite, numbers};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{IncrementPenaltyConfig, IncrementReference, increment_penalty};
use proptest::prelude::*;

/// The references that a penalty has used, found from its values, for these losses at 3 steps an epoch.
fn references(reference: IncrementReference, losses: &[f64]) -> Outcome<Vec<f64>> {
    let config = IncrementPenaltyConfig::new().with_reference(reference);
    let mut penalty = config.init()?;
    let mut used = Vec::new();
    for (step, loss) in losses.iter().enumerate() {
        let value = numbers(penalty.forward(one(*loss), step % 3)?)[0];
        used.push(loss - value.ln());
        // A run that is stopped here goes on in the same way.
        let state = penalty.state();
        penalty = config.init()?;
        penalty.restore(state)?;
    }
    Ok(used)
}

#[test]
fn increments_are_measured_from_the_reference_of_the_policy() -> Outcome {
    let losses = [0.5, 0.25, -0.5, 1.0, 0.75, 2.0, 0.125];
    for (reference, expected) in [
        (
            IncrementReference::EpochSecondStep,
            [0.0, 0.0, 0.25, 0.25, 0.25, 0.75, 0.75],
        ),
        (
            IncrementReference::EveryStep,
            [0.0, 0.5, 0.25, -0.5, 1.0, 0.75, 2.0],
        ),
        (
            IncrementReference::Average { decay: 0.75 },
            [
                0.0,
                0.5,
                0.4375,
                0.203_125,
                0.402_343_75,
                0.489_257_812_5,
                0.866_943_359_375,
            ],
        ),
    ] {
        for (found, expected) in references(reference, &losses)?.into_iter().zip(expected) {
            close(found, expected, 1e-12);
        }
    }
    let config = IncrementPenaltyConfig::new().with_reference(IncrementReference::None);
    let mut none = config.init()?;
    for (step, loss) in losses.into_iter().enumerate() {
        close(numbers(none.forward(one(loss), step)?)[0], loss, 0.0);
    }
    assert!(none.state().reference.is_none());
    Ok(())
}

#[test]
fn the_gradient_of_an_increment_is_weighted_by_the_penalty_itself() -> Outcome {
    // e^(L - R) dL: the closed form, of a loss that depends on three numbers, against a reference that was
    // itself a loss.
    let device = Device::flex().autodiff();
    let mut penalty = IncrementPenaltyConfig::new().init()?;
    let inputs = [[0.3, -1.0, 2.0], [0.5, 0.25, -0.75], [1.5, -0.5, 1.0]];
    let mut reference = 0.0;
    for (step, values) in inputs.into_iter().enumerate() {
        let leaf = Tensor::<1>::from_data(values, (&device, DType::F64)).require_grad();
        let loss = leaf.clone().square().sum() / 4.0;
        let known = values.iter().map(|x| x * x).sum::<f64>() / 4.0;
        let value = penalty.forward(loss, step)?;
        let gradients = value.backward();
        let found = leaf.grad(&gradients).map(numbers).unwrap_or_default();
        assert_eq!(found.len(), 3);
        for (found, x) in found.into_iter().zip(values) {
            close(found, (known - reference).exp() * x / 2.0, 1e-12);
        }
        let kept = penalty.state().reference;
        assert!(
            kept.as_ref().is_none_or(|kept| !kept.is_autodiff()),
            "the reference is a constant"
        );
        if step == 1 {
            reference = known;
        }
    }
    close(reference, 0.21875, 1e-12);
    Ok(())
}

#[test]
fn no_gradient_reaches_the_reference() -> Outcome {
    let device = Device::flex().autodiff();
    let leaf = || Tensor::<1>::from_data([0.5], &device).require_grad();
    let (loss, reference) = (leaf(), leaf());
    let gradients = increment_penalty(loss.clone(), reference.clone() * 2.0, 20.0)?.backward();
    assert!(loss.grad(&gradients).is_some());
    assert!(reference.grad(&gradients).is_none());
    Ok(())
}

#[test]
fn a_loss_that_is_not_finite_is_not_remembered() -> Outcome {
    for reference in [
        IncrementReference::EveryStep,
        IncrementReference::Average { decay: 0.5 },
    ] {
        let mut penalty = IncrementPenaltyConfig::new()
            .with_reference(reference)
            .init()?;
        penalty.forward(one(1.0), 0)?;
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            penalty.forward(one(bad), 1)?;
            let kept = penalty.state().reference.map(numbers);
            assert_eq!(kept, Some(vec![1.0]), "{reference:?} after {bad}");
        }
        close(numbers(penalty.forward(one(1.0), 2)?)[0], 1.0, 1e-12);
    }
    // Nor is one at the very first step.
    let mut penalty = IncrementPenaltyConfig::new().init()?;
    penalty.forward(one(f64::NAN), 1)?;
    assert_eq!(penalty.state().reference.map(numbers), Some(vec![0.0]));
    Ok(())
}

#[test]
fn increment_penalty_survives_large_increments() -> Outcome {
    for loss in [-1e4_f32, -90.0, 0.0, 19.9, 20.0, 90.0, 1e4] {
        let data = TensorData::new(vec![loss], [1]);
        assert_finite("increment penalty", data, |loss: Tensor<1>| {
            increment_penalty(loss, Tensor::zeros([1], &Device::flex()), 20.0)
        })?;
    }
    Ok(())
}

#[test]
fn recipes_name_the_reference() -> Outcome {
    let read = |json: &str| serde_json::from_str::<IncrementReference>(json);
    assert_eq!(
        read(r#""epoch-second-step""#)?,
        IncrementReference::EpochSecondStep
    );
    let average = IncrementReference::Average { decay: 0.5 };
    assert_eq!(read(r#"{"average": {"decay": 0.5}}"#)?, average);
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn increment_penalty_grows_without_a_jump(increment in -5.0_f64..25.0, largest in 0.5_f64..20.0) {
        let at = |increment| value(increment_penalty(one(increment), one(0.0), largest));
        let here = at(increment)?;
        prop_assert!(here > 0.0 && here <= increment.exp() * (1.0 + 1e-12));
        // The slope is that of the exponential at most.
        let step = at(increment + 1e-3)? - here;
        prop_assert!(step > 0.0 && step <= 1.1e-3 * (increment + 1e-3).min(largest).exp());
    }
}
