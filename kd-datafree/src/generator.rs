//! The generator: a network that makes images of noise.

use burn::module::{Module, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid, tanh};
use burn::tensor::{Device, Tensor};
use kd_core::{Error, ImageShape, Normalisation, Result, Scheme, count_parameters, initialise};
use kd_kernels::{batch_norm, conv2d, doubled_conv2d, folded_doubled_conv2d};
use serde::{Deserialize, Serialize};

/// The slope of the leaky ReLU below 0.
const SLOPE: f64 = 0.2;
/// The share by which the running statistics of norms move.
const MOMENTUM: f64 = 0.1;

/// The last layer of a generator, and with it the space that its images are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutputKind {
    /// The hyperbolic tangent and a batch norm without scale and shift: each channel has mean 0 and variance
    /// 1 over the batch, as data that is normalised. RDSKD, DAFL, DFAD.
    TanhNorm,
    /// A batch norm with scale and shift, and no bound. ZSKT.
    Norm,
    /// The logistic function: pixels in `[0, 1]`, which are then normalised as the teacher's. CMI, Fast.
    Sigmoid,
}

impl OutputKind {
    /// The output of a generator as a teacher with this normalisation takes it.
    pub(crate) fn as_taken(
        self,
        images: Tensor<4>,
        normalisation: &Normalisation,
    ) -> Result<Tensor<4>> {
        match self {
            Self::Sigmoid => normalisation.apply(images),
            Self::TanhNorm | Self::Norm => Ok(images),
        }
    }
}

/// The shape of a [`Generator`].
///
/// The default is that of RDSKD's and DAFL's public codes for MNIST.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// The length of the noise.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1, max = 16_384)))]
    pub noise: usize,
    /// Channels at a quarter and at half the size, and channels at the whole size.
    pub widths: [usize; 2],
    /// A constant added to the variance in the norms behind the two large convolutions. The public codes of
    /// RDSKD and DAFL have 0.8, which stands where the momentum was meant; the model is made with it.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub epsilon: f64,
    /// Whether the two large convolutions have a bias; the last has one always.
    pub conv_bias: bool,
    /// Its last layer.
    pub output: OutputKind,
    /// Whether a doubling and the convolution behind it are done as one; the same function at less cost.
    pub folded: bool,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            noise: 100,
            widths: [128, 64],
            epsilon: 0.8,
            conv_bias: true,
            output: OutputKind::TanhNorm,
            folded: true,
        }
    }
}

impl GeneratorConfig {
    /// Checks every value for images of this shape.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, and for images whose sides are not multiples of
    /// four.
    pub fn check(&self, image: ImageShape) -> Result<()> {
        const WIDEST: usize = 1 << 14;
        let wrong =
            |what: &str, problem: String| Err(Error::config(format!("generator.{what}"), problem));
        if self.noise == 0 {
            return wrong("noise", "must be above 0; 100 is usual".into());
        }
        if self.noise > WIDEST || self.widths.iter().any(|width| *width > WIDEST) {
            let (noise, widths) = (self.noise, self.widths);
            let problem =
                format!("and `noise` must be at most {WIDEST}, got {widths:?} and {noise}");
            return wrong("widths", problem);
        }
        if self.widths.contains(&0) {
            let widths = self.widths;
            return wrong("widths", format!("must be above 0, got {widths:?}"));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return wrong(
                "epsilon",
                format!("must be finite and above 0, got {}", self.epsilon),
            );
        }
        let ImageShape {
            channels,
            height,
            width,
        } = image;
        if channels == 0 || height == 0 || width == 0 || height % 4 != 0 || width % 4 != 0 {
            let problem = format!(
                "doubles a map twice, so that the sides of images must be multiples of 4, got \
                 {height}x{width}; choose another size of images"
            );
            return wrong("output", problem);
        }
        Ok(())
    }

    /// A generator with initial weights as PyTorch draws them, of `seed`.
    ///
    /// # Errors
    ///
    /// As [`GeneratorConfig::check`].
    pub fn init(&self, image: ImageShape, seed: u64, device: &Device) -> Result<Generator> {
        initialise(&self.blank(image, device)?, Scheme::PyTorch, seed)
    }

