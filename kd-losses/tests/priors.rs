//! Regularisers and priors: golden values and gradients, what their formulas imply, inputs that they must survive, their errors.

mod support;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    BnStatisticsLoss, BnStatisticsLossConfig, ClassifierDiversificationLoss,
    ClassifierDiversificationLossConfig, ClassifierOverlap, Error, ImageL2Loss, ImageL2LossConfig,
    ImageSize, IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    ModeSeekingForm, ModeSeekingLoss, ModeSeekingLossConfig, NormStatistics, StatisticsDistance,
    TotalVariationLoss, TotalVariationLossConfig, VariationForm, activation_norm, batch_entropy,
    bn_statistics, classifier_diversification, image_l2, increment_penalty, mode_seeking,
    one_hot_confidence, total_variation,
};
use proptest::prelude::*;
use support::{Golden, Outcome, assert_finite, hard_pairs, numbers, wave};

const DISTANCES: [StatisticsDistance; 3] = [
    StatisticsDistance::Norm,
    StatisticsDistance::SquaredNorm,
    StatisticsDistance::MeanSquare,
];
const FORMS: [ModeSeekingForm; 3] = [
    ModeSeekingForm::Inverse,
    ModeSeekingForm::Ratio,
    ModeSeekingForm::Norms,
];
const SIZES: [ImageSize; 3] = [ImageSize::Image, ImageSize::Batch, ImageSize::MeanSquare];
const VARIATIONS: [VariationForm; 4] = [
    VariationForm::Norms,
    VariationForm::Means,
    VariationForm::Absolute,
    VariationForm::Square,
];
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
    let data = TensorData::new(values.to_vec(), shape);
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
        let data = TensorData::new(vec![loss], [1]);
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

// --- predictions --------------------------------------------------------------------------------

#[test]
fn priors_of_predictions_are_as_the_formulas_say() -> Outcome {
    Golden::read("batch_entropy")?
        .check(6, |given| Ok(batch_entropy(given.student("logits")?)?))?;
    Golden::read("one_hot_confidence")?
        .check(6, |given| Ok(one_hot_confidence(given.student("logits")?)?))?;
    Golden::read("activation_norm")?.check(4, |given| {
        Ok(activation_norm(given.student::<2>("features")?)?)
    })
}

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

#[test]
fn priors_of_predictions_say_what_is_wrong() {
    let empty = || Tensor::<2>::zeros([0, 3], &Device::flex());
    for (found, name) in [
        (text(batch_entropy(empty())), "`batch_entropy`: `logits`"),
        (
            text(one_hot_confidence(empty())),
            "`one_hot_confidence`: `logits`",
        ),
        (
            text(activation_norm(empty())),
            "`activation_norm`: `features`",
        ),
    ] {
        assert_eq!(
            found,
            format!("{name} [0, 3] has no elements; skip empty batches")
        );
    }
}

// --- images -------------------------------------------------------------------------------------

#[test]
fn priors_of_images_are_as_the_formulas_say() -> Outcome {
    Golden::read("total_variation")?.check(36, |given| {
        let (form, epsilon) = (given.choice("form")?, given.number("epsilon")?);
        Ok(total_variation(given.student("images")?, form, epsilon)?)
    })?;
    Golden::read("image_l2")?.check(27, |given| {
        let (size, epsilon) = (given.choice("size")?, given.number("epsilon")?);
        Ok(image_l2(given.student("images")?, size, epsilon)?)
    })
}

#[test]
fn priors_of_images_survive_hard_inputs() -> Outcome {
    for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [2, 1, 1, 1], [1, 1, 1, 4]] {
        for (name, images, _) in hard_pairs::<4>(shape) {
            for form in VARIATIONS {
                let loss = |images| total_variation(images, form, 1e-6);
                assert!(assert_finite(name, images.clone(), loss)? >= 0.0);
            }
            for size in SIZES {
                let loss = |images| image_l2(images, size, 1e-6);
                assert!(assert_finite(name, images.clone(), loss)? >= 0.0);
            }
        }
    }
    Ok(())
}

