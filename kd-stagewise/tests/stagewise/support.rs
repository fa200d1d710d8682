//! A small network with a long skip, small real data and short runs.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Augment, DataRoots, Dataset, DatasetInfo, Draws, FrozenTeacher, Method, Names, Normalisation,
    OptimizerConfig, PhaseOutcome, RunFolder, Snapshot, Split, StagedNetwork, Subset, Tensors,
    Training, ViewPolicy, export, import, testing,
};
use kd_stagewise::{Procedure, StageCache, Stagewise, StagewiseData};

/// Four stages, each of some convolutions with norms; the last reads the maps of the stem and of the second
/// stage, as a U-Net's decoder does.
#[derive(Module, Debug)]
pub(crate) struct Net {
    stem: Vec<Block>,
    body: Vec<Block>,
    deep: Vec<Block>,
    join: Vec<Block>,
    fc: Linear,
    #[module(skip)]
    last: Last,
}

/// The work of the last stage beside reading the maps of the stem and of the stage before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    /// Nothing.
    Plain,
    /// It runs the second stage's blocks again.
    Tied,
    /// It lets through where the second stage's map is large, which has no gradient.
    Gated,
}

/// The same network whose last stage does something else.
pub(crate) fn with_last(network: &Net, last: Last) -> Net {
    Net {
        last,
        ..network.clone()
    }
}

#[derive(Module, Debug)]
pub(crate) struct Block {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Block {
    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.conv.forward(map)))
    }
}

/// A network of `width` channels with so many blocks in each stage but the first, whose weights depend on
/// `seed` alone.
pub(crate) fn net(width: usize, blocks: usize, seed: u64) -> Net {
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
                // Every second pixel of the stem's map, twice the channels, as in a shortcut without
                // parameters.
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

/// A teacher that the test holds as well.
pub(crate) fn teacher(network: &Net) -> Arc<FrozenTeacher<Net>> {
    let plain = Normalisation::identity(1);
    Arc::new(FrozenTeacher::new(network, plain, &Device::flex()))
}

/// Real images: 60 to train on, 20 for validation, 20 for the report.
pub(crate) fn data() -> StagewiseData {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let part = |split, count| {
        let whole = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&whole).per_class(count, 0).unwrap()
    };
    StagewiseData::new(part(Split::Train, 8), part(Split::Test, 2))
        .with_validation_share(0.25, 0)
        .unwrap()
}

/// `data` with two views of each training sample.
pub(crate) fn bank(data: StagewiseData) -> StagewiseData {
    let augment = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    data.with_views(ViewPolicy::Bank(2), augment)
}

/// Nothing is kept.
pub(crate) fn uncached() -> StageCache {
    let mut cache = StageCache::default();
    cache.enabled = false;
    cache
}

/// `data` with the labels of the training samples turned around.
pub(crate) fn relabelled(data: &StagewiseData) -> StagewiseData {
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
pub(crate) fn training() -> Training {
    let mut training = Training::for_epochs(2);
    training.batch_size = 16;
    training.eval_batch_size = 16;
    training.lr = 3e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

/// A student with a teacher of two blocks a stage.
pub(crate) fn method_of(student: &Net, data: StagewiseData) -> Stagewise<Net> {
    let plain = Normalisation::identity(1);
    Stagewise::new(student, plain, data, training(), &Device::flex())
        .with_teacher(Box::new(teacher(&net(3, 2, 2))))
}

/// A student of one block a stage and a teacher of two.
pub(crate) fn method(data: StagewiseData) -> Stagewise<Net> {
    method_of(&net(3, 1, 1), data)
}

/// Every procedure, with the guided stages of [`Net`].
pub(crate) fn procedures() -> Vec<Procedure> {
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

/// Runs `method` to its end in a folder that goes away with the guard.
pub(crate) fn run(method: &dyn Method) -> (tempfile::TempDir, Vec<PhaseOutcome>) {
    let place = tempfile::tempdir().unwrap();
    let outcomes = testing::run(method, place.path()).unwrap_or_else(|error| panic!("{error}"));
    (place, outcomes)
}

/// The result of a phase.
pub(crate) fn result(run: &tempfile::TempDir, phase: &str, snapshot: Snapshot) -> Tensors {
    let folder = RunFolder::open(run.path()).unwrap();
    folder.result(phase, snapshot).unwrap()
}

/// Whether two runs left the same tensors, byte for byte.
pub(crate) fn same_tensors(one: &tempfile::TempDir, other: &tempfile::TempDir) -> bool {
    let files = |run: &tempfile::TempDir| testing::tensor_files(run.path()).unwrap();
    files(one) == files(other)
}
