//! One whole step of offline distillation as the runner does it: batch, teacher, student, losses, backward,
//! optimizer.
//!
//! Ids are `offline/step/TEACHER_to_STUDENT/b64`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::time::Duration;

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use kd_benches::{PAIRS, step_at};
use kd_core::{Method, RunFolder};

const BATCH_SIZE: usize = 64;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(6))
        .configure_from_args();
    let device = Device::flex();
    let mut group = criterion.benchmark_group("offline");
    group.throughput(Throughput::Elements(BATCH_SIZE as u64));
    for pair in PAIRS {
        let setup = pair.setup(BATCH_SIZE, &device).unwrap();
        let method = setup.method();
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(folder.path()).unwrap();
        let mut phase = method.start(0, &folder).unwrap();
        let mut step = 0;
        group.bench_function(format!("step/{}/b{BATCH_SIZE}", pair.name), |bencher| {
            bencher.iter(|| {
                let losses = phase.step(step_at(step, setup.steps_per_epoch())).unwrap();
                device.sync().unwrap();
                step += 1;
                losses
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
