//! Three students that teach each other, on a network of one's own, in about a minute on two cores:
//!
//! ```text
//! cargo run -p kd-online --example three_students
//! ```
//!
//! They learn 2,000 images of the small Fashion-MNIST that kd brings along: as branches that know nothing of
//! each other, as branches with OKDMDE's gate and with its attention, and beside them one network that is
//! trained for as much compute. One seed tells nothing about which is better; it shows what is measured.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Costs, CountCosts, DataRoots, DatasetInfo, Error, Metrics, Normalisation, OptimizerConfig,
    Result, RunFolder, Runner, Schedule, Scheme, Split, StagedNetwork, Subset, Training,
    initialise,
};
use kd_online::{Branches, Online, OnlineConfig, OnlineData, Peers, findings, stretched};

/// Two stages of convolutions with norms. This is all that kd must be told of a network.
#[derive(Module, Debug)]
struct Mine {
    stem: Conv2d,
    stem_norm: BatchNorm,
    body: Conv2d,
    body_norm: BatchNorm,
    fc: Linear,
}

impl Mine {
    fn drawn(seed: u64) -> Result<Self> {
        let device = Device::flex();
        let conv = |channels| {
            Conv2dConfig::new(channels, [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(&device)
        };
        let blank = Self {
            stem: conv([1, 8]),
            stem_norm: BatchNormConfig::new(8).init(&device),
            body: conv([8, 16]),
            body_norm: BatchNormConfig::new(16).init(&device),
            fc: LinearConfig::new(16, 10).init(&device),
        };
        initialise(&blank, Scheme::KaimingFanOut, seed)
    }
}

impl StagedNetwork for Mine {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into(), "body".into()]
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        let name = &self.stage_names()[stage];
        vec![name.clone(), format!("{name}_norm")]
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        match stage {
            0 => relu(self.stem_norm.forward(self.stem.forward(input.clone()))),
            _ => relu(
                self.body_norm
                    .forward(self.body.forward(earlier[0].clone())),
            ),
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

impl CountCosts for Mine {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let mut costs = Costs::new();
        let map = costs.conv2d("stem", "stem", &self.stem, input)?;
        costs.conv2d("body", "body", &self.body, map)?;
        costs.linear("head", "fc", &self.fc, 1);
        Ok(costs)
    }
}

fn main() -> Result<()> {
    let info = DatasetInfo::find("fashion-mnist-mini")?;
    let load = |split| info.load(split, &DataRoots::default());
    let train = Subset::all(&load(Split::Train)?).per_class(200, 0)?;
    let data = OnlineData::new(train, load(Split::Test)?);
    let branches = Branches::drawn(3, Some("stem"), 0, Mine::drawn)?;
    let costs = branches.costs(&Mine::drawn(0)?.costs([1, 28, 28])?);
    let factor = costs.compute_factor();
    println!(
        "one network {} parameters, three branches {}; a step costs {factor:.2} times as much",
        costs.single().params,
        branches.parameters()
    );

    let training = training();
    let longer = stretched(&training, factor);
    let runs = [
        ("one network, as much compute", "single", &longer),
        ("branches, no distillation", "independent", &training),
        ("OKDMDE, gate", "okdmde", &training),
        ("OKDMDE, attention a peer", "per-peer", &training),
    ];
    println!("{:30} student  mean  ensemble  differ", "");
    for (title, kind, training) in runs {
        let last = run(kind, &data, training)?;
        let percent = |name: &str| match last.get(name) {
            Some(value) => format!("{:5.1} %", 100.0 * value),
            None => "     - ".into(),
        };
        println!(
            "{title:30} {} {} {} {}",
            percent("accuracy"),
            percent("mean_accuracy"),
            percent("ensemble_accuracy"),
            percent("disagreement")
        );
        for finding in findings(&last) {
            println!("  {}: {}", finding.grade.word(), finding.text);
        }
    }
    Ok(())
}

fn training() -> Training {
    let mut training = Training::for_epochs(12);
    training.batch_size = 64;
    training.lr = 0.1;
    training.schedule = Schedule::MultiStep {
        milestones: vec![6, 9],
        gamma: 0.1,
    };
    training.optimizer = OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 5e-4,
        nesterov: true,
    };
    training
}

/// The last evaluation of a run.
fn run(kind: &str, data: &OnlineData, training: &Training) -> Result<Metrics> {
    let config = match kind {
        "per-peer" => OnlineConfig::of("okdmde")?.with("attention", "per-peer")?,
        kind => OnlineConfig::of(kind)?,
    };
    let config = match kind {
        "single" => config,
        _ => config.with_shared("stem"),
    };
    let device = Device::flex();
    let normalisation = Normalisation::new(vec![0.286], vec![0.353])?;
    let peers = Peers::drawn(&config, 0, normalisation, Mine::drawn)?;
    let online = Online::new(peers, config, data.clone(), training.clone(), &device);
    let temporary = tempfile::tempdir().map_err(Error::io("create", "a temporary folder"))?;
    let folder = RunFolder::create(&temporary.path().join("run"))?;
    let outcome = Runner::new(&folder, &AtomicBool::new(false)).run(&online, &mut ())?;
    Ok(outcome
        .into_iter()
        .next()
        .map(|phase| phase.last)
        .unwrap_or_default())
}
