//! Classifier diversification.

use crate::support::{Golden, Outcome, assert_finite, hard_pairs, numbers, wave};
use crate::{close, config, text, value, wide};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{
    ClassifierDiversificationLossConfig, ClassifierOverlap, classifier_diversification,
};
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
fn classifier_diversification_is_as_the_formula_says() -> Outcome {
    Golden::read("classifier_diversification")?.check(48, |given| {
        let weights: Outcome<Vec<Tensor<2>>> = (0..given.count("count")?)
            .map(|index| given.student(&format!("weight_{index}")))
            .collect();
        let (overlap, epsilon) = (given.choice("overlap")?, given.number("epsilon")?);
        Ok(classifier_diversification(&weights?, overlap, epsilon)?)
    })
}

#[test]
fn classifier_diversification_of_a_worked_example() -> Outcome {
    // Rows are classes here, as the example was worked out by hand.
    let weights = [
        [0.5, -0.2, 0.1, 0.4, -0.3, 0.2],
        [0.2, 0.3, -0.4, 0.1, 0.6, -0.5],
        [0.0, 0.7, 0.3, -0.1, -0.2, 0.2],
    ]
    .map(|weight| wide(&weight, [3, 2]).transpose());
    for (overlap, expected) in [
        (ClassifierOverlap::Frobenius, 1.115_496),
        (ClassifierOverlap::Absolute, 1.99),
        (ClassifierOverlap::SquaredFrobenius, 0.4183),
        (ClassifierOverlap::NormalisedFrobenius, 0.520_993),
        (ClassifierOverlap::ClassCosine, 0.605_998),
    ] {
        let found = classifier_diversification(&weights, overlap, 1e-6)?;
        close(numbers(found)[0], expected, 1e-6);
    }
    Ok(())
}

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

#[test]
fn classifier_diversification_says_what_is_wrong() {
    let weight = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &Device::flex());
    let loss = |weights: &[Tensor<2>]| {
        text(classifier_diversification(
            weights,
            ClassifierOverlap::Frobenius,
            1e-6,
        ))
    };
    assert_eq!(
        loss(&[weight([2, 3])]),
        "`classifier_diversification`: `weights` has 1 entries, at least 2 are needed; give the classifiers of all branches"
    );
    assert_eq!(
        loss(&[weight([2, 3]), weight([2, 3]), weight([3, 2])]),
        "`classifier_diversification`: `weights[0]` ([2, 3]) and `weights[2]` ([3, 2]) differ in shape; \
         the branches must have equal last layers"
    );
    assert_eq!(
        loss(&[weight([2, 3]), weight([2, 3]).cast(DType::F64)]),
        "`classifier_diversification`: `weights[0]` (F32) and `weights[1]` (F64) differ in dtype; \
         the branches must have equal last layers"
    );
    assert_eq!(
        loss(&[weight([0, 3]), weight([0, 3])]),
        "`classifier_diversification`: `weights` [0, 3] has no elements; skip empty batches"
    );
    let config = ClassifierDiversificationLossConfig::new();
    for epsilon in [0.0, 2.0, f64::NAN] {
        let found = text(config.clone().with_epsilon(epsilon).init());
        assert_eq!(
            found,
            format!(
                "`epsilon` must be from 1e-15 to 1, got {epsilon}; 1e-6 suits 32-bit floats, 1e-3 16-bit ones"
            )
        );
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn classifier_diversification_sees_neither_order_nor_sign(
        phases in prop::array::uniform3(0.0_f64..6.0),
        features in 1_usize..5,
        classes in 1_usize..5,
        scale in 0.1_f64..10.0,
    ) {
        let make = |phase| Tensor::<2>::from_data(wave([features, classes], phase), (&Device::flex(), DType::F64));
        let weights = phases.map(make);
        for overlap in OVERLAPS {
            let plain = value(classifier_diversification(&weights, overlap, 1e-9))?;
            prop_assert!(plain >= 0.0);
            let [a, b, c] = weights.clone();
            let turned = value(classifier_diversification(&[c.clone(), a.clone(), b.clone().neg()], overlap, 1e-9))?;
            prop_assert!((turned - plain).abs() <= 1e-9 * (1.0 + plain), "{overlap:?}: {plain}, turned {turned}");
            let scaled = value(classifier_diversification(&[a * scale, b * scale, c * scale], overlap, 1e-9))?;
            let factor = match overlap {
                ClassifierOverlap::NormalisedFrobenius | ClassifierOverlap::ClassCosine => {
                    prop_assert!(plain <= 1.0 + 1e-9, "{overlap:?}: {plain}");
                    1.0
                }
                ClassifierOverlap::SquaredFrobenius => scale.powi(4),
                _ => scale.powi(2),
            };
            prop_assert!((scaled - factor * plain).abs() <= 1e-8 * (1.0 + scaled), "{overlap:?}: {plain}, scaled {scaled}");
        }
    }
}
