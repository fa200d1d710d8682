//! The small network of the fixtures, the fixtures, and data for runs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    dead_code,
    clippy::allow_attributes,
    reason = "each module uses its part"
)]

use std::path::Path;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Dataset, Draws, ImageShape, Names, Normalisation, OptimizerConfig, Result, Scheme, Split,
    StagedNetwork, Tensors, Training, export, import, initialise, read_tensors,
};
use kd_online::{Branches, Combiner, OnlineConfig, OnlineData, Peers};
use safetensors::SafeTensors;
use serde_json::Value;

pub(crate) const CLASSES: usize = 3;
pub(crate) const SIZE: usize = 5;

/// The network of `fixtures/network.py`.
#[derive(Module, Debug)]
pub(crate) struct Tiny {
    stem: Conv2d,
    body: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

impl Tiny {
    pub(crate) fn blank(device: &Device) -> Self {
        Self::wide(4, device)
    }

    /// With so many channels in its last map.
    pub(crate) fn wide(channels: usize, device: &Device) -> Self {
        let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
        Self {
            stem: Conv2dConfig::new([1, 2], [3, 3])
                .with_padding(padding.clone())
                .init(device),
            body: Conv2dConfig::new([2, channels], [3, 3])
                .with_stride([2, 2])
                .with_padding(padding)
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(channels).init(device),
            fc: LinearConfig::new(channels, CLASSES).init(device),
        }
    }

    /// Drawn from a seed.
    pub(crate) fn drawn(seed: u64) -> Result<Self> {
        initialise(&Self::blank(&Device::flex()), Scheme::KaimingFanOut, seed)
    }
}

impl StagedNetwork for Tiny {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into(), "body".into()]
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        match stage {
            0 => vec!["stem".into()],
            _ => vec!["body".into(), "norm".into()],
        }
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        match stage {
            0 => relu(self.stem.forward(input.clone())),
            _ => relu(self.norm.forward(self.body.forward(earlier[0].clone()))),
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// Branches of [`Tiny`] drawn from seeds of their own, in training form.
pub(crate) fn branches(count: usize, shared: Option<&str>, seed: u64) -> Branches<Tiny> {
    let make = |seed| Tiny::drawn(seed).map(Module::train);
    Branches::drawn(count, shared, seed, make).expect("drawn branches")
}

/// The cases of a fixture.
pub(crate) struct Fixture {
    pub(crate) cases: Vec<Value>,
    tensors: Tensors,
}

impl Fixture {
    /// Reads `tests/fixtures/NAME.safetensors`.
    pub(crate) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).expect("the fixture is there");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors file");
        let metadata = header.metadata().clone().expect("cases");
        Self {
            cases: serde_json::from_str(&metadata["cases"]).expect("cases"),
            tensors: read_tensors(&path).expect("a safetensors file"),
        }
    }

    /// The tensors below `part`, with what follows `part.` as their names.
    pub(crate) fn part(&self, part: &str) -> Tensors {
        let inside = |(name, data): (&String, &TensorData)| {
            let name = name.strip_prefix(part)?.strip_prefix('.')?;
            Some((name.to_owned(), data.clone()))
        };
        self.tensors.iter().filter_map(inside).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&TensorData> {
        self.tensors.get(name)
    }

    pub(crate) fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let data = self.get(name).expect(name).clone().convert::<f32>();
        Tensor::from_data(data, &Device::flex())
    }

    pub(crate) fn targets(&self, case: &str) -> Tensor<1, Int> {
        let data = self.get(&format!("{case}.targets")).expect("targets");
        Tensor::from_data(data.clone(), &Device::flex())
    }
}

/// The name and the settings of a case.
pub(crate) fn case_of(case: &Value) -> (String, OnlineConfig) {
    let name = case["name"].as_str().expect("a name").to_owned();
    let config = serde_json::from_value(case["config"].clone());
    (name.clone(), config.expect(&name))
}

/// `module` with those of its tensors, in Burn's names, that stand below `part.` in `tensors`.
pub(crate) fn filled<M: Module>(module: &M, tensors: &Tensors, part: &str) -> M {
    let mut all = export(module, Names::Burn);
    for (path, data) in &mut all {
        if let Some(given) = tensors.get(&format!("{part}.{path}")) {
            *data = given.clone();
        }
    }
    import(module, &all, Names::Burn, part).expect("the fixture's shapes")
}

