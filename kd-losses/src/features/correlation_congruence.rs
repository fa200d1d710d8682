//! Correlation congruence: the kernel matrix of the samples of a batch.

use super::relation::{epsilon as check_epsilon, gram, unit};
use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The likeness of two samples, from the cosine `c` of their embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CorrelationKernel {
    /// The Gaussian kernel `exp(-gamma ||x - y||^2) = exp(-2 gamma) exp(2 gamma c)` of unit vectors, its
    /// second factor expanded in powers of `c` up to `order`.
    Taylor,
    /// `c` itself; `gamma` and `order` have no meaning.
    Bilinear,
}

/// Mean squared difference of the kernel matrices of student and teacher.
///
/// ```text
/// c[i, j] = x[i] . x[j] / (||x[i]|| ||x[j]||)                       0 where a norm is at most e
/// K[i, j] = Taylor:    exp(-2 g) sum over p = 0 .. P of (2 g)^p / p!  c[i, j]^p
///           Bilinear:  c[i, j]
/// loss    = sum over i and j of (K(student)[i, j] - K(teacher)[i, j])^2 / batch_size^2
///
/// x[i] = embedding of sample i     ||.|| = the l2 norm     g = gamma     P = order     e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_embedding`: `[batch_size, features]`
/// - `teacher_embedding`: the same batch size; the number of features may differ
/// - result: `[1]`
///
/// The result has no unit, is never negative, at most 4, and does not change when embeddings are multiplied
/// by numbers above 0 or all those of one side are rotated. `gamma` is above 0, per squared unit of length;
/// `order` is from 1 to 16; `epsilon` is from 1e-15 to 1, and an embedding at or below it counts as zero and
/// gets no gradient.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// A constant outside its range; an empty batch; unequal batch sizes; tensors of different dtypes or on
/// different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{CorrelationKernel, correlation_congruence};
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 2.0]], &device);
/// let teacher = Tensor::<2>::from_data([[3.0], [1.0]], &device);
/// // The cosine of the two samples is 0 and 1.
/// let loss = correlation_congruence(student, teacher, CorrelationKernel::Bilinear, 0.4, 2, 1e-12)?;
/// assert!((loss.into_scalar::<f32>() - 0.5).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Peng, Jin, Liu, Zhou, Wu, Liu, Li, Zhang, "Correlation Congruence for Knowledge Distillation", ICCV 2019,
/// arXiv 1904.01802, section 3. The paper's kernels; its maximum mean discrepancy is left out. Tian et al.
/// (arXiv 1910.10699) compare something else under this name: products of the differences of neighbours in
/// the batch. The embeddings are of unit length for both kernels here: the expansion supposes it, and without
/// it the value would grow with the fourth power of an embedding's scale.
pub fn correlation_congruence(
    student_embedding: Tensor<2>,
    teacher_embedding: Tensor<2>,
    kernel: CorrelationKernel,
    gamma: f64,
    order: usize,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(gamma, order, epsilon)?;
    check::embedding_batches(
        "correlation_congruence",
        &student_embedding,
        &teacher_embedding,
    )?;
    let matrix = |embedding| {
        let cosines = gram(unit(embedding, 1, epsilon));
        match kernel {
            CorrelationKernel::Taylor => expansion(cosines, gamma, order),
            CorrelationKernel::Bilinear => cosines,
        }
    };
    let teacher = matrix(teacher_embedding.without_autodiff());
    Ok((matrix(student_embedding) - teacher).square().mean())
}

/// The powers of `c`, by Horner's rule.
///
/// The first factor is part of each coefficient, of which none is above 1 then: left for the end it would be
/// 0 times infinity for a large `gamma`.
fn expansion(cosines: Tensor<2>, gamma: f64, order: usize) -> Tensor<2> {
    let mut coefficients = vec![(-2.0 * gamma).exp()];
    for power in 1..=order {
        coefficients.push(coefficients[power - 1] * 2.0 * gamma / power as f64);
    }
    let coefficients = coefficients.into_iter().rev();
    coefficients.fold(cosines.zeros_like(), |sum, coefficient| {
        sum * cosines.clone() + coefficient
    })
}

fn check_constants(gamma: f64, order: usize, epsilon: f64) -> Result<()> {
    check::positive("gamma", gamma, "the paper uses 0.4")?;
    let ok = (1..=16).contains(&order);
    let advice = "the paper uses 2";
    check::constant("order", order as f64, ok, "from 1 to 16", advice)?;
    check_epsilon(epsilon)
}

/// The constants of [`correlation_congruence`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct CorrelationCongruenceLossConfig {
    /// The likeness of two samples. The expanded Gaussian kernel by default, which the paper prefers.
    #[config(default = "CorrelationKernel::Taylor")]
    pub kernel: CorrelationKernel,
    /// Inverse of the Gaussian kernel's width, above 0, the paper's gamma.
    ///
    /// 0.4, from the paper's experiments.
    #[config(default = 0.4)]
    pub gamma: f64,
    /// Highest power of the expansion, from 1 to 16, the paper's P.
    ///
    /// 2, from the paper's experiments.
    #[config(default = 2)]
    pub order: usize,
    /// Norm at or below which an embedding counts as zero, from 1e-15 to 1. 1e-12, our choice.
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl CorrelationCongruenceLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<CorrelationCongruenceLoss> {
        check_constants(self.gamma, self.order, self.epsilon)?;
        Ok(CorrelationCongruenceLoss {
            kernel: self.kernel,
            gamma: self.gamma,
            order: self.order,
            epsilon: self.epsilon,
        })
    }
}

/// [`correlation_congruence`] with its constants, made by [`CorrelationCongruenceLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CorrelationCongruenceLoss {
    kernel: CorrelationKernel,
    gamma: f64,
    order: usize,
    epsilon: f64,
}

impl CorrelationCongruenceLoss {
    /// [`correlation_congruence`] of two `[batch_size, features]`.
    ///
    /// # Errors
    ///
    /// Those of [`correlation_congruence`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::CorrelationCongruenceLossConfig;
    ///
    /// let device = Device::flex();
    /// let embedding = Tensor::<2>::from_data([[1.0, 2.0], [0.0, -1.0]], &device);
    /// let loss = CorrelationCongruenceLossConfig::new().init()?;
    /// let value = loss.forward(embedding.clone() * 3.0, embedding)?;
    /// assert!(value.into_scalar::<f32>() < 1e-10);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_embedding: Tensor<2>,
        teacher_embedding: Tensor<2>,
    ) -> Result<Tensor<1>> {
        correlation_congruence(
            student_embedding,
            teacher_embedding,
            self.kernel,
            self.gamma,
            self.order,
            self.epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "cc",
    title: "Correlation congruence",
    family: Family::Features,
    about: "difference of the kernel matrices of a batch",
    paper: Paper {
        authors: "Peng et al.",
        year: 2019,
        arxiv: "1904.01802",
        place: "section 3",
    },
    inputs: "two embeddings `[batch, features]`, features may differ",
    constants: &[
        Constant {
            name: "kernel",
            source: "the paper",
        },
        Constant {
            name: "gamma",
            source: "the paper",
        },
        Constant {
            name: "order",
            source: "the paper",
        },
        Constant {
            name: "epsilon",
            source: "ours",
        },
    ],
    defaults: Some(|| CorrelationCongruenceLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "time batch^2 times features, memory batch^2",
    disagreements: "kernels of all pairs (the paper), or only products of the differences of neighbours in \
        the batch after a learned embedding (1910.10699, whose weight of 0.02 belongs to that); the distance \
        squared (the paper), or not (torchdistill); here the paper",
};
