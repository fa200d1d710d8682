//! Ways to compute the same of several branches: each by itself, or all at once.
//!
//! ```text
//! online_parts [--rounds 200]
//! ```
//!
//! It prints a Markdown table: milliseconds of the forward pass and of the backward one, for both ways, in
//! the sizes of four branches of `crd-resnet32` behind `layer2` with 100 classes and batch 64; and the
//! difference of their values, as a share. `RAYON_NUM_THREADS` sets the number of threads.

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_kernels::{batch_norm, conv2d};
use kd_losses::{ClassifierOverlap, classifier_diversification};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BRANCHES: usize = 4;
const BATCH: usize = 64;
const SAMPLES: std::ops::Range<i64> = 0..64;
const CLASSES: usize = 100;

/// The most that two ways to compute the same may differ, as a share.
const ALLOWED: f64 = 1e-4;

/// A way to compute one number.
type Way = Box<dyn Fn() -> Tensor<1>>;

/// What is computed, by each branch for itself and by all at once.
struct Part {
    name: &'static str,
    apart: Way,
    at_once: Way,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let rounds = match words.next().as_deref() {
        Some("--rounds") => words.next().ok_or("`--rounds` needs a value")?.parse()?,
        Some(word) => return Err(format!("unknown argument `{word}`").into()),
        None => 200,
    };
    let device = Device::flex().autodiff();
    let mut out = std::io::stdout();
    let head = "| part | forward, apart | at once | ratio | backward, apart | at once | ratio | difference |";
    writeln!(out, "{head}\n|---|---:|---:|---:|---:|---:|---:|---:|")?;
    for part in parts(&device) {
        let [apart, at_once] = [&part.apart, &part.at_once].map(value);
        let off = (apart - at_once).abs() / apart.abs().max(f64::MIN_POSITIVE);
        if off > ALLOWED {
            return Err(format!("{}: both ways differ by {off:.1e}", part.name).into());
        }
        let [apart, at_once] = [&part.apart, &part.at_once].map(|way| medians(way, rounds));
        let [forward, backward] = [0, 1].map(|pass| {
            let ratio = at_once[pass] / apart[pass];
            format!("{:.3} | {:.3} | {ratio:.2}", apart[pass], at_once[pass])
        });
        writeln!(
            out,
            "| {} | {forward} | {backward} | {off:.0e} |",
            part.name
        )?;
    }
    Ok(())
}

fn value(way: &Way) -> f64 {
    f64::from(way().into_scalar::<f32>())
}

/// The medians of the milliseconds of the forward pass and of the backward one.
fn medians(way: &Way, rounds: usize) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds + 5 {
        let start = Instant::now();
        let sum = way();
        let forward = start.elapsed();
        let start = Instant::now();
        drop(sum.backward());
        let backward = start.elapsed();
        if round >= 5 {
            times[0].push(forward.as_secs_f64() * 1e3);
            times[1].push(backward.as_secs_f64() * 1e3);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[rounds / 2]
    })
}

fn parts(device: &Device) -> Vec<Part> {
    vec![
        first_convolutions(device),
        shortcuts(device),
        grouped(device),
        norms(device),
        heads(device),
        cross_entropies(device),
        divergences(device),
        overlaps(device),
    ]
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device).require_grad()
}

fn conv(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    device: &Device,
) -> Conv2d {
    let side = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(side, side, side, side))
        .with_bias(false)
        .init(device)
}

/// One convolution with the weights of all.
fn joined(convs: &[Conv2d], groups: usize, device: &Device) -> Conv2d {
    let weights = convs.iter().map(|conv| conv.weight.val()).collect();
    let weight: Tensor<4> = Tensor::cat(weights, 0);
    let [outputs, inputs, kernel, _] = weight.dims();
    let stride = convs[0].stride[0];
    let mut all = conv([inputs * groups, outputs], kernel, stride, groups, device);
    all.weight = burn::module::Param::from_tensor(weight.detach());
    all
}

