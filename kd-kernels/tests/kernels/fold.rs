//! `fold_batch_norm` against convolution and norm one after the other.

use burn::module::Module;
use burn::nn::conv::Conv2dConfig;
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{Names, export};
use kd_kernels::fold_batch_norm;

fn near(found: Tensor<4>, expected: Tensor<4>) {
    assert_eq!(found.dims(), expected.dims());
    let scale = expected.clone().abs().max().into_scalar::<f32>();
    let worst = (found - expected).abs().max().into_scalar::<f32>();
    assert!(scale > 0.1 && worst <= 1e-5 * scale, "{worst} of {scale}");
}

/// A norm that has seen batches of another mean and spread in each channel.
fn trained_norm(channels: usize, epsilon: f64, device: &Device) -> BatchNorm {
    let mut norm = BatchNormConfig::new(channels)
        .with_epsilon(epsilon)
        .init(device);
    norm.gamma = norm.gamma.map(|old| {
        let device = old.device();
        Tensor::random([channels], Distribution::Uniform(-1.5, 1.5), &device)
    });
    norm.beta = norm
        .beta
        .map(|old| old.random_like(Distribution::Normal(0.0, 1.0)));
    let offsets = Tensor::<4>::random(
        [1, channels, 1, 1],
        Distribution::Uniform(-2.0, 2.0),
        device,
    );
    for _ in 0..5 {
        let batch =
            Tensor::<4>::random([4, channels, 3, 3], Distribution::Normal(0.0, 0.5), device);
        let _ = norm.forward(batch * offsets.clone() + offsets.clone());
    }
    norm
}

#[test]
fn every_kind_of_convolution_folds() {
    let device = Device::flex().autodiff();
    device.seed(3);
    let kinds = [
        Conv2dConfig::new([4, 6], [3, 3]).with_bias(false),
        Conv2dConfig::new([4, 6], [3, 3]),
        Conv2dConfig::new([4, 6], [1, 1]).with_stride([2, 2]),
        Conv2dConfig::new([4, 6], [3, 2])
            .with_groups(2)
            .with_stride([2, 1])
            .with_padding(PaddingConfig2d::Explicit(1, 0, 2, 1)),
        Conv2dConfig::new([4, 4], [3, 3])
            .with_groups(4)
            .with_bias(false)
            .with_dilation([2, 1])
            .with_padding(PaddingConfig2d::Same),
    ];
    for kind in kinds {
        let conv = kind.init(&device);
        // A large epsilon, so that leaving it out would show.
        let norm = trained_norm(kind.channels[1], 0.1, &device);
        let folded = fold_batch_norm(&conv, &norm);
        let images = Tensor::<4>::random(
            [2, 4, 7, 8],
            Distribution::Normal(0.0, 1.0),
            &Device::flex(),
        );
        let plain = norm.valid().forward(conv.valid().forward(images.clone()));
        near(folded.forward(images), plain);
    }
}

#[test]
fn the_last_update_of_the_statistics_counts_and_the_layers_stay_as_they_are() {
    let device = Device::flex().autodiff();
    device.seed(4);
    let conv = Conv2dConfig::new([2, 3], [3, 3]).init(&device);
    let norm = BatchNormConfig::new(3).init(&device);
    // One batch only: Burn holds its update back until the next one.
    let batch = Tensor::<4>::random([4, 3, 5, 5], Distribution::Normal(4.0, 3.0), &device);
    let _ = norm.forward(batch);
    let before = (export(&conv, Names::Burn), export(&norm, Names::Burn));

    let folded = fold_batch_norm(&conv, &norm);
    let images = Tensor::<4>::random(
        [2, 2, 6, 6],
        Distribution::Normal(0.0, 1.0),
        &Device::flex(),
    );
    let plain = norm.valid().forward(conv.valid().forward(images.clone()));
    near(folded.forward(images), plain);
    assert_eq!(
        before,
        (export(&conv, Names::Burn), export(&norm, Names::Burn))
    );
    assert!(conv.weight.val().is_autodiff() && !folded.weight.val().is_autodiff());
    assert!(!folded.weight.is_require_grad() && !folded.clone().train().weight.is_require_grad());
}
