//! Regularisers and priors: golden values and gradients, what their formulas imply, inputs that they must survive, their errors.

mod support;

use burn::tensor::{DType, Device, Tensor};
use kd_losses::{
    ClassifierDiversificationLoss, ClassifierDiversificationLossConfig, ClassifierOverlap, Error,
    IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    classifier_diversification, increment_penalty,
};
use proptest::prelude::*;
use support::{Golden, Outcome, assert_finite, hard_pairs, numbers, wave};

const OVERLAPS: [ClassifierOverlap; 6] = [
    ClassifierOverlap::Frobenius,
    ClassifierOverlap::FrobeniusOfClasses,
    ClassifierOverlap::Absolute,
    ClassifierOverlap::SquaredFrobenius,
    ClassifierOverlap::NormalisedFrobenius,
    ClassifierOverlap::ClassCosine,
];

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected}"
    );
}

/// A tensor in 64-bit floats.
fn wide<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data = burn::tensor::TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

fn value(loss: Result<Tensor<1>, Error>) -> Result<f64, TestCaseError> {
    let loss = loss.map_err(|error| TestCaseError::fail(error.to_string()))?;
    Ok(numbers(loss)[0])
}

fn one(value: f64) -> Tensor<1> {
    wide(&[value], [1])
}

// --- classifier diversification -----------------------------------------------------------------

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

// --- the penalty on increments ------------------------------------------------------------------

#[test]
fn increment_penalty_is_as_the_formula_says() -> Outcome {
    Golden::read("increment_penalty")?.check(7, |given| {
        let (loss, reference) = (given.student("term")?, given.teacher("reference")?);
        Ok(increment_penalty(
            loss,
            reference,
            given.number("largest_exponent")?,
        )?)
    })
}

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
    // e^(L - R) dL: the closed form, of a loss that depends on three numbers, against a reference that was itself a loss.
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
        let data = burn::tensor::TensorData::new(vec![loss], [1]);
        assert_finite("increment penalty", data, |loss: Tensor<1>| {
            increment_penalty(loss, Tensor::zeros([1], &Device::flex()), 20.0)
        })?;
    }
    Ok(())
}

#[test]
fn increment_penalty_says_what_is_wrong() -> Outcome {
    let long = || Tensor::<1>::zeros([2], &Device::flex());
    let words = |name: &str| {
        format!(
            "the term `{name}` [2] is not one number; reduce it to `[1]`, for example by its mean"
        )
    };
    assert_eq!(
        text(increment_penalty(long(), one(0.0), 20.0)),
        words("loss")
    );
    let mut penalty = IncrementPenaltyConfig::new().init()?;
    assert_eq!(text(penalty.forward(long(), 0)), words("loss"));
    let state = IncrementPenaltyState {
        reference: Some(long()),
    };
    assert_eq!(text(penalty.restore(state)), words("reference"));
    let state = IncrementPenaltyState {
        reference: Some(Tensor::zeros([1], &Device::flex())),
    };
    penalty.restore(state)?;
    assert_eq!(
        text(penalty.forward(one(1.0), 0)),
        "`increment_penalty`: `loss` (F64) and `reference` (F32) differ in dtype; \
         restore the reference on the device and in the dtype of training"
    );
    let config = IncrementPenaltyConfig::new();
    for largest in [0.0, 81.0, f64::NAN] {
        assert_eq!(
            text(config.clone().with_largest_exponent(largest).init()),
            format!(
                "`largest_exponent` must be above 0 and at most 80, got {largest}; 20 bounds the weight at 5e8"
            )
        );
    }
    let average = IncrementReference::Average { decay: 1.0 };
    assert_eq!(
        text(config.with_reference(average).init()),
        "`decay` must be at least 0 and below 1, got 1; 0.99 remembers some hundred steps"
    );
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

// --- what holds for any input -------------------------------------------------------------------

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
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

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<ClassifierDiversificationLoss>();
    send_and_sync::<ClassifierDiversificationLossConfig>();
    send_and_sync::<ClassifierOverlap>();
    send_and_sync::<IncrementPenalty>();
    send_and_sync::<IncrementPenaltyConfig>();
    send_and_sync::<IncrementPenaltyState>();
    send_and_sync::<IncrementReference>();
}
