//! Stagewise distillation of a network of one's own, in about a minute on two cores:
//!
//! ```text
//! cargo run -p kd-stagewise --example own_network
//! ```
//!
//! A teacher learns all 5,000 images of the small Fashion-MNIST that kd brings along. Students of half its
//! depth then learn from 500 of them: one from the labels alone, one stage by stage from the teacher.
#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{
    DataRoots, DatasetInfo, Error, FrozenTeacher, OptimizerConfig, Result, RunFolder, Runner,
    Schedule, Snapshot, Split, StagedNetwork, Subset, Training,
};
use kd_stagewise::{
    Procedure, Select, Stagewise, StagewiseConfig, StagewiseData, classification_training,
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
    let method = Stagewise::new(
        &mine(2, &device),
        normalisation.clone(),
        data,
        training,
        &device,
    );
    let (teacher, accuracy) = run(method, "no-teacher")?;
    println!("teacher, 5,000 images: {:.1} %", 100.0 * accuracy);

    let mut training = classification_training();
    training.epochs = Some(30);
    training.lr = 1e-2;
    training.optimizer = OptimizerConfig::adam();
    let data = StagewiseData::new(all.fraction(0.1, 0)?, test);
    for procedure in ["no-teacher", "skd"] {
        let (student, norm) = (mine(1, &device), normalisation.clone());
        let teacher = FrozenTeacher::new(&teacher, norm.clone(), &device);
        let method = Stagewise::new(&student, norm, data.clone(), training.clone(), &device)
            .with_teacher(Box::new(teacher));
        let (_student, accuracy) = run(method, procedure)?;
        println!(
            "student, 500 images, {procedure}: {:.1} %",
            100.0 * accuracy
        );
    }
    Ok(())
}

/// Runs a procedure: the student after its last epoch, and its accuracy on the test images.
fn run(method: Stagewise<Mine>, procedure: &str) -> Result<(Mine, f64)> {
    let mut config = StagewiseConfig::default();
    config.procedure = Procedure::of(procedure)?;
    config.select = Select::Last;
    let method = method.with_config(config);
    let place = tempfile::tempdir().map_err(Error::io("write", "the run's folder"))?;
    let folder = RunFolder::create(place.path())?;
    let outcomes = Runner::new(&folder, &AtomicBool::new(false)).run(&method, &mut ())?;
    let accuracy = outcomes
        .last()
        .and_then(|last| last.last.get("accuracy").copied());
    let student = method.student(&folder, Snapshot::Last)?;
    Ok((student, accuracy.unwrap_or(f64::NAN)))
}
