//! A small network with a long skip, small real data and short runs for the tests of this crate.
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
    DataRoots, Dataset, DatasetInfo, Draws, Snapshot, Metrics, Names, Normalisation, Observer,
    OptimizerConfig, PhaseOutcome, Result, RunFolder, Runner, Split, StagedNetwork, StepContext,
    Subset, Tensors, Training, export, import,
};
use kd_stagewise::{FrozenStages, Procedure, StageTeacher, Stagewise, StagewiseData};

/// Four stages, each of some convolutions with norms; the last reads the maps of the stem and of the second stage, as a U-Net's
/// decoder does.
#[derive(Module, Debug)]
pub struct Net {
    stem: Vec<Block>,
    body: Vec<Block>,
    deep: Vec<Block>,
    join: Vec<Block>,
    fc: Linear,
    #[module(skip)]
    last: Last,
}

/// What the last stage does beside reading the maps of the stem and of the stage before it.
#[derive(Clone, Copy, Debug)]
pub enum Last {
    /// Nothing.
    Plain,
    /// It runs the second stage's blocks again.
    Tied,
    /// It lets through where the second stage's map is large, which has no gradient.
    Gated,
}

/// The same network whose last stage does something else.
pub fn with_last(network: &Net, last: Last) -> Net {
    Net {
        last,
        ..network.clone()
    }
}

#[derive(Module, Debug)]
pub struct Block {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Block {
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(map)))
    }
}

/// A network of `width` channels with so many blocks in each stage but the first, whose weights depend on `seed` alone.
pub fn net(width: usize, blocks: usize, seed: u64) -> Net {
    let device = Device::flex();
    let block = |from: usize, to: usize, stride: usize| Block {
        conv: Conv2dConfig::new([from, to], [3, 3])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false)
            .init(&device),
        norm: BatchNormConfig::new(to).init(&device),
    };
    let stage = |from: usize, to: usize, stride: usize| -> Vec<Block> {
        let rest = (1..blocks).map(|_| block(to, to, 1));
        std::iter::once(block(from, to, stride))
            .chain(rest)
            .collect()
    };
    let fresh = Net {
        stem: vec![block(1, width, 2)],
        body: stage(width, width, 1),
        deep: stage(width, 2 * width, 2),
        join: stage(2 * width, width, 1),
        fc: LinearConfig::new(width, 10).init(&device),
        last: Last::Plain,
    };
    let mut tensors = export(&fresh, Names::PyTorch);
    for (index, (name, data)) in tensors.iter_mut().enumerate() {
        let mut draws = Draws::new(seed, "net", index as u64, 0);
        let shape = data.shape().clone();
        let fan_in: usize = shape.as_slice().iter().skip(1).product();
        let (scale, shift) = match name.rsplit_once('.') {
            Some((_, "running_var")) => (0.05, 1.0),
            Some((_, "weight")) if shape.num_dims() == 1 => (0.1, 1.0),
            _ => ((2.0 / fan_in as f64).sqrt().min(0.5), 0.0),
        };
        let values: Vec<f32> = (0..shape.num_elements())
            .map(|_| (shift + scale * draws.normal()) as f32)
            .collect();
        *data = TensorData::new(values, shape);
    }
    import(&fresh, &tensors, Names::PyTorch, "initial weights").unwrap()
}

