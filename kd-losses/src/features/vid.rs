//! Variational information distillation: the likelihood of the teacher's map given the student's.

use crate::adapters::MapSizes;
use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::widths;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Result};
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::activation::{relu, softplus_with_threshold};
use burn::tensor::{Device, Tensor, TensorData};

const NAME: &str = "vid";

/// Negative log-likelihood of the teacher's map under a normal distribution that the student predicts.
///
/// ```text
/// v[c] = ln(1 + e^raw_variance[c]) + epsilon
/// loss = 1/2 mean over samples, channels and positions of  (t - m)^2 / v[c] + ln v[c]
///
/// t = teacher_features      m = predicted_mean      v = the variance of a channel
/// ```
///
/// # Shapes
///
/// - `predicted_mean`, `teacher_features`: `[batch_size, channels, height, width]`
/// - `raw_variance`: `[channels]`
/// - result: `[1]`
///
/// The result is in nats per element, without the constant `1/2 ln 2 pi`. It is negative where a variance is
/// well below 1 and the prediction good; it is smallest where each variance is the mean squared error of its
/// channel. `epsilon` is finite and above 0: it bounds the variance from below, so that the value is at least
/// `1/2 ln epsilon`, and value and gradient are finite for any finite inputs whose squared difference over
/// `epsilon` squared is.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Mean and variance both learn.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal shapes; another number of channels in `raw_variance`;
/// tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::vid;
///
/// let device = Device::flex();
/// let mean = Tensor::<4>::from_data([[[[1.0, 2.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[2.0, 0.0]]]], &device);
/// // A variance of ln(1 + e) = 1.3133: squares of 1 and 4 over it, and its logarithm.
/// let raw_variance = Tensor::<1>::from_data([1.0], &device);
/// let loss = vid(mean, teacher, raw_variance, 1e-5)?.into_scalar::<f32>();
/// assert!((loss - 0.5 * (2.5 / 1.313_262 + 0.272_514)).abs() < 1e-4);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Ahn, Hu, Damianou, Lawrence, Dai, "Variational Information Distillation for Knowledge Transfer", CVPR
/// 2019, arXiv 1904.05835, section 2: minus the logarithm of the variational distribution, a normal one with
/// a variance for each channel. The paper *sums* over channels and positions. We take the mean, as
/// RepDistiller does (code of Tian et al., arXiv 1910.10699, after the authors'), so that a weight does not
/// depend on the size of the map. The paper's value, averaged over the batch and without its constant, is
/// this times `channels * height * width`.
pub fn vid(
    predicted_mean: Tensor<4>,
    teacher_features: Tensor<4>,
    raw_variance: Tensor<1>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    let names = ["predicted_mean", "teacher_features"];
    let axes = [
        (Axis::Batch, 0..1),
        (Axis::Channels, 1..2),
        (Axis::MapSize, 2..4),
    ];
    check::pair(NAME, names, &predicted_mean, &teacher_features, axes)?;
    let [_, channels, ..] = teacher_features.dims();
    let [found] = raw_variance.dims();
    check::one_for_each_channel(NAME, "raw_variance", found, channels)?;
    let raw_variance: Tensor<4> = raw_variance.reshape([1, channels, 1, 1]);
    let names = ["raw_variance", "teacher_features"];
    check::pair(NAME, names, &raw_variance, &teacher_features, [])?;

    // Beyond 40 the softplus is its argument to the last digit of a 64-bit float.
    let variance = softplus_with_threshold(raw_variance, 1.0, 40.0) + epsilon; // [1, channels, 1, 1]
    let square = (predicted_mean - teacher_features.without_autodiff()).square();
    // The logarithm has the same mean over the channels as over all elements.
    Ok(((square / variance.clone()).mean() + variance.log().mean()) * 0.5)
}

fn check_epsilon(epsilon: f64) -> Result<()> {
    check::positive("epsilon", epsilon, "the public code uses 1e-5")
}

