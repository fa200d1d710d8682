//! A network of the tests' own with what other networks have: channel attention, a shuffle, halves, changes
//! of size, and a norm that is not known.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2dConfig, MaxPool2dConfig};
use burn::nn::{
    BatchNorm, BatchNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::activation::{hard_sigmoid, leaky_relu, relu, sigmoid};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use kd_compact::{Graph, Groups, Policy, Widths, check_cut};
use kd_core::{Result, Scheme, StagedNetwork, initialise};

const INPUT: [usize; 3] = [2, 6, 4];
const CLASSES: usize = 3;
const SQUEEZED: usize = 2;

#[derive(Module, Debug)]
struct Gated {
    stem: Conv2d,
    stem_norm: BatchNorm,
    squeeze: Linear,
    excite: Linear,
    right: Conv2d,
    right_norm: BatchNorm,
    mix: Conv2d,
    mix_norm: BatchNorm,
    hidden: Linear,
    layer_norm: Option<LayerNorm>,
    fc: Linear,
}

impl Gated {
    fn of([stem, right, mix, hidden]: [usize; 4], has_layer_norm: bool) -> Self {
        let device = Device::flex();
        let conv = |channels: [usize; 2], kernel: usize, bias: bool| {
            let padding = kernel / 2;
            let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
            let config = Conv2dConfig::new(channels, [kernel, kernel]).with_padding(padding);
            config.with_bias(bias).init(&device)
        };
        let norm = |channels: usize| BatchNormConfig::new(channels).init(&device);
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        Self {
            stem: conv([INPUT[0], stem], 3, false),
            stem_norm: norm(stem),
            squeeze: linear(stem, SQUEEZED),
            excite: linear(SQUEEZED, stem),
            right: conv([stem / 2, right], 1, true),
            right_norm: norm(right),
            mix: conv([stem / 2 + right + stem, mix], 3, false),
            mix_norm: norm(mix),
            hidden: linear(2 * mix, hidden),
            layer_norm: has_layer_norm.then(|| LayerNormConfig::new(hidden).init(&device)),
            fc: linear(hidden, CLASSES),
        }
    }

    fn new(has_layer_norm: bool) -> Self {
        initialise(&Self::of([8, 5, 6, 4], has_layer_norm), Scheme::PyTorch, 1).unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "as those that may fail")]
    fn build(&self, widths: &Widths) -> Result<Self> {
        let widths = ["stem", "right", "mix", "hidden"].map(|path| widths.width(path));
        Ok(Self::of(widths, self.layer_norm.is_some()))
    }
}

impl StagedNetwork for Gated {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into(), "body".into()]
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        let of = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match stage {
            0 => of(&["stem", "stem_norm", "squeeze", "excite"]),
            _ => of(&["right", "right_norm", "mix", "mix_norm"]),
        }
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        if stage == 0 {
            let map = self.stem_norm.forward(self.stem.forward(input.clone()));
            let map = map.clone() * sigmoid(map);
            let [batch_size, channels, _, _] = map.dims();
            let pooled = map
                .clone()
                .mean_dim(3)
                .mean_dim(2)
                .reshape([batch_size, channels]);
            let gate = self.excite.forward(relu(self.squeeze.forward(pooled)));
            let gate = hard_sigmoid(gate, 0.2, 0.5);
            return map * gate.reshape([batch_size, channels, 1, 1]);
        }
        let map = earlier[0].clone();
        let [batch_size, channels, height, width] = map.dims();
        let mixed = map
            .clone()
            .reshape([batch_size, 2, channels / 2, height, width])
            .swap_dims(1, 2)
            .reshape([batch_size, channels, height, width]);
        let kept = mixed.clone().narrow(1, 0, channels / 2);
        let changed = mixed.narrow(1, channels / 2, channels / 2);
        let changed = relu(self.right_norm.forward(self.right.forward(changed)));
        let joined = Tensor::cat(vec![kept, changed], 1);
        let small = AvgPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .init()
            .forward(map);
        let size =
            InterpolateOptions::new(InterpolateMode::Nearest).with_output_size([height, width]);
        let joined = Tensor::cat(vec![joined, interpolate(small, size)], 1);
        leaky_relu(self.mix_norm.forward(self.mix.forward(joined)), 0.1)
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        let map = maps[1].clone();
        let [batch_size, channels, height, width] = map.dims();
        let maximum = MaxPool2dConfig::new([height, width]).with_strides([height, width]);
        let maximum = maximum.init().forward(map.clone());
        let mean = map
            .reshape([batch_size, channels, height * width])
            .sum_dim(2)
            / 24.0;
        let maximum = maximum.reshape([batch_size, channels]);
        Tensor::cat(vec![maximum, mean.reshape([batch_size, channels])], 1)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.hidden.forward(dense));
        let hidden = match &self.layer_norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        self.fc.forward(hidden)
    }
}

/// The groups by name, their channels, and why they stay.
fn listed(graph: &Graph) -> Vec<(String, usize, String)> {
    let groups = Groups::of(graph).unwrap();
    let line = |group: &kd_compact::Group| {
        let fixed = group.fixed.clone().unwrap_or_default();
        (group.name.clone(), group.channels, fixed)
    };
    groups.groups().iter().map(line).collect()
}

#[test]
fn hundreds_of_masks_of_a_network_with_attention_a_shuffle_and_halves() {
    let network = Gated::new(false);
    let graph = Graph::recorded(&network, INPUT).unwrap();
    assert_eq!(graph.blocks(), ["stem", "body", "head"]);
    for policy in [Policy::Zero, Policy::FoldOrZero] {
        check_cut(
            &network,
            &graph,
            |widths| network.build(widths),
            policy,
            200,
            3,
        )
        .unwrap();
    }
}

#[test]
fn channels_that_are_shuffled_and_halved_go_in_pairs_and_more() {
    let graph = Graph::recorded(&Gated::new(false), INPUT).unwrap();
    let groups = Groups::of(&graph).unwrap();
    let stem: Vec<Vec<usize>> = groups
        .members(&graph)
        .into_iter()
        .filter_map(|(_, members)| {
            let stem = members.into_iter().filter(|(path, _)| path == "stem_norm");
            let channels: Vec<usize> = stem.map(|(_, channel)| channel).collect();
            (!channels.is_empty()).then_some(channels)
        })
        .collect();
    // The shuffle ties i to i + 4; it puts them at 2 i and 2 i + 1, and the halves tie places four apart.
    assert_eq!(stem, [[0, 2, 4, 6], [1, 3, 5, 7]]);
    let gate = groups.members(&graph);
    let gate = gate
        .iter()
        .find(|(_, members)| members.contains(&("excite".into(), 3)));
    assert!(gate.unwrap().1.contains(&("stem".into(), 3)));
}

#[test]
fn an_operation_that_is_not_known_is_named_and_its_channels_stay() {
    let network = Gated::new(true);
    let graph = Graph::recorded(&network, INPUT).unwrap();
    let unknown = "`LayerNorm` is an operation of which nothing is known";
    let fixed: Vec<(String, usize, String)> = listed(&graph)
        .into_iter()
        .filter(|group| !group.2.is_empty())
        .collect();
    assert!(
        fixed.contains(&("hidden".into(), 4, unknown.into())),
        "{fixed:?}"
    );
    assert!(
        fixed.iter().all(|group| !group.0.starts_with("stem_norm")),
        "{fixed:?}"
    );
    check_cut(
        &network,
        &graph,
        |widths| network.build(widths),
        Policy::FoldOrZero,
        50,
        3,
    )
    .unwrap();
}
