//! `batch_norm` computes what Burn's batch norm computes: values, gradients, running statistics.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Draws, Names, detached_copy, export, import};
use kd_kernels::batch_norm;

fn draws(name: &str, shape: [usize; 4], mean: f64, std: f64) -> TensorData {
    let mut draws = Draws::new(7, name, 0, 0);
    #[expect(clippy::cast_possible_truncation, reason = "maps are kept in 32 bits")]
    let one = |_| (mean + std * draws.normal()) as f32;
    TensorData::new(
        (0..shape.iter().product()).map(one).collect::<Vec<_>>(),
        shape,
    )
}

/// A norm whose scale and shift are not those it begins with.
fn norm(channels: usize, device: &Device) -> BatchNorm {
    let norm = BatchNormConfig::new(channels).init(device);
    let mut tensors = export(&norm, Names::PyTorch);
    for (name, mean) in [("weight", 1.5), ("bias", -0.3)] {
        let data = draws(name, [channels, 1, 1, 1], mean, 0.4);
        let data = TensorData::new(data.try_to_vec::<f32>().unwrap(), [channels]);
        tensors.insert(name.into(), data);
    }
    import(&norm, &tensors, Names::PyTorch, "the test").unwrap()
}

/// Output, gradients of input, scale and shift, running mean and variance after two batches.
fn seen(
    norm: &BatchNorm,
    shape: [usize; 4],
    mean: f64,
    forward: impl Fn(&BatchNorm, Tensor<4>) -> Tensor<4>,
) -> Vec<Vec<f32>> {
    let device = Device::flex().autodiff();
    let norm = detached_copy(norm);
    let _ = forward(
        &norm,
        Tensor::from_data(draws("before", shape, mean, 2.0), &device),
    );
    let x = Tensor::<4>::from_data(draws("x", shape, mean, 3.0), &device).require_grad();
    let y = forward(&norm, x.clone());
    let weights = Tensor::from_data(draws("dy", shape, 0.2, 1.0), &device);
    let gradients = (y.clone() * weights).sum().backward();
    let vector = |tensor: Tensor<1>| tensor.into_data().try_to_vec::<f32>().unwrap();
    vec![
        y.into_data().try_to_vec().unwrap(),
        x.grad(&gradients)
            .unwrap()
            .into_data()
            .try_to_vec()
            .unwrap(),
        vector(norm.gamma.val().grad(&gradients).unwrap()),
        vector(norm.beta.val().grad(&gradients).unwrap()),
        vector(norm.running_mean.value_sync()),
        vector(norm.running_var.value_sync()),
    ]
}

#[test]
fn training_gives_the_values_and_gradients_of_burns_batch_norm() {
    for (shape, mean) in [
        ([8, 5, 7, 9], 0.5),
        ([4, 16, 32, 32], -1.0),
        ([3, 2, 1, 1], 2.0),
        ([1, 3, 4, 5], 0.0),
        ([6, 1, 24, 24], 0.3),
    ] {
        let norm = norm(shape[1], &Device::flex().autodiff());
        let ours = seen(&norm, shape, mean, batch_norm);
        let theirs = seen(&norm, shape, mean, BatchNorm::forward);
        for (part, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let size = theirs.iter().fold(1e-2_f32, |size, x| size.max(x.abs()));
            for (a, b) in ours.iter().zip(theirs) {
                assert!(
                    (a - b).abs() <= 2e-5 * size,
                    "{shape:?}, part {part}: {a} {b}"
                );
            }
        }
    }
}

/// A mean that is large beside the spread is where sums in 32 bits go wrong.
#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let shape = [16, 2, 16, 16];
    let device = Device::flex().autodiff();
    let norm = BatchNormConfig::new(2).init(&device);
    let data = draws("far", shape, 1000.0, 0.5);
    let values: Vec<f64> = data.iter::<f64>().collect();
    let y = batch_norm(&norm, Tensor::from_data(data, &device));
    let y: Vec<f64> = y.into_data().iter::<f64>().collect();
    for channel in 0..2 {
        let of_channel = |values: &[f64]| -> Vec<f64> {
            let planes = values.chunks(256).skip(channel).step_by(2);
            planes.flatten().copied().collect()
        };
        let (x, y) = (of_channel(&values), of_channel(&y));
        let count = x.len() as f64;
        let mean = x.iter().sum::<f64>() / count;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        for (x, y) in x.iter().zip(&y) {
            let wanted = (x - mean) / (variance + 1e-5).sqrt();
            // The inputs themselves have 24 bits: 1000 is known to 6e-5.
            assert!((wanted - y).abs() < 2e-4, "{wanted} {y}");
        }
    }
}

#[test]
fn in_inference_it_is_burns() {
    let norm = norm(3, &Device::flex().autodiff()).valid();
    let x = Tensor::<4>::from_data(draws("x", [2, 3, 5, 5], 0.0, 1.0), &Device::flex());
    assert_eq!(
        batch_norm(&norm, x.clone()).into_data(),
        norm.forward(x).into_data()
    );
}

#[test]
fn a_norm_of_its_own_gives_the_same_bytes_each_time() {
    let norm = norm(4, &Device::flex().autodiff());
    let shape = [5, 4, 9, 9];
    assert_eq!(
        seen(&norm, shape, 0.1, batch_norm),
        seen(&norm, shape, 0.1, batch_norm)
    );
}
