//! Diversification of classifiers: its bounds, hard inputs.

use super::close;
use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{ClassifierOverlap, classifier_diversification};
use proptest::prelude::*;

const OVERLAPS: [ClassifierOverlap; 6] = [
    ClassifierOverlap::Frobenius,
    ClassifierOverlap::FrobeniusOfClasses,
    ClassifierOverlap::Absolute,
    ClassifierOverlap::SquaredFrobenius,
    ClassifierOverlap::NormalisedFrobenius,
    ClassifierOverlap::ClassCosine,
];

#[test]
fn classifier_diversification_survives_hard_inputs() -> Outcome {
    for shape in [[5, 4], [1, 4], [3, 2], [1, 1]] {
        for (name, first, second) in hard_pairs::<2>(shape) {
            for overlap in OVERLAPS {
                let second = Tensor::<2>::from_data(second.clone(), &Device::flex().autodiff());
                assert_finite(name, first.clone(), |first| {
                    // The second one learns, too, and is there twice.
                    let weights = [first, second.clone(), second.clone()];
                    classifier_diversification(&weights, overlap, 1e-6)
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn normalised_overlaps_are_between_0_and_1_for_small_weights_too() -> Outcome {
    let weights = [0.3, 2.1]
        .map(|phase| Tensor::<2>::from_data(wave([5, 4], phase), (&Device::flex(), DType::F64)));
    for overlap in [
        ClassifierOverlap::NormalisedFrobenius,
        ClassifierOverlap::ClassCosine,
    ] {
        let of = |scale: f64| {
            let scaled = weights.clone().map(|weight| weight * scale);
            classifier_diversification(&scaled, overlap, 1e-6).map(|loss| numbers(loss)[0])
        };
        let plain = of(1.0)?;
        assert!((0.01..1.0).contains(&plain), "{overlap:?}: {plain}");
        close(of(1e-5)?, plain, 1e-9);
        assert!((0.0..=1e-6).contains(&of(0.0)?), "{overlap:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn classifier_diversification_sees_neither_order_nor_sign(
        phases in prop::array::uniform3(0.0_f64..6.0),
        features in 1_usize..5,
        classes in 1_usize..5,
        scale in 0.1_f64..10.0,
    ) {
        let make = |phase| {
            Tensor::<2>::from_data(wave([features, classes], phase), (&Device::flex(), DType::F64))
        };
        let weights = phases.map(make);
        for overlap in OVERLAPS {
            let plain = value(classifier_diversification(&weights, overlap, 1e-9))?;
            prop_assert!(plain >= 0.0);
            let [a, b, c] = weights.clone();
            let turned = [c.clone(), a.clone(), b.clone().neg()];
            let turned = value(classifier_diversification(&turned, overlap, 1e-9))?;
            prop_assert!(
                (turned - plain).abs() <= 1e-9 * (1.0 + plain),
                "{overlap:?}: {plain}, turned {turned}"
            );
            let scaled = [a * scale, b * scale, c * scale];
            let scaled = value(classifier_diversification(&scaled, overlap, 1e-9))?;
            let factor = match overlap {
                ClassifierOverlap::NormalisedFrobenius | ClassifierOverlap::ClassCosine => {
                    prop_assert!(plain <= 1.0 + 1e-9, "{overlap:?}: {plain}");
                    1.0
                }
                ClassifierOverlap::SquaredFrobenius => scale.powi(4),
                _ => scale.powi(2),
            };
            prop_assert!(
                (scaled - factor * plain).abs() <= 1e-8 * (1.0 + scaled),
                "{overlap:?}: {plain}, scaled {scaled}"
            );
        }
    }
}
