//! kd's side of the comparison with PyTorch; `pytorch/distill_step.py` runs it.
//!
//! ```text
//! distill_step --pair NAME --write FOLDER [--steps 3]               initial weights, data, order, results
//! distill_step --pair NAME [--warm-up 5] [--steps 30]               the time of each step, peak memory
//! distill_step --pair NAME --cache FOLDER ...                       the same with a teacher cache there
//! distill_step --pair NAME --breakdown [--warm-up 5] [--steps 30]   the time of each part of each step
//! ```
//!
//! All but the first print one JSON object. `RAYON_NUM_THREADS` sets the number of threads.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::{Device, TensorData};
use kd_benches::{
    CE_WEIGHT, KD_WEIGHT, LR, MOMENTUM, PARTS, Pair, Setup, StepInParts, TEMPERATURE, WEIGHT_DECAY,
    step_at,
};
use kd_core::{
    CacheConfig, LossTerms, Method, Names, Normalisation, RunFolder, Tensors, export,
    write_atomically, write_tensors,
};
use kd_models::Network;
use kd_offline::Offline;
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BATCH_SIZE: usize = 64;

struct Arguments {
    pair: Pair,
    write: Option<PathBuf>,
    cache: Option<PathBuf>,
    steps: usize,
    warm_up: usize,
    breakdown: bool,
}

impl Arguments {
    fn read() -> Result<Self> {
        let (mut pair, mut write, mut cache, mut steps, mut warm_up) = (None, None, None, None, 5);
        let mut breakdown = false;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--pair" => pair = Some(Pair::find(&value()?)?),
                "--write" => write = Some(PathBuf::from(value()?)),
                "--cache" => cache = Some(PathBuf::from(value()?)),
                "--steps" => steps = Some(value()?.parse()?),
                "--warm-up" => warm_up = value()?.parse()?,
                "--breakdown" => breakdown = true,
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        let steps = steps.unwrap_or(if write.is_some() { 3 } else { 30 });
        if steps == 0 {
            return Err("`--steps` must be 1 or more".into());
        }
        Ok(Self {
            pair: pair.ok_or("`--pair` is missing")?,
            write,
            cache,
            steps,
            warm_up,
            breakdown,
        })
    }
}

fn main() -> Result<()> {
    let resting = memory("VmRSS");
    let arguments = Arguments::read()?;
    let setup = arguments.pair.setup(BATCH_SIZE, &Device::flex())?;
    let mut answer = match &arguments.write {
        Some(folder) => return write(&setup, folder, arguments.steps),
        None if arguments.breakdown => breakdown(&setup, &arguments)?,
        None => time(&setup, &arguments)?,
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

/// Runs `steps` steps of the method through `each`, which is given the number of the step and its losses, and
/// gives the student.
fn run(
    setup: &Setup,
    method: &Offline<Network>,
    steps: usize,
    mut each: impl FnMut(usize, LossTerms) -> Result<()>,
) -> Result<Tensors> {
    let folder = tempfile::tempdir()?;
    let folder = RunFolder::create(folder.path())?;
    let mut phase = method.start(0, &folder)?;
    for step in 0..steps {
        let losses = phase.step(step_at(step, setup.steps_per_epoch()))?;
        setup.device.sync()?;
        each(step, losses)?;
    }
    Ok(phase.result())
}

fn time(setup: &Setup, arguments: &Arguments) -> Result<Value> {
    let mut method = setup.method();
    let started = Instant::now();
    if let Some(folder) = &arguments.cache {
        method = method.with_cache(CacheConfig::dir(folder));
        method.open_caches(&mut (), &AtomicBool::new(false))?;
    }
    let build_seconds = started.elapsed().as_secs_f64();
    let mut milliseconds = Vec::new();
    let mut last = Instant::now();
    let mut last_loss = None;
    run(
        setup,
        &method,
        arguments.warm_up + arguments.steps,
        |step, losses| {
            let now = Instant::now();
            if step >= arguments.warm_up {
                milliseconds.push((now - last).as_secs_f64() * 1e3);
            }
            last = now;
            last_loss = losses.last().map(|(_, total)| total.clone());
            Ok(())
        },
    )?;
    let last_loss = last_loss.and_then(|total| total.into_data().iter::<f64>().next());
    Ok(json!({ "step_ms": milliseconds, "last_loss": last_loss, "build_seconds": build_seconds }))
}

fn breakdown(setup: &Setup, arguments: &Arguments) -> Result<Value> {
    let mut parts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut steps = StepInParts::new(setup)?;
    for step in 0..arguments.warm_up + arguments.steps {
        let times = steps.step(step_at(step, setup.steps_per_epoch()))?;
        if step >= arguments.warm_up {
            for (part, time) in PARTS.into_iter().zip(times) {
                parts
                    .entry(part)
                    .or_default()
                    .push(time.as_secs_f64() * 1e3);
            }
        }
    }
    Ok(json!({ "parts_ms": parts }))
}

/// Writes everything that another program needs to do the same steps, and what came of them here.
fn write(setup: &Setup, folder: &Path, steps: usize) -> Result<()> {
    let per_epoch = setup.steps_per_epoch();
    let loader = setup.loader()?;
    let mut order = Vec::new();
    for step in 0..per_epoch {
        order.extend(loader.batch(0, step)?.ids.into_iter().map(i64::from));
    }
    let data = setup.train().dataset();
    let labels: Vec<i64> = data.labels().iter().map(|&label| label.into()).collect();
    let [channels, height, width] = setup.pair.input;
    let samples = data.len();
    let tensors = Tensors::from([
        (
            "images".to_owned(),
            TensorData::new(data.images().to_vec(), [samples, channels, height, width]),
        ),
        ("labels".to_owned(), TensorData::new(labels, [samples])),
        (
            "order".to_owned(),
            TensorData::new(order, [per_epoch, BATCH_SIZE]),
        ),
    ]);
    write_tensors(&folder.join("data.safetensors"), &tensors)?;
    for (file, network) in [("teacher", &setup.teacher), ("student", &setup.student)] {
        let path = folder.join(format!("{file}.safetensors"));
        write_tensors(&path, &export(network, Names::PyTorch))?;
    }

    let mut losses = Vec::new();
    let after = run(setup, &setup.method(), steps, |_, terms| {
        let terms = terms.into_iter().map(|(name, value)| {
            let value = value.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
            (name, value)
        });
        losses.push(terms.collect::<BTreeMap<String, f64>>());
        Ok(())
    })?;
    write_tensors(&folder.join("after.safetensors"), &after)?;

    let normalisation = |of: &Normalisation| json!({ "mean": of.mean, "std": of.std });
    let setup = json!({
        "teacher": setup.pair.teacher,
        "student": setup.pair.student,
        "input": setup.pair.input,
        "classes": kd_benches::CLASSES,
        "batch_size": BATCH_SIZE,
        "lr": LR,
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "ce_weight": CE_WEIGHT,
        "kd_weight": KD_WEIGHT,
        "temperature": TEMPERATURE,
        "teacher_normalisation": normalisation(&setup.teacher_normalisation),
        "student_normalisation": normalisation(&setup.student_normalisation),
        "losses": losses,
    });
    write_atomically(&folder.join("setup.json"), setup.to_string().as_bytes())?;
    Ok(())
}
