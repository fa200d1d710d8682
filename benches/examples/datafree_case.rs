//! kd's side of the comparison of data-free distillation with PyTorch; `pytorch/datafree.py` runs it.
//!
//! ```text
//! datafree_case prepare --case NAME --run FOLDER
//!     a run folder with a generator of one step, for the others
//! datafree_case generator --case NAME --batch N --write FOLDER
//!     weights, noise, and the results of some steps of the generator
//! datafree_case generator --case NAME --batch N [--plain]
//!     the time of each step, peak memory
//! datafree_case bank --case NAME --run FOLDER --images N
//!     makes the bank of the run; seconds, bytes, peak memory
//! datafree_case student --case NAME --run FOLDER --batch N [--write FOLDER]
//!     as with the generator, from the bank of the run
//! ```
//!
//! `--steps` is the number of steps, `--warm-up` the number before those that are timed, `--seconds` the time
//! after which the timed ones end, three at least. Works that time or make something print one JSON object.
//! `RAYON_NUM_THREADS` sets the number of threads.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::{Device, TensorData};
use kd_core::{
    Draws, ErrorKind, ImageShape, Loader, LoaderConfig, Method as _, Names, Normalisation,
    Observer, Phase, RunFolder, Runner, Snapshot, StepContext, Tensors, export, import,
    write_atomically, write_tensors,
};
use kd_datafree::{
    Bank, BankConfig, DataFree, FrozenClassifier, GENERATOR_PHASE, GeneratorConfig,
    GeneratorObjective, STUDENT_PHASE, Synthetic, TwoPhases,
};
use kd_models::{Network, NetworkSpec};
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A teacher, its images, and the widths of the generator that learns through it.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    teacher: &'static str,
    input: [usize; 3],
    widths: [usize; 2],
}

const CASES: [Case; 3] = [
    Case {
        name: "narrow",
        teacher: "lenet5",
        input: [1, 32, 32],
        widths: [32, 16],
    },
    Case {
        name: "paper",
        teacher: "lenet5",
        input: [1, 32, 32],
        widths: [128, 64],
    },
    Case {
        name: "narrow_rgb",
        teacher: "wrn-16-1",
        input: [3, 32, 32],
        widths: [32, 16],
    },
];

const STUDENT: &str = "lenet5-half";
const CLASSES: usize = 10;
/// Images that a bank makes together.
const BLOCK: usize = 128;
/// The factor of the last layer of a teacher: that of a LeNet-5, that of a wide ResNet.
const SURE: [(&str, f32); 2] = [("fc2.weight", 30.0), ("fc.weight", 3.0)];
/// Timed steps that every process does, however long they take.
const LEAST: usize = 3;
/// The purposes of kd-datafree's noise; the comparison fails if they are called otherwise one day.
const TRAINING_NOISE: &str = "data-free training noise";
const BANK_NOISE: &str = "data-free bank noise";

struct Arguments {
    work: String,
    case: Case,
    run: Option<PathBuf>,
    write: Option<PathBuf>,
    batch: usize,
    images: usize,
    plain: bool,
    warm_up: usize,
    steps: usize,
    seconds: f64,
}

impl Arguments {
    fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let work = words.next().ok_or("say what to do")?;
        let mut read = Self {
            work,
            case: CASES[0],
            run: None,
            write: None,
            batch: BLOCK,
            images: 50_000,
            plain: false,
            warm_up: 2,
            steps: 30,
            seconds: 10.0,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
            match word.as_str() {
                "--case" => {
                    let name = value()?;
                    let known = CASES.into_iter().find(|case| case.name == name);
                    read.case = known.ok_or(format!("unknown case `{name}`"))?;
                }
                "--run" => read.run = Some(PathBuf::from(value()?)),
                "--write" => read.write = Some(PathBuf::from(value()?)),
                "--batch" => read.batch = value()?.parse()?,
                "--images" => read.images = value()?.parse()?,
                "--plain" => read.plain = true,
                "--warm-up" => read.warm_up = value()?.parse()?,
                "--steps" => read.steps = value()?.parse()?,
                "--seconds" => read.seconds = value()?.parse()?,
                _ => return Err(format!("unknown argument `{word}`").into()),
            }
        }
        Ok(read)
    }

    fn folder(&self) -> Result<RunFolder> {
        let path = self.run.as_deref().ok_or("`--run` is missing")?;
        Ok(RunFolder::open(path)?)
    }
}

