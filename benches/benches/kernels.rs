//! Convolutions of kd-kernels and of Burn, forward and backward, in the shapes that networks for small images
//! have.
//!
//! ```text
//! cargo bench --workspace --profile dev --bench kernels     RAYON_NUM_THREADS sets the number of threads
//! ```
//!
//! The throughput is that of the sums as they are written, two operations for each weight and position; a
//! kernel that needs fewer multiplications shows more than the machine can do.

use std::hint::black_box;

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, Throughput};
use kd_kernels::conv2d;

/// Batch, groups, channels in and out, side of the map, kernel, stride.
const SHAPES: [[usize; 7]; 14] = [
    [64, 1, 3, 16, 32, 3, 1],
    [64, 1, 16, 16, 32, 3, 1],
    [64, 1, 16, 32, 32, 3, 2],
    [64, 1, 32, 32, 16, 3, 1],
    [64, 1, 64, 64, 8, 3, 1],
    [64, 1, 64, 64, 32, 3, 1],
    [64, 1, 64, 128, 32, 3, 2],
    [64, 1, 128, 128, 16, 3, 1],
    [64, 1, 256, 256, 8, 3, 1],
    [64, 1, 512, 512, 4, 3, 1],
    [64, 1, 64, 128, 32, 1, 2],
    [64, 1, 96, 24, 16, 1, 1],
    [64, 96, 96, 96, 16, 3, 1],
    [1, 1, 64, 64, 32, 3, 1],
];

type Layer = fn(&Conv2d, Tensor<4>) -> Tensor<4>;

fn layer([_, groups, inputs, outputs, _, kernel, stride]: [usize; 7], device: &Device) -> Conv2d {
    let padding = kernel / 2;
    Conv2dConfig::new([inputs, outputs], [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .init(device)
}

fn convolutions(criterion: &mut Criterion) {
    for shape in SHAPES {
        let [batch, groups, inputs, outputs, side, kernel, stride] = shape;
        let plain = Device::flex();
        plain.seed(1);
        let graph = plain.clone().autodiff();
        let images =
            Tensor::<4>::random([batch, inputs, side, side], Distribution::Default, &plain);
        let name =
            format!("conv/b{batch}_g{groups}_{inputs}to{outputs}_{side}_k{kernel}_s{stride}");
        let mut group = criterion.benchmark_group(name);
        let positions = side.div_ceil(stride).pow(2);
        let terms = batch * inputs / groups * outputs * positions * kernel * kernel;
        let sides: [(&str, Layer); 2] = [("kd", conv2d), ("burn", Conv2d::forward)];
        for (side, forward) in sides {
            let conv = layer(shape, &plain);
            group.throughput(Throughput::Elements(2 * terms as u64));
            group.bench_function(format!("forward/{side}"), |bencher| {
                bencher.iter(|| black_box(forward(&conv, images.clone())));
            });
            let conv = layer(shape, &graph);
            let images = Tensor::from_inner(images.clone()).require_grad();
            group.throughput(Throughput::Elements(6 * terms as u64));
            group.bench_function(format!("forward_backward/{side}"), |bencher| {
                bencher.iter(|| black_box(forward(&conv, images.clone()).sum().backward()));
            });
        }
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    convolutions(&mut criterion);
    criterion.final_summary();
}
