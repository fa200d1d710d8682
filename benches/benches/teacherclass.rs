//! A step of a class of four students against its parts: one student, the teacher computed in each step, the
//! head.
//!
//! Ids are `teacherclass/PART/b128`: `four/kept` and `four/live` are one step of each of the four students,
//! with the teacher's dense vectors kept and computed; `one/kept` and `one/live` one step of the first
//! student; `evaluation` that of the first student on 128 samples; `head` one step of the head on kept
//! features.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use kd_benches::{CLASS_BATCH, CLASS_LR, CLASS_STUDENTS, ClassSetup, step_at, student_phases};
use kd_core::{Method, Phase, RunFolder, Runner, StepContext};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let device = Device::flex();
    let setup = ClassSetup::new(&device).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&place.path().join("students")).unwrap();
    let mut group = criterion.benchmark_group("teacherclass");
    group.throughput(Throughput::Elements(CLASS_BATCH as u64));
    for (name, students, keep) in [
        ("four/kept", CLASS_STUDENTS, true),
        ("four/live", CLASS_STUDENTS, false),
        ("one/kept", 1, true),
        ("one/live", 1, false),
    ] {
        let method = setup.method(keep, 0);
        let mut phases = student_phases(&method, students, &folder).unwrap();
        let mut step = 0;
        group.bench_function(format!("{name}/b{CLASS_BATCH}"), |bencher| {
            bencher.iter(|| {
                for phase in &mut phases {
                    phase.step(at(step, &setup)).unwrap();
                }
                device.sync().unwrap();
                step += 1;
            });
        });
        if name == "one/kept" {
            group.bench_function(format!("evaluation/b{CLASS_BATCH}"), |bencher| {
                bencher.iter(|| phases[0].evaluate().unwrap());
            });
        }
    }

    let folder = RunFolder::create(&place.path().join("class")).unwrap();
    let untuned = setup.method(true, 0);
    Runner::new(&folder, &AtomicBool::new(false))
        .run(&untuned, &mut ())
        .unwrap();
    let method = setup.method(true, 1);
    let mut head = head(&method, &folder);
    let mut step = 0;
    group.bench_function(format!("head/b{CLASS_BATCH}"), |bencher| {
        bencher.iter(|| {
            head.step(at(step, &setup)).unwrap();
            device.sync().unwrap();
            step += 1;
        });
    });
    group.finish();
    criterion.final_summary();
}

fn at(step: usize, setup: &ClassSetup) -> StepContext {
    StepContext {
        lr: CLASS_LR,
        ..step_at(step, setup.steps_per_epoch())
    }
}

/// The phase of the head, after those of all students.
fn head<'a>(method: &'a impl Method, folder: &RunFolder) -> Box<dyn Phase + 'a> {
    let index = method.phases().len() - 1;
    method
        .make_ready(index, folder, &mut (), &AtomicBool::new(false))
        .unwrap();
    method.start(index, folder).unwrap()
}
