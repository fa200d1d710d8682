//! Softmax regression representation learning: the student's features, read by the teacher's classifier.

use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::{Nonlinearity, widths};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Error, Result};
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

const NAME: &str = "srrl";

/// Mean squared difference between the outputs of the teacher's classifier for the student's features and for
/// its own.
///
/// ```text
/// loss = mean over samples and classes of (z - v)^2
///
/// z = student_through_teacher_head      v = teacher_logits
/// ```
///
/// # Shapes
///
/// - `student_through_teacher_head`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// The result has the unit of a squared logit and is never negative. The teacher's logits are a constant. The
/// gradient that reaches the student's features goes through the classifier, whose own weights must not
/// learn: keep them off the optimizer.
///
/// # Errors
///
/// An empty batch; unequal batch sizes or numbers of classes; tensors of different dtypes or on different
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::softmax_regression;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0]], &device);
/// let teacher = Tensor::<2>::from_data([[3.0, 0.0]], &device);
/// assert_eq!(softmax_regression(student, teacher)?.into_scalar::<f32>(), 2.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yang, Martinez, Bulat, Tzimiropoulos, "Knowledge distillation via softmax regression representation
/// learning", ICLR 2021, the softmax regression loss with l2 on the logits; the mean over the classes is that
/// of the authors' code.
pub fn softmax_regression(
    student_through_teacher_head: Tensor<2>,
    teacher_logits: Tensor<2>,
) -> Result<Tensor<1>> {
    check::logits_pair(NAME, &student_through_teacher_head, &teacher_logits)?;
    let difference = student_through_teacher_head - teacher_logits.without_autodiff();
    Ok(difference.square().mean())
}

/// The constants of [`SrrlLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct SrrlLossConfig {
    /// The weight of the difference of features, finite and at least 0, the paper's alpha.
    ///
    /// 1: the authors' code adds both terms with one weight, which is 1 by default.
    #[config(default = 1.0)]
    pub feature_weight: f64,
    /// The weight of the difference of logits, finite and at least 0, the paper's beta.
    ///
    /// 1, as `feature_weight`.
    #[config(default = 1.0)]
    pub regression_weight: f64,
    /// The layer behind the batch norm on the student's side.
    ///
    /// A ReLU, as in the authors' code: the teacher's last map is one behind a ReLU as a rule.
    #[config(default = "Nonlinearity::Relu")]
    pub nonlinearity: Nonlinearity,
}

impl SrrlLossConfig {
    /// Checks the constants and makes the loss with initial weights that depend on `seed` only.
    ///
    /// The weight is uniform in `[-b, b)` with `b = 1 / sqrt(student_channels)`; the batch norm starts with
    /// scale 1 and shift 0. For training pass a device with `.autodiff()`.
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
    ) -> Result<SrrlLoss> {
        widths::channels(student_channels, teacher_channels)?;
        let advice = "the authors use 1";
        check::not_negative("feature_weight", self.feature_weight, advice)?;
        check::not_negative("regression_weight", self.regression_weight, advice)?;
        let (mut layers, kernel) = (Layers::new(seed, device), Kernel::POINT);
        Ok(SrrlLoss {
            connector: ConvNorm::normed(&mut layers, student_channels, teacher_channels, kernel),
            student_channels,
            teacher_channels,
            feature_weight: self.feature_weight,
            regression_weight: self.regression_weight,
            nonlinearity: self.nonlinearity,
        })
    }
}

/// Softmax regression representation learning: the student's last map must have the teacher's averages, and
/// the teacher's classifier must output the same for both; made by [`SrrlLossConfig`].
///
/// ```text
/// a    = mean over positions of relu(bn(W s))          b = mean over positions of t
/// loss = feature_weight    mean over samples and features of (a - b)^2
///      + regression_weight mean over samples and classes  of (C(a) - C(b))^2
///
/// s, t = last maps of student and teacher      W = a 1x1 convolution      C = the teacher's classifier
/// ```
///
/// # Shapes
///
/// - `student_features`: `[batch_size, student_channels, height, width]`
/// - `teacher_features`: `[batch_size, teacher_channels, height, width]`, where height and width may differ
///   from the student's, since both are averaged
/// - result: `[1]`
///
/// The result is never negative. In training, that is on the autodiff device, the batch norm uses the
/// statistics of the batch and updates its running ones; elsewhere it uses the running ones.
///
/// The teacher's map and logits are constants: no gradient reaches them, and they may live on the plain
/// device while the student is on the autodiff one. This is a Burn module of its own: give it to the
/// optimizer beside the student, save it in checkpoints, and leave it out of the finished student.
///
/// # References
///
/// Yang, Martinez, Bulat, Tzimiropoulos, "Knowledge distillation via softmax regression representation
/// learning", ICLR 2021, with the means over features and classes and the ReLU of the authors' code.
/// `SimKD`'s code of the same loss puts the convolution behind the average; with a batch norm and a ReLU
/// between, that is not the same.
#[derive(Module, Debug)]
pub struct SrrlLoss {
    connector: ConvNorm,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    feature_weight: f64,
    #[module(skip)]
    regression_weight: f64,
    #[module(skip)]
    nonlinearity: Nonlinearity,
}