#[test]
fn priors_of_images_say_what_is_wrong() {
    let empty = || Tensor::<4>::zeros([2, 3, 0, 4], &Device::flex());
    let words =
        |loss: &str| format!("`{loss}`: `images` [2, 3, 0, 4] has no elements; skip empty batches");
    assert_eq!(
        text(total_variation(empty(), VariationForm::Norms, 1e-6)),
        words("total_variation")
    );
    assert_eq!(
        text(image_l2(empty(), ImageSize::Image, 1e-6)),
        words("image_l2")
    );
    let range =
        "`epsilon` must be from 1e-15 to 1, got 0; 1e-6 suits 32-bit floats, 1e-3 16-bit ones";
    assert_eq!(
        text(TotalVariationLossConfig::new().with_epsilon(0.0).init()),
        range
    );
    assert_eq!(
        text(ImageL2LossConfig::new().with_epsilon(0.0).init()),
        range
    );
    assert_eq!(
        text(BnStatisticsLossConfig::new().with_epsilon(0.0).init()),
        range
    );
    assert_eq!(
        text(ModeSeekingLossConfig::new().with_epsilon(0.0).init()),
        range
    );
}

// --- batch-norm statistics ----------------------------------------------------------------------

#[test]
fn bn_statistics_are_as_the_formula_says() -> Outcome {
    Golden::read("bn_statistics")?.check(27, |given| {
        let mut layers = Vec::new();
        for layer in 0..given.count("layers")? {
            layers.push(NormStatistics::of(
                given.student(&format!("input_{layer}"))?,
                given.teacher(&format!("running_mean_{layer}"))?,
                given.teacher(&format!("running_variance_{layer}"))?,
            )?);
        }
        let multiplier = given.number("first_layer_multiplier")?;
        let epsilon = given.number("epsilon")?;
        Ok(bn_statistics(
            layers,
            given.choice("distance")?,
            multiplier,
            epsilon,
        )?)
    })
}

