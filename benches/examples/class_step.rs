//! kd's side of the comparison of a class of students; `pytorch/class_step.py` runs it.
//!
//! ```text
//! class_step --write FOLDER [--steps 3]                    weights, data, targets, orders, results
//! class_step [--students 4] [--live] [--warm-up 5] [--steps 30]
//!     the time of a step of each student, peak memory; `--live` computes the teacher in each step
//! class_step --head SAMPLES [--epochs 10]                  the time of tuning the head on kept features
//! ```
//!
//! All but the first print one JSON object. `RAYON_NUM_THREADS` sets the number of threads.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use kd_benches::{
    CLASS_BATCH, CLASS_FEATURES, CLASS_INPUT, CLASS_LR, CLASS_STUDENTS, ClassSetup, step_at,
    student_phases,
};
use kd_core::{
    Loader, LoaderConfig, Method as _, Names, OptimizerConfig, Phase, Preprocessing, RunFolder,
    Runner, StagedNetwork as _, StepContext, Tensors, export, write_atomically, write_tensors,
};
use kd_models::ChunkCnnConfig;
use kd_teacherclass::student_seed;
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Default)]
struct Arguments {
    write: Option<PathBuf>,
    head: Option<usize>,
    live: bool,
    students: Option<usize>,
    epochs: Option<usize>,
    steps: Option<usize>,
    warm_up: Option<usize>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut read = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--write" => read.write = Some(PathBuf::from(value()?)),
                "--head" => read.head = Some(value()?.parse()?),
                "--live" => read.live = true,
                "--students" => read.students = Some(value()?.parse()?),
                "--epochs" => read.epochs = Some(value()?.parse()?),
                "--steps" => read.steps = Some(value()?.parse()?),
                "--warm-up" => read.warm_up = Some(value()?.parse()?),
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        if read.steps == Some(0) {
            return Err("`--steps` must be 1 or more".into());
        }
        Ok(read)
    }
}

