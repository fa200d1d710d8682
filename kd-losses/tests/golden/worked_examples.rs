//! Regularisers and priors of a small example that is worked out by hand.

use crate::support::{Outcome, numbers};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    BnStatisticsLossConfig, ClassifierOverlap, ImageSize, ModeSeekingForm, NormStatistics,
    VariationForm, batch_entropy, classifier_diversification, image_l2, increment_penalty,
    mode_seeking, one_hot_confidence, total_variation,
};

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

fn one(value: f64) -> Tensor<1> {
    wide(&[value], [1])
}

const LOGITS: [f64; 12] = [2.0, 0.0, -1.0, 0.5, 1.5, 0.0, -1.0, 0.0, 3.0, 1.0, 0.8, 0.2];
const IMAGES: [f64; 16] = [
    0.0, 1.0, 2.0, 3.0, 1.0, 1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, -1.0, 0.5, 0.0, 1.0,
];

#[test]
fn the_generator_loss_of_a_worked_example() -> Outcome {
    // exp(one-hot - R) + exp(entropy - R') + mode seeking, each with its gradient; pairs are (0, 2) and (1,
    // 3).
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