#[test]
fn bn_statistics_survive_hard_inputs() -> Outcome {
    for shape in [[2, 3, 2, 3], [1, 2, 3, 3], [3, 1, 1, 1], [1, 1, 1, 1]] {
        for (name, input, _) in hard_pairs::<4>(shape) {
            let plain = Device::flex();
            let own = NormStatistics::of(
                Tensor::from_data(input.clone(), &plain),
                Tensor::zeros([shape[1]], &plain),
                Tensor::ones([shape[1]], &plain),
            )?;
            // Against other statistics, and against exactly its own.
            for (mean, variance) in [
                (own.running_mean.clone(), own.running_variance.clone()),
                (own.mean.clone(), own.variance.clone()),
            ] {
                for distance in DISTANCES {
                    assert_finite(name, input.clone(), |input| {
                        let layer = NormStatistics::of(input, mean.clone(), variance.clone())?;
                        bn_statistics(vec![layer.clone(), layer], distance, 10.0, 1e-6)
                    })?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_running_statistics() -> Outcome {
    let device = Device::flex().autodiff();
    let input = Tensor::<4>::from_data(wave([2, 3, 2, 2], 0.5), &device).require_grad();
    let leaf = Tensor::<1>::from_data(wave([3], 1.5), &device).require_grad();
    let layer = NormStatistics::of(input.clone(), leaf.clone() * 2.0, leaf.clone().square())?;
    let loss = BnStatisticsLossConfig::new().init()?;
    let gradients = loss.forward(vec![layer])?.backward();
    assert!(input.grad(&gradients).is_some());
    assert!(leaf.grad(&gradients).is_none());
    Ok(())
}

#[test]
fn bn_statistics_say_what_is_wrong() -> Outcome {
    let device = Device::flex();
    let make = |channels: usize, running: usize, dtype: DType| {
        NormStatistics::of(
            Tensor::<4>::zeros([2, channels, 2, 2], (&device, dtype)),
            Tensor::zeros([channels], (&device, dtype)),
            Tensor::zeros([running], (&device, dtype)),
        )
    };
    assert_eq!(
        text(make(3, 2, DType::F32)),
        "`bn_statistics`: `mean` ([3]) and `running_variance` ([2]) differ in shape; \
         give the input of a batch norm and the running statistics of the same one"
    );
    assert_eq!(
        text(make(0, 0, DType::F32)),
        "`bn_statistics`: `input` [2, 0, 2, 2] has no elements; skip empty batches"
    );
    let loss = |layers| text(bn_statistics(layers, StatisticsDistance::Norm, 1.0, 1e-6));
    assert_eq!(
        loss(Vec::new()),
        "`bn_statistics`: `layers` has 0 entries, at least 1 are needed; give the inputs of the batch norms"
    );
    assert_eq!(
        loss(vec![make(3, 3, DType::F32)?, make(2, 2, DType::F64)?]),
        "`bn_statistics`: `layers[0]` (F32) and `layers[1]` (F64) differ in dtype; take all layers from one network"
    );
    assert_eq!(
        text(
            BnStatisticsLossConfig::new()
                .with_first_layer_multiplier(-1.0)
                .init()
        ),
        "`first_layer_multiplier` must be finite and at least 0, got -1; \
         1 treats all layers alike, 10 is usual on ImageNet"
    );
    Ok(())
}

// --- mode seeking -------------------------------------------------------------------------------

#[test]
fn mode_seeking_is_as_the_formula_says() -> Outcome {
    Golden::read("mode_seeking")?.check(24, |given| {
        Ok(mode_seeking(
            given.student("images")?,
            given.student("other_images")?,
            given.student("codes")?,
            given.student("other_codes")?,
            given.choice("form")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn mode_seeking_survives_hard_inputs() -> Outcome {
    for shape in [[2, 3, 2, 3], [1, 1, 1, 1]] {
        for (name, images, other) in hard_pairs::<4>(shape) {
            for (code_name, codes, other_codes) in hard_pairs::<2>([shape[0], 3]) {
                for form in FORMS {
                    let plain =
                        |data: &TensorData| Tensor::from_data(data.clone(), &Device::flex());
                    let codes = plain(&codes);
                    let others = (
                        plain(&other_codes),
                        Tensor::from_data(other.clone(), &Device::flex()),
                    );
                    let what = format!("{form:?}: images {name}, codes {code_name}");
                    assert_finite(&what, images.clone(), |images| {
                        let (other_codes, other) = others.clone();
                        mode_seeking(images, other, codes.clone(), other_codes, form, 1e-5)
                    })?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn mode_seeking_says_what_is_wrong() {
    let device = Device::flex();
    let image = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device);
    let code = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device);
    let loss =
        |images: [usize; 4], other: [usize; 4], codes: [usize; 2], other_codes: [usize; 2]| {
            let (images, other) = (image(images), image(other));
            let form = ModeSeekingForm::Inverse;
            text(mode_seeking(
                images,
                other,
                code(codes),
                code(other_codes),
                form,
                1e-5,
            ))
        };
    let advice = "make both from batches of one size by the same generator";
    assert_eq!(
        loss([2, 1, 2, 2], [1, 1, 2, 2], [2, 3], [2, 3]),
        format!(
            "`mode_seeking`: `images` ([2, 1, 2, 2]) and `other_images` ([1, 1, 2, 2]) differ in shape; {advice}"
        )
    );
    assert_eq!(
        loss([2, 1, 2, 2], [2, 1, 2, 2], [2, 3], [2, 1]),
        format!(
            "`mode_seeking`: `codes` ([2, 3]) and `other_codes` ([2, 1]) differ in shape; {advice}"
        )
    );
    assert_eq!(
        loss([2, 1, 2, 2], [2, 1, 2, 2], [3, 3], [3, 3]),
        "`mode_seeking`: `images` [2, 1, 2, 2] and `codes` [3, 3] differ in batch size; take both from the same batch"
    );
    assert_eq!(
        loss([0, 1, 2, 2], [0, 1, 2, 2], [0, 3], [0, 3]),
        "`mode_seeking`: `images` [0, 1, 2, 2] has no elements; skip empty batches"
    );
}

// --- all together, on an example worked out elsewhere -------------------------------------------

const LOGITS: [f64; 12] = [2.0, 0.0, -1.0, 0.5, 1.5, 0.0, -1.0, 0.0, 3.0, 1.0, 0.8, 0.2];
const IMAGES: [f64; 16] = [
    0.0, 1.0, 2.0, 3.0, 1.0, 1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, -1.0, 0.5, 0.0, 1.0,
];

#[test]
fn the_generator_loss_of_a_worked_example() -> Outcome {
    // exp(one-hot - R) + exp(entropy - R') + mode seeking, each with its gradient; pairs are (0, 2) and (1, 3).
    let device = Device::flex().autodiff();
    let options = (&device, DType::F64);
    let logits = Tensor::<2>::from_data(TensorData::new(LOGITS.to_vec(), [4, 3]), options);
    let images = Tensor::<4>::from_data(TensorData::new(IMAGES.to_vec(), [4, 1, 2, 2]), options);
    let (logits, images) = (logits.require_grad(), images.require_grad());
    let of_logits = [
        -0.009_447_05,
        0.010_092_28,
        -0.000_645_23,
        0.050_727_31,
        -0.080_002_39,
        0.029_275_08,
        0.000_489_77,
        0.003_409_34,
        -0.003_899_12,
        -0.099_551_68,
        0.055_016_59,
        0.044_535_10,
    ];
    let of_images = [
        0.013_221_39,
        -0.006_610_69,
        -0.026_442_77,
        -0.013_221_39,
        -0.013_221_39,
        -0.003_305_35,
        0.0,
        0.013_221_39,
    ];

    let (sure, even) = (
        one_hot_confidence(logits.clone())?,
        batch_entropy(logits.clone())?,
    );
    close(numbers(sure.clone())[0], 0.379_755_855_8, 1e-9);
    close(numbers(even.clone())[0], -1.091_725_277_6, 1e-9);
    let p = burn::tensor::activation::softmax(logits.clone(), 1);
    let diverse = mode_seeking(
        images.clone().narrow(0, 0, 2),
        images.clone().narrow(0, 2, 2),
        p.clone().narrow(0, 0, 2),
        p.narrow(0, 2, 2),
        ModeSeekingForm::Norms,
        1e-6,
    )?;
    close(numbers(diverse.clone())[0], 0.219_805_536_4, 1e-9);
    let total = increment_penalty(sure, one(0.5), 20.0)?
        + increment_penalty(even, one(-0.9), 20.0)?
        + diverse;
    close(numbers(total.clone())[0], 1.932_043_093_0, 1e-9);
    let gradients = total.backward();
    let found = logits.grad(&gradients).map(numbers).unwrap_or_default();
    assert_eq!(found.len(), 12);
    for (found, expected) in found.into_iter().zip(of_logits) {
        close(found, expected, 6e-9);
    }
    let found = images.grad(&gradients).map(numbers).unwrap_or_default();
    assert_eq!(found.len(), 16);
    for (index, found) in found.into_iter().enumerate() {
        let expected = if index < 8 {
            of_images[index]
        } else {
            -of_images[index - 8]
        };
        close(found, expected, 6e-9);
    }
    Ok(())
}

#[test]
fn the_image_priors_of_a_worked_example() -> Outcome {
    let images = wide(&IMAGES, [4, 1, 2, 2]);
    let variation = |form| total_variation(images.clone(), form, 1e-6);
    close(
        numbers(variation(VariationForm::Norms)?)[0],
        16.720_292_824_6,
        1e-9,
    );
    close(numbers(variation(VariationForm::Means)?)[0], 6.125, 1e-12);
    close(
        numbers(image_l2(images.clone(), ImageSize::Batch, 1e-6)?)[0],
        5.315_072_906_4,
        1e-9,
    );
    let layer = NormStatistics::of(images, one(0.0), one(1.0))?;
    close(numbers(layer.mean.clone())[0], 0.53125, 1e-12);
    close(numbers(layer.variance.clone())[0], 1.483_398_44, 6e-9);
    let loss = BnStatisticsLossConfig::new().init()?.forward(vec![layer])?;
    close(numbers(loss)[0], 1.014_648_437_5, 1e-9);
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

    #[test]
    fn priors_of_images_see_neither_sign_nor_mirror_and_scale_as_documented(
        phase in 0.0_f64..6.0,
        shape in (1_usize..3, 1_usize..3, 1_usize..5, 1_usize..5),
        scale in 0.1_f64..10.0,
        shift in -5.0_f64..5.0,
    ) {
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let images = Tensor::<4>::from_data(wave(shape, phase), (&Device::flex(), DType::F64));
        let flips = [images.clone().neg(), images.clone().flip([2]), images.clone().flip([3])];
        let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-8 * (1.0 + expected);
        for form in VARIATIONS {
            let loss = |images| value(total_variation(images, form, 1e-9));
            let plain = loss(images.clone())?;
            let power = if form == VariationForm::Square { 2 } else { 1 };
            prop_assert!(plain >= 0.0);
            prop_assert!(near(loss(images.clone() + shift)?, plain), "{form:?}, shifted");
            prop_assert!(near(loss(images.clone().swap_dims(2, 3))?, plain), "{form:?}, turned");
            prop_assert!(near(loss(images.clone() * scale)?, plain * scale.powi(power)), "{form:?}, scaled");
            for flipped in &flips {
                prop_assert!(near(loss(flipped.clone())?, plain), "{form:?}, flipped");
            }
        }
        for size in SIZES {
            let loss = |images| value(image_l2(images, size, 1e-9));
            let plain = loss(images.clone())?;
            let power = if size == ImageSize::MeanSquare { 2 } else { 1 };
            prop_assert!(plain >= 0.0);
            prop_assert!(near(loss(images.clone() * scale)?, plain * scale.powi(power)), "{size:?}, scaled");
            for flipped in &flips {
                prop_assert!(near(loss(flipped.clone())?, plain), "{size:?}, flipped");
            }
        }
    }

    #[test]
    fn bn_statistics_are_zero_where_met_and_see_no_order(
        phase in 0.0_f64..6.0,
        shape in (1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4),
    ) {
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let options = (&Device::flex(), DType::F64);
        let input = Tensor::<4>::from_data(wave(shape, phase), options);
        let failed = |error: Error| TestCaseError::fail(error.to_string());
        let zeros = Tensor::<1>::zeros([shape[1]], options);
        let layer = NormStatistics::of(input.clone(), zeros.clone(), zeros.clone()).map_err(failed)?;
        let met = NormStatistics::of(input.clone(), layer.mean.clone(), layer.variance.clone()).map_err(failed)?;
        let flipped = NormStatistics::of(input.flip([0, 2, 3]), zeros.clone(), zeros).map_err(failed)?;
        for distance in DISTANCES {
            let loss = |layers| value(bn_statistics(layers, distance, 2.0, 1e-9));
            prop_assert!(loss(vec![met.clone()])? <= 1e-8);
            let one = loss(vec![layer.clone()])?;
            prop_assert!(one >= 0.0);
            prop_assert!((loss(vec![flipped.clone()])? - one).abs() <= 1e-9 * (1.0 + one));
            // Twice the first and once the second.
            let both = loss(vec![layer.clone(), flipped.clone()])?;
            prop_assert!((both - 1.5 * one).abs() <= 1e-9 * (1.0 + one));
        }
    }

    #[test]
    fn mode_seeking_sees_neither_order_nor_shift_and_falls_as_images_part(
        phases in prop::array::uniform4(0.0_f64..6.0), batch in 1_usize..4, scale in 1.1_f64..5.0,
    ) {
        let options = (&Device::flex(), DType::F64);
        let image = |phase| Tensor::<4>::from_data(wave([batch, 2, 2, 3], phase), options);
        let code = |phase| Tensor::<2>::from_data(wave([batch, 3], phase), options);
        let (x, y, u, v) = (image(phases[0]), image(phases[1] + 0.1), code(phases[2]), code(phases[3] + 0.1));
        for form in FORMS {
            let loss = |x: &Tensor<4>, y: &Tensor<4>, u: &Tensor<2>, v: &Tensor<2>| {
                value(mode_seeking(x.clone(), y.clone(), u.clone(), v.clone(), form, 1e-7))
            };
            let plain = loss(&x, &y, &u, &v)?;
            let near = |found: f64| (found - plain).abs() <= 1e-6 * (1.0 + plain.abs());
            prop_assert!(near(loss(&y, &x, &u, &v)?), "{form:?}: images exchanged");
            prop_assert!(near(loss(&x, &y, &v, &u)?), "{form:?}: codes exchanged");
            prop_assert!(near(loss(&(x.clone() + 1.5), &(y.clone() + 1.5), &u, &v)?), "{form:?}: shifted");
            prop_assert!(loss(&(x.clone() * scale), &(y.clone() * scale), &u, &v)? <= plain);
            // Both by one factor: the ratio stays.
            let scaled = loss(&(x.clone() * scale), &(y.clone() * scale), &(u.clone() * scale), &(v.clone() * scale))?;
            prop_assert!(near(scaled), "{form:?}: {plain}, scaled {scaled}");
        }
    }
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<BnStatisticsLoss>();
    send_and_sync::<BnStatisticsLossConfig>();
    send_and_sync::<ClassifierDiversificationLoss>();
    send_and_sync::<ClassifierDiversificationLossConfig>();
    send_and_sync::<ClassifierOverlap>();
    send_and_sync::<ImageL2Loss>();
    send_and_sync::<ImageL2LossConfig>();
    send_and_sync::<ImageSize>();
    send_and_sync::<IncrementPenalty>();
    send_and_sync::<IncrementPenaltyConfig>();
    send_and_sync::<IncrementPenaltyState>();
    send_and_sync::<IncrementReference>();
    send_and_sync::<ModeSeekingForm>();
    send_and_sync::<ModeSeekingLoss>();
    send_and_sync::<ModeSeekingLossConfig>();
    send_and_sync::<NormStatistics>();
    send_and_sync::<StatisticsDistance>();
    send_and_sync::<TotalVariationLoss>();
    send_and_sync::<TotalVariationLossConfig>();
    send_and_sync::<VariationForm>();
}
