//! kd's side of the comparison of single networks with PyTorch; `pytorch/network_pass.py` runs it.
//!
//! ```text
//! network_pass --network NAME --write FOLDER
//!     initial weights, images; the logits of the frozen network, and the network after a step
//! network_pass --network NAME --batch N [--warm-up 2] [--seconds 5]
//!     the time of a pass of the frozen network over N images
//! network_pass --network NAME --batch N --train ...
//!     the time of a step of training with cross-entropy
//! ```
//!
//! `--size` sets height and width of the images, 32 by default. `--width` takes a ResNet-8 in place of the
//! network, with so many channels in its stem. All but the first print one JSON object.
//! `RAYON_NUM_THREADS` sets the number of threads.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::{Device, TensorData};
use kd_benches::{CLASSES, LR, MOMENTUM, WEIGHT_DECAY, noise_images, step_at, training};
use kd_core::{
    Augment, Dataset, FrozenTeacher, ImageShape, Loader, LoaderConfig, Method as _, Names,
    Normalisation, Requested, RunFolder, Teacher as _, Tensors, ViewPolicy, export,
    write_atomically, write_tensors,
};
use kd_models::{Network, NetworkSpec, ResNetConfig, Structure};
use kd_offline::{LossConfig, Offline, OfflineData};
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Images, and steps of training, that both sides compute before anything is timed.
const CHECKED: [usize; 2] = [64, 1];
/// Timed passes that every process does, however long they take.
const LEAST: usize = 5;

struct Arguments {
    network: String,
    write: Option<PathBuf>,
    batch: usize,
    size: usize,
    width: Option<usize>,
    train: bool,
    warm_up: usize,
    seconds: f64,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut read = Self {
            network: String::new(),
            write: None,
            batch: 64,
            size: 32,
            width: None,
            train: false,
            warm_up: 2,
            seconds: 5.0,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--network" => read.network = value()?,
                "--write" => read.write = Some(PathBuf::from(value()?)),
                "--batch" => read.batch = value()?.parse()?,
                "--size" => read.size = value()?.parse()?,
                "--width" => read.width = Some(value()?.parse()?),
                "--train" => read.train = true,
                "--warm-up" => read.warm_up = value()?.parse()?,
                "--seconds" => read.seconds = value()?.parse()?,
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        Ok(read)
    }
}

/// A network, its images and what it makes of them.
struct Setup {
    network: Network,
    normalisation: Normalisation,
    data: Dataset,
    device: Device,
}

impl Setup {
    fn new(arguments: &Arguments, batch: usize) -> Result<Self> {
        let device = Device::flex();
        let size = arguments.size;
        let input = [3, size, size];
        let spec = match arguments.width {
            None => NetworkSpec::new(&arguments.network, CLASSES, input),
            Some(width) => {
                let widths = [width, width, 2 * width, 4 * width];
                let structure = Structure::HeResNet(ResNetConfig { blocks: 1, widths });
                NetworkSpec::with_structure("resnet8 of another width", structure, CLASSES, input)
            }
        };
        let shape = ImageShape::new(3, size, size);
        Ok(Self {
            network: Network::build(&spec, 1, &device)?,
            normalisation: Normalisation::new(vec![0.5; 3], vec![0.25; 3])?,
            data: noise_images(shape, CLASSES, 2 * batch, 0)?,
            device,
        })
    }

    fn frozen(&self) -> FrozenTeacher<Network> {
        FrozenTeacher::new(&self.network, self.normalisation.clone(), &self.device)
    }

    fn method(&self, batch: usize) -> Offline<Network> {
        let data = OfflineData {
            train: self.data.clone().into(),
            held_out: self.data.clone().into(),
            views: ViewPolicy::Fixed,
            augment: Augment::none(),
        };
        let normalisation = self.normalisation.clone();
        let training = training(batch);
        Offline::new(&self.network, normalisation, data, training, &self.device)
            .with_losses(vec![LossConfig::cross_entropy(1.0)])
    }
}