/// Convolutions of one map, each branch's own.
fn of_one_map(name: &'static str, kernel: usize, device: &Device) -> Part {
    let convs: Vec<Conv2d> = (0..BRANCHES)
        .map(|_| conv([32, 64], kernel, 2, 1, device))
        .collect();
    let all = joined(&convs, 1, device);
    let map = random([BATCH, 32, 16, 16], device);
    let weights = random([1, 1, 8, 8], device);
    let (same_map, same_weights) = (map.clone(), weights.clone());
    Part {
        name,
        apart: Box::new(move || {
            let each = |conv: &Conv2d| (conv2d(conv, map.clone()) * weights.clone()).sum();
            Tensor::cat(convs.iter().map(each).collect(), 0).sum()
        }),
        at_once: Box::new(move || {
            let all = conv2d(&all, same_map.clone());
            let each = |all: Tensor<4>| (all * same_weights.clone()).sum();
            Tensor::cat(all.chunk(BRANCHES, 1).into_iter().map(each).collect(), 0).sum()
        }),
    }
}

fn first_convolutions(device: &Device) -> Part {
    of_one_map(
        "first convolutions, 3x3 with stride 2, 32 to 64 channels",
        3,
        device,
    )
}

fn shortcuts(device: &Device) -> Part {
    of_one_map(
        "first shortcuts, 1x1 with stride 2, 32 to 64 channels",
        1,
        device,
    )
}

fn grouped(device: &Device) -> Part {
    let convs: Vec<Conv2d> = (0..BRANCHES)
        .map(|_| conv([64, 64], 3, 1, 1, device))
        .collect();
    let all = joined(&convs, BRANCHES, device);
    let maps: Vec<Tensor<4>> = (0..BRANCHES)
        .map(|_| random([BATCH, 64, 8, 8], device))
        .collect();
    let map = Tensor::cat(maps.clone(), 1).detach().require_grad();
    Part {
        name: "further convolutions as groups of one, 3x3, 64 to 64 channels, 8x8",
        apart: Box::new(move || {
            let each = |(conv, map): (&Conv2d, &Tensor<4>)| conv2d(conv, map.clone()).sum();
            Tensor::cat(convs.iter().zip(&maps).map(each).collect(), 0).sum()
        }),
        at_once: Box::new(move || conv2d(&all, map.clone()).sum()),
    }
}

fn norms(device: &Device) -> Part {
    let norms: Vec<_> = (0..BRANCHES)
        .map(|_| BatchNormConfig::new(64).init(device))
        .collect();
    let all = BatchNormConfig::new(BRANCHES * 64).init(device);
    let maps: Vec<Tensor<4>> = (0..BRANCHES)
        .map(|_| random([BATCH, 64, 8, 8], device))
        .collect();
    let map = Tensor::cat(maps.clone(), 1).detach().require_grad();
    Part {
        name: "norms as one of all channels, 64 channels, 8x8",
        apart: Box::new(move || {
            let each = |(norm, map): (_, &Tensor<4>)| batch_norm(norm, map.clone()).square().sum();
            Tensor::cat(norms.iter().zip(&maps).map(each).collect(), 0).sum()
        }),
        at_once: Box::new(move || batch_norm(&all, map.clone()).square().sum()),
    }
}

fn heads(device: &Device) -> Part {
    let heads: Vec<Linear> = (0..BRANCHES)
        .map(|_| LinearConfig::new(64, CLASSES).init(device))
        .collect();
    let dense: Vec<Tensor<2>> = (0..BRANCHES).map(|_| random([BATCH, 64], device)).collect();
    let (same_heads, same_dense) = (heads.clone(), dense.clone());
    let bias = |head: &Linear| {
        let bias = head.bias.as_ref().map(burn::module::Param::val);
        bias.unwrap_or_else(|| Tensor::zeros([CLASSES], &head.weight.val().device()))
    };
    Part {
        name: "heads as one batched product",
        apart: Box::new(move || {
            let each = |(head, dense): (&Linear, &Tensor<2>)| head.forward(dense.clone());
            let logits = heads.iter().zip(&dense).map(each).collect();
            Tensor::stack::<3>(logits, 0).square().sum()
        }),
        at_once: Box::new(move || {
            let weights = same_heads.iter().map(|head| head.weight.val()).collect();
            let biases = same_heads.iter().map(bias).collect();
            let dense: Tensor<3> = Tensor::stack(same_dense.clone(), 0);
            let biases: Tensor<3> = Tensor::stack::<2>(biases, 0).unsqueeze_dim(1);
            (dense.matmul(Tensor::stack(weights, 0)) + biases)
                .square()
                .sum()
        }),
    }
}

