//! A small teacher with batch norms, a small student and short runs for the tests of this crate.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Draws, ImageShape, Metrics, Names, Normalisation, Observer, OptimizerConfig, PhaseOutcome,
    Result, Runner, StagedNetwork, StepContext, Tensors, Training, export, import, testing,
};
use kd_datafree::{
    BankConfig, DataFree, DataFreeConfig, FrozenClassifier, GeneratorConfig, GeneratorObjective,
    Synthetic, TwoPhases,
};
use kd_kernels::batch_norm;

/// Two convolutions with norms; `own` runs the second norm by Burn, where nobody sees it.
#[derive(Module, Debug)]
pub(crate) struct Net {
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

pub(crate) const IMAGE: ImageShape = ImageShape {
    channels: 1,
    height: 8,
    width: 8,
};

/// A network of `width` channels and four classes, whose tensors depend on `seed` alone.
pub(crate) fn net(width: usize, seed: u64, own: bool) -> Net {
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
        #[expect(clippy::cast_possible_truncation, reason = "weights are of 32 bits")]
        let values: Vec<f32> = (0..shape.num_elements())
            .map(|_| (shift + scale * draws.normal()) as f32)
            .collect();
        *data = TensorData::new(values, shape);
    }
    import(&fresh, &tensors, Names::PyTorch, "initial weights").unwrap()
}

/// A teacher that the test keeps a hand on.
pub(crate) type Shared = Arc<FrozenClassifier<Net>>;

/// A network as a teacher, with a normalisation of its own.
pub(crate) fn frozen(network: &Net) -> Result<Shared> {
    let scaled = Normalisation::new(vec![0.3], vec![0.5])?;
    let frozen = FrozenClassifier::new(network, scaled, IMAGE, &Device::flex())?;
    Ok(Arc::new(frozen))
}

/// Weights and running statistics.
pub(crate) fn tensors(teacher: &Shared) -> Tensors {
    export(teacher.network(), Names::PyTorch)
}

/// 5 steps of the generator, a bank of 256 images, 2 epochs of 4 steps of the student.
pub(crate) fn config() -> TwoPhases {
    let mut config = TwoPhases::default();
    config.synthetic = Synthetic::Generator {
        generator: GeneratorConfig {
            noise: 5,
            widths: [6, 4],
            ..GeneratorConfig::default()
        },
        objective: GeneratorObjective::default(),
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

pub(crate) fn teacher() -> Shared {
    frozen(&net(8, 1, false)).unwrap()
}

pub(crate) fn method(config: impl Into<DataFreeConfig>) -> DataFree<Net> {
    DataFree::new(
        &net(3, 2, false),
        Box::new(teacher()),
        config,
        &Device::flex(),
    )
}

/// Runs `method` to its end in a folder that goes away with the guard.
pub(crate) fn run(method: &DataFree<Net>) -> (tempfile::TempDir, Vec<PhaseOutcome>) {
    let place = tempfile::tempdir().unwrap();
    let outcomes = run_in(method, place.path()).unwrap();
    (place, outcomes)
}

/// Runs `method` to its end, or on from where it was stopped.
pub(crate) fn run_in(method: &DataFree<Net>, path: &Path) -> Result<Vec<PhaseOutcome>> {
    testing::run(method, path)
}

/// Every file of tensors below a folder, by name.
pub(crate) fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    testing::tensor_files(path).unwrap()
}

/// Runs so many steps and stops, leaving a checkpoint.
pub(crate) fn interrupt(method: &DataFree<Net>, path: &Path, steps: usize) {
    assert!(!testing::run_steps(method, path, steps).unwrap());
}

/// The losses of each step.
pub(crate) fn learn(method: &DataFree<Net>) -> Vec<Metrics> {
    #[derive(Default)]
    struct Losses(Vec<Metrics>);
    impl Observer for Losses {
        fn step_done(&mut self, _at: StepContext, losses: Option<&Metrics>) {
            self.0.extend(losses.cloned());
        }
    }
    let place = tempfile::tempdir().unwrap();
    let mut seen = Losses::default();
    let folder = testing::run_folder(place.path()).unwrap();
    Runner::new(&folder, &AtomicBool::new(false))
        .run(method, &mut seen)
        .unwrap();
    seen.0
}

/// The mean of the first and of the last five losses of a name.
pub(crate) fn ends(seen: &[Metrics], name: &str) -> [f64; 2] {
    let values: Vec<f64> = seen.iter().map(|losses| losses[name]).collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    [mean(&values[..5]), mean(&values[values.len() - 5..])]
}
