//! DIST: correlations in place of divergences.

use super::parts::log_softened;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::bounded_root;
use burn::config::Config;
use burn::tensor::Tensor;

/// DIST: how well the probabilities of student and teacher correlate, within a sample and within a class.
///
/// ```text
/// loss = T^2 (beta (1 - inter) + gamma (1 - intra))
///
/// inter = mean over samples of  r(row of q, row of p)           between the classes of a sample
/// intra = mean over classes of  r(column of q, column of p)     within a class, between samples
/// r(a, b) = a' . b'  /  (max(||a'||, e) max(||b'||, e) + e),   a' = a - mean a,   b' = b - mean b
///
/// p = softmax(teacher_logits / T)      T = temperature
/// q = softmax(student_logits / T)      e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// `beta` and `gamma` are finite and at least 0, `temperature` is finite and above 0, `epsilon` is from 1e-15
/// to 1 and its square must be representable. The result has no unit and is between 0 and
/// `2 T^2 (beta + gamma)`. A linear change of a row or column of the student's probabilities by a positive
/// factor does not change its correlation.
///
/// A constant correlates with nothing: a row or column that is constant on either side has `r = 0`
/// and adds its 1 to the loss. Where the teacher's is constant the gradient is 0. So it is for **all columns
/// of a batch of one**, where the second term is the constant `gamma T^2`, and for rows of one class. **Where
/// only the student's is constant, the least change correlates at once**, and the gradient is finite but of
/// the order of `1 / e`, 1e8 by default: a student whose last layer begins with zeros wants a larger
/// `epsilon` or another loss first. In the same way `epsilon` takes from `r` where the product of the two
/// norms is not large against it, so that equal logits give more than 0: in columns of classes that are
/// improbable for the whole batch.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond.
///
/// # Errors
///
/// A constant outside its range; an empty batch; unequal batch sizes or numbers of classes; tensors of
/// different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::dist;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 2.0]], &device);
/// let teacher = Tensor::<2>::from_data([[5.0, 0.0], [0.0, 5.0]], &device);
/// // Two numbers that rise together correlate fully, however far apart they are.
/// assert!(dist(student, teacher, 1.0, 1.0, 1.0, 1e-8)?.into_scalar::<f32>() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", `NeurIPS` 2022, arXiv
/// 2205.10536, the relations between and within classes. As in the authors' code, `epsilon` is added to the
/// product of the norms; here each norm is bounded by `epsilon` as well, so that the gradient of a constant
/// column is finite, not 0 / 0. T squared is that of the copies of their code for classification; their code
/// for segmentation has neither a temperature nor the factor.
pub fn dist(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    beta: f64,
    gamma: f64,
    temperature: f64,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(beta, gamma, temperature, epsilon)?;
    check::logits_pair("dist", &student_logits, &teacher_logits)?;

    let p = log_softened(teacher_logits.without_autodiff(), temperature).exp();
    let q = log_softened(student_logits, temperature).exp();
    let rows = correlation(q.clone(), p.clone(), 1, epsilon); // [batch_size, 1]
    let columns = correlation(q, p, 0, epsilon); // [1, num_classes]
    let loss = (1.0 - rows.mean()) * beta + (1.0 - columns.mean()) * gamma;
    Ok(loss * (temperature * temperature))
}

/// Pearson's correlation along an axis, which becomes 1.
fn correlation(left: Tensor<2>, right: Tensor<2>, axis: usize, epsilon: f64) -> Tensor<2> {
    let left = left.clone() - left.mean_dim(axis);
    let right = right.clone() - right.mean_dim(axis);
    let left_norm = bounded_root(left.clone().square().sum_dim(axis), epsilon);
    let right_norm = bounded_root(right.clone().square().sum_dim(axis), epsilon);
    (left * right).sum_dim(axis) / (left_norm * right_norm + epsilon)
}

fn check_constants(beta: f64, gamma: f64, temperature: f64, epsilon: f64) -> Result<()> {
    check::not_negative("beta", beta, "the authors use 1")?;
    check::not_negative("gamma", gamma, "the authors use 1")?;
    check::temperature(temperature)?;
    let ok = (1e-15..=1.0).contains(&epsilon);
    let advice = "1e-8 suits 32-bit floats, 1e-3 16-bit ones";
    check::constant("epsilon", epsilon, ok, "from 1e-15 to 1", advice)
}

/// The constants of [`dist`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct DistLossConfig {
    /// Weight of the relation between classes, by rows, finite and at least 0, the paper's beta.
    ///
    /// 1, the authors' code; copies of it for CIFAR-100 use 2.
    #[config(default = 1.0)]
    pub beta: f64,
    /// Weight of the relation within classes, by columns, finite and at least 0, the paper's gamma.
    ///
    /// 1, the authors' code; copies of it for CIFAR-100 use 2.
    #[config(default = 1.0)]
    pub gamma: f64,
    /// The divisor of both logits, finite and above 0.
    ///
    /// 1, the authors' code; copies of it for CIFAR-100 use 4.
    #[config(default = 1.0)]
    pub temperature: f64,
    /// The number added to the product of the norms, from 1e-15 to 1.
    ///
    /// 1e-8, the authors' code.
    #[config(default = 1e-8)]
    pub epsilon: f64,
}

impl DistLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<DistLoss> {
        check_constants(self.beta, self.gamma, self.temperature, self.epsilon)?;
        Ok(DistLoss {
            beta: self.beta,
            gamma: self.gamma,
            temperature: self.temperature,
            epsilon: self.epsilon,
        })
    }
}

/// [`dist`] with its constants, made by [`DistLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistLoss {
    beta: f64,
    gamma: f64,
    temperature: f64,
    epsilon: f64,
}

impl DistLoss {
    /// The weight usual beside a cross-entropy of weight 1: 1, since `beta` and `gamma` are weights already.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// [`dist`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`dist`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::DistLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0]], &device);
    /// let loss = DistLossConfig::new().init()?;
    /// // The rows agree; the columns of a batch of one have no correlation.
    /// let value = loss.forward(logits.clone(), logits)?.into_scalar::<f32>();
    /// assert!((value - 1.0).abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        let (beta, gamma) = (self.beta, self.gamma);
        let (temperature, epsilon) = (self.temperature, self.epsilon);
        dist(
            student_logits,
            teacher_logits,
            beta,
            gamma,
            temperature,
            epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "dist",
    title: "DIST",
    family: Family::Logits,
    about: "correlation of the probabilities within samples and within classes",
    paper: Paper {
        authors: "Huang et al.",
        year: 2022,
        arxiv: "2205.10536",
        place: "the relations between and within classes",
    },
    inputs: "two logits `[batch, classes]`, more than one sample",
    constants: &[
        Constant {
            name: "beta",
            source: "the authors' code; 2 in copies for CIFAR-100",
        },
        Constant {
            name: "gamma",
            source: "the authors' code; 2 in copies for CIFAR-100",
        },
        Constant {
            name: "temperature",
            source: "the authors' code; 4 in copies for CIFAR-100",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| DistLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: DistLoss::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "",
    disagreements: "with or without T squared (with, as the copies for classification); the bound added to \
        the product of the norms 1e-8 or 1e-5 (1e-8), and the norms unbounded, whose gradient at a constant \
        column is 0 / 0, or each bounded as here",
};