impl SrrlLoss {
    /// The weight usual beside a cross-entropy of weight 1: 1, that of the authors' code.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` it is `s * t + 2 * t`.
    pub fn extra_parameters(&self) -> usize {
        self.connector.extra_parameters()
    }

    /// The student's features in the teacher's space, `[batch_size, teacher_channels]`: what to give to the
    /// teacher's classifier for [`softmax_regression`].
    ///
    /// # Errors
    ///
    /// A map without elements; other channels than given to `init`.
    pub fn adapted_dense(&self, student_features: Tensor<4>) -> Result<Tensor<2>> {
        check::filled(NAME, "student_features", &student_features)?;
        let expected = self.student_channels;
        check::width(NAME, "student_features", &student_features, expected)?;
        let map = self.connector.forward(student_features);
        Ok(pooled(self.nonlinearity.apply(map)))
    }

    /// The loss of two last maps, where `classify` is the teacher's classifier: features
    /// `[batch_size, teacher_channels]` to logits `[batch_size, num_classes]`.
    ///
    /// It is called for the teacher's features and for the student's, and may fail with an error of its own.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; other channels than given to `init`; tensors of different dtypes
    /// or on different devices; what `classify` returns as an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::{Error, SrrlLossConfig};
    ///
    /// let device = Device::flex();
    /// let loss = SrrlLossConfig::new().init(3, 4, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 3 * 4 + 2 * 4);
    /// let weight = Tensor::<2>::ones([4, 10], &device);
    /// let student = Tensor::<4>::ones([2, 3, 8, 8], &device);
    /// let teacher = Tensor::<4>::ones([2, 4, 4, 4], &device);
    /// let classify = |features: Tensor<2>| Ok::<_, Error>(features.matmul(weight.clone()));
    /// assert!(loss.forward(student, teacher, classify)?.into_scalar::<f32>() > 0.0);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward<E: From<Error>>(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
        classify: impl Fn(Tensor<2>) -> Result<Tensor<2>, E>,
    ) -> Result<Tensor<1>, E> {
        check::sample_pair(NAME, &student_features, &teacher_features)?;
        let expected = self.teacher_channels;
        check::width(NAME, "teacher_features", &teacher_features, expected)?;
        let student = self.adapted_dense(student_features)?;
        let teacher = pooled(teacher_features.without_autodiff());
        let matching = (student.clone() - teacher.clone()).square().mean();
        let regression = softmax_regression(classify(student)?, classify(teacher)?)?;
        Ok(matching * self.feature_weight + regression * self.regression_weight)
    }
}

/// The mean over positions, `[batch_size, channels]`.
fn pooled(map: Tensor<4>) -> Tensor<2> {
    let [batch_size, channels, height, width] = map.dims();
    let rows: Tensor<3> = map.reshape([batch_size, channels, height * width]);
    rows.mean_dim(2).squeeze_dim(2)
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "srrl",
    title: "Softmax regression representation learning",
    family: Family::Features,
    about: "averages of the last map, and what the teacher's classifier says of them",
    paper: Paper {
        authors: "Yang et al.",
        year: 2021,
        arxiv: "",
        place: "ICLR 2021",
    },
    inputs: "two last maps `[batch, channels, height, width]`, channels and sizes may differ; the teacher's \
        classifier",
    constants: &[
        Constant {
            name: "feature_weight",
            source: "the authors' code",
        },
        Constant {
            name: "regression_weight",
            source: "the authors' code",
        },
        Constant {
            name: "nonlinearity",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| SrrlLossConfig::new().to_string()),
    extra_parameters: "`s t + 2 t` for `s` and `t` channels of student and teacher",
    usual_weight: Some(UsualWeight {
        value: SrrlLoss::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "",
    disagreements: "convolution, batch norm and ReLU before the average over positions (the authors' code) \
        or behind it (SimKD's code); here before",
};