fn main() -> Result<()> {
    let resting = memory("VmRSS");
    let arguments = Arguments::read()?;
    let setup = Setup::new(&arguments)?;
    let mut answer = match arguments.work.as_str() {
        "prepare" => return setup.prepare(&arguments),
        "bank" => setup.make_bank(&arguments)?,
        "generator" => {
            let place = tempfile::tempdir()?;
            let folder = RunFolder::create(place.path())?;
            let mut phase = setup.method.start(0, &folder)?;
            let lr = setup.config.generator_training.lr;
            if let Some(path) = &arguments.write {
                return setup.write_generator(phase.as_mut(), path, &arguments);
            }
            time(phase.as_mut(), lr, &arguments)?
        }
        "student" => {
            let folder = arguments.folder()?;
            let mut phase = setup.method.start(1, &folder)?;
            let lr = setup.config.training.lr;
            if let Some(path) = &arguments.write {
                return setup.write_student(phase.as_mut(), &folder, path, &arguments);
            }
            time(phase.as_mut(), lr, &arguments)?
        }
        other => return Err(format!("unknown work `{other}`").into()),
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

fn step_at(step: usize, phase: &dyn Phase, lr: f64) -> StepContext {
    let per_epoch = phase.plan().steps_per_epoch.max(1);
    StepContext {
        step,
        epoch: step / per_epoch,
        step_in_epoch: step % per_epoch,
        lr,
        momentum: None,
    }
}

fn time(phase: &mut dyn Phase, lr: f64, arguments: &Arguments) -> Result<Value> {
    let mut milliseconds = Vec::new();
    let mut last_loss = None;
    let mut spent = 0.0;
    for step in 0.. {
        let begun = Instant::now();
        let losses = phase.step(step_at(step, phase, lr))?;
        Device::flex().sync()?;
        let seconds = begun.elapsed().as_secs_f64();
        last_loss = losses.last().map(|(_, total)| total.clone());
        if step >= arguments.warm_up {
            milliseconds.push(seconds * 1e3);
            spent += seconds;
        }
        let done = milliseconds.len();
        if done >= arguments.steps || (done >= LEAST && spent >= arguments.seconds) {
            break;
        }
    }
    let last_loss = last_loss.and_then(|total| total.into_data().iter::<f64>().next());
    Ok(json!({ "step_ms": milliseconds, "last_loss": last_loss }))
}

struct Setup {
    case: Case,
    config: TwoPhases,
    teacher: Network,
    method: DataFree<Network>,
}

impl Setup {
    fn new(arguments: &Arguments) -> Result<Self> {
        let case = arguments.case;
        let device = Device::flex();
        let network = |name: &str, seed| {
            Network::build(&NetworkSpec::new(name, CLASSES, case.input), seed, &device)
        };
        let (teacher, student) = (sure(&network(case.teacher, 1)?)?, network(STUDENT, 2)?);
        let mut config = TwoPhases::default();
        config.synthetic = Synthetic::Generator {
            generator: GeneratorConfig {
                widths: case.widths,
                folded: !arguments.plain,
                ..GeneratorConfig::default()
            },
            objective: GeneratorObjective::rdskd(),
        };
        config.generator_training.epochs = None;
        config.generator_training.steps = Some(1);
        config.generator_training.batch_size = arguments.batch;
        config.training.batch_size = arguments.batch;
        config.bank = BankConfig {
            images: arguments.images,
            ..BankConfig::default()
        };
        let [channels, height, width] = case.input;
        let frozen = FrozenClassifier::new(
            &teacher,
            Normalisation::identity(channels),
            ImageShape::new(channels, height, width),
            &device,
        )?;
        let method = DataFree::new(&student, Box::new(frozen), config.clone(), &device);
        method.check()?;
        Ok(Self {
            case,
            config,
            teacher,
            method,
        })
    }

    /// The facts from which another program makes the same networks.
    fn described(&self) -> Value {
        let generator = GeneratorConfig::default();
        json!({
            "teacher": self.case.teacher,
            "student": STUDENT,
            "input": self.case.input,
            "classes": CLASSES,
            "widths": self.case.widths,
            "noise": generator.noise,
            "epsilon": generator.epsilon,
            "temperature": self.config.temperature,
            "generator_lr": self.config.generator_training.lr,
            "student_lr": self.config.training.lr,
        })
    }

    /// Noise as the method draws it: a function of the seed, which is 0, of what it is for, and of its place.
    fn noise(purpose: &str, a: u64, rows: usize) -> TensorData {
        let length = GeneratorConfig::default().noise;
        #[expect(clippy::cast_possible_truncation, reason = "noise is used in 32 bits")]
        let row = |row: u64| {
            let mut draws = Draws::new(0, purpose, a, row);
            (0..length).map(move |_| draws.normal() as f32)
        };
        let values: Vec<f32> = (0..rows as u64).flat_map(row).collect();
        TensorData::new(values, [rows, length])
    }

    /// One step of the generator, and the run stopped before its bank is made.
    fn prepare(&self, arguments: &Arguments) -> Result<()> {
        let path = arguments.run.as_deref().ok_or("`--run` is missing")?;
        let folder = RunFolder::create(path)?;
        folder.write("recipe.toml", b"")?;
        let ended = Runner::new(&folder, &AtomicBool::new(true)).run(&self.method, &mut ());
        match ended {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("the run was not to come to its end".into()),
        }
        let generator = folder.result(GENERATOR_PHASE, Snapshot::Last)?;
        write_tensors(&path.join("generator.safetensors"), &generator)?;
        let teacher = export(&self.teacher, Names::PyTorch);
        write_tensors(&path.join("teacher.safetensors"), &teacher)?;
        // Of the first two blocks of the bank.
        let noise = Self::noise(BANK_NOISE, 0, 2 * BLOCK);
        let noise = Tensors::from([("noise".to_owned(), noise)]);
        write_tensors(&path.join("noise.safetensors"), &noise)?;
        folder.write("setup.json", self.described().to_string().as_bytes())?;
        Ok(())
    }

    fn make_bank(&self, arguments: &Arguments) -> Result<Value> {
        let folder = arguments.folder()?;
        let path = DataFree::<Network>::bank_path(&folder);
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let mut clock = Clock::default();
        let begun = Instant::now();
        self.method
            .make_ready(1, &folder, &mut clock, &AtomicBool::new(false))?;
        let seconds = begun.elapsed().as_secs_f64();
        let made = clock.last.map(|last| (last - begun).as_secs_f64());
        Ok(json!({
            "seconds": seconds,
            "without_writing": made,
            "images": clock.images,
            "bytes": std::fs::metadata(&path)?.len(),
        }))
    }

    /// Does the steps, with the state of the optimizer of `trained` after the first, whose first moment is a
    /// tenth of the gradient.
    fn write_steps(
        &self,
        phase: &mut dyn Phase,
        trained: &str,
        lr: f64,
        folder: &Path,
        steps: usize,
    ) -> Result<()> {
        write_tensors(&folder.join("before.safetensors"), &phase.result())?;
        let mut losses = Vec::new();
        for step in 0..steps {
            let terms = phase.step(step_at(step, phase, lr))?;
            let terms = terms.into_iter().map(|(name, value)| {
                let value = value.into_data().iter::<f64>().next().unwrap_or(f64::NAN);
                (name, value)
            });
            losses.push(terms.collect::<BTreeMap<String, f64>>());
            if step == 0 {
                let moments = phase.state().part(&format!("{trained}-optimizer"));
                write_tensors(&folder.join("moments.safetensors"), &moments)?;
            }
        }
        write_tensors(&folder.join("after.safetensors"), &phase.result())?;
        let mut setup = self.described();
        setup["losses"] = json!(losses);
        write_atomically(&folder.join("setup.json"), setup.to_string().as_bytes())?;
        Ok(())
    }

    fn write_generator(
        &self,
        phase: &mut dyn Phase,
        folder: &Path,
        arguments: &Arguments,
    ) -> Result<()> {
        let teacher = export(&self.teacher, Names::PyTorch);
        write_tensors(&folder.join("teacher.safetensors"), &teacher)?;
        let noise = |step: usize| {
            let noise = Self::noise(TRAINING_NOISE, step as u64, arguments.batch);
            (step.to_string(), noise)
        };
        let noise: Tensors = (0..arguments.steps).map(noise).collect();
        write_tensors(&folder.join("noise.safetensors"), &noise)?;
        let lr = self.config.generator_training.lr;
        self.write_steps(phase, GENERATOR_PHASE, lr, folder, arguments.steps)
    }

    fn write_student(
        &self,
        phase: &mut dyn Phase,
        run: &RunFolder,
        folder: &Path,
        arguments: &Arguments,
    ) -> Result<()> {
        let bank = Bank::read(&DataFree::<Network>::bank_path(run))?;
        let config = LoaderConfig {
            drop_last: true,
            ..LoaderConfig::new(arguments.batch)
        };
        let loader = Loader::new(bank.dataset().clone(), config, &Device::flex())?;
        let mut order = Vec::new();
        for step in 0..arguments.steps {
            let batch = loader.batch(0, step)?;
            order.extend(batch.ids.into_iter().map(i64::from));
        }
        let order = TensorData::new(order, [arguments.steps, arguments.batch]);
        let order = Tensors::from([("order".to_owned(), order)]);
        write_tensors(&folder.join("order.safetensors"), &order)?;
        let lr = self.config.training.lr;
        self.write_steps(phase, STUDENT_PHASE, lr, folder, arguments.steps)
    }
}

/// The network with larger logits: one that has not learnt is so unsure that losses would be little more than
/// rounding.
fn sure(network: &Network) -> kd_core::Result<Network> {
    let mut tensors = export(network, Names::PyTorch);
    for (name, factor) in SURE {
        if let Some(weight) = tensors.get_mut(name) {
            let values: Vec<f32> = weight.iter::<f32>().map(|value| factor * value).collect();
            *weight = TensorData::new(values, weight.shape().clone());
        }
    }
    import(network, &tensors, Names::PyTorch, "the teacher")
}

/// The number of images, and the time when the last of them was made.
#[derive(Default)]
struct Clock {
    images: u64,
    last: Option<Instant>,
}

impl Observer for Clock {
    fn preparing(&mut self, _what: &str, done: u64, _samples: u64) {
        self.images = done;
        self.last = Some(Instant::now());
    }
}