/// The mean cross-entropy of logits `[..., batch_size, num_classes]`, summed over what stands before.
fn hard<const D: usize>(logits: Tensor<D>, index: Tensor<D, Int>) -> Tensor<1> {
    log_softmax(logits, D - 1).gather(D - 1, index).sum() / -(BATCH as f64)
}

/// Cross-entropies of all branches: one by one, and by one softmax, which is what kd-online has.
fn cross_entropies(device: &Device) -> Part {
    let logits: Vec<Tensor<2>> = (0..BRANCHES)
        .map(|_| random([BATCH, CLASSES], device))
        .collect();
    let same = logits.clone();
    let index = Tensor::<1, Int>::arange(SAMPLES, device).reshape([BATCH, 1]);
    let all = index
        .clone()
        .unsqueeze_dim::<3>(0)
        .expand([BRANCHES, BATCH, 1]);
    Part {
        name: "cross-entropies by one softmax",
        apart: Box::new(move || {
            let each = |logits: &Tensor<2>| hard(logits.clone(), index.clone());
            Tensor::cat(logits.iter().map(each).collect(), 0).sum()
        }),
        at_once: Box::new(move || hard(Tensor::stack::<3>(same.clone(), 0), all.clone())),
    }
}

/// The divergence of softened logits from a target of as many dimensions.
fn soft<const D: usize>(target: Tensor<D>, logits: Tensor<D>) -> Tensor<1> {
    let log_p = log_softmax(target / 3.0, D - 1);
    let log_q = log_softmax(logits / 3.0, D - 1);
    (log_p.clone().exp() * (log_p - log_q)).sum() * (9.0 / BATCH as f64)
}

/// Divergences of all branches from one target: one by one, and by one softmax, which is what kd-online has.
fn divergences(device: &Device) -> Part {
    let logits: Vec<Tensor<2>> = (0..BRANCHES)
        .map(|_| random([BATCH, CLASSES], device))
        .collect();
    let same = logits.clone();
    let target: Tensor<2> = random([BATCH, CLASSES], device).detach();
    let shared = target.clone();
    Part {
        name: "divergences from one target by one softmax",
        apart: Box::new(move || {
            let each = |logits: &Tensor<2>| soft(target.clone(), logits.clone());
            Tensor::cat(logits.iter().map(each).collect(), 0).sum()
        }),
        at_once: Box::new(move || {
            let all: Tensor<3> = Tensor::stack(same.clone(), 0);
            soft(shared.clone().unsqueeze_dim::<3>(0).expand(all.dims()), all)
        }),
    }
}

/// Squared Frobenius norms of all pairs: pair by pair, and by the Gram matrices of their classes.
fn overlaps(device: &Device) -> Part {
    let weights: Vec<Tensor<2>> = (0..BRANCHES)
        .map(|_| random([64, CLASSES], device))
        .collect();
    let same = weights.clone();
    Part {
        name: "squared Frobenius norms of all pairs of classifiers, by Gram matrices",
        apart: Box::new(move || {
            classifier_diversification(&weights, ClassifierOverlap::SquaredFrobenius, 1e-6)
                .unwrap_or_else(|_| Tensor::zeros([1], &weights[0].device()))
        }),
        at_once: Box::new(move || {
            let all: Tensor<3> = Tensor::stack(same.clone(), 0);
            let grams = all.clone().transpose().matmul(all); // [branches, classes, classes]
            let of_sum = grams.clone().sum_dim(0).square().sum();
            (of_sum - grams.square().sum()) / 2.0
        }),
    }
}
