//! The regressor with a batch norm behind it.

use super::conv_norm::ConvNorm;
use super::map_sizes::MapSizes;
use super::widths;
use crate::check;
use crate::error::Result;
use crate::features::hint::mean_squared_difference;
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

const NAME: &str = "normed_regressor";

/// The layer behind the batch norm of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Nonlinearity {
    /// Nothing: compare with a teacher's tap before its nonlinearity.
    Linear,
    /// A ReLU: compare with a teacher's tap behind its own ReLU, which has no negative values either.
    Relu,
}

impl Nonlinearity {
    pub(crate) fn apply(self, features: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Linear => features,
            Self::Relu => relu(features),
        }
    }
}

/// The widths and choices of a [`NormedRegressor`].
///
/// # Examples
///
/// ```
/// use kd_losses::NormedRegressorConfig;
///
/// // Weights, and a scale and a shift for each channel of the teacher.
/// let config = NormedRegressorConfig::new(16, 64);
/// assert_eq!(config.extra_parameters(), 16 * 64 + 2 * 64);
/// ```
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NormedRegressorConfig {
    /// Channels of the student's tap, at least 1.
    pub student_channels: usize,
    /// Channels of the teacher's tap, at least 1.
    pub teacher_channels: usize,
    /// The layer behind the batch norm.
    ///
    /// A ReLU, the default of `ConvReg` in RepDistiller, the code of Tian et al., arXiv 1910.10699.
    #[config(default = "Nonlinearity::Relu")]
    pub nonlinearity: Nonlinearity,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default; pooling a map changes what is compared and should be asked for.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl NormedRegressorConfig {
    /// The number of trained parameters that the regressor adds beside the student:
    /// `student_channels * teacher_channels + 2 * teacher_channels`.
    ///
    /// The running statistics of the batch norm, another `2 * teacher_channels` numbers, are not trained.
    pub fn extra_parameters(&self) -> usize {
        (self.student_channels + 2) * self.teacher_channels
    }

    /// Checks the config and makes a regressor whose initial weights depend on `seed` only.
    ///
    /// The weight is uniform in `[-b, b)` with `b = 1 / sqrt(student_channels)`; the batch norm starts with
    /// scale 1 and shift 0. Two modules of one run should have different seeds. For training pass a device
    /// with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0.
    pub fn init(&self, seed: u64, device: &Device) -> Result<NormedRegressor> {
        let (student_channels, teacher_channels) = (self.student_channels, self.teacher_channels);
        widths::channels(student_channels, teacher_channels)?;
        let mut layers = Layers::new(seed, device);
        Ok(NormedRegressor {
            block: ConvNorm::normed(
                &mut layers,
                student_channels,
                teacher_channels,
                Kernel::POINT,
            ),
            student_channels,
            teacher_channels,
            nonlinearity: self.nonlinearity,
            map_sizes: self.map_sizes,
        })
    }
}

/// A 1x1 convolution, a batch norm and a ReLU that bring the student's tap to the width of the teacher's.
///
/// ```text
/// c[o, y, x] = sum over i of weight[o, i] s[i, y, x]
/// r(s)       = max(0, gamma[o] (c - mean[o]) / sqrt(variance[o] + 1e-5) + beta[o])
///
/// s = student_features     i = a student's channel     o = a teacher's channel
/// mean, variance = over samples and positions of the batch (variance divided by their number)
/// ```
///
/// In training, that is on the autodiff device, mean and variance are those of the batch, and the running
/// ones are updated with a momentum of 0.1; elsewhere the running ones are used. A batch of one sample with a
/// single position has variance 0, so that the result is `max(0, beta)` and no gradient reaches the student.
/// Unlike [`Regressor`](crate::Regressor) the result does not depend on the size of the student's features.
///
/// It is a Burn module of its own: give it to the optimizer beside the student, save it in checkpoints, and
/// leave it out of the finished student. Make it with [`NormedRegressorConfig`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::NormedRegressorConfig;
///
/// let device = Device::flex().autodiff();
/// let regressor = NormedRegressorConfig::new(2, 3).init(0, &device)?;
/// let student = Tensor::<4>::from_data([[[[1.0, 2.0]], [[0.5, -1.0]]]], &device);
/// let projected = regressor.project(student)?;
/// assert_eq!(projected.dims(), [1, 3, 1, 2]);
/// // Each channel has the values -1 and 1 behind the batch norm, and the ReLU takes the first away.
/// assert!((projected.sum().into_scalar::<f32>() - 3.0).abs() < 1e-3);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Romero et al., "`FitNets`: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550, section 2.2, in the form
/// that RepDistiller gives it (`ConvReg`, code of Tian et al., "Contrastive Representation Distillation",
/// ICLR 2020, arXiv 1910.10699). There the convolution has a bias, which the batch norm takes away again, so
/// ours has none; and where the sizes differ it is a strided 3x3, a transposed or an unpadded convolution.
/// Ours is 1x1 always and leaves sizes to [`MapSizes::PoolLarger`].
#[derive(Module, Debug)]
pub struct NormedRegressor {
    block: ConvNorm,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    nonlinearity: Nonlinearity,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl NormedRegressor {
    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        self.block.extra_parameters()
    }

    /// The student's map `[batch_size, student_channels, height, width]` as
    /// `[batch_size, teacher_channels, height, width]`.
    ///
    /// # Errors
    ///
    /// A map without elements; channels other than those of the config.
    pub fn project(&self, student_features: Tensor<4>) -> Result<Tensor<4>> {
        check::filled(NAME, "student_features", &student_features)?;
        let expected = self.student_channels;
        check::width(NAME, "student_features", &student_features, expected)?;
        Ok(self.apply(student_features))
    }

    /// Brings two taps to one shape: the student through the regressor, the larger map pooled before it if
    /// the config says so.
    ///
    /// # Shapes
    ///
    /// - `student_features`: `[batch_size, student_channels, height, width]`
    /// - `teacher_features`: `[batch_size, teacher_channels, height, width]`, where height and width may
    ///   differ from the student's under [`MapSizes::PoolLarger`]
    /// - result: student and teacher, both `[batch_size, teacher_channels, height, width]` with the smaller
    ///   height and the smaller width of the two
    ///
    /// The teacher's map comes back as a constant without a gradient.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; channels other than those of the config; unequal heights or
    /// widths under [`MapSizes::MustMatch`]; tensors of different dtypes or on different devices.
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.teacher_channels);
        let (student, teacher) = self.map_sizes.pair(NAME, student, teacher)?;
        Ok((self.apply(student), teacher))
    }

    /// [`hint`](crate::hint()) of the two taps after [`NormedRegressor::forward`].
    ///
    /// # Errors
    ///
    /// Those of [`NormedRegressor::forward`].
    pub fn hint(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let (student, teacher) = self.forward(student_features, teacher_features)?;
        Ok(mean_squared_difference(student, teacher))
    }

    fn apply(&self, student: Tensor<4>) -> Tensor<4> {
        self.nonlinearity.apply(self.block.forward(student))
    }
}