/// The branches of a case, in training form.
pub(crate) fn branches_of(config: &OnlineConfig, tensors: &Tensors) -> Branches<Tiny> {
    let blank = Tiny::blank(&Device::flex());
    let network = |index| filled(&blank, tensors, &format!("branch-{index}")).train();
    let networks = (0..config.branches).map(network).collect();
    Branches::new(networks, config.shared.as_deref()).expect("branches")
}

/// The combiner of a case, in training form.
pub(crate) fn combiner_of(
    config: &OnlineConfig,
    branches: &Branches<Tiny>,
    input: Tensor<4>,
    tensors: &Tensors,
) -> Option<Combiner> {
    // At inference, so that no batch norm keeps anything of it.
    let networks = branches.networks().iter().map(Module::valid).collect();
    let at_inference = Branches::new(networks, config.shared.as_deref()).expect("branches");
    let outputs = at_inference.forward(&[input]).expect("outputs");
    let sizes = kd_online::CombinerSizes::of(&outputs[..config.peers()]).expect("peers");
    let fresh = Combiner::new(&config.objective, sizes, 0, &Device::flex()).expect("a combiner");
    fresh.map(|combiner| filled(&combiner, tensors, "ensemble").train())
}

pub(crate) fn numbers(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

/// Compares with a float64 reference: relative to the expected number and to the largest of its tensor.
pub(crate) fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * (expected.abs() + largest) + 0.1 * tolerance;
        let off = (found - expected).abs();
        assert!(
            off <= allowed,
            "{what}[{index}]: {found}, expected {expected}"
        );
    }
}

/// Images of noise with labels, all a function of `seed`; a class has its own mean.
pub(crate) fn data(samples: usize, seed: u64) -> Dataset {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let mut draws = Draws::new(seed, "tiny data", samples as u64, 0);
    for _ in 0..samples {
        let label = draws.below(CLASSES as u64);
        labels.push(label as u16);
        for pixel in 0..SIZE * SIZE {
            let bright = if pixel % CLASSES == label as usize {
                120.0
            } else {
                40.0
            };
            images.push((bright + draws.uniform() * 100.0) as u8);
        }
    }
    let shape = ImageShape::new(1, SIZE, SIZE);
    Dataset::new("tiny", Split::Train, shape, CLASSES, images, labels).expect("data")
}

pub(crate) fn online_data(train: usize) -> OnlineData {
    OnlineData::new(data(train, 1), data(7, 2))
}

pub(crate) fn normalisation() -> Normalisation {
    Normalisation::new(vec![0.5], vec![0.25]).expect("one channel")
}

pub(crate) fn peers(config: &OnlineConfig, seed: u64) -> Peers {
    Peers::drawn(config, seed, normalisation(), Tiny::drawn).expect("peers")
}

/// Some epochs with momentum and weight decay.
pub(crate) fn training(epochs: usize, batch_size: usize) -> Training {
    let mut training = Training::for_epochs(epochs);
    training.batch_size = batch_size;
    training.eval_batch_size = 4;
    training.log_every = 1;
    training.lr = 0.1;
    training.optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: true,
    };
    training
}

/// Settings by kind and further keys, as a recipe has them.
pub(crate) fn config(toml: &str) -> OnlineConfig {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{toml}: {error}"))
}

/// Every kind, with what it needs of settings.
pub(crate) const KINDS: [&str; 14] = [
    "kind = \"single\"\naverage_decay = 0.5",
    "kind = \"independent\"\nshared = \"stem\"",
    "kind = \"dml\"",
    "kind = \"cl-ilr\"\nshared = \"stem\"",
    "kind = \"one\"\nshared = \"stem\"",
    "kind = \"okddip\"\nshared = \"stem\"",
    "kind = \"kdcl\"\nviews = \"same\"",
    "kind = \"kdcl\"\ntarget = \"general\"\nviews = \"same\"",
    "kind = \"okdmde\"\nshared = \"stem\"\ndiversification = \"working\"",
    "kind = \"okdmde\"\nfusion = \"depthwise-separable\"\ngate = \"branch-class\"",
    "kind = \"okdmde\"\nattention = \"per-peer\"\nleader = true\nshared = \"stem\"",
    "kind = \"okdmde\"\nattention = \"self-logit\"\nprediction_penalty = { weight = 0.3 }",
    "kind = \"pcl\"\nshared = \"stem\"\nviews = \"same\"",
    "kind = \"pcl\"\nviews = \"own\"\naverage_decay = 0.5",
];
