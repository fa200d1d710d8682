//! Errors of the regularisers and priors.

use crate::support::{Outcome, text};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    BnStatisticsLossConfig, ClassifierDiversificationLossConfig, ClassifierOverlap,
    ImageL2LossConfig, ImageSize, IncrementPenaltyConfig, IncrementPenaltyState,
    IncrementReference, ModeSeekingForm, ModeSeekingLossConfig, NormStatistics, StatisticsDistance,
    TotalVariationLossConfig, VariationForm, activation_norm, batch_entropy, bn_statistics,
    classifier_diversification, image_l2, increment_penalty, mode_seeking, one_hot_confidence,
    total_variation,
};

fn one(value: f64) -> Tensor<1> {
    Tensor::from_data(
        TensorData::new(vec![value], [1]),
        (&Device::flex(), DType::F64),
    )
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
            "`mode_seeking`: `images` ([2, 1, 2, 2]) and `other_images` ([1, 1, 2, 2]) differ in shape; \
             {advice}"
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
        "`mode_seeking`: `images` [2, 1, 2, 2] and `codes` [3, 3] differ in batch size; take both from the \
         same batch"
    );
    assert_eq!(
        loss([0, 1, 2, 2], [0, 1, 2, 2], [0, 3], [0, 3]),
        "`mode_seeking`: `images` [0, 1, 2, 2] has no elements; skip empty batches"
    );
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
        "`bn_statistics`: `layers[0]` (F32) and `layers[1]` (F64) differ in dtype; take all layers from one \
         network"
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
        text(ModeSeekingLossConfig::new().with_epsilon(1e-12).init()),
        "`epsilon` must be from 1e-10 to 1, got 0.000000000001; the authors of `inverse` use 1e-5"
    );
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
                "`largest_exponent` must be above 0 and at most 80, got {largest}; 20 bounds the weight at \
                 5e8"
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
        "`classifier_diversification`: `weights` has 1 entries, at least 2 are needed; give the classifiers \
         of all branches"
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
