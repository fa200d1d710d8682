//! Every loss of the catalogue of kd-losses: its value alone, and its value with the gradient.
//!
//! Ids are `LOSS/forward/SIZES` and `LOSS/forward_backward/SIZES`, the losses called as in the catalogue;
//! `b64_c100` is 64 samples of 100 classes, `b64_16x32x32` is 64 samples of 16 channels of 32x32,
//! `b64_16x32x32_to_64` the same with a teacher of 64 channels, `b64_256` is 64 embeddings of 256 numbers.
//! The gradient is that of the student's inputs and of everything that is trained beside it.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::cell::OnceCell;
use std::time::Duration;

use burn::tensor::Device;
use criterion::{Criterion, SamplingMode};
use kd_benches::losses::{measured, unmeasured};

fn main() {
    assert!(unmeasured().is_empty(), "not measured: {:?}", unmeasured());
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .nresamples(10_000)
        .configure_from_args();
    let device = Device::flex();
    for one in measured() {
        let sizes = &one.sizes;
        // Made when first measured: a bench that is not chosen costs nothing.
        let case = OnceCell::new();
        let case = || case.get_or_init(|| one.make(&device).unwrap());
        let mut group = criterion.benchmark_group(one.name);
        // As many calls in each sample: the slowest take half a second each.
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("forward/{sizes}"), |bencher| {
            let case = case();
            bencher.iter(|| {
                let value = case.value().unwrap();
                device.sync().unwrap();
                value
            });
        });
        group.bench_function(format!("forward_backward/{sizes}"), |bencher| {
            let case = case();
            bencher.iter(|| {
                let outcome = case.value_and_gradients().unwrap();
                device.sync().unwrap();
                outcome
            });
        });
        group.finish();
    }
    criterion.final_summary();
}
