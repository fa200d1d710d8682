//! kd's side of the comparison of students that teach each other; `pytorch/online_step.py` runs it.
//!
//! ```text
//! online_step --case NAME --write FOLDER [--steps 3]               initial weights, data, order, results
//! online_step --case NAME [--warm-up 5] [--steps 30]               the time of each step, peak memory
//! online_step --case NAME --evaluate [--warm-up 1] [--steps 5]     the time of evaluations
//! ```
//!
//! All but the first print one JSON object. `RAYON_NUM_THREADS` sets the number of threads.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use kd_benches::{
    LR, MOMENTUM, ONLINE_CLASSES, ONLINE_INPUT, ONLINE_NETWORK, OnlineCase, OnlineSetup, SHARED,
    WEIGHT_DECAY, step_at,
};
use kd_core::{
    LossTerms, Method as _, Phase, Preprocessing, RunFolder, StepContext, Tensors,
    write_atomically, write_tensors,
};
use kd_models::Network;
use kd_online::Branches;
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BATCH_SIZE: usize = 64;
/// The learning rate of the steps that are compared: so small that what rounding does to one step hardly
/// changes the next.
const CHECKED_LR: f64 = LR / 50.0;

struct Arguments {
    case: OnlineCase,
    write: Option<PathBuf>,
    evaluate: bool,
    steps: Option<usize>,
    warm_up: Option<usize>,
}

impl Arguments {
    fn read() -> Result<Self> {
        let (mut case, mut write, mut evaluate) = (None, None, false);
        let (mut steps, mut warm_up) = (None, None);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--case" => case = Some(OnlineCase::find(&value()?)?),
                "--write" => write = Some(PathBuf::from(value()?)),
                "--evaluate" => evaluate = true,
                "--steps" => steps = Some(value()?.parse()?),
                "--warm-up" => warm_up = Some(value()?.parse()?),
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        if steps == Some(0) {
            return Err("`--steps` must be 1 or more".into());
        }
        Ok(Self {
            case: case.ok_or("`--case` is missing")?,
            write,
            evaluate,
            steps,
            warm_up,
        })
    }
}

