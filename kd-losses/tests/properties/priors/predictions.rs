//! Priors on predictions: bounds, symmetries, hard inputs.

use super::close;
use crate::support::{Outcome, assert_finite, hard_pairs, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{activation_norm, batch_entropy, one_hot_confidence};
use proptest::prelude::*;

#[test]
fn priors_of_predictions_survive_hard_inputs() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2], [2, 1]] {
        for (name, logits, _) in hard_pairs::<2>(shape) {
            let entropy = assert_finite(name, logits.clone(), batch_entropy)?;
            let largest = (shape[1] as f64).ln();
            assert!(
                (-largest - 1e-5..=1e-5).contains(&entropy),
                "{name}: {entropy}"
            );
            let unsure = assert_finite(name, logits.clone(), one_hot_confidence)?;
            assert!(
                (-1e-5..=largest + 1e-5).contains(&unsure),
                "{name}: {unsure}"
            );
            assert!(assert_finite(name, logits, activation_norm::<2>)? <= 0.0);
        }
    }
    Ok(())
}

#[test]
fn a_class_that_nobody_predicts_has_neither_value_nor_gradient() -> Outcome {
    // p = 0 in 32-bit floats, where 0 times the logarithm of 0 would be NaN.
    let logits = TensorData::from([[0.0, -300.0], [0.0, -1e4]]);
    let value = assert_finite("no second class", logits, batch_entropy)?;
    close(value, 0.0, 1e-6);
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn priors_of_predictions_see_neither_shift_nor_order(
        phase in 0.0_f64..6.0, batch in 1_usize..5, classes in 2_usize..6, shift in -50.0_f64..50.0,
    ) {
        let logits = Tensor::<2>::from_data(wave([batch, classes], phase), (&Device::flex(), DType::F64));
        let largest = (classes as f64).ln();
        for (loss, low, high) in [
            (batch_entropy as fn(_) -> _, -largest, 0.0),
            (one_hot_confidence, 0.0, largest),
        ] {
            let plain = value(loss(logits.clone()))?;
            prop_assert!((low - 1e-9..=high + 1e-9).contains(&plain));
            for other in [logits.clone() + shift, logits.clone().flip([0]), logits.clone().flip([1])] {
                let other = value(loss(other))?;
                prop_assert!((other - plain).abs() <= 1e-9, "{plain}, then {other}");
            }
        }
        // The mean of predictions is less certain than each of them.
        let sure = value(one_hot_confidence(logits.clone()))?;
        let each: f64 = (0..batch)
            .map(|row| value(batch_entropy(logits.clone().narrow(0, row, 1))))
            .sum::<Result<f64, _>>()?;
        let mean = value(batch_entropy(logits))?;
        prop_assert!(mean <= each / batch as f64 + 1e-9);
        // The entropy of one prediction is at least its smallest surprise.
        prop_assert!(-each / batch as f64 >= sure - 1e-9);
    }
}
