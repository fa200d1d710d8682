//! `max_pool2d` computes what Burn's layer computes, values and gradients, to the bit.

use burn::nn::PaddingConfig2d;
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::Draws;
use kd_kernels::max_pool2d;

/// Whole numbers, so that many pixels of a window are the largest.
fn whole(name: &str, shape: [usize; 4]) -> TensorData {
    let mut draws = Draws::new(3, name, 0, 0);
    #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
    let one = |_| (2.0 * draws.normal()).round() as f32;
    TensorData::new(
        (0..shape.iter().product()).map(one).collect::<Vec<_>>(),
        shape,
    )
}

fn numbers(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Values on the plain device, values under a graph, and the gradient of the map.
fn seen(shape: [usize; 4], forward: impl Fn(Tensor<4>) -> Tensor<4>) -> [Vec<f32>; 3] {
    let device = Device::flex();
    let plain = forward(Tensor::from_data(whole("x", shape), &device));
    let x = Tensor::<4>::from_data(whole("x", shape), &device.autodiff()).require_grad();
    let y = forward(x.clone());
    let weights = Tensor::from_data(whole("dy", y.dims()), &y.device());
    let gradients = (y.clone() * weights).sum().backward();
    [
        numbers(plain),
        numbers(y),
        numbers(x.grad(&gradients).unwrap()),
    ]
}

fn pool(kernel: [usize; 2], strides: [usize; 2], padding: [usize; 4]) -> MaxPool2d {
    let [top, left, bottom, right] = padding;
    MaxPool2dConfig::new(kernel)
        .with_strides(strides)
        .with_padding(PaddingConfig2d::Explicit(top, left, bottom, right))
        .init()
}

#[test]
fn values_and_gradients_are_burns() {
    for (kernel, strides, padding) in [
        ([2, 2], [2, 2], [0; 4]),
        ([3, 3], [2, 2], [1; 4]),
        ([3, 3], [1, 1], [1; 4]),
        ([1, 2], [1, 2], [0; 4]),
        ([3, 2], [1, 3], [1, 0, 1, 0]),
        ([4, 4], [4, 4], [2; 4]),
    ] {
        for size in [[4, 4], [5, 7], [8, 4], [9, 33], [32, 32]] {
            let pool = pool(kernel, strides, padding);
            for [batch, channels] in [[1, 1], [3, 5], [2, 40]] {
                let shape = [batch, channels, size[0], size[1]];
                let ours = seen(shape, |map| max_pool2d(&pool, map));
                let burns = seen(shape, |map| pool.forward(map));
                assert_eq!(ours, burns, "{kernel:?} {strides:?} {padding:?} {shape:?}");
            }
        }
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let shape = [1, 2, 5, 5];
    let pool = pool([3, 3], [2, 2], [1; 4]);
    // All different, so that a small step changes no place.
    let values: Vec<f32> = (0..50_u16).map(|i| f32::from(i * 37 % 50)).collect();
    let at = |values: &[f32]| {
        let data = TensorData::new(values.to_vec(), shape);
        let y = max_pool2d(&pool, Tensor::from_data(data, &Device::flex()));
        let weights = 1_u16..;
        let sums = numbers(y).into_iter().zip(weights);
        sums.map(|(y, weight)| f64::from(y) * f64::from(weight))
            .sum::<f64>()
    };
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device).require_grad();
    let y = max_pool2d(&pool, x.clone());
    let count: usize = y.dims().iter().product();
    let weights =
        Tensor::<1, burn::tensor::Int>::arange(1..i64::try_from(count + 1).unwrap(), &device);
    let weights = weights.float().reshape(y.dims());
    let gradients = (y * weights).sum().backward();
    for (place, found) in numbers(x.grad(&gradients).unwrap()).into_iter().enumerate() {
        let mut moved = values.clone();
        moved[place] += 0.5;
        let slope = (at(&moved) - at(&values)) / 0.5;
        assert!(
            (slope - f64::from(found)).abs() < 1e-6,
            "{place}: {slope} {found}"
        );
    }
}

#[test]
fn a_pixel_that_is_no_number_makes_its_windows_none() {
    let map = [1.0, f32::NAN, 2.0, 3.0, 0.0, 1.0, 5.0, 4.0];
    let map = Tensor::<4>::from_data(TensorData::new(map.to_vec(), [1, 1, 2, 4]), &Device::flex());
    let y = numbers(max_pool2d(&pool([2, 2], [2, 2], [0; 4]), map));
    assert!(y[0].is_nan());
    assert!((y[1] - 5.0).abs() < 1e-6);
}