fn main() -> Result<()> {
    let resting = memory("VmRSS");
    let arguments = Arguments::read()?;
    let setup = arguments.case.setup(BATCH_SIZE, &Device::flex())?;
    let mut answer = match &arguments.write {
        Some(folder) => return write(&setup, folder, arguments.steps.unwrap_or(3)),
        None if arguments.evaluate => evaluations(&setup, &arguments)?,
        None => steps(&setup, &arguments)?,
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

/// Runs `work` on the phase of the case.
fn with_phase<T>(setup: &OnlineSetup, work: impl FnOnce(&mut dyn Phase) -> Result<T>) -> Result<T> {
    let folder = tempfile::tempdir()?;
    let folder = RunFolder::create(folder.path())?;
    let method = setup.method()?;
    let mut phase = method.start(0, &folder)?;
    work(phase.as_mut())
}

/// One step, waited for.
fn step(
    setup: &OnlineSetup,
    phase: &mut dyn Phase,
    (number, lr): (usize, f64),
) -> Result<LossTerms> {
    let at = step_at(number, setup.steps_per_epoch());
    let losses = phase.step(StepContext { lr, ..at })?;
    setup.device.sync()?;
    Ok(losses)
}

fn steps(setup: &OnlineSetup, arguments: &Arguments) -> Result<Value> {
    let (warm_up, steps) = (
        arguments.warm_up.unwrap_or(5),
        arguments.steps.unwrap_or(30),
    );
    with_phase(setup, |phase| {
        let mut milliseconds = Vec::new();
        let mut last_loss = None;
        for number in 0..warm_up + steps {
            let start = Instant::now();
            let losses = step(setup, phase, (number, LR))?;
            if number >= warm_up {
                milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
            }
            last_loss = losses.last().map(|(_, total)| total.clone());
        }
        let last_loss = last_loss.and_then(|total| total.into_data().iter::<f64>().next());
        Ok(json!({ "step_ms": milliseconds, "last_loss": last_loss }))
    })
}

/// Evaluations as the runner does them, all that is measured included, and in turn with them the accuracy of
/// each branch and nothing else.
fn evaluations(setup: &OnlineSetup, arguments: &Arguments) -> Result<Value> {
    let (warm_up, steps) = (arguments.warm_up.unwrap_or(1), arguments.steps.unwrap_or(5));
    with_phase(setup, |phase| {
        step(setup, phase, (0, LR))?;
        let branches = setup.branches()?.with_result(&phase.result())?;
        let networks = branches.networks().iter().map(Module::valid);
        let plain = Branches::new(networks.collect(), setup.config.shared.as_deref())?;
        let (mut measured, mut accuracies) = (Vec::new(), Vec::new());
        for number in 0..warm_up + steps {
            let start = Instant::now();
            let metrics = phase.evaluate()?;
            let with_all = start.elapsed().as_secs_f64() * 1e3;
            let start = Instant::now();
            let found = accuracies_of(setup, &plain)?;
            let alone = start.elapsed().as_secs_f64() * 1e3;
            let named = (0..).map_while(|branch| metrics.get(&format!("branch_{branch}_accuracy")));
            if !named
                .zip(&found)
                .all(|(one, other)| (one - other).abs() < 1e-9)
            {
                return Err(format!("the accuracies differ: {metrics:?} and {found:?}").into());
            }
            if number >= warm_up {
                measured.push(with_all);
                accuracies.push(alone);
            }
        }
        Ok(json!({ "measured_ms": measured, "branches_ms": accuracies }))
    })
}

/// The share of held-out samples of which each branch says the class.
fn accuracies_of(setup: &OnlineSetup, branches: &Branches<Network>) -> Result<Vec<f64>> {
    let preprocessing: Preprocessing = setup.normalisation.clone().into();
    let loader = setup.held_out_loader()?;
    let mut right = vec![0_i64; branches.len()];
    for batch in loader.epoch(0) {
        let batch = batch?;
        let input = preprocessing.input(&batch)?;
        let outputs = branches.forward(&[input])?;
        for (right, output) in right.iter_mut().zip(outputs) {
            let classes = output.logits.argmax(1).flatten(0, 1);
            let equal = classes.equal(batch.targets.clone()).int().sum();
            *right += i64::from(equal.into_scalar::<i32>());
        }
    }
    let samples = setup.held_out.len() as f64;
    Ok(right
        .into_iter()
        .map(|count| count as f64 / samples)
        .collect())
}

/// Writes everything that another program needs to do the same steps, and what came of them here.
fn write(setup: &OnlineSetup, folder: &Path, steps: usize) -> Result<()> {
    write_data(setup, folder)?;
    let mut losses = Vec::new();
    with_phase(setup, |phase| {
        write_tensors(&folder.join("before.safetensors"), &phase.result())?;
        for number in 0..steps {
            let terms =
                step(setup, phase, (number, CHECKED_LR))?
                    .into_iter()
                    .map(|(name, value)| {
                        let value = value.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
                        (name, value)
                    });
            losses.push(terms.collect::<BTreeMap<String, f64>>());
            if number == 0 {
                write_tensors(&folder.join("first.safetensors"), &phase.result())?;
            }
        }
        Ok(write_tensors(
            &folder.join("after.safetensors"),
            &phase.result(),
        )?)
    })?;
    let normalisation = json!({ "mean": setup.normalisation.mean, "std": setup.normalisation.std });
    let case = setup.case;
    let setup = json!({
        "network": ONLINE_NETWORK,
        "input": ONLINE_INPUT,
        "classes": ONLINE_CLASSES,
        "batch_size": BATCH_SIZE,
        "shared": case.shares.then_some(SHARED),
        "online": setup.config,
        "lr": CHECKED_LR,
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "normalisation": normalisation,
        "losses": losses,
    });
    write_atomically(&folder.join("setup.json"), setup.to_string().as_bytes())?;
    Ok(())
}

fn write_data(setup: &OnlineSetup, folder: &Path) -> Result<()> {
    let per_epoch = setup.steps_per_epoch();
    let loader = setup.train_loader()?;
    let mut order = Vec::new();
    for step in 0..per_epoch {
        order.extend(loader.batch(0, step)?.ids.into_iter().map(i64::from));
    }
    let data = setup.train.dataset();
    let labels: Vec<i64> = data.labels().iter().map(|&label| label.into()).collect();
    let [channels, height, width] = ONLINE_INPUT;
    let samples = data.len();
    let images = data.images().to_vec();
    let tensors = Tensors::from([
        (
            "images".to_owned(),
            TensorData::new(images, [samples, channels, height, width]),
        ),
        ("labels".to_owned(), TensorData::new(labels, [samples])),
        (
            "order".to_owned(),
            TensorData::new(order, [per_epoch, BATCH_SIZE]),
        ),
    ]);
    Ok(write_tensors(&folder.join("data.safetensors"), &tensors)?)
}
