//! The overhaul of feature distillation: a margin ReLU for the teacher, a partial distance.

use crate::adapters::MapSizes;
use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::widths;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

const NAME: &str = "ofd";

/// Partial squared distance from the teacher's map behind its margin ReLU.
///
/// ```text
/// u    = max(t, margins[c])
/// d    = 0             where s <= u <= 0
///        (s - u)^2     elsewhere
/// loss = mean over samples of  sum over channels and positions of  d
///
/// s = student_features (after an adapter)      t = teacher_features, before the teacher's ReLU
/// ```
///
/// Where the teacher is positive the student must have its value; where it is negative the student must only
/// be as low as the margin ReLU of the teacher, since the ReLU behind it makes 0 of both.
///
/// # Shapes
///
/// - `student_features`, `teacher_features`: `[batch_size, channels, height, width]`
/// - `margins`: one number a channel, see [`ofd_margins`](crate::ofd_margins)
/// - result: `[1]`
///
/// `margins` are finite and at most 0. The result has the unit of a squared feature and is never negative. It
/// is a *sum* over the map, so a weight depends on the size of the map: see [`OfdLoss::USUAL_WEIGHT`]. It is
/// finite for features of up to 1e15 in 32-bit floats.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// Another number of margins than channels, or one outside its range; an empty batch; unequal shapes; tensors
/// of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::ofd;
///
/// let device = Device::flex();
/// // Positive teacher; negative teacher above and below the margin of -1.
/// let teacher = Tensor::<4>::from_data([[[[2.0, -0.5, -7.0]]]], &device);
/// let student = Tensor::<4>::from_data([[[[1.0, -9.0, 1.0]]]], &device);
/// // (1 - 2)^2, nothing, and (1 + 1)^2.
/// assert_eq!(ofd(student, teacher, &[-1.0])?.into_scalar::<f32>(), 5.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Heo, Kim, Yun, Park, Kwak, Choi, "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv
/// 1904.01866, section 3 (margin ReLU and partial L2 distance) and the authors' code, from which the mean
/// over samples comes.
pub fn ofd(
    student_features: Tensor<4>,
    teacher_features: Tensor<4>,
    margins: &[f64],
) -> Result<Tensor<1>> {
    check::feature_pair(NAME, &student_features, &teacher_features)?;
    let [batch_size, channels, ..] = teacher_features.dims();
    check::one_for_each_channel(NAME, "margins", margins.len(), channels)?;
    check_margins(margins)?;

    let teacher = teacher_features.without_autodiff();
    let options = (&teacher.device(), teacher.dtype());
    let data = TensorData::new(margins.to_vec(), [1, channels, 1, 1]);
    let margins = Tensor::<4>::from_data(data.convert_dtype(teacher.dtype()), options);
    let positive = teacher.clone().greater_elem(0.0);
    let difference = student_features - teacher.max_pair(margins);
    // Where the teacher is negative, only what is above it counts: a factor of 1 or 0, which is a constant to
    // the gradient.
    let above = difference.clone().without_autodiff().greater_elem(0.0);
    let counts = positive.bool_or(above).float().cast(difference.dtype());
    let counted = difference * counts;
    // Not `/ batch_size`: the derivative of Burn's division by a number has the precision of 32-bit floats.
    Ok(counted.square().sum() * (1.0 / batch_size as f64))
}

fn check_margins(margins: &[f64]) -> Result<()> {
    for &margin in margins {
        let ok = margin.is_finite() && margin <= 0.0;
        let advice = "compute them with `ofd_margins`";
        check::constant("margins", margin, ok, "finite and at most 0", advice)?;
    }
    Ok(())
}

