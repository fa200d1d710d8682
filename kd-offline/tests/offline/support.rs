//! A small network, small data and short runs for the tests of this crate.

use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Answer, Augment, Batch, DataRoots, Dataset, DatasetInfo, Draws, FrozenTeacher, ImageShape,
    LossTerms, Method, Metrics, Names, Normalisation, OptimizerConfig, Output, Preprocessing,
    Requested, Result, Rows, RunFolder, Snapshot, Split, StagedNetwork, StepContext, Subset,
    Teacher, Tensors, Training, ViewPolicy, export, hash_tensors, import, testing,
};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData, RESULT_PHASE};

/// Two convolutions, each with a norm if wanted, global pooling and a linear layer.
#[derive(Module, Debug)]
pub(crate) struct Small {
    stem: Conv2d,
    stem_norm: Option<BatchNorm>,
    body: Conv2d,
    body_norm: Option<BatchNorm>,
    fc: Linear,
}

impl Small {
    /// A network without norms whose weights depend on `seed` alone.
    pub(crate) fn new(widths: [usize; 2], classes: usize, seed: u64) -> Self {
        Self::make(widths, classes, seed, false)
    }

    /// The same with batch norms.
    pub(crate) fn with_norms(widths: [usize; 2], classes: usize, seed: u64) -> Self {
        Self::make(widths, classes, seed, true)
    }

    fn make([first, second]: [usize; 2], classes: usize, seed: u64, norms: bool) -> Self {
        let device = Device::flex();
        let norm = |width| norms.then(|| BatchNormConfig::new(width).init(&device));
        let fresh = Self {
            stem: Conv2dConfig::new([1, first], [3, 3]).init(&device),
            stem_norm: norm(first),
            body: Conv2dConfig::new([first, second], [3, 3]).init(&device),
            body_norm: norm(second),
            fc: LinearConfig::new(second, classes).init(&device),
        };
        let mut tensors = export(&fresh, Names::PyTorch);
        for (index, (name, data)) in tensors.iter_mut().enumerate() {
            let mut draws = Draws::new(seed, "small", index as u64, 0);
            let shape = data.shape().clone();
            let fan_in: usize = shape.as_slice().iter().skip(1).product();
            let (scale, shift) = match name.rsplit_once('.') {
                Some((_, "running_var")) => (0.05, 1.0),
                Some((_, "weight")) if shape.num_dims() == 1 => (0.1, 1.0),
                _ => ((fan_in as f64).sqrt().recip().min(0.5), 0.0),
            };
            #[expect(clippy::cast_possible_truncation, reason = "any numbers will do")]
            let values: Vec<f32> = (0..shape.num_elements())
                .map(|_| (shift + scale * draws.normal()) as f32)
                .collect();
            *data = TensorData::new(values, shape);
        }
        import(&fresh, &tensors, Names::PyTorch, "initial weights").unwrap()
    }
}

impl StagedNetwork for Small {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into(), "body".into()]
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        match stage {
            0 => vec!["stem".into(), "stem_norm".into()],
            _ => vec!["body".into(), "body_norm".into()],
        }
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        let (map, norm) = match stage {
            0 => (self.stem.forward(input.clone()), &self.stem_norm),
            _ => (self.body.forward(earlier[0].clone()), &self.body_norm),
        };
        relu(match norm {
            Some(norm) => norm.forward(map),
            None => map,
        })
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// A teacher that the test keeps a hand on.
pub(crate) type Shared = Arc<FrozenTeacher<Small>>;

/// A frozen copy of `network`.
pub(crate) fn shared(network: &Small, normalisation: Normalisation) -> Shared {
    let teacher = FrozenTeacher::new(network, normalisation, &Device::flex());
    Arc::new(teacher)
}

/// The same teacher as a method takes it.
pub(crate) fn boxed(teacher: &Shared) -> Box<dyn Teacher> {
    Box::new(Arc::clone(teacher))
}

/// Everything that a teacher computes with.
pub(crate) fn tensors(teacher: &Shared) -> Tensors {
    export(teacher.network(), Names::PyTorch)
}

/// A teacher that answers in training form, so that its batch norms learn from every query.
#[derive(Debug)]
pub(crate) struct Careless(pub(crate) Small);

impl Teacher for Careless {
    fn stage_names(&self) -> Vec<String> {
        self.0.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        let trace = self.0.forward_traced(&Tensor::from_inner(batch.pixels()?));
        let map = |tap: &String| match self.0.tap(tap) {
            Ok(stage) => trace.maps[stage].clone().inner(),
            Err(_) => trace.dense.clone().into_map().inner(),
        };
        let output = Output::Classes(trace.output.clone().inner());
        Ok(Answer::new(
            requested.has_output().then_some(output),
            requested.taps().iter().map(map).collect(),
        ))
    }

    fn hash(&self) -> String {
        hash_tensors(&export(&self.0, Names::PyTorch))
    }
}

/// The queries of a teacher, in order: the number of samples, and the request.
pub(crate) type Queries = Arc<Mutex<Vec<(usize, Requested)>>>;

/// The samples of all queries.
pub(crate) fn samples(queries: &Queries) -> usize {
    queries
        .lock()
        .unwrap()
        .iter()
        .map(|(samples, _)| samples)
        .sum()
}

/// A teacher that notes its queries.
#[derive(Debug)]
pub(crate) struct Counting {
    teacher: FrozenTeacher<Small>,
    queries: Queries,
}