fn main() -> Result<()> {
    let resting = memory("VmRSS");
    let arguments = Arguments::read()?;
    let mut answer = match &arguments.write {
        Some(folder) => return write(&arguments, folder),
        None if arguments.train => train(&arguments)?,
        None => infer(&arguments)?,
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

/// The milliseconds of each run of `work` behind the warm-up.
fn timed(arguments: &Arguments, mut work: impl FnMut(usize) -> Result<()>) -> Result<Value> {
    for number in 0..arguments.warm_up {
        work(number)?;
    }
    let (mut milliseconds, begin) = (Vec::new(), Instant::now());
    while milliseconds.len() < LEAST || begin.elapsed().as_secs_f64() < arguments.seconds {
        let start = Instant::now();
        work(arguments.warm_up + milliseconds.len())?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(json!({ "step_ms": milliseconds }))
}

fn infer(arguments: &Arguments) -> Result<Value> {
    let setup = Setup::new(arguments, arguments.batch)?;
    let frozen = setup.frozen();
    let loader = Loader::new(
        setup.data.clone(),
        LoaderConfig::ordered(arguments.batch),
        &setup.device,
    )?;
    let batch = loader.batch(0, 0)?;
    timed(arguments, |_| {
        frozen.answer(&batch, &Requested::output())?;
        Ok(setup.device.sync()?)
    })
}

fn train(arguments: &Arguments) -> Result<Value> {
    let setup = Setup::new(arguments, arguments.batch)?;
    let folder = tempfile::tempdir()?;
    let folder = RunFolder::create(folder.path())?;
    let method = setup.method(arguments.batch);
    let mut phase = method.start(0, &folder)?;
    timed(arguments, |number| {
        phase.step(step_at(number, 2))?;
        Ok(setup.device.sync()?)
    })
}

/// Writes everything that another program needs to do the same, and what came of it here.
fn write(arguments: &Arguments, folder: &Path) -> Result<()> {
    let [count, steps] = CHECKED;
    let setup = Setup::new(arguments, count)?;
    let ordered = LoaderConfig::ordered(count);
    let batch = Loader::new(setup.data.clone(), ordered, &setup.device)?.batch(0, 0)?;
    let answer = setup.frozen().answer(&batch, &Requested::output())?;
    let shuffled = Loader::new(setup.data.clone(), LoaderConfig::new(count), &setup.device)?;
    let mut order = Vec::new();
    for step in 0..steps {
        let at = step_at(step, 2);
        let ids = shuffled.batch(at.epoch, at.step_in_epoch)?.ids;
        order.extend(ids.into_iter().map(i64::from));
    }
    let labels: Vec<i64> = setup
        .data
        .labels()
        .iter()
        .map(|&label| label.into())
        .collect();
    let images = setup.data.images().to_vec();
    let size = arguments.size;
    let tensors = Tensors::from([
        (
            "images".to_owned(),
            TensorData::new(images, [2 * count, 3, size, size]),
        ),
        ("labels".to_owned(), TensorData::new(labels, [2 * count])),
        ("order".to_owned(), TensorData::new(order, [steps, count])),
        ("logits".to_owned(), answer.logits()?.into_data()),
    ]);
    write_tensors(&folder.join("data.safetensors"), &tensors)?;
    let before = export(&setup.network, Names::PyTorch);
    write_tensors(&folder.join("before.safetensors"), &before)?;

    let run = tempfile::tempdir()?;
    let run = RunFolder::create(run.path())?;
    let method = setup.method(count);
    let mut phase = method.start(0, &run)?;
    for step in 0..steps {
        phase.step(step_at(step, 2))?;
    }
    write_tensors(&folder.join("after.safetensors"), &phase.result())?;
    let normalisation = json!({ "mean": setup.normalisation.mean, "std": setup.normalisation.std });
    let said = json!({
        "network": arguments.network,
        "input": [3, size, size],
        "classes": CLASSES,
        "lr": LR,
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "normalisation": normalisation,
    });
    write_atomically(&folder.join("setup.json"), said.to_string().as_bytes())?;
    Ok(())
}
