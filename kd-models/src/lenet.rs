//! LeNet-5 and its half, with ReLU and max pooling.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, Scheme, StagedNetwork, initialise};
use kd_kernels::max_pool2d;
use serde::{Deserialize, Serialize};

use crate::layers::{check_widths, normed_relu};
use crate::spec::check_classes;

/// Widths of a LeNet-5: three convolutions and the hidden linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeNetConfig {
    /// Output channels of the three convolutions and features of the hidden linear layer.
    pub widths: [usize; 4],
}

impl LeNetConfig {
    /// LeNet-5: 6, 16, 120, 84; 61,706 parameters for one channel, 32x32 pixels and 10 classes.
    pub const FULL: Self = Self {
        widths: [6, 16, 120, 84],
    };
    /// LeNet-5-half: 3, 8, 60, 42; 15,738 parameters for the same.
    pub const HALF: Self = Self {
        widths: [3, 8, 60, 42],
    };

    pub(crate) fn check(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input(input)?;
        check_classes(classes)?;
        check_widths(&self.widths)
    }
}

/// LeNet-5 as the data-free distillation papers have it: ReLU and max pooling, no norm.
///
/// ```text
/// conv 5x5 - relu - max pool 2 - conv 5x5 - relu - max pool 2 - conv 5x5 - relu - flatten
///          - linear - relu - linear
/// ```
///
/// The convolutions have no padding, with one exception: along an axis of 28 to 31 pixels, the first one has
/// a padding of 2, so that MNIST's 28x28 images are taken as they are. (The papers enlarge them to 32x32,
/// which is up to you.) Larger images than 32x32 make the first linear layer larger.
///
/// * **Stages**: `conv1`, `conv2`, `conv3`. Their maps are taken after the ReLU and the pooling; the last
///   one, flattened, is what DAFL calls the features.
/// * **Dense**: the hidden linear layer after its ReLU, 84 (42) features. That layer belongs to the head.
/// * **Names** in files: `conv1`, `conv2`, `conv3`, `fc1`, `fc2`.
/// * **Initial weights**: as PyTorch's layers come, weights and biases uniform in `+-1/sqrt(fan_in)`.
///
/// # References
///
/// LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proceedings of
/// the IEEE 86(11), 1998, for the layers; Chen et al., "Data-Free Learning of Student Networks" (DAFL), ICCV
/// 2019, arXiv:1904.01186, and Han, Park, Wang, Liu, "Robustness and Diversity Seeking Data-Free Knowledge
/// Distillation", ICASSP 2021, arXiv:2011.03749, for this form of it.
#[derive(Module, Debug)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Conv2d,
    fc1: Linear,
    fc2: Linear,
    pool: MaxPool2d,
}

const STAGES: [&str; 3] = ["conv1", "conv2", "conv3"];

impl LeNet {
    /// A network for `input` images `[channels, height, width]`, its weights a function of `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the images are smaller than 28x28, a width is 0, or there are fewer than 2
    /// classes.
    pub fn new(
        config: &LeNetConfig,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        initialise(
            &Self::blank(config, input, classes, device)?,
            Scheme::PyTorch,
            seed,
        )
    }

    pub(crate) fn blank(
        config: &LeNetConfig,
        input: [usize; 3],
        classes: usize,
        device: &Device,
    ) -> Result<Self> {
        config.check(input, classes)?;
        let [channels, height, width] = input;
        let [first, second, third, hidden] = config.widths;
        let [top, left] = [height, width].map(first_padding);
        let features = third * last_size(height) * last_size(width);
        Ok(Self {
            conv1: conv([channels, first], [top, left], device),
            conv2: conv([first, second], [0, 0], device),
            conv3: conv([second, third], [0, 0], device),
            fc1: linear(features, hidden, device),
            fc2: linear(hidden, classes, device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        })
    }
}

/// Images must leave at least one pixel after the third convolution.
fn check_input(input: [usize; 3]) -> Result<()> {
    let [channels, height, width] = input;
    if channels == 0 || height < 28 || width < 28 {
        let problem = format!(
            "of a LeNet must be [channels, height, width] with 28 pixels or more a side, got {input:?}"
        );
        return Err(Error::config("input", problem));
    }
    Ok(())
}

/// The padding of the first convolution along an axis of `size` pixels.
fn first_padding(size: usize) -> usize {
    if size < 32 { 2 } else { 0 }
}

/// The pixels of an axis that are left of `size` after the third convolution.
fn last_size(size: usize) -> usize {
    let pooled = |size: usize| (size - 4) / 2;
    pooled(pooled(size + 2 * first_padding(size))) - 4
}

fn conv(channels: [usize; 2], [top, left]: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [5, 5])
        .with_padding(PaddingConfig2d::Explicit(top, left, top, left))
        .with_initializer(Initializer::Zeros)
        .init(device)
}

fn linear(features_in: usize, features_out: usize, device: &Device) -> Linear {
    LinearConfig::new(features_in, features_out)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

impl StagedNetwork for LeNet {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        STAGES.map(str::to_owned).to_vec()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        match stage {
            0 => max_pool2d(&self.pool, normed_relu(&self.conv1, None, input.clone())),
            1 => {
                let map = normed_relu(&self.conv2, None, earlier[0].clone());
                max_pool2d(&self.pool, map)
            }
            _ => normed_relu(&self.conv3, None, earlier[1].clone()),
        }
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        let features = maps[2].clone().flatten(1, 3); // [batch_size, channels * height * width]
        relu(self.fc1.forward(features))
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(dense)
    }
}

impl CountCosts for LeNet {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let pooled = |[channels, height, width]: [usize; 3]| [channels, height / 2, width / 2];
        let mut costs = Costs::new();
        let map = pooled(costs.conv2d(STAGES[0], "conv1", &self.conv1, input)?);
        let map = pooled(costs.conv2d(STAGES[1], "conv2", &self.conv2, map)?);
        let map = costs.conv2d(STAGES[2], "conv3", &self.conv3, map)?;
        let [expected, _]: [usize; 2] = self.fc1.weight.lazy_shape().dims();
        let found = map.into_iter().product::<usize>();
        if found != expected {
            return Err(Error::Shape {
                what: "input of `fc1`".into(),
                expected: format!("{expected} features"),
                found: format!("{found}"),
                remedy: "count with the image size that the network was built for".into(),
            });
        }
        costs.linear("head", "fc1", &self.fc1, 1);
        costs.linear("head", "fc2", &self.fc2, 1);
        Ok(costs)
    }
}