impl Counting {
    /// A frozen copy of `network` that notes its queries in `queries`.
    pub(crate) fn boxed(
        network: &Small,
        preprocessing: impl Into<Preprocessing>,
        queries: &Queries,
    ) -> Box<dyn Teacher> {
        Box::new(Self {
            teacher: FrozenTeacher::new(network, preprocessing, &Device::flex()),
            queries: Arc::clone(queries),
        })
    }
}

impl Teacher for Counting {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        let query = (batch.len(), requested.clone());
        self.queries.lock().unwrap().push(query);
        self.teacher.answer(batch, requested)
    }

    fn hash(&self) -> String {
        self.teacher.hash()
    }
}

/// A normalisation of one channel.
pub(crate) fn normalisation(mean: f64, std: f64) -> Normalisation {
    Normalisation::new(vec![mean], vec![std]).unwrap()
}

/// A frozen copy of `network` that sees pixels as they are.
pub(crate) fn teacher(network: &Small) -> Box<dyn Teacher> {
    boxed(&shared(network, Normalisation::identity(1)))
}

/// Part of the real data that kd brings along: 80 images to train on, 40 to measure on, 10 classes.
pub(crate) fn real_data() -> OfflineData {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    let part = |split, count| {
        let whole = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&whole).per_class(count, 0).unwrap()
    };
    OfflineData {
        train: part(Split::Train, 8),
        held_out: part(Split::Test, 4),
        views: ViewPolicy::Fixed,
        augment: Augment::none(),
    }
}

/// `images` of 8x8 with `labels` of three classes, to train and to measure on.
pub(crate) fn tiny_data(images: Vec<u8>, labels: Vec<u16>) -> OfflineData {
    let shape = ImageShape::new(1, 8, 8);
    let data = Dataset::new("tiny", Split::Train, shape, 3, images, labels).unwrap();
    OfflineData {
        train: Subset::all(&data),
        held_out: Subset::all(&data),
        views: ViewPolicy::Fixed,
        augment: Augment::none(),
    }
}

/// Twelve images of noise, four of each of three classes.
pub(crate) fn noise() -> OfflineData {
    let mut draws = Draws::new(1, "noise", 0, 0);
    let images = (0..12 * 64).map(|_| draws.bits().to_le_bytes()[0]);
    tiny_data(images.collect(), (0..12).map(|index| index % 3).collect())
}

/// All pixels of a data set, in `[0, 1]`, and the labels.
pub(crate) fn pixels(subset: &Subset) -> (Tensor<4>, Vec<usize>) {
    let data = subset.dataset();
    let shape = data.shape();
    let values: Vec<f32> = data
        .images()
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let dims = [data.len(), shape.channels, shape.height, shape.width];
    let labels = data.labels().iter().map(|&label| usize::from(label));
    (
        Tensor::from_data(TensorData::new(values, dims), &Device::flex()),
        labels.collect(),
    )
}

/// So many steps of SGD over the whole set at once.
pub(crate) fn steps(steps: usize) -> Training {
    let mut training = Training::default();
    training.steps = Some(steps);
    training.batch_size = 16;
    training.optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: false,
    };
    training
}

/// The method for these parts, seed 0 and a student that sees pixels as they are.
pub(crate) fn offline(
    student: &Small,
    data: OfflineData,
    training: Training,
    teachers: Vec<Box<dyn Teacher>>,
    losses: Vec<LossConfig>,
) -> Offline<Small> {
    let plain = Normalisation::identity(1);
    Offline::new(student, plain, data, training, &Device::flex())
        .with_teachers(teachers, Ensemble::Logits)
        .with_losses(losses)
}

/// Temperature KD with weight 1.
pub(crate) fn kd(temperature: f64) -> LossConfig {
    LossConfig::kd(1.0, temperature)
}

/// The losses of a recipe.
pub(crate) fn losses(toml: &str) -> Vec<LossConfig> {
    #[derive(serde::Deserialize)]
    struct Losses {
        losses: Vec<LossConfig>,
    }
    toml::from_str::<Losses>(toml).unwrap().losses
}

/// The losses of the first step.
pub(crate) fn first_step(method: &Offline<Small>) -> LossTerms {
    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    let lr = phase.plan().lr.at(0);
    phase
        .step(StepContext {
            step: 0,
            epoch: 0,
            step_in_epoch: 0,
            lr,
            momentum: None,
        })
        .unwrap()
}

/// The value of the term `name`.
pub(crate) fn term(terms: &LossTerms, name: &str) -> f64 {
    let (_, value) = terms.iter().find(|(known, _)| known == name).unwrap();
    value.clone().into_data().iter::<f64>().next().unwrap()
}

/// The evaluation before the first step.
pub(crate) fn evaluation(method: &Offline<Small>) -> Metrics {
    let (_guard, folder) = folder();
    method.start(0, &folder).unwrap().evaluate().unwrap()
}

/// A run folder that goes away with its guard.
pub(crate) fn folder() -> (tempfile::TempDir, RunFolder) {
    let path = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(path.path()).unwrap();
    (path, folder)
}

/// The student that a run in a temporary folder leaves, as the bytes of its file.
pub(crate) fn result_file(method: &Offline<Small>) -> Vec<u8> {
    let path = tempfile::tempdir().unwrap();
    testing::run(method, path.path()).unwrap();
    std::fs::read(path.path().join("phases/distill/last.safetensors")).unwrap()
}

/// The student that a run in a temporary folder leaves.
pub(crate) fn result(method: &Offline<Small>) -> Tensors {
    let path = tempfile::tempdir().unwrap();
    testing::run(method, path.path()).unwrap();
    let folder = RunFolder::open(path.path()).unwrap();
    folder.result(RESULT_PHASE, Snapshot::Last).unwrap()
}
