//! Probabilistic knowledge transfer: the probability of each sample to be another's neighbour.

use super::relation::unit;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// Divergence between the neighbour probabilities of teacher and student within a batch.
///
/// ```text
/// k[i, j] = (1 + x[i] . x[j] / (||x[i]|| ||x[j]||)) / 2         1/2 where a norm is at most e
/// p[i, j] = k[i, j] / sum over m of k[i, m]
/// loss    = mean over all i and j of  p(teacher)[i, j] log((p(teacher)[i, j] + e) / (p(student)[i, j] + e))
///
/// x[i] = embedding of sample i     ||.|| = the l2 norm     e = epsilon
/// ```
///
/// # Shapes
///
/// - `student_embedding`: `[batch_size, features]`
/// - `teacher_embedding`: the same batch size; the number of features may differ
/// - result: `[1]`
///
/// The result is in nats over `batch_size`, not negative up to a share of `epsilon`, and does not change when
/// embeddings are multiplied by numbers above 0 or all those of one side are rotated. With a single sample it
/// is 0. `epsilon` is from 1e-15 to 1e-2; in 32-bit floats it should be 1e-7 or more, since a probability may
/// be rounded to 0. An embedding of zeros has a cosine of 0 with all and gets no gradient.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal batch sizes; tensors of different dtypes or on
/// different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::pkt;
///
/// let device = Device::flex();
/// // The student's two samples are opposite, the teacher's alike.
/// let student = Tensor::<2>::from_data([[1.0, 0.0], [-1.0, 0.0]], &device);
/// let teacher = Tensor::<2>::from_data([[2.0], [3.0]], &device);
/// // Rows [1, 0] and [1/2, 1/2].
/// let loss = pkt(student, teacher, 1e-3)?.into_scalar::<f32>();
/// let expected = 0.25 * ((0.501_f32 / 1.001).ln() + (0.501_f32 / 0.001).ln());
/// assert!((loss - expected).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv
/// 1803.10837, section 3. The paper sums over pairs of distinct samples; the authors' code takes the mean
/// over all `batch_size^2`, each sample as its own neighbour among them, which is this. The sum is this times
/// `batch_size^2`. The code adds `epsilon` to norms, too; here it is a bound.
pub fn pkt(
    student_embedding: Tensor<2>,
    teacher_embedding: Tensor<2>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::embedding_batches("pkt", &student_embedding, &teacher_embedding)?;
    let student = probabilities(student_embedding, epsilon);
    let teacher = probabilities(teacher_embedding.without_autodiff(), epsilon);
    let log_ratio = (teacher.clone() + epsilon).log() - (student + epsilon).log();
    Ok((teacher * log_ratio).mean())
}

/// `p`, `[batch_size, batch_size]`.
fn probabilities(embedding: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let kernel = (super::relation::gram(unit(embedding, 1, epsilon)) + 1.0) * 0.5;
    // Opposite vectors may come out a little below 0.
    let kernel = kernel.clamp_min(0.0);
    let sum = kernel.clone().sum_dim(1);
    kernel / sum
}

fn check_epsilon(value: f64) -> Result<()> {
    let ok = (1e-15..=1e-2).contains(&value);
    let advice = "the authors' code uses 1e-7";
    check::constant("epsilon", value, ok, "from 1e-15 to 0.01", advice)
}

/// The constant of [`pkt`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct PktLossConfig {
    /// The number added to probabilities before the logarithm, and the norm at or below which an embedding
    /// counts as zero, from 1e-15 to 1e-2.
    ///
    /// 1e-7, from the authors' code.
    #[config(default = 1e-7)]
    pub epsilon: f64,
}

impl PktLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<PktLoss> {
        check_epsilon(self.epsilon)?;
        Ok(PktLoss {
            epsilon: self.epsilon,
        })
    }
}

/// [`pkt`] with its constant, made by [`PktLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PktLoss {
    epsilon: f64,
}

impl PktLoss {
    /// The weight usual beside a cross-entropy of weight 1: 30000, that of Tian et al., arXiv 1910.10699, for
    /// the mean over `batch_size^2` with a batch of 64.
    pub const USUAL_WEIGHT: f64 = 30_000.0;

    /// [`pkt`] of two `[batch_size, features]`.
    ///
    /// # Errors
    ///
    /// Those of [`pkt`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::PktLossConfig;
    ///
    /// let device = Device::flex();
    /// let embedding = Tensor::<2>::from_data([[1.0, 2.0], [0.0, -1.0]], &device);
    /// let loss = PktLossConfig::new().init()?;
    /// let value = loss.forward(embedding.clone() * 3.0, embedding)?;
    /// assert!(value.into_scalar::<f32>().abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_embedding: Tensor<2>,
        teacher_embedding: Tensor<2>,
    ) -> Result<Tensor<1>> {
        pkt(student_embedding, teacher_embedding, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "pkt",
    title: "Probabilistic knowledge transfer",
    family: Family::Features,
    about: "divergence of the neighbour probabilities within a batch",
    paper: Paper {
        authors: "Passalis and Tefas",
        year: 2018,
        arxiv: "1803.10837",
        place: "section 3",
    },
    inputs: "two embeddings `[batch, features]`, features may differ",
    constants: &[Constant {
        name: "epsilon",
        source: "the authors' code",
    }],
    defaults: Some(|| PktLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: PktLoss::USUAL_WEIGHT,
        source: "1910.10699",
    }),
    cost: "time batch^2 times features, memory batch^2",
    disagreements: "the sum over pairs of distinct samples (the paper), or the mean over all batch^2 with \
        each sample as its own neighbour (the authors' code), which is why usual weights are so large; here \
        the authors' code",
};