    /// A generator with small initial weights of `seed`, normal around 0 with a standard deviation of 0.02,
    /// the scales of norms around 1, as the public code of CMI draws them for each batch, and that of
    /// Fast-DFKD where it draws a layer anew.
    pub(crate) fn init_small(
        &self,
        image: ImageShape,
        seed: u64,
        device: &Device,
    ) -> Result<Generator> {
        initialise(&self.blank(image, device)?, Scheme::Small, seed)
    }

    fn blank(&self, image: ImageShape, device: &Device) -> Result<Generator> {
        self.check(image)?;
        let [wide, narrow] = self.widths;
        let [height, width] = [image.height / 4, image.width / 4];
        let norm = |features: usize, epsilon: f64| {
            BatchNormConfig::new(features)
                .with_epsilon(epsilon)
                .with_momentum(MOMENTUM)
                .init(device)
        };
        let conv = |channels: [usize; 2], bias: bool| {
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(bias)
                .with_initializer(Initializer::Zeros)
                .init(device)
        };
        Ok(Generator {
            fc: LinearConfig::new(self.noise, wide * height * width)
                .with_initializer(Initializer::Zeros)
                .init(device),
            norm0: norm(wide, 1e-5),
            conv1: conv([wide, wide], self.conv_bias),
            norm1: norm(wide, self.epsilon),
            conv2: conv([wide, narrow], self.conv_bias),
            norm2: norm(narrow, self.epsilon),
            conv3: conv([narrow, image.channels], true),
            last: (self.output == OutputKind::Norm).then(|| norm(image.channels, 1e-5)),
            standard: (self.output == OutputKind::TanhNorm)
                .then(|| Standard::new(image.channels, device)),
            height,
            width,
            folded: self.folded,
        })
    }
}

/// The generator of the data-free methods: a linear layer from noise to a small map, and twice a doubling
/// with a convolution.
///
/// | layer | output |
/// | --- | --- |
/// | linear, `fc` | `[wide, height / 4, width / 4]` |
/// | batch norm, `norm0`, no activation | the same |
/// | doubling, 3x3 convolution `conv1`, norm `norm1`, leaky ReLU 0.2 | `[wide, height / 2, width / 2]` |
/// | doubling, 3x3 convolution `conv2`, norm `norm2`, leaky ReLU 0.2 | `[narrow, height, width]` |
/// | 3x3 convolution `conv3`, output | `[channels, height, width]` |
///
/// Made by [`GeneratorConfig::init`]. On the autodiff form of a device its norms are those of training, on
/// the plain form those of inference: [`Module::valid`] leads from the one to the other.
///
/// # References
///
/// Chen et al., "Data-Free Learning of Student Networks", ICCV 2019, arXiv:1904.01186, whose public code has
/// this network; Han et al., arXiv:2011.03749, take it over.
#[derive(Module, Debug)]
pub struct Generator {
    fc: Linear,
    norm0: BatchNorm,
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
    conv3: Conv2d,
    last: Option<BatchNorm>,
    standard: Option<Standard>,
    height: usize,
    width: usize,
    folded: bool,
}

impl Generator {
    /// Images of noise.
    ///
    /// # Shapes
    ///
    /// - `noise`: `[batch_size, noise]`
    /// - result: `[batch_size, channels, height, width]`: for [`OutputKind::Sigmoid`] pixels in `[0, 1]`,
    ///   else what a teacher takes *after* its normalisation
    pub fn forward(&self, noise: Tensor<2>) -> Tensor<4> {
        let [batch_size, _] = noise.dims();
        let [wide, _, _, _] = self.conv1.weight.val().dims();
        let map = self.fc.forward(noise);
        let map = map.reshape([batch_size, wide, self.height, self.width]);
        let map = batch_norm(&self.norm0, map);
        let map = leaky_relu(batch_norm(&self.norm1, self.doubled(&self.conv1, map)));
        let map = leaky_relu(batch_norm(&self.norm2, self.doubled(&self.conv2, map)));
        let map = conv2d(&self.conv3, map);
        match (&self.last, &self.standard) {
            (Some(norm), _) => batch_norm(norm, map),
            (_, Some(standard)) => standard.forward(tanh(map)),
            _ => sigmoid(map),
        }
    }

    fn doubled(&self, conv: &Conv2d, map: Tensor<4>) -> Tensor<4> {
        let bias = conv.bias.as_ref().map(burn::module::Param::val);
        if self.folded {
            folded_doubled_conv2d(map, conv.weight.val(), bias)
        } else {
            doubled_conv2d(map, conv.weight.val(), bias)
        }
    }