/// The choice of [`OfdLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct OfdLossConfig {
    /// The treatment of maps of different height or width.
    ///
    /// An error by default: the paper taps layers of equal size.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl OfdLossConfig {
    /// Checks the margins and makes the loss with initial weights that depend on `seed` only.
    ///
    /// `margins` are those of the teacher's channels, of which there are as many: see
    /// [`ofd_margins`](crate::ofd_margins). The weight is uniform in `[-b, b)` with
    /// `b = 1 / sqrt(student_channels)`; the batch norm starts with scale 1 and shift 0. Two losses of one
    /// run should have different seeds. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; a margin that is not finite or above 0.
    pub fn init(
        &self,
        student_channels: usize,
        margins: Vec<f64>,
        seed: u64,
        device: &Device,
    ) -> Result<OfdLoss> {
        widths::channels(student_channels, margins.len())?;
        check_margins(&margins)?;
        let mut layers = Layers::new(seed, device);
        Ok(OfdLoss {
            connector: ConvNorm::normed(
                &mut layers,
                student_channels,
                margins.len(),
                Kernel::POINT,
            ),
            student_channels,
            margins,
            map_sizes: self.map_sizes,
        })
    }
}

/// [`ofd`] behind a 1x1 convolution and a batch norm on the student's side, made by [`OfdLossConfig`].
///
/// Tap both networks before a ReLU, behind the last block of a size. The authors run the teacher's batch
/// norms in training form, with the statistics of the batch, while they distill; a teacher in inference form
/// is what everyone else has. In training, that is on the autodiff device, the loss's own batch norm uses the
/// statistics of the batch.
///
/// It is a Burn module of its own: give it to the optimizer beside the student, save it in checkpoints, and
/// leave it out of the finished student.
#[derive(Module, Debug)]
pub struct OfdLoss {
    connector: ConvNorm,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    margins: Vec<f64>,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl OfdLoss {
    /// The weight usual beside a cross-entropy of weight 1 for the *last* of the pairs of layers: 1e-3, that
    /// of the authors on CIFAR-100 (1e-4 on ImageNet).
    ///
    /// Each pair before has half the weight of the next: of `n` pairs, pair `i` (from 1) has
    /// `1e-3 / 2^(n - i)`.
    pub const USUAL_WEIGHT: f64 = 1e-3;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` it is `s * t + 2 * t`.
    pub fn extra_parameters(&self) -> usize {
        self.connector.extra_parameters()
    }

    /// [`ofd`] of two maps `[batch_size, channels, height, width]` whose channels are those given to `init`.
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
    /// use kd_losses::{OfdLossConfig, ofd_margins};
    ///
    /// let device = Device::flex().autodiff();
    /// // Shift and scale of the teacher's batch norm.
    /// let margins = ofd_margins(&[0.1, -0.4], &[1.0, 0.7])?;
    /// let loss = OfdLossConfig::new().init(3, margins, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 3 * 2 + 2 * 2);
    /// // The teacher is 0 everywhere, and so is the student behind the batch norm.
    /// let (student, teacher) = (Tensor::ones([2, 3, 4, 4], &device), Tensor::zeros([2, 2, 4, 4], &device));
    /// assert!(loss.forward(student, teacher)?.into_scalar::<f32>() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.margins.len());
        let (student, teacher) = self.map_sizes.pair(NAME, student, teacher)?;
        ofd(self.connector.forward(student), teacher, &self.margins)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "ofd",
    title: "Overhaul of feature distillation",
    family: Family::Features,
    about: "partial distance of maps before the ReLU, behind the teacher's margin ReLU",
    paper: Paper {
        authors: "Heo et al.",
        year: 2019,
        arxiv: "1904.01866",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]` before a ReLU, channels may differ; a margin for \
        each channel of the teacher",
    constants: &[Constant {
        name: "map_sizes",
        source: "pooling must be asked for; the paper taps layers of equal size",
    }],
    defaults: Some(|| OfdLossConfig::new().to_string()),
    extra_parameters: "`s t + 2 t` for `s` and `t` channels of student and teacher",
    usual_weight: Some(UsualWeight {
        value: OfdLoss::USUAL_WEIGHT,
        source: "the authors' code on CIFAR-100, halved for each layer before the last; 1e-4 on ImageNet",
    }),
    cost: "",
    disagreements: "the weights `1 / 2^(n - i)` of the layers and the `1 / 1000` are in the authors' code \
        only; here the sum over the map, mean over samples, and both factors as weights; the teacher's batch \
        norms in training form (the authors) or inference form, which is the caller's choice",
};
