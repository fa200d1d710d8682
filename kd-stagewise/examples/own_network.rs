//! Stagewise distillation of a network of one's own, in about a minute on two cores:
//!
//! ```text
//! cargo run -p kd-stagewise --example own_network
//! ```
//!
//! A teacher learns all 5,000 images of the small Fashion-MNIST that kd brings along. Students of half its depth then learn from 500
//! of them: one from the labels alone, one stage by stage from the teacher.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    DataRoots, DatasetInfo, Error, Snapshot, Names, Normalisation, OptimizerConfig, Result, RunFolder,
    Runner, Schedule, Split, StagedNetwork, Subset, Training, import,
};
use kd_stagewise::{
    FrozenStages, Procedure, Select, Stagewise, StagewiseConfig, StagewiseData,
    classification_training,
};

/// Three stages of convolutions with norms. This is all that kd must be told of a network.
#[derive(Module, Debug)]
struct Mine {
    first: Vec<Block>,
    second: Vec<Block>,
    third: Vec<Block>,
    fc: Linear,
}

#[derive(Module, Debug)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm,
}

impl StagedNetwork for Mine {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        ["first", "second", "third"].map(String::from).to_vec()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        let blocks = [&self.first, &self.second, &self.third][stage];
        let map = if stage == 0 {
            input
        } else {
            &earlier[stage - 1]
        };
        let run = |map, block: &Block| relu(block.norm.forward(block.conv.forward(map)));
        blocks.iter().fold(map.clone(), run)
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[2].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// A network with so many convolutions in each stage.
fn mine(depth: usize, device: &Device) -> Mine {
    let block = |from: usize, to: usize, stride: usize| Block {
        conv: Conv2dConfig::new([from, to], [3, 3])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false)
            .init(device),
        norm: BatchNormConfig::new(to).init(device),
    };
    let stage = |from: usize, to: usize| -> Vec<Block> {
        let rest = (1..depth).map(|_| block(to, to, 1));
        std::iter::once(block(from, to, 2)).chain(rest).collect()
    };
    Mine {
        first: stage(1, 16),
        second: stage(16, 32),
        third: stage(32, 64),
        fc: LinearConfig::new(64, 10).init(device),
    }
}

fn main() -> Result<()> {
    let device = Device::flex();
    let info = DatasetInfo::find("fashion-mnist-mini")?;
    let load = |split| Ok::<_, Error>(Subset::all(&info.load(split, &DataRoots::default())?));
    let (all, test) = (load(Split::Train)?, load(Split::Test)?);
    let normalisation = info.normalisation();

    let mut training = Training::for_epochs(3);
    training.lr = 0.1;
    training.schedule = Schedule::one_cycle();
    let data = StagewiseData::new(all.clone(), test.clone());
    let mut teacher = mine(2, &device);
    let accuracy = run(
        &mut teacher,
        &normalisation,
        data,
        training,
        "no-teacher",
        None,
    )?;
    println!("teacher, 5,000 images: {:.1} %", 100.0 * accuracy);

    let mut training = classification_training();
    training.epochs = Some(30);
    training.lr = 1e-2;
    training.optimizer = OptimizerConfig::adam();
    for procedure in ["no-teacher", "skd"] {
        let data = StagewiseData::new(all.fraction(0.1, 0)?, test.clone());
        let asked = FrozenStages::new(&teacher, normalisation.clone(), &device);
        let mut student = mine(1, &device);
        let training = training.clone();
        let accuracy = run(
            &mut student,
            &normalisation,
            data,
            training,
            procedure,
            Some(asked),
        )?;
        println!(
            "student, 500 images, {procedure}: {:.1} %",
            100.0 * accuracy
        );
    }
    Ok(())
}

/// Trains `network` and gives its accuracy on the test images after the last epoch.
fn run(
    network: &mut Mine,
    normalisation: &Normalisation,
    data: StagewiseData,
    training: Training,
    procedure: &str,
    teacher: Option<FrozenStages<Mine>>,
) -> Result<f64> {
    let mut config = StagewiseConfig::default();
    config.procedure = Procedure::of(procedure)?;
    config.select = Select::Last;
    let mut method = Stagewise::new(
        network,
        normalisation.clone(),
        data,
        training,
        &Device::flex(),
    )
    .with_config(config);
    if let Some(teacher) = teacher {
        method = method.with_teacher(Box::new(teacher));
    }
    let place = tempfile::tempdir().map_err(Error::io("write", "the run's folder"))?;
    let folder = RunFolder::create(place.path())?;
    let outcomes = Runner::new(&folder, &AtomicBool::new(false)).run(&method, &mut ())?;
    let tensors = folder.result(&method.result_phase()?, Snapshot::Last)?;
    *network = import(network, &tensors, Names::PyTorch, "the run's result")?;
    let accuracy = outcomes
        .last()
        .and_then(|last| last.last.get("accuracy").copied());
    Ok(accuracy.unwrap_or(f64::NAN))
}
