//! A network of one's own made smaller: recorded, checked, cut to half of its multiply-accumulates, and
//! trained on.
//!
//! `cargo run -p kd-compact --example compact_own_network`

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::{Device, Tensor, activation::relu};
use kd_compact::{
    Amount, Compact, CompactSettings, Graph, Policy, Widths, check_cut, cut_training,
    sparsify_training,
};
use kd_core::{
    DataRoots, DatasetInfo, FrozenTeacher, Normalisation, Result, RunFolder, Runner, Scheme, Split,
    StagedNetwork, Subset, Training, initialise,
};

#[derive(Module, Debug)]
struct Mine {
    stem: Conv2d,
    stem_norm: BatchNorm,
    body: Conv2d,
    body_norm: BatchNorm,
    fc: Linear,
}

impl Mine {
    fn of(stem: usize, body: usize) -> Self {
        let device = Device::flex();
        let conv = |channels: [usize; 2]| {
            Conv2dConfig::new(channels, [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(&device)
        };
        Self {
            stem: conv([1, stem]),
            stem_norm: BatchNormConfig::new(stem).init(&device),
            body: conv([stem, body]),
            body_norm: BatchNormConfig::new(body).init(&device),
            fc: LinearConfig::new(body, 10).init(&device),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as those that may fail")]
    fn of_widths(widths: &Widths) -> Result<Self> {
        Ok(Self::of(widths.width("stem"), widths.width("body")))
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
        maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3) // [batch_size, channels]
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let info = DatasetInfo::find("fashion-mnist-mini")?;
    let load = |split| info.load(split, &DataRoots::default());
    let data = [
        Subset::all(&load(Split::Train)?),
        Subset::all(&load(Split::Test)?),
    ];
    let network = initialise(&Mine::of(16, 32), Scheme::KaimingFanOut, 0)?;
    // Which channels live and die together, and the proof.
    let graph = Graph::recorded(&network, [1, 28, 28])?;
    check_cut(&network, &graph, Mine::of_widths, Policy::FoldOrZero, 10, 0)?;

    let mut settings = CompactSettings::default();
    settings.budget.macs = Some(Amount::new(0.5)?);
    // A network that knows nothing yet teaches nothing.
    settings.distill.weight = 0.0;
    let teacher = FrozenTeacher::new(&network, Normalisation::identity(1), &device);
    let plain = Normalisation::identity(1);
    let build = |widths: &Widths| Mine::of_widths(widths);
    let method = Compact::new(
        &network,
        graph,
        build,
        Box::new(teacher),
        plain,
        data,
        &device,
    )?
    .with_settings(settings)
    .with_training(short(sparsify_training()), short(cut_training()));
    method.check()?;

    let place = tempfile::tempdir()?;
    let folder = RunFolder::create(place.path())?;
    folder.write("recipe.toml", b"")?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    Runner::new(&folder, &stop).run(&method, &mut ())?;
    let widths = method.widths(&folder)?;
    assert!(widths.width("stem") * widths.width("body") < 16 * 32);
    Ok(())
}

fn short(mut training: Training) -> Training {
    training.epochs = Some(2);
    training
}
