//! `ConvLayer` computes what its layers compute one after the other.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::detached_copy;
use kd_kernels::{ConvLayer, watch_norms};

/// Which of norm, shortcut and ReLU a layer has.
const KINDS: [[bool; 3]; 8] = [
    [false, false, false],
    [false, false, true],
    [false, true, false],
    [false, true, true],
    [true, false, false],
    [true, false, true],
    [true, true, false],
    [true, true, true],
];

fn near<const D: usize>(found: Tensor<D>, expected: Tensor<D>, what: &str) {
    assert_eq!(found.dims(), expected.dims());
    let scale = expected.clone().abs().max().into_scalar::<f32>();
    let worst = (found - expected).abs().max().into_scalar::<f32>();
    assert!(worst <= 2e-5 * scale.max(0.1), "{what}: {worst} of {scale}");
}

fn layers(device: &Device) -> (Conv2d, BatchNorm) {
    let conv = Conv2dConfig::new([5, 7], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device);
    let mut norm = BatchNormConfig::new(7).init(device);
    let uniform = Distribution::Uniform(0.5, 1.5);
    norm.gamma = norm.gamma.map(|old| old.random_like(uniform));
    norm.beta = norm.beta.map(|old| old.random_like(uniform));
    (conv, norm)
}

fn ours(
    [has_norm, adds, has_relu]: [bool; 3],
    (conv, norm): (&Conv2d, &BatchNorm),
    input: Tensor<4>,
    shortcut: Tensor<4>,
) -> Tensor<4> {
    let layer = ConvLayer::new(conv).norm(has_norm.then_some(norm));
    let layer = if adds { layer.plus(shortcut) } else { layer };
    let layer = if has_relu { layer.relu() } else { layer };
    layer.forward(input)
}

fn burns(
    [has_norm, adds, has_relu]: [bool; 3],
    (conv, norm): (&Conv2d, &BatchNorm),
    input: Tensor<4>,
    shortcut: Tensor<4>,
) -> Tensor<4> {
    let map = conv.forward(input);
    let map = if has_norm { norm.forward(map) } else { map };
    let map = if adds { map + shortcut } else { map };
    if has_relu { relu(map) } else { map }
}

#[test]
fn training_gives_the_values_and_gradients_of_the_layers() {
    let device = Device::flex().autodiff();
    device.seed(11);
    let normal = Distribution::Normal(0.0, 1.0);
    let input = Tensor::<4>::random([6, 5, 9, 7], normal, &device);
    let shortcut = Tensor::<4>::random([6, 7, 9, 7], normal, &device);
    let weights = Tensor::<4>::random([6, 7, 9, 7], normal, &device);
    for kind in KINDS {
        let (conv, norm) = layers(&device);
        let run = |is_ours: bool| {
            // Running statistics of each their own.
            let norm = detached_copy(&norm);
            let input = input.clone().require_grad();
            // A shortcut of the input itself, too, so that two gradients meet.
            let shortcut = shortcut.clone().require_grad();
            let both = shortcut.clone() + input.clone().mean_dim(1);
            let layers = (&conv, &norm);
            let map = if is_ours {
                ours(kind, layers, input.clone(), both)
            } else {
                burns(kind, layers, input.clone(), both)
            };
            let gradients = (map.clone() * weights.clone()).sum().backward();
            let mut vectors = vec![
                norm.running_mean.value_sync(),
                norm.running_var.value_sync(),
            ];
            if kind[0] {
                vectors.push(norm.gamma.val().grad(&gradients).unwrap());
                vectors.push(norm.beta.val().grad(&gradients).unwrap());
            }
            let of_bias = conv.bias.as_ref().unwrap().val().grad(&gradients).unwrap();
            if kind[0] {
                // A norm takes a bias away again: nothing but rounding is left.
                assert!(of_bias.abs().max().into_scalar::<f32>() < 1e-4);
            } else {
                vectors.push(of_bias);
            }
            let mut maps = vec![map.inner(), input.grad(&gradients).unwrap()];
            maps.push(conv.weight.val().grad(&gradients).unwrap());
            if kind[1] {
                maps.push(shortcut.grad(&gradients).unwrap());
            }
            (maps, vectors)
        };
        let ((our_maps, our_vectors), (maps, vectors)) = (run(true), run(false));
        for (index, (found, expected)) in our_maps.into_iter().zip(maps).enumerate() {
            near(found, expected, &format!("{kind:?}, map {index}"));
        }
        for (index, (found, expected)) in our_vectors.into_iter().zip(vectors).enumerate() {
            near(found, expected, &format!("{kind:?}, vector {index}"));
        }
    }
}

#[test]
fn inference_gives_the_values_of_the_layers() {
    let device = Device::flex();
    device.seed(12);
    let (conv, norm) = layers(&device);
    let normal = Distribution::Normal(0.0, 1.0);
    let input = Tensor::<4>::random([3, 5, 9, 7], normal, &device);
    let shortcut = Tensor::<4>::random([3, 7, 9, 7], normal, &device);
    for kind in KINDS {
        let layers = (&conv, &norm);
        let found = ours(kind, layers, input.clone(), shortcut.clone());
        let expected = burns(kind, layers, input.clone(), shortcut.clone());
        near(found, expected, &format!("{kind:?}"));
    }
}

#[test]
fn no_number_stays_none() {
    let device = Device::flex();
    let (conv, _) = layers(&device);
    let input = Tensor::<4>::full([1, 5, 4, 4], f32::NAN, &device);
    let map = ConvLayer::new(&conv).relu().forward(input.clone());
    assert!(map.into_data().iter::<f32>().all(f32::is_nan));

    let device = device.autodiff();
    let (conv, norm) = layers(&device);
    let layer = ConvLayer::new(&conv).norm(Some(&norm)).relu();
    let map = layer.forward(Tensor::from_inner(input));
    assert!(map.into_data().iter::<f32>().all(f32::is_nan));
}

#[test]
fn a_norm_behind_a_convolution_is_seen_once_with_its_statistics_before() {
    let device = Device::flex().autodiff();
    let (conv, norm) = layers(&device);
    let input = Tensor::<4>::ones([2, 5, 4, 4], &device);
    let (_, seen) = watch_norms(|| ConvLayer::new(&conv).norm(Some(&norm)).forward(input));
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].input.dims(), [2, 7, 4, 4]);
    let mean = seen[0].running_mean.clone().abs().max();
    assert!(mean.into_scalar::<f32>() < 1e-9);
}