fn main() -> Result<()> {
    let resting = memory("VmRSS");
    let arguments = Arguments::read()?;
    let setup = ClassSetup::new(&Device::flex())?;
    let mut answer = match (&arguments.write, arguments.head) {
        (Some(folder), _) => return write(&setup, folder, arguments.steps.unwrap_or(3)),
        (None, Some(samples)) => head(setup, samples, arguments.epochs.unwrap_or(10))?,
        (None, None) => steps(&setup, &arguments)?,
    };
    answer["resting_kib"] = json!(resting);
    answer["peak_kib"] = json!(memory("VmHWM"));
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

/// Kibibytes that the system counts for this process, where it says so.
fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn at(step: usize, setup: &ClassSetup) -> StepContext {
    StepContext {
        lr: CLASS_LR,
        ..step_at(step, setup.steps_per_epoch())
    }
}

/// One step of each student, waited for, with their losses.
fn step(setup: &ClassSetup, phases: &mut [Box<dyn Phase + '_>], number: usize) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    for phase in phases {
        losses.extend(phase.step(at(number, setup))?.into_iter().next());
    }
    setup.device.sync()?;
    let value = |(_, loss): (String, Tensor<1>)| f64::from(loss.into_scalar::<f32>());
    Ok(losses.into_iter().map(value).collect())
}

fn steps(setup: &ClassSetup, arguments: &Arguments) -> Result<Value> {
    let (warm_up, steps) = (
        arguments.warm_up.unwrap_or(5),
        arguments.steps.unwrap_or(30),
    );
    let folder = tempfile::tempdir()?;
    let folder = RunFolder::create(folder.path())?;
    let method = setup.method(!arguments.live, 0);
    let students = arguments.students.unwrap_or(CLASS_STUDENTS);
    let mut phases = student_phases(&method, students, &folder)?;
    let (mut milliseconds, mut last_losses) = (Vec::new(), Vec::new());
    for number in 0..warm_up + steps {
        let start = Instant::now();
        last_losses = step(setup, &mut phases, number)?;
        if number >= warm_up {
            milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(json!({ "step_ms": milliseconds, "last_losses": last_losses }))
}

/// The time of tuning the head on kept features; the students are as small as can be.
fn head(mut setup: ClassSetup, samples: usize, epochs: usize) -> Result<Value> {
    setup.widths = ChunkCnnConfig {
        pool: 14,
        blocks: vec![vec![1]],
        hidden: Vec::new(),
        ..ChunkCnnConfig::template()
    };
    let setup = setup.with_samples(samples)?;
    let (place, stop) = (tempfile::tempdir()?, AtomicBool::new(false));
    let folder = RunFolder::create(place.path())?;
    let untuned = setup.method(true, 0);
    Runner::new(&folder, &stop).run(&untuned, &mut ())?;
    let method = setup.method(true, epochs);
    let index = method.phases().len() - 1;
    method.make_ready(index, &folder, &mut (), &stop)?;
    let mut phase = method.start(index, &folder)?;
    let start = Instant::now();
    for number in 0..epochs * setup.steps_per_epoch() {
        phase.step(at(number, &setup))?;
    }
    setup.device.sync()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(
        json!({ "samples": samples, "features": CLASS_FEATURES, "epochs": epochs, "seconds": seconds }),
    )
}

/// Writes everything that another program needs to do the same steps, and what came of them here.
fn write(setup: &ClassSetup, folder: &Path, steps: usize) -> Result<()> {
    let run = tempfile::tempdir()?;
    let run = RunFolder::create(run.path())?;
    let method = setup.method(true, 0);
    let mut phases = student_phases(&method, CLASS_STUDENTS, &run)?;
    write_tensors(&folder.join("before.safetensors"), &results(&phases))?;
    let losses: Result<Vec<Vec<f64>>> = (0..steps).map(|at| step(setup, &mut phases, at)).collect();
    let losses = losses?;
    write_tensors(&folder.join("after.safetensors"), &results(&phases))?;
    write_tensors(
        &folder.join("teacher.safetensors"),
        &export(&setup.teacher, Names::PyTorch),
    )?;
    write_tensors(&folder.join("data.safetensors"), &data(setup)?)?;
    let setup = json!({
        "batch_size": CLASS_BATCH,
        "features": CLASS_FEATURES,
        "students": CLASS_STUDENTS,
        "input": CLASS_INPUT,
        "lr": CLASS_LR,
        "optimizer": OptimizerConfig::adam(),
        "mean": setup.normalisation.mean,
        "std": setup.normalisation.std,
        "losses": losses,
    });
    write_atomically(&folder.join("setup.json"), setup.to_string().as_bytes())?;
    Ok(())
}

/// The weights of all students, each under its number.
fn results(phases: &[Box<dyn Phase + '_>]) -> Tensors {
    let mut results = Tensors::new();
    for (student, phase) in phases.iter().enumerate() {
        let named = phase.result().into_iter();
        results.extend(named.map(|(name, tensor)| (format!("{student}.{name}"), tensor)));
    }
    results
}

/// The images, the teacher's dense vectors of them, and the order of each student.
fn data(setup: &ClassSetup) -> Result<Tensors> {
    let samples = &setup.data[0];
    let preprocessing: Preprocessing = setup.normalisation.clone().into();
    let ordered = Loader::new(
        samples.clone(),
        LoaderConfig::ordered(CLASS_BATCH),
        &setup.device,
    )?;
    let mut dense = Vec::new();
    for batch in ordered.epoch(0) {
        let images: Tensor<4> = preprocessing.input(&batch?)?;
        dense.push(setup.teacher.forward_traced(&images).dense);
    }
    let mut orders = Vec::new();
    for student in 0..CLASS_STUDENTS {
        let seed = student_seed(0, student, 0);
        let config = LoaderConfig {
            seed,
            ..LoaderConfig::new(CLASS_BATCH)
        };
        let loader = Loader::new(samples.clone(), config, &setup.device)?;
        for step in 0..setup.steps_per_epoch() {
            orders.extend(loader.batch(0, step)?.ids.into_iter().map(i64::from));
        }
    }
    let [channels, height, width] = CLASS_INPUT;
    let images = samples.dataset().images().to_vec();
    let orders_shape = [CLASS_STUDENTS, setup.steps_per_epoch(), CLASS_BATCH];
    Ok(Tensors::from([
        (
            "images".into(),
            TensorData::new(images, [samples.len(), channels, height, width]),
        ),
        ("dense".into(), Tensor::cat(dense, 0).into_data()),
        ("orders".into(), TensorData::new(orders, orders_shape)),
    ]))
}
