//! Mutual information of two embeddings, bounded from below by the other samples of the batch.

use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use crate::features::relation::unit_rows;
use burn::config::Config;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

const NAME: &str = "info_nce";
const TEMPERATURE: &str = "0.07 is usual";

/// Cross-entropy of finding a sample's teacher among those of the batch by its student.
///
/// ```text
/// c[i, j] = cosine of student_embedding[i] and teacher_embedding[j]
/// loss    = - mean over samples i of  log softmax over j of (c[i, j] / T)  at j = i
///
/// T = temperature
/// ```
///
/// # Shapes
///
/// - `student_embedding`, `teacher_embedding`: `[batch_size, features]`
/// - result: `[1]`
///
/// `temperature` is finite and above 0. The result is in nats and never negative; it is 0 for a batch of one,
/// whose only teacher cannot be missed, and `log(batch_size)` where the student's embeddings tell nothing. It
/// does not change when an embedding is multiplied by a number above 0. An embedding of zeros has a cosine of
/// 0 with everything and a gradient of 0.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// `temperature` outside its range; an empty batch; unequal batch sizes or widths; tensors of different
/// dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::info_nce;
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 0.1]], &device);
/// let teacher = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0]], &device);
/// // Each has its own direction: log(1 + exp(-1 / T)).
/// let loss = info_nce(student, teacher, 0.5)?.into_scalar::<f32>();
/// assert!((loss - 0.126_928).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, arXiv
/// 1807.03748, equation (4), with the other samples of the batch as negatives. The paper scores pairs by a
/// log-bilinear model and has no temperature; the cosine over a temperature is that of later contrastive
/// methods and of Tian et al., arXiv 1910.10699, who distil with the related loss of
/// [`CrdEmbeddings`](crate::CrdEmbeddings).
pub fn info_nce(
    student_embedding: Tensor<2>,
    teacher_embedding: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::positive("temperature", temperature, TEMPERATURE)?;
    check::embedding_pair(NAME, &student_embedding, &teacher_embedding)?;
    let [batch_size, _features] = student_embedding.dims();
    // Not divided: Burn rounds the slope of a division by a number to 32 bits.
    let student = unit_rows(student_embedding) * temperature.recip();
    let teacher = unit_rows(teacher_embedding.without_autodiff());
    let log_odds = log_softmax(student.matmul(teacher.transpose()), 1); // [batch_size, batch_size]
    let device = log_odds.device().without_autodiff();
    let count = i64::try_from(batch_size).unwrap_or(i64::MAX);
    let own = Tensor::<1, Int>::arange(0..count, &device).reshape([batch_size, 1]);
    Ok(log_odds.gather(1, own).mean().neg())
}

/// Lower bound on the mutual information of student and teacher, in nats.
///
/// ```text
/// bound = log(batch_size) - info_nce(student_embedding, teacher_embedding, temperature)
/// ```
///
/// Over batches of independent samples its expectation is at most the mutual information, and it never
/// exceeds `log(batch_size)`: a large value needs a large batch. A single batch may be above the mutual
/// information by chance.
///
/// # Errors
///
/// Those of [`info_nce`].
///
/// # References
///
/// van den Oord et al., arXiv 1807.03748, section 2.3.
pub fn info_nce_bound(
    student_embedding: Tensor<2>,
    teacher_embedding: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>> {
    let [batch_size, _features] = student_embedding.dims();
    let loss = info_nce(student_embedding, teacher_embedding, temperature)?;
    Ok(loss.neg() + (batch_size as f64).ln())
}

/// The constant of [`info_nce`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct InfoNceLossConfig {
    /// The divisor of the cosines, finite and above 0.
    ///
    /// 0.07, as Wu et al. (arXiv 1805.01978) and the code of Tian et al. (arXiv 1910.10699).
    #[config(default = 0.07)]
    pub temperature: f64,
}

impl InfoNceLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` not finite or not above 0.
    pub fn init(&self) -> Result<InfoNceLoss> {
        check::positive("temperature", self.temperature, TEMPERATURE)?;
        Ok(InfoNceLoss {
            temperature: self.temperature,
        })
    }
}

/// [`info_nce`] with its constant, made by [`InfoNceLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfoNceLoss {
    temperature: f64,
}

impl InfoNceLoss {
    /// [`info_nce`] of two `[batch_size, features]`.
    ///
    /// # Errors
    ///
    /// Those of [`info_nce`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::InfoNceLossConfig;
    ///
    /// let embedding = Tensor::<2>::ones([1, 3], &Device::flex());
    /// let loss = InfoNceLossConfig::new().init()?;
    /// assert_eq!(loss.forward(embedding.clone(), embedding)?.into_scalar::<f32>(), 0.0);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_embedding: Tensor<2>,
        teacher_embedding: Tensor<2>,
    ) -> Result<Tensor<1>> {
        info_nce(student_embedding, teacher_embedding, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "info-nce",
    title: "InfoNCE",
    family: Family::Features,
    about: "each sample's teacher found among those of the batch",
    paper: Paper {
        authors: "van den Oord et al.",
        year: 2018,
        arxiv: "1807.03748",
        place: "equation (4)",
    },
    inputs: "two embeddings `[batch, features]` of equal widths",
    constants: &[Constant {
        name: "temperature",
        source: "1805.01978 and the code of 1910.10699",
    }],
    defaults: Some(|| InfoNceLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "`batch^2` cosines in time and memory",
    disagreements: "a log-bilinear score (the paper) or cosines over a temperature; the student as the \
        anchor, or the mean with the teacher as the anchor; here cosines, the student as the anchor",
};
