//! A small teacher with batch norms, a small student and short runs for the tests of this crate.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "each test file uses its part, and a test that cannot be set up has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Draws, ErrorKind, ImageShape, Metrics, Names, Normalisation, Observer, OptimizerConfig,
    PhaseOutcome, Result, RunFolder, Runner, StagedNetwork, StepContext, Tensors, Training, export,
    import,
};
use kd_datafree::{
    BankConfig, DataFree, DataFreeConfig, FrozenClassifier, GeneratorConfig, ImageTeacher,
    Objective, Seen, Synthetic, TwoPhases,
};
use kd_kernels::batch_norm;

/// Two convolutions with norms; `own` runs the second norm by Burn, where nobody sees it.
#[derive(Module, Debug)]
pub struct Net {
    first: Conv2d,
    bn1: BatchNorm,
    second: Conv2d,
    bn2: BatchNorm,
    fc: Linear,
    own: bool,
}

impl StagedNetwork for Net {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        ["first", "second"].map(String::from).to_vec()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        if stage == 0 {
            return relu(batch_norm(&self.bn1, self.first.forward(input.clone())));
        }
        let map = self.second.forward(earlier[0].clone());
        relu(if self.own {
            self.bn2.forward(map)
        } else {
            batch_norm(&self.bn2, map)
        })
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

pub const IMAGE: ImageShape = ImageShape {
    channels: 1,
    height: 8,
    width: 8,
};

/// A network of `width` channels and four classes, whose tensors depend on `seed` alone.
pub fn net(width: usize, seed: u64, own: bool) -> Net {
    let device = Device::flex();
    let conv = |from: usize, to: usize| {
        Conv2dConfig::new([from, to], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&device)
    };
    let norm = || BatchNormConfig::new(width).init(&device);
    let fresh = Net {
        first: conv(1, width),
        bn1: norm(),
        second: conv(width, width),
        bn2: norm(),
        fc: LinearConfig::new(width, 4).init(&device),
        own,
    };
    let mut tensors = export(&fresh, Names::PyTorch);
    for (index, (name, data)) in tensors.iter_mut().enumerate() {
        let mut draws = Draws::new(seed, "net", index as u64, 0);
        let shape = data.shape().clone();
        let fan_in: usize = shape.as_slice().iter().skip(1).product();
        let (scale, shift) = match name.rsplit_once('.') {
            Some((_, "running_var")) => (0.05, 1.0),
            Some((_, "weight")) if shape.num_dims() == 1 => (0.1, 1.0),
            _ => ((4.0 / fan_in as f64).sqrt(), 0.0),
        };
        let values: Vec<f32> = (0..shape.num_elements())
            .map(|_| (shift + scale * draws.normal()) as f32)
            .collect();
        *data = TensorData::new(values, shape);
    }
    import(&fresh, &tensors, Names::PyTorch, "initial weights").unwrap()
}

/// A teacher that the test keeps a hand on.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<FrozenClassifier<Net>>);

impl Shared {
    pub fn new(network: &Net) -> Result<Self> {
        let scaled = Normalisation::new(vec![0.3], vec![0.5])?;
        let frozen = FrozenClassifier::new(network, scaled, IMAGE, &Device::flex())?;
        Ok(Self(Arc::new(frozen)))
    }

    pub fn tensors(&self) -> Tensors {
        export(self.0.network(), Names::PyTorch)
    }
}

impl ImageTeacher for Shared {
    fn look(&self, input: Tensor<4>) -> Seen {
        self.0.look(input)
    }

    fn image(&self) -> ImageShape {
        self.0.image()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn normalisation(&self) -> &Normalisation {
        self.0.normalisation()
    }

    fn norms(&self) -> usize {
        self.0.norms()
    }

    fn hash(&self) -> String {
        self.0.hash()
    }
}

/// 5 steps of the generator, a bank of 256 images, 2 epochs of 4 steps of the student.
pub fn config() -> TwoPhases {
    let mut config = TwoPhases::default();
    config.synthetic = Synthetic::Generator {
        generator: GeneratorConfig {
            noise: 5,
            widths: [6, 4],
            ..GeneratorConfig::default()
        },
        objective: Objective::default(),
    };
    config.generator_training.epochs = None;
    config.generator_training.steps = Some(5);
    config.generator_training.batch_size = 32;
    config.bank = BankConfig {
        images: 200,
        refresh: 0.0,
    };
    config.training = Training::for_epochs(2);
    config.training.batch_size = 64;
    config.training.lr = 1e-2;
    config.training.optimizer = OptimizerConfig::adam();
    config
}

pub fn teacher() -> Shared {
    Shared::new(&net(8, 1, false)).unwrap()
}

pub fn method(config: impl Into<DataFreeConfig>) -> DataFree<Net> {
    DataFree::new(
        &net(3, 2, false),
        Box::new(teacher()),
        config,
        &Device::flex(),
    )
}

/// Opens a run folder, or makes it.
pub fn open(path: &Path) -> RunFolder {
    if path.join("recipe.toml").exists() {
        RunFolder::open(path).unwrap()
    } else {
        let folder = RunFolder::create(path).unwrap();
        folder.write("recipe.toml", b"").unwrap();
        folder
    }
}

/// Runs `method` to its end in a folder that goes away with the guard.
pub fn run(method: &DataFree<Net>) -> (tempfile::TempDir, Vec<PhaseOutcome>) {
    let place = tempfile::tempdir().unwrap();
    let outcomes = run_in(method, place.path()).unwrap();
    (place, outcomes)
}

pub fn run_in(method: &DataFree<Net>, path: &Path) -> Result<Vec<PhaseOutcome>> {
    Runner::new(&open(path), &AtomicBool::new(false)).run(method, &mut ())
}

/// Every file of tensors below a folder, by name.
pub fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                folders.push(entry);
            } else if entry
                .extension()
                .is_some_and(|ending| ending == "safetensors")
            {
                let name = entry.strip_prefix(path).unwrap().display().to_string();
                all.insert(name, std::fs::read(&entry).unwrap());
            }
        }
    }
    all
}

/// Turns a flag on after so many steps.
pub struct StopAfter<'a> {
    pub steps: usize,
    pub flag: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs so many steps and stops, leaving a checkpoint.
pub fn interrupt(method: &DataFree<Net>, path: &Path, steps: usize) {
    let flag = AtomicBool::new(false);
    let error = Runner::new(&open(path), &flag)
        .run(method, &mut StopAfter { steps, flag: &flag })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
}

/// The losses of each step.
pub fn learn(method: &DataFree<Net>) -> Vec<Metrics> {
    #[derive(Default)]
    struct Losses(Vec<Metrics>);
    impl Observer for Losses {
        fn step_done(&mut self, _at: StepContext, losses: Option<&Metrics>) {
            self.0.extend(losses.cloned());
        }
    }
    let place = tempfile::tempdir().unwrap();
    let mut seen = Losses::default();
    Runner::new(&open(place.path()), &AtomicBool::new(false))
        .run(method, &mut seen)
        .unwrap();
    seen.0
}

/// The mean of the first and of the last five losses of a name.
pub fn ends(seen: &[Metrics], name: &str) -> [f64; 2] {
    let values: Vec<f64> = seen.iter().map(|losses| losses[name]).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    [mean(&values[..5]), mean(&values[values.len() - 5..])]
}