/// The constants of [`VidLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct VidLossConfig {
    /// The variance of every channel before the first step, finite and above `epsilon`.
    ///
    /// 5, the value of RepDistiller, after the authors' code.
    #[config(default = 5.0)]
    pub initial_variance: f64,
    /// The number added to a variance, finite and above 0, the paper's epsilon.
    ///
    /// 1e-5, the value of RepDistiller, after the authors' code.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default. RepDistiller pools the larger, before the convolutions, as
    /// [`MapSizes::PoolLarger`] does here.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl VidLossConfig {
    /// Checks the constants and makes the loss with initial weights that depend on `seed` only.
    ///
    /// The weights are uniform in `[-b, b)` with `b = 1 / sqrt(channels)` of the layer's input. Two losses of
    /// one run should have different seeds. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; a constant outside its range.
    pub fn init(
        &self,
        student_channels: usize,
        teacher_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<VidLoss> {
        widths::channels(student_channels, teacher_channels)?;
        check_epsilon(self.epsilon)?;
        let (above, variance) = (self.epsilon, self.initial_variance);
        let ok = variance.is_finite() && variance > above;
        let range = "finite and above `epsilon`";
        let advice = "the public code uses 5";
        check::constant("initial_variance", variance, ok, range, advice)?;

        let mut layers = Layers::new(seed, device);
        let mut conv = |from| ConvNorm::plain(&mut layers, from, teacher_channels, Kernel::POINT);
        let mean = vec![
            conv(student_channels),
            conv(teacher_channels),
            conv(teacher_channels),
        ];
        // Inverse of the softplus: ln(e^v - 1) in a form that does not overflow.
        let softplus = variance - above;
        let raw = softplus + (-(-softplus).exp()).ln_1p();
        let raw = TensorData::new(vec![raw; teacher_channels], [teacher_channels]).convert::<f32>();
        Ok(VidLoss {
            mean,
            raw_variance: Param::from_data(raw, device),
            student_channels,
            teacher_channels,
            epsilon: self.epsilon,
            map_sizes: self.map_sizes,
        })
    }
}

/// [`vid`] of a student's map whose mean is predicted by three 1x1 convolutions without bias, with a ReLU
/// between them, and whose variances are trained; made by [`VidLossConfig`].
///
/// It is a Burn module of its own: give it to the optimizer beside the student, save it in checkpoints, and
/// leave it out of the finished student. Between the convolutions there are as many channels as the teacher
/// has.
#[derive(Module, Debug)]
pub struct VidLoss {
    mean: Vec<ConvNorm>,
    raw_variance: Param<Tensor<1>>,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl VidLoss {
    /// The weight usual beside a cross-entropy of weight 1, summed over the pairs of layers: 1, that of Tian
    /// et al., arXiv 1910.10699.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` it is `t * (s + 2 t) + t`.
    pub fn extra_parameters(&self) -> usize {
        self.num_params()
    }

    /// [`vid`] of two maps `[batch_size, channels, height, width]` whose channels are those given to `init`.
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
    /// use kd_losses::VidLossConfig;
    ///
    /// let device = Device::flex();
    /// let loss = VidLossConfig::new().init(3, 4, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 4 * (3 + 2 * 4) + 4);
    /// // Zeros are predicted without an error, so that only the logarithm of the variance is left.
    /// let (student, teacher) = ([2, 3, 5, 5], [2, 4, 5, 5]);
    /// let (student, teacher) = (Tensor::zeros(student, &device), Tensor::zeros(teacher, &device));
    /// let value = loss.forward(student, teacher)?.into_scalar::<f32>();
    /// assert!((value - 0.5 * 5.0_f32.ln()).abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.teacher_channels);
        let (mut mean, teacher) = self.map_sizes.pair(NAME, student, teacher)?;
        for (index, conv) in self.mean.iter().enumerate() {
            if index > 0 {
                mean = relu(mean);
            }
            mean = conv.forward(mean);
        }
        vid(mean, teacher, self.raw_variance.val(), self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "vid",
    title: "Variational information distillation",
    family: Family::Features,
    about: "likelihood of the teacher's map under a normal distribution predicted from the student's",
    paper: Paper {
        authors: "Ahn et al.",
        year: 2019,
        arxiv: "1904.05835",
        place: "section 2",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ",
    constants: &[
        Constant {
            name: "initial_variance",
            source: "RepDistiller, after the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "RepDistiller, after the authors' code",
        },
        Constant {
            name: "map_sizes",
            source: "pooling must be asked for; RepDistiller pools the larger map",
        },
    ],
    defaults: Some(|| VidLossConfig::new().to_string()),
    extra_parameters: "`t (s + 2 t) + t` for `s` and `t` channels of student and teacher",
    usual_weight: Some(UsualWeight {
        value: VidLoss::USUAL_WEIGHT,
        source: "1910.10699, summed over the pairs of layers",
    }),
    cost: "",
    disagreements: "the sum over channels and positions (the paper) or the mean (RepDistiller), which keeps \
        a weight independent of the map; here the mean; the softplus of RepDistiller overflows for a raw \
        variance above 88, here it does not",
};
