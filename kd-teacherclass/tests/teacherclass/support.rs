use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Batch, DataRoots, DatasetInfo, FrozenTeacher, Normalisation, Scheme, Split, StagedNetwork,
    Subset, Teacher, Training, initialise,
};
use kd_teacherclass::{NewStudent, TeacherClass, TeacherClassConfig, student_training};

/// A network of the tests' own: two linear layers on 28x28 pixels, the dense vector after a ReLU or not.
#[derive(Module, Debug)]
pub(crate) struct Tiny {
    pub(crate) body: Linear,
    pub(crate) fc: Linear,
    signed: bool,
}

impl Tiny {
    pub(crate) fn new(width: usize, classes: usize, seed: u64) -> Self {
        let device = Device::flex();
        let blank = Self {
            body: LinearConfig::new(28 * 28, width).init(&device),
            fc: LinearConfig::new(width, classes).init(&device),
            signed: false,
        };
        initialise(&blank, Scheme::PyTorch, seed).unwrap()
    }

    pub(crate) fn signed(mut self) -> Self {
        self.signed = true;
        self
    }
}

impl StagedNetwork for Tiny {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["body".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
        let hidden: Tensor<2> = self.body.forward(input.clone().flatten(1, 3));
        let [samples, width] = hidden.dims();
        let hidden = if self.signed { hidden } else { relu(hidden) };
        hidden.reshape([samples, width, 1, 1])
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// The width of the teacher's dense vector.
pub(crate) const FEATURES: usize = 10;

pub(crate) fn data() -> [Subset; 2] {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    [Split::Train, Split::Test].map(|split| {
        let data = info.load(split, &DataRoots::default()).unwrap();
        Subset::all(&data).per_class(2, 0).unwrap()
    })
}

pub(crate) fn teacher() -> Tiny {
    Tiny::new(FEATURES, 10, 5)
}

pub(crate) fn student(new: &NewStudent) -> Tiny {
    Tiny::new(6, new.chunk.length, new.seed)
}

pub(crate) fn training() -> Training {
    let mut training = student_training();
    training.epochs = Some(2);
    training.batch_size = 8;
    training
}

/// Three students of a teacher with ten units; they may be as bad as they like.
pub(crate) fn config() -> TeacherClassConfig {
    let mut config = TeacherClassConfig::of(3);
    config.collapse = 100.0;
    config.head.epochs = 2;
    config.head.chunk_dropout = 0.2;
    config
}

pub(crate) fn method_of(teacher: &Tiny, config: TeacherClassConfig) -> TeacherClass<Tiny> {
    let plain = Normalisation::identity(1);
    let teacher = FrozenTeacher::new(teacher, plain, &Device::flex());
    method_from(Box::new(teacher), config)
}

pub(crate) fn method_from(
    teacher: Box<dyn Teacher>,
    config: TeacherClassConfig,
) -> TeacherClass<Tiny> {
    let device = Device::flex();
    let plain = Normalisation::identity(1);
    TeacherClass::new(
        teacher,
        |new| Ok(student(new)),
        plain,
        data(),
        training(),
        &device,
    )
    .with_config(config)
    .with_seed(3)
}

pub(crate) fn method(config: TeacherClassConfig) -> TeacherClass<Tiny> {
    method_of(&teacher(), config)
}

/// Images that differ.
pub(crate) fn images(count: usize) -> Tensor<4> {
    Batch::noise([1, 28, 28], count, &Device::flex())
        .pixels()
        .unwrap()
}

pub(crate) fn close(one: Tensor<2>, other: Tensor<2>) -> bool {
    (one - other).abs().max().into_scalar::<f32>() < 1e-5
}