impl StagedNetwork for Net {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        ["stem", "body", "deep", "join"].map(String::from).to_vec()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        let run = |blocks: &[Block], map: Tensor<4>| {
            blocks.iter().fold(map, |map, block| block.forward(map))
        };
        match stage {
            0 => run(&self.stem, input.clone()),
            1 => run(&self.body, earlier[0].clone()),
            2 => run(&self.deep, earlier[1].clone()),
            _ => {
                let [_, _, height, width] = earlier[2].dims();
                // Every second pixel of the stem's map, twice the channels, as in a shortcut without parameters.
                let stem = earlier[0].clone().narrow(2, 0, height).narrow(3, 0, width);
                let deep = earlier[2].clone() + Tensor::cat(vec![stem.clone(), stem], 1);
                let joined = run(&self.join, deep);
                match self.last {
                    Last::Plain => joined,
                    Last::Tied => run(&self.body, joined),
                    Last::Gated => {
                        let body = earlier[1].clone().narrow(2, 0, height).narrow(3, 0, width);
                        joined * body.greater_elem(0.3).float()
                    }
                }
            }
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[3].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// A teacher that the test keeps a hand on.
#[derive(Clone, Debug)]
pub struct Shared(pub Arc<FrozenStages<Net>>);

impl Shared {
    pub fn new(network: &Net) -> Self {
        let plain = Normalisation::identity(1);
        Self(Arc::new(FrozenStages::new(network, plain, &Device::flex())))
    }

    pub fn tensors(&self) -> Tensors {
        export(self.0.network(), Names::PyTorch)
    }
}

impl StageTeacher<Tensor<2>> for Shared {
    fn stage_names(&self) -> Vec<String> {
        self.0.stage_names()
    }

    fn maps(&self, pixels: Tensor<4>, count: usize) -> Result<Vec<Tensor<4>>> {
        self.0.maps(pixels, count)
    }

    fn output(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        self.0.output(pixels)
    }

    fn hash(&self) -> String {
        self.0.hash()
    }

    fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
        self.0.stage_tensors(stage)
    }
}

/// Real images: 60 to train on, 20 for validation, 20 for the report.
pub fn data() -> StagewiseData {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let part = |split, count| {
        let whole = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&whole).per_class(count, 0).unwrap()
    };
    StagewiseData::new(part(Split::Train, 8), part(Split::Test, 2))
        .with_validation_share(0.25, 0)
        .unwrap()
}

/// `data` with the labels of the training samples turned around.
pub fn relabelled(data: &StagewiseData) -> StagewiseData {
    let of = data.train.dataset();
    let labels = of.labels().iter().map(|label| 9 - label).collect();
    let other = Dataset::new(
        of.name(),
        of.split(),
        of.shape(),
        of.classes(),
        of.images().to_vec(),
        labels,
    );
    let mut changed = data.clone();
    changed.train = Subset::from_ids(&other.unwrap(), data.train.ids().to_vec()).unwrap();
    changed
}

/// Two epochs of Adam in batches of 16; a step is large so that something moves.
pub fn training() -> Training {
    let mut training = Training::for_epochs(2);
    training.batch_size = 16;
    training.eval_batch_size = 16;
    training.lr = 3e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

/// A student of one block a stage and a teacher of two.
pub fn method(data: StagewiseData) -> Stagewise<Net> {
    let plain = Normalisation::identity(1);
    Stagewise::new(&net(3, 1, 1), plain, data, training(), &Device::flex())
        .with_teacher(Box::new(Shared::new(&net(3, 2, 2))))
}

/// Every procedure, with the guided stages of [`Net`].
pub fn procedures() -> Vec<Procedure> {
    let table = |text: &str| -> Procedure {
        let toml: toml::Table = text.parse().unwrap();
        toml["procedure"].clone().try_into().unwrap()
    };
    Procedure::KINDS
        .iter()
        .map(|kind| match *kind {
            "fitnets-code" => {
                table("procedure = { kind = \"fitnets-code\", guided = [\"stem\", \"deep\"] }")
            }
            "fitnets" => table("procedure = { kind = \"fitnets\", guided = \"body\" }"),
            _ => table(&format!("procedure = \"{kind}\"")),
        })
        .collect()
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
pub fn run(method: &Stagewise<Net>) -> (tempfile::TempDir, Vec<PhaseOutcome>) {
    let place = tempfile::tempdir().unwrap();
    let outcomes = run_in(method, place.path()).unwrap();
    (place, outcomes)
}

pub fn run_in(method: &Stagewise<Net>, path: &Path) -> Result<Vec<PhaseOutcome>> {
    Runner::new(&open(path), &AtomicBool::new(false)).run(method, &mut ())
}

/// What a phase left.
pub fn result(path: &Path, phase: &str, snapshot: Snapshot) -> Tensors {
    RunFolder::open(path).unwrap().result(phase, snapshot).unwrap()
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
