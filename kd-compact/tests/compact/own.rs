//! A network of the tests' own: a concatenation, a flattening and a depthwise convolution that doubles.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_compact::{ConvShape, Graph, Policy, Widths, check_cut};
use kd_core::{Result, Scheme, StagedNetwork, initialise};

pub(crate) const INPUT: [usize; 3] = [2, 4, 4];
const CLASSES: usize = 3;

#[derive(Module, Debug)]
pub(crate) struct Own {
    pub(crate) left: Conv2d,
    left_norm: BatchNorm,
    right: Conv2d,
    right_norm: BatchNorm,
    double: Conv2d,
    double_norm: BatchNorm,
    mix: Conv2d,
    mix_norm: BatchNorm,
    fc: Linear,
}

pub(crate) fn graph() -> Graph {
    Graph::recorded(&Own::new(0), INPUT).unwrap()
}

impl Own {
    pub(crate) fn new(seed: u64) -> Self {
        let whole = Self::of(5, 3, 4);
        initialise(&whole, Scheme::PyTorch, seed).unwrap()
    }

    fn of(left: usize, right: usize, mix: usize) -> Self {
        let device = Device::flex();
        let conv = |channels: [usize; 2], kernel: usize, groups: usize, bias: bool| {
            let padding = kernel / 2;
            let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
            Conv2dConfig::new(channels, [kernel, kernel])
                .with_padding(padding)
                .with_groups(groups)
                .with_bias(bias)
                .init(&device)
        };
        let norm = |channels: usize| BatchNormConfig::new(channels).init(&device);
        Self {
            left: conv([2, left], 3, 1, false),
            left_norm: norm(left),
            right: conv([2, right], 1, 1, true),
            right_norm: norm(right),
            double: conv([right, 2 * right], 3, right, false),
            double_norm: norm(2 * right),
            mix: conv([left + 2 * right, mix], 1, 1, false),
            mix_norm: norm(mix),
            fc: LinearConfig::new(mix * 16, CLASSES).init(&device),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as those that may fail")]
    pub(crate) fn build(widths: &Widths) -> Result<Self> {
        let [left, right, mix] = ["left", "right", "mix"].map(|path| widths.width(path));
        assert_eq!(widths.width("double"), 2 * right);
        Ok(Self::of(left, right, mix))
    }
}

impl StagedNetwork for Own {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["body".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
        let left = relu(self.left_norm.forward(self.left.forward(input.clone())));
        let right = relu(self.right_norm.forward(self.right.forward(input.clone())));
        let right = self.double_norm.forward(self.double.forward(right));
        let both = Tensor::cat(vec![left, right], 1);
        relu(self.mix_norm.forward(self.mix.forward(both)))
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

#[test]
fn hundreds_of_masks_of_a_network_of_ones_own() {
    let network = Own::new(1);
    for policy in [Policy::Zero, Policy::Fold, Policy::FoldOrZero] {
        check_cut(&network, &graph(), Own::build, policy, 200, 5).unwrap();
    }
}

#[test]
fn a_wrong_description_is_found_out() {
    let network = Own::new(1);
    // Without the ReLU, what a dead channel says is another constant.
    let mut wrong = Graph::new(INPUT);
    let input = wrong.input();
    let left = wrong.conv("left", input, ConvShape::square(5, 3));
    let left = wrong.norm("left_norm", left);
    let right = wrong.conv("right", input, ConvShape::square(3, 1).with_bias());
    let right = wrong.norm("right_norm", right);
    let doubled = ConvShape {
        width: 6,
        groups: 3,
        ..ConvShape::square(6, 3)
    };
    let right = wrong.conv("double", right, doubled);
    let right = wrong.norm("double_norm", right);
    let both = wrong.concat(&[left, right]);
    let map = wrong.conv("mix", both, ConvShape::square(4, 1));
    let map = wrong.norm("mix_norm", map);
    let row = wrong.flatten(map);
    wrong.linear("fc", row, CLASSES);
    let error = check_cut(&network, &wrong, Own::build, Policy::Fold, 20, 5).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("differ by"), "{text}");
    // With the shifts at 0 as well there are no constants, and the description is good enough.
    check_cut(&network, &wrong, Own::build, Policy::Zero, 20, 5).unwrap();
}

/// A network that looks at numbers on its way.
#[derive(Module, Debug)]
struct Curious {
    fc: Linear,
}

impl StagedNetwork for Curious {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["body".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
        let sum = input.clone().sum().into_scalar::<f32>();
        input.clone() * if sum > 0.0 { 2.0 } else { 1.0 }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

#[test]
fn a_network_that_looks_at_numbers_is_refused_in_words() {
    let network = Curious {
        fc: LinearConfig::new(32, CLASSES).init(&Device::flex()),
    };
    let error = Graph::recorded(&network, INPUT).unwrap_err().to_string();
    assert!(
        error.starts_with("`network` cannot be recorded: its forward pass panics"),
        "{error}"
    );
}
