//! Every loss of kd-losses: its value alone, and its value with the gradient.
//!
//! Ids are `LOSS/forward/SIZES` and `LOSS/forward_backward/SIZES`; `b64_c100` is 64 samples of 100 classes,
//! `b64_16x32x32` is 64 samples of 16 channels of 32x32.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::{Device, Int, Tensor, TensorData};
use criterion::Criterion;
use kd_core::Draws;
use kd_losses::{
    AttentionDistance, AttentionTransferLossConfig, RegressorConfig, attention_transfer,
    cross_entropy, hint, soft_target,
};

const BATCH_SIZES: [usize; 2] = [64, 256];
const CLASSES: [usize; 2] = [10, 100];
/// The first and the last maps of the CIFAR `ResNets`, channels and side.
const MAPS: [[usize; 2]; 2] = [[16, 32], [64, 8]];
const MAP_BATCH_SIZES: [usize; 2] = [64, 128];

/// Normal numbers that depend on `name` and the shape alone.
fn normal<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut draws = Draws::new(0, name, 0, 0);
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| draws.normal())
        .collect();
    let data = TensorData::new(values, shape).convert::<f32>();
    Tensor::from_data(data, device)
}

/// Measures `loss` as a function of the student's tensor.
fn measure<const D: usize>(
    criterion: &mut Criterion,
    name: &str,
    sizes: &str,
    student: &Tensor<D>,
    loss: impl Fn(Tensor<D>) -> Tensor<1>,
) {
    let device = student.device();
    let mut group = criterion.benchmark_group(name);
    group.bench_function(format!("forward/{sizes}"), |bencher| {
        bencher.iter(|| {
            let value = loss(black_box(student.clone()));
            device.sync().unwrap();
            value
        });
    });
    group.bench_function(format!("forward_backward/{sizes}"), |bencher| {
        bencher.iter(|| {
            let student = Tensor::from_inner(black_box(student.clone())).require_grad();
            let gradient = student.grad(&loss(student.clone()).backward()).unwrap();
            device.sync().unwrap();
            gradient
        });
    });
    group.finish();
}

fn of_logits(criterion: &mut Criterion, device: &Device) {
    for batch_size in BATCH_SIZES {
        for classes in CLASSES {
            let sizes = format!("b{batch_size}_c{classes}");
            let student = normal("student", [batch_size, classes], device);
            let teacher = normal("teacher", [batch_size, classes], device);
            let mut draws = Draws::new(0, "targets", 0, 0);
            let targets: Vec<i64> = (0..batch_size)
                .map(|_| i64::try_from(draws.below(classes as u64)).unwrap())
                .collect();
            let targets =
                Tensor::<1, Int>::from_data(TensorData::new(targets, [batch_size]), device);
            measure(criterion, "cross_entropy", &sizes, &student, |student| {
                cross_entropy(student, targets.clone(), 0.0).unwrap()
            });
            measure(
                criterion,
                "cross_entropy_smoothed",
                &sizes,
                &student,
                |student| cross_entropy(student, targets.clone(), 0.1).unwrap(),
            );
            measure(criterion, "soft_target", &sizes, &student, |student| {
                soft_target(student, teacher.clone(), 4.0).unwrap()
            });
        }
    }
}

fn of_maps(criterion: &mut Criterion, device: &Device) {
    let epsilon = AttentionTransferLossConfig::new().epsilon;
    for batch_size in MAP_BATCH_SIZES {
        for [channels, side] in MAPS {
            let sizes = format!("b{batch_size}_{channels}x{side}x{side}");
            let shape = |channels| [batch_size, channels, side, side];
            let student = normal("student", shape(channels), device);
            let teacher = normal("teacher", shape(channels), device);
            measure(criterion, "hint", &sizes, &student, |student| {
                hint(student, teacher.clone()).unwrap()
            });
            for (name, distance) in [
                (
                    "attention_transfer_mean_square",
                    AttentionDistance::MeanSquare,
                ),
                ("attention_transfer_norm", AttentionDistance::Norm),
            ] {
                measure(criterion, name, &sizes, &student, |student| {
                    attention_transfer(student, teacher.clone(), distance, epsilon).unwrap()
                });
            }
            // From a resnet8 to a resnet8x4, whose maps are four times as wide.
            let wide = normal("teacher", shape(4 * channels), device);
            let config = RegressorConfig::new(channels, 4 * channels);
            let plain = config.init(0, device).unwrap();
            let trained = config.init(0, &device.clone().autodiff()).unwrap();
            measure(criterion, "hint_regressor", &sizes, &student, |student| {
                let regressor = if student.is_autodiff() {
                    &trained
                } else {
                    &plain
                };
                regressor.hint(student, wide.clone()).unwrap()
            });
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .configure_from_args();
    let device = Device::flex();
    of_logits(&mut criterion, &device);
    of_maps(&mut criterion, &device);
    criterion.final_summary();
}
