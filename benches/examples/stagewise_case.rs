//! kd's side of the comparison of a whole stagewise run with PyTorch; `pytorch/stagewise.py` runs it.
//!
//! ```text
//! stagewise_case --images N --epochs E --data DIR --json
//! ```
//!
//! It prints the seconds of each stage with kept maps, with everything computed in every step, and of a run
//! without a teacher.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use kd_core::{
    DataRoots, Dataset, DatasetInfo, FrozenTeacher, ImageShape, Method, Observer, Phase, Plan,
    Result, RunFolder, Runner, Split, Subset,
};
use kd_models::{Network, NetworkSpec};
use kd_stagewise::{
    Procedure, Select, StageCache, Stagewise, StagewiseConfig, StagewiseData,
    classification_training,
};
use serde_json::{Value, json};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STAGES: [&str; 6] = ["stem", "layer1", "layer2", "layer3", "layer4", "head"];

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| {
        let place = words.iter().position(|word| word == name);
        place
            .and_then(|place| words.get(place + 1).cloned())
            .ok_or(format!("`{name}` is missing"))
    };
    let images: usize = after("--images")?.parse()?;
    let epochs: usize = after("--epochs")?.parse()?;
    let data = images_of(&PathBuf::from(after("--data")?), images)?;
    let shape = data.shape();
    let train = Subset::all(&data);
    // A short run first: the first steps of a process are slower.
    let warm = Subset::from_ids(&data, (0..128).collect())?;
    run(&warm, 1, true, "skd")?;
    let answer = json!({
        "input": [shape.channels, shape.height, shape.width],
        "batches": images / 64,
        "cached": run(&train, epochs, true, "skd")?,
        "uncached": run(&train, epochs, false, "skd")?,
        "no_teacher": run(&train, epochs, true, "no-teacher")?,
    });
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

/// The first images of the training split, those of 28x28 with a border of two zeros on each side.
fn images_of(folder: &Path, count: usize) -> Result<Dataset> {
    let roots = DataRoots::default().with_explicit(Some(folder.to_owned()));
    let load = |name: &str| DatasetInfo::find(name)?.load(Split::Train, &roots);
    let whole = load("cifar10").or_else(|_| load("fashion-mnist"))?;
    let shape = whole.shape();
    let size = 32;
    let border = (size - shape.height) / 2;
    let mut pixels = vec![0; count * shape.channels * size * size];
    let planes = whole.images().chunks_exact(shape.height * shape.width);
    for (to, from) in pixels.chunks_exact_mut(size * size).zip(planes) {
        for (row, line) in from.chunks_exact(shape.width).enumerate() {
            let start = (row + border) * size + border;
            to[start..start + shape.width].copy_from_slice(line);
        }
    }
    let labels = whole.labels()[..count].to_vec();
    let padded = ImageShape::new(shape.channels, size, size);
    Dataset::new(
        whole.name(),
        Split::Train,
        padded,
        whole.classes(),
        pixels,
        labels,
    )
}

/// A method whose phases are not measured, as PyTorch's are not.
#[derive(Debug)]
struct Unmeasured(Stagewise<Network>);

struct Quiet<'a>(Box<dyn Phase + 'a>);

impl Method for Unmeasured {
    fn phases(&self) -> Vec<String> {
        self.0.phases()
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.0.make_ready(index, earlier, observer, stop)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        Ok(Box::new(Quiet(self.0.start(index, earlier)?)))
    }
}

impl Phase for Quiet<'_> {
    fn plan(&self) -> &Plan {
        self.0.plan()
    }

    fn step(&mut self, at: kd_core::StepContext) -> Result<kd_core::LossTerms> {
        self.0.step(at)
    }

    fn evaluate(&mut self) -> Result<kd_core::Metrics> {
        Ok(kd_core::Metrics::new())
    }

    fn result(&self) -> kd_core::Tensors {
        self.0.result()
    }

    fn state(&self) -> kd_core::PhaseState {
        self.0.state()
    }

    fn restore(&mut self, state: &kd_core::PhaseState) -> Result<()> {
        self.0.restore(state)
    }
}

/// When each phase began and ended.
#[derive(Default)]
struct Clock {
    begun: Option<Instant>,
    phases: BTreeMap<String, f64>,
}

impl Observer for Clock {
    fn phase_started(&mut self, _phase: &str, _plan: &Plan, _step: usize) {
        self.begun = Some(Instant::now());
    }

    fn phase_done(&mut self, outcome: &kd_core::PhaseOutcome) {
        if let Some(begun) = self.begun.take() {
            let seconds = begun.elapsed().as_secs_f64();
            self.phases.insert(outcome.phase.clone(), seconds);
        }
    }
}

fn run(train: &Subset, epochs: usize, kept: bool, procedure: &str) -> Result<Value> {
    let device = Device::flex();
    let shape = train.dataset().shape();
    let input = [shape.channels, shape.height, shape.width];
    let build = |name: &str, seed: u64| {
        let spec = NetworkSpec::new(name, train.dataset().classes(), input);
        Network::build(&spec, seed, &device)
    };
    let student = build("skd-small-resnet10", 0)?;
    // Seconds do not depend on what it knows.
    let teacher = build("skd-small-resnet34", 1)?;
    let normalisation =
        kd_core::Normalisation::new(vec![0.5; shape.channels], vec![0.25; shape.channels])?;
    let mut config = StagewiseConfig::default();
    config.procedure = Procedure::of(procedure)?;
    config.select = Select::Last;
    let mut cache = StageCache::default();
    cache.enabled = kept;
    let mut training = classification_training();
    training.epochs = Some(epochs);
    // Nothing is measured; a run wants something that it could be measured on.
    let few = Subset::from_ids(train.dataset(), (0..64).collect())?;
    let data = StagewiseData::new(train.clone(), few);
    let teacher = FrozenTeacher::new(&teacher, normalisation.clone(), &device);
    let method = Stagewise::new(&student, normalisation, data, training, &device)
        .with_teacher(Box::new(teacher))
        .with_config(config)
        .with_cache(cache);
    let place = tempfile::tempdir().map_err(kd_core::Error::io("write", "the run's folder"))?;
    let folder = RunFolder::create(place.path())?;
    let mut clock = Clock::default();
    let begun = Instant::now();
    Runner::new(&folder, &AtomicBool::new(false)).run(&Unmeasured(method), &mut clock)?;
    let total = begun.elapsed().as_secs_f64();
    let stepping: f64 = clock.phases.values().sum();
    let stages: serde_json::Map<String, Value> = STAGES
        .iter()
        .filter_map(|stage| {
            let seconds = clock
                .phases
                .get(*stage)
                .or(clock.phases.get(&format!("stage-{stage}")))?;
            Some(((*stage).to_owned(), json!(seconds)))
        })
        .collect();
    Ok(json!({ "total": total, "stages": stages, "preparation": total - stepping }))
}
