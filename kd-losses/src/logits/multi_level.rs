//! Multi-level logit distillation.

use super::alignment::{batch_alignment, check_temperatures, class_alignment, instance_alignment};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::tensor::Tensor;

/// Multi-level logit distillation: alignment of each prediction, of samples with each other, of classes with
/// each other.
///
/// ```text
/// loss = instance_weight * instance_alignment
///      + batch_weight * batch_alignment
///      + class_weight * class_alignment
/// ```
///
/// # Shapes
///
/// - `student_logits`, `teacher_logits`: `[batch_size, num_classes]`
/// - result: `[1]`
///
/// `temperatures` has at least one entry, each finite and above 0; the weights are finite and at least 0, and
/// a level of weight 0 is not computed. The result is never negative and 0 where both agree up to a shift of
/// the logits. The levels have unequal units: the first is in nats times T squared, a mean over the batch;
/// the third grows with the batch.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. Values and gradients are finite for logits of 1e4 and beyond.
///
/// # Errors
///
/// A constant outside its range; no temperatures; an empty batch; unequal batch sizes or numbers of classes;
/// tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{multi_level, soft_target};
///
/// let device = Device::flex();
/// let student = Tensor::<2>::from_data([[1.0, 0.0]], &device);
/// let teacher = Tensor::<2>::from_data([[0.0, 3.0]], &device);
/// // Without the other levels and with one temperature it is the usual loss.
/// let usual = soft_target(student.clone(), teacher.clone(), 4.0)?.into_scalar::<f32>();
/// let loss = multi_level(student, teacher, &[4.0], 1.0, 0.0, 0.0)?.into_scalar::<f32>();
/// assert!((loss - usual).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Jin, Wang, Lin, "Multi-Level Logit Distillation", CVPR 2023, pages 24276 to 24285. The divisors and
/// temperatures are those of the authors' code. Two things of that code are not followed. It computes masks
/// of the less certain samples and of the less frequent classes, but multiplies them with losses that are
/// summed already, so that they select nothing and only scale the levels by the share they keep, about one
/// half: there are no masks here. It adds the levels for a weakly and for a strongly augmented batch, where
/// it takes the weak batch at two of the temperatures of the strong one and leaves out the strong batch at
/// the second and third level: here a call is one batch, to be made for each view.
pub fn multi_level(
    student_logits: Tensor<2>,
    teacher_logits: Tensor<2>,
    temperatures: &[f64],
    instance_weight: f64,
    batch_weight: f64,
    class_weight: f64,
) -> Result<Tensor<1>> {
    check_constants(temperatures, [instance_weight, batch_weight, class_weight])?;
    check::logits_pair("multi_level", &student_logits, &teacher_logits)?;

    let levels: [(f64, Level); 3] = [
        (instance_weight, instance_alignment),
        (batch_weight, batch_alignment),
        (class_weight, class_alignment),
    ];
    let mut parts = Vec::new();
    for (weight, level) in levels {
        if weight > 0.0 {
            let level = level(student_logits.clone(), teacher_logits.clone(), temperatures)?;
            parts.push(level * weight);
        }
    }
    if parts.is_empty() {
        return Ok(student_logits.sum() * 0.0);
    }
    Ok(Tensor::cat(parts, 0).sum())
}

type Level = fn(Tensor<2>, Tensor<2>, &[f64]) -> Result<Tensor<1>>;

fn check_constants(temperatures: &[f64], weights: [f64; 3]) -> Result<()> {
    check_temperatures(temperatures)?;
    let names = ["instance_weight", "batch_weight", "class_weight"];
    let mut weights = names.into_iter().zip(weights);
    weights.try_for_each(|(name, weight)| check::not_negative(name, weight, "the authors use 1"))
}

/// The constants of [`multi_level`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct MultiLevelLossConfig {
    /// The divisors of both logits, one after the other, each finite and above 0.
    ///
    /// 2, 3, 4, 5 and 6, the authors' code.
    #[config(default = "vec![2.0, 3.0, 4.0, 5.0, 6.0]")]
    pub temperatures: Vec<f64>,
    /// Weight of [`instance_alignment`], finite and at least 0.
    ///
    /// 1: the authors' code has one weight for all levels.
    #[config(default = 1.0)]
    pub instance_weight: f64,
    /// Weight of [`batch_alignment`], finite and at least 0.
    ///
    /// 1: the authors' code has one weight for all levels.
    #[config(default = 1.0)]
    pub batch_weight: f64,
    /// Weight of [`class_alignment`], finite and at least 0.
    ///
    /// 1: the authors' code has one weight for all levels.
    #[config(default = 1.0)]
    pub class_weight: f64,
}

impl MultiLevelLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range; no temperatures.
    pub fn init(&self) -> Result<MultiLevelLoss> {
        let weights = [self.instance_weight, self.batch_weight, self.class_weight];
        check_constants(&self.temperatures, weights)?;
        Ok(MultiLevelLoss {
            temperatures: self.temperatures.clone(),
            weights,
        })
    }
}

/// [`multi_level`] with its constants, made by [`MultiLevelLossConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct MultiLevelLoss {
    temperatures: Vec<f64>,
    weights: [f64; 3],
}

impl MultiLevelLoss {
    /// The weight usual beside a cross-entropy of weight 0.1: 0.9, the authors' code.
    pub const USUAL_WEIGHT: f64 = 0.9;

    /// [`multi_level`] of two `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// Those of [`multi_level`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::MultiLevelLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], &device);
    /// let loss = MultiLevelLossConfig::new().init()?;
    /// assert!(loss.forward(logits.clone(), logits)?.into_scalar::<f32>().abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_logits: Tensor<2>,
        teacher_logits: Tensor<2>,
    ) -> Result<Tensor<1>> {
        let [instance, batch, class] = self.weights;
        let temperatures = &self.temperatures;
        multi_level(
            student_logits,
            teacher_logits,
            temperatures,
            instance,
            batch,
            class,
        )
    }
}

const ONE_WEIGHT: &str = "the authors' code has one weight for all levels";

pub(crate) const INFO: LossInfo = LossInfo {
    name: "mlkd",
    title: "Multi-level logit distillation",
    family: Family::Logits,
    about: "alignment of predictions, of samples with each other and of classes with each other, at several \
        temperatures",
    paper: Paper {
        authors: "Jin et al.",
        year: 2023,
        arxiv: "",
        place: "CVPR 2023, pages 24276 to 24285",
    },
    inputs: "two logits `[batch, classes]`",
    constants: &[
        Constant {
            name: "temperatures",
            source: "the authors' code",
        },
        Constant {
            name: "instance_weight",
            source: ONE_WEIGHT,
        },
        Constant {
            name: "batch_weight",
            source: ONE_WEIGHT,
        },
        Constant {
            name: "class_weight",
            source: ONE_WEIGHT,
        },
    ],
    defaults: Some(|| MultiLevelLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: MultiLevelLoss::USUAL_WEIGHT,
        source: "the authors' code, beside a cross-entropy of weight 0.1",
    }),
    cost: "for each temperature two matrices `[batch, batch]` and two `[classes, classes]`, batch^2 classes \
        + classes^2 batch multiplications each",
    disagreements: "the authors' code masks confident samples and frequent classes, but after the losses are \
        summed, so that the masks only scale (no masks here), and mixes up its weakly and strongly augmented \
        batches (one batch a call here)",
};
