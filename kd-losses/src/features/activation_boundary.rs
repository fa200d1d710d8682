//! Activation boundaries: each neuron of the student on the teacher's side of 0.

use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::{MapSizes, Projection, widths};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

const NAME: &str = "activation_boundary";

/// Squared hinge of the student's map before the ReLU, with the sign of the teacher's as the label.
///
/// ```text
/// y    = 1 where t > 0, else -1
/// loss = mean over samples of  sum over channels and positions of  max(0, margin - y s)^2
///
/// s = student_features (after an adapter)      t = teacher_features, both before the ReLU
/// ```
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`
/// - result: `[1]`
///
/// `margin` is finite and above 0. The result is never negative, and 0 where the student has the teacher's
/// sign and is at least `margin` away from 0 everywhere; of the teacher only the signs matter, 0 counting as
/// negative. It is a *sum* over the map, so a weight depends on the size of the map: see
/// [`ActivationBoundaryLoss::USUAL_WEIGHT`].
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `margin` outside its range; an empty batch; unequal shapes; tensors of different dtypes or on different
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::activation_boundary;
///
/// let device = Device::flex();
/// let teacher = Tensor::<4>::from_data([[[[7.0, 7.0, -7.0, 0.0]]]], &device);
/// let student = Tensor::<4>::from_data([[[[3.0, 0.5, 1.0, -2.0]]]], &device);
/// // Far enough; by 1/2 too near; by 2 on the wrong side; far enough.
/// let loss = activation_boundary(student, teacher, 1.0)?;
/// assert_eq!(loss.into_scalar::<f32>(), 0.25 + 4.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Heo, Lee, Yun, Choi, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden
/// Neurons", AAAI 2019, arXiv 1811.03233: the "alternative loss" that the paper minimises in place of the
/// number of neurons on the wrong side. The mean over samples is that of the authors' code.
pub fn activation_boundary(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    margin: f64,
) -> Result<Tensor<1>> {
    check_margin(margin)?;
    check::feature_pair(NAME, &student_features, &teacher_features)?;
    let [batch_size, ..] = student_features.dims();
    let active = teacher_features.without_autodiff().greater_elem(0.0);
    // -y, so that -y s is how far the student is on the other side.
    let turned = active.float().cast(student_features.dtype()) * -2.0 + 1.0;
    let hinge = (student_features * turned + margin).clamp_min(0.0);
    // Not `/ batch_size`: the derivative of Burn's division by a number has the precision of 32-bit floats.
    Ok(hinge.square().sum() * (1.0 / batch_size as f64))
}

fn check_margin(margin: f64) -> Result<()> {
    check::positive("margin", margin, "the authors use 1")
}

/// The constants of [`ActivationBoundaryLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct ActivationBoundaryLossConfig {
    /// The distance from 0 that the student should have, finite and above 0, the paper's mu.
    ///
    /// 1, the value of the authors' code.
    #[config(default = 1.0)]
    pub margin: f64,
    /// Whether convolution and batch norm are left out where both widths are equal.
    ///
    /// Left out by default, as in the authors' code.
    #[config(default = "Projection::WhenWidthsDiffer")]
    pub projection: Projection,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default: the paper taps layers of equal size.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl ActivationBoundaryLossConfig {
    /// Checks the constants and makes the loss with initial weights that depend on `seed` only.
    ///
    /// The weight is uniform in `[-b, b)` with `b = 1 / sqrt(student_channels)`; the batch norm starts with
    /// scale 1 and shift 0. Two losses of one run should have different seeds. For training pass a device
    /// with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; `margin` outside its range.
    pub fn init(
        &self,
        student_channels: usize,
        teacher_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<ActivationBoundaryLoss> {
        widths::channels(student_channels, teacher_channels)?;
        check_margin(self.margin)?;
        let wanted = self.projection == Projection::Always || student_channels != teacher_channels;
        let (mut layers, kernel) = (Layers::new(seed, device), Kernel::POINT);
        let mut connector =
            || ConvNorm::normed(&mut layers, student_channels, teacher_channels, kernel);
        Ok(ActivationBoundaryLoss {
            connector: wanted.then(&mut connector),
            student_channels,
            teacher_channels,
            margin: self.margin,
            map_sizes: self.map_sizes,
        })
    }
}

/// [`activation_boundary`] behind a 1x1 convolution and a batch norm on the student's side, made by
/// [`ActivationBoundaryLossConfig`].
///
/// The authors train with it alone, before and not beside the training with labels. In training, that is on
/// the autodiff device, the batch norm uses the statistics of the batch and updates its running ones;
/// elsewhere it uses the running ones.
///
/// It is a Burn module of its own: give it to the optimizer beside the student, save it in checkpoints, and
/// leave it out of the finished student.
#[derive(Module, Debug)]
pub struct ActivationBoundaryLoss {
    connector: Option<ConvNorm>,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    margin: f64,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl ActivationBoundaryLoss {
    /// The weight usual for the *last* of the pairs of layers: 3e-3, that of the authors' code for CIFAR-10
    /// and of RepDistiller, with no other loss beside it.
    ///
    /// Each pair before has half the weight of the next: of `n` pairs, pair `i` (from 1) has
    /// `3e-3 / 2^(n - i)`.
    pub const USUAL_WEIGHT: f64 = 3e-3;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` it is `s * t + 2 * t`, or 0 without a convolution.
    pub fn extra_parameters(&self) -> usize {
        let connector = self.connector.as_ref();
        connector.map_or(0, ConvNorm::extra_parameters)
    }

    /// [`activation_boundary`] of two maps `[batch_size, channels, height, width]` before the ReLU, whose
    /// channels are those given to `init`.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; other channels than given to `init`; unequal heights or widths
    /// under [`MapSizes::MustMatch`]; tensors of different dtypes or on different devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::ActivationBoundaryLossConfig;
    ///
    /// let device = Device::flex();
    /// let loss = ActivationBoundaryLossConfig::new().init(3, 3, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 0);
    /// let teacher = Tensor::<4>::from_data([[[[7.0]], [[-7.0]], [[0.1]]]], &device);
    /// // The teacher's signs, and beyond the margin.
    /// assert_eq!(loss.forward(teacher.clone().sign() * 2.0, teacher)?.into_scalar::<f32>(), 0.0);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.teacher_channels);
        let (student, teacher) = self.map_sizes.pair(NAME, student, teacher)?;
        let student = match &self.connector {
            Some(connector) => connector.forward(student),
            None => student,
        };
        activation_boundary(student, teacher, self.margin)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "ab",
    title: "Activation boundaries",
    family: Family::Features,
    about: "squared hinge of the map before the ReLU, with the teacher's signs as labels",
    paper: Paper {
        authors: "Heo et al.",
        year: 2018,
        arxiv: "1811.03233",
        place: "the alternative loss",
    },
    inputs: "two maps `[batch, channels, height, width]` before a ReLU, channels may differ",
    constants: &[
        Constant {
            name: "margin",
            source: "the authors' code",
        },
        Constant {
            name: "projection",
            source: "the authors' code",
        },
        Constant {
            name: "map_sizes",
            source: "pooling must be asked for; the paper taps layers of equal size",
        },
    ],
    defaults: Some(|| ActivationBoundaryLossConfig::new().to_string()),
    extra_parameters: "`s t + 2 t` for `s` and `t` channels of student and teacher where they differ",
    usual_weight: Some(UsualWeight {
        value: ActivationBoundaryLoss::USUAL_WEIGHT,
        source: "the authors' code, halved for each layer before the last, and before the training with \
            labels",
    }),
    cost: "",
    disagreements: "the factors 3 / 1000 and `1 / 2^(n - i)` of the layers are in the authors' code only; \
        here the sum over the map, mean over samples, and both factors as weights; the convolution where \
        only the sizes differ (RepDistiller) or only where the widths do (the authors)",
};
