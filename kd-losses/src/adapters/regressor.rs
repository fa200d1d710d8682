//! The trainable map from the student's feature space to the teacher's.

use super::map_sizes::{MapSizes, pool_to};
use super::widths::at_least_one;
use crate::adapters::convolve::convolve;
use crate::check;
use crate::error::{Error, Result};
use crate::features::hint::mean_squared_difference;
use crate::seeded;
use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Device, Tensor, TensorData};

const NAME: &str = "regressor";

/// Whether there is a convolution where the widths are equal already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Projection {
    /// There always is one.
    Always,
    /// Only where the number of channels differs; else the regressor has no parameters.
    WhenWidthsDiffer,
}

/// The widths and choices of a [`Regressor`].
///
/// # Examples
///
/// ```
/// use kd_losses::{MapSizes, RegressorConfig};
///
/// let config = RegressorConfig::new(16, 64).with_map_sizes(MapSizes::PoolLarger);
/// assert_eq!(config.extra_parameters(), 16 * 64 + 64);
/// # Ok::<(), kd_losses::Error>(())
/// ```
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegressorConfig {
    /// Channels of the student's tap, at least 1.
    pub student_channels: usize,
    /// Channels of the teacher's tap, at least 1.
    pub teacher_channels: usize,
    /// Whether the convolution is left out where both widths are equal.
    ///
    /// Always there by default: the student need not use the teacher's channel order.
    #[config(default = "Projection::Always")]
    pub projection: Projection,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default; pooling a map changes what is compared and should be asked for.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl RegressorConfig {
    /// The number of trained parameters that the regressor adds beside the student.
    ///
    /// `student_channels * teacher_channels + teacher_channels`, or 0 without a convolution.
    pub fn extra_parameters(&self) -> usize {
        if self.has_convolution() {
            (self.student_channels + 1) * self.teacher_channels
        } else {
            0
        }
    }

    /// Checks the config and makes a regressor whose initial weights depend on `seed` only.
    ///
    /// Weight and bias are uniform in `[-b, b)` with `b = 1 / sqrt(student_channels)`, the range of
    /// `PyTorch`'s convolutions. The values are draws 0, 1, 2, ... of a splitmix64 generator started
    /// at `seed`: first the weight `[teacher_channels, student_channels, 1, 1]` row by row, then the
    /// bias. A draw's upper 24 bits `u` become `(u / 2^23 - 1) * b` in 32-bit floats. No generator of
    /// the device is used or advanced. Two regressors of one run should have different seeds.
    ///
    /// For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0.
    pub fn init(&self, seed: u64, device: &Device) -> Result<Regressor> {
        at_least_one("student_channels", self.student_channels)?;
        at_least_one("teacher_channels", self.teacher_channels)?;
        Ok(Regressor {
            conv: self
                .has_convolution()
                .then(|| self.convolution(seed, device)),
            student_channels: self.student_channels,
            teacher_channels: self.teacher_channels,
            map_sizes: self.map_sizes,
        })
    }

    fn has_convolution(&self) -> bool {
        self.projection == Projection::Always || self.student_channels != self.teacher_channels
    }

    fn convolution(&self, seed: u64, device: &Device) -> Conv2d {
        let (channels_in, channels_out) = (self.student_channels, self.teacher_channels);
        let bound = (channels_in as f32).sqrt().recip();
        let mut values = seeded::uniform(seed, bound);
        let weight: Vec<f32> = values.by_ref().take(channels_in * channels_out).collect();
        let bias: Vec<f32> = values.take(channels_out).collect();
        let weight = TensorData::new(weight, [channels_out, channels_in, 1, 1]);
        let bias = TensorData::new(bias, [channels_out]);
        Conv2d {
            weight: Param::from_data(weight, device),
            bias: Some(Param::from_data(bias, device)),
            stride: [1, 1],
            kernel_size: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Valid,
        }
    }
}

/// A 1x1 convolution that maps the student's tap to the width of the teacher's hint.
///
/// ```text
/// r(s)[o, y, x] = bias[o] + sum over i of weight[o, i] s[i, y, x]
///
/// s = student_features     i = a student's channel     o = a teacher's channel
/// ```
///
/// It is a Burn module of its own: give it to the optimizer beside the student, save it in
/// checkpoints, and leave it out of the finished student. Make it with [`RegressorConfig`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::RegressorConfig;
///
/// let device = Device::flex();
/// let regressor = RegressorConfig::new(4, 6).init(0, &device.clone().autodiff())?;
/// let student = Tensor::<4>::ones([2, 4, 3, 3], &device.clone().autodiff());
/// let teacher = Tensor::<4>::ones([2, 6, 3, 3], &device);
///
/// let gradients = regressor.hint(student, teacher)?.backward();
/// let weight = regressor.conv().map(|conv| conv.weight.val());
/// assert!(weight.is_some_and(|weight| weight.grad(&gradients).is_some()));
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Romero et al., "`FitNets`: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, section 2.2 and
/// equation (3). The paper's regressor is a convolution whose kernel is so large that, unpadded, it
/// also brings the student's map to the teacher's size, followed by the teacher's nonlinearity. Ours
/// is 1x1 and linear: compare taps before the nonlinearity, and leave sizes to
/// [`MapSizes::PoolLarger`]. Other implementations choose strided 3x3 convolutions by the ratio of
/// the sizes, and put batch normalisation and a `ReLU` behind them.
#[derive(Module, Debug)]
pub struct Regressor {
    conv: Option<Conv2d>,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl Regressor {
    /// The convolution, if there is one: weight `[teacher_channels, student_channels, 1, 1]`, bias
    /// `[teacher_channels]`.
    pub fn conv(&self) -> Option<&Conv2d> {
        self.conv.as_ref()
    }

    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        self.num_params()
    }

    /// Brings two taps to one shape: the student through the convolution, the larger map pooled if
    /// the config says so.
    ///
    /// # Shapes
    ///
    /// - `student_features`: `[batch_size, student_channels, height, width]`
    /// - `teacher_features`: `[batch_size, teacher_channels, height, width]`, where height and width
    ///   may differ from the student's under [`MapSizes::PoolLarger`]
    /// - result: student and teacher, both `[batch_size, teacher_channels, height, width]` with the
    ///   smaller height and the smaller width of the two
    ///
    /// The teacher's map comes back as a constant without a gradient.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; channels other than those of the config; unequal heights
    /// or widths under [`MapSizes::MustMatch`]; tensors of different dtypes or on different devices.
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        check::sample_pair(NAME, &student_features, &teacher_features)?;
        let (student_shape, teacher_shape) = (student_features.dims(), teacher_features.dims());
        self.check_widths(student_shape, teacher_shape)?;
        let size = self.map_sizes.common(NAME, student_shape, teacher_shape)?;

        // A 1x1 convolution and an average commute, so pool first and convolve fewer positions.
        let student = pool_to(student_features, size);
        let student = match &self.conv {
            Some(conv) => convolve(conv, student),
            None => student,
        };
        Ok((student, pool_to(teacher_features.without_autodiff(), size)))
    }

    /// [`hint`](crate::hint()) of the two taps after [`Regressor::forward`].
    ///
    /// # Errors
    ///
    /// Those of [`Regressor::forward`].
    pub fn hint(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let (student, teacher) = self.forward(student_features, teacher_features)?;
        Ok(mean_squared_difference(student, teacher))
    }

    fn check_widths(&self, student_shape: [usize; 4], teacher_shape: [usize; 4]) -> Result<()> {
        let taps = [
            ("student_features", student_shape, self.student_channels),
            ("teacher_features", teacher_shape, self.teacher_channels),
        ];
        for (name, shape, expected) in taps {
            if shape[1] != expected {
                return Err(Error::UnexpectedChannels {
                    loss: NAME,
                    name,
                    shape,
                    expected,
                });
            }
        }
        Ok(())
    }
}