    /// The smallest and the largest value that each channel has at inference: exact, but for
    /// [`OutputKind::Norm`], which has no bound and where it is four standard deviations.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if a norm has nothing left to scale, as one whose inputs were all alike.
    pub fn range(&self) -> Result<[Vec<f64>; 2]> {
        let numbers =
            |tensor: Tensor<1>| -> Vec<f64> { tensor.into_data().iter::<f64>().collect() };
        let of = |middle: Vec<f64>, half: Vec<f64>, end: f64| -> Vec<f64> {
            middle
                .iter()
                .zip(half)
                .map(|(middle, half)| middle + end * half)
                .collect()
        };
        let ends = match (&self.last, &self.standard) {
            (Some(norm), _) => {
                let (middle, half) = (numbers(norm.beta.val()), numbers(norm.gamma.val().abs()));
                [-4.0, 4.0].map(|end| of(middle.clone(), half.clone(), end))
            }
            (_, Some(standard)) => {
                let mean = numbers(standard.running_mean.value_sync());
                let variance = numbers(standard.running_var.value_sync());
                let deviation: Vec<f64> = variance
                    .iter()
                    .map(|v| (v + Standard::EPSILON).sqrt())
                    .collect();
                let middle: Vec<f64> = mean
                    .iter()
                    .zip(&deviation)
                    .map(|(mean, d)| -mean / d)
                    .collect();
                let half: Vec<f64> = deviation.iter().map(|d| d.recip()).collect();
                [-1.0, 1.0].map(|end| of(middle.clone(), half.clone(), end))
            }
            _ => {
                let channels = self.conv3.weight.val().dims()[0];
                [vec![0.0; channels], vec![1.0; channels]]
            }
        };
        let [low, high] = &ends;
        let is_range = low
            .iter()
            .zip(high)
            .all(|(low, high)| low.is_finite() && high.is_finite() && low < high);
        if is_range {
            Ok(ends)
        } else {
            let problem = format!(
                "makes images of one value, from {low:?} to {high:?}; train it with a lower learning rate"
            );
            Err(Error::config("generator", problem))
        }
    }

    /// Whether a path in Burn's names is of its linear layer or of the norm behind it, which are drawn anew
    /// together.
    pub(crate) fn is_of_first_layer(path: &str) -> bool {
        path.starts_with("fc.") || path.starts_with("norm0.")
    }

    /// The number of its learnable parameters.
    pub fn parameters(&self) -> u64 {
        let standard = self.standard.as_ref().map(count_parameters);
        // The running statistics of the last norm are no parameters, which a count of a module of one's own
        // cannot tell.
        count_parameters(self) - standard.unwrap_or_default()
    }

    /// The length of the noise.
    pub fn noise(&self) -> usize {
        self.fc.weight.val().dims()[0]
    }
}

/// The leaky `ReLU` as a difference of two plain ones: the same numbers as Burn's, without its masks, which
/// take most of the time on a CPU.
fn leaky_relu(map: Tensor<4>) -> Tensor<4> {
    relu(map.clone()) - relu(map.neg()).mul_scalar(SLOPE)
}

/// A batch norm without scale and shift: it has nothing to learn.
///
/// Burn's has both, and whether they learn is forgotten by a copy.
#[derive(Module, Debug)]
struct Standard {
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
}

impl Standard {
    const EPSILON: f64 = 1e-5;

    fn new(channels: usize, device: &Device) -> Self {
        Self {
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
        }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = map.dims();
        let by_channel = |values: Tensor<1>| values.reshape([1, channels, 1, 1]);
        let (mean, variance) = if map.device().is_autodiff() {
            let mean = map.clone().mean_dims(&[0, 2, 3]);
            let variance = (map.clone() - mean.clone()).square().mean_dims(&[0, 2, 3]);
            for (running, batch) in [(&self.running_mean, &mean), (&self.running_var, &variance)] {
                let batch: Tensor<1> = batch.clone().detach().reshape([channels]);
                let old = running.value_sync().to_device(&batch.device());
                let new = old.mul_scalar(1.0 - MOMENTUM) + batch.mul_scalar(MOMENTUM);
                running.update(new.detach());
            }
            (mean, variance)
        } else {
            let mean = by_channel(self.running_mean.value_sync());
            (mean, by_channel(self.running_var.value_sync()))
        };
        (map - mean) / variance.add_scalar(Self::EPSILON).sqrt()
    }
}
