//! The one-hot loss: each sample should be sure of its class.

use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// Cross-entropy of predictions with their own largest class.
///
/// ```text
/// loss = mean over samples of  -ln p[y]
///
/// p = softmax(logits)      y = argmax of the logits, a constant
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`, those of the teacher on synthetic images
/// - result: `[1]`
///
/// In nats, between 0, where each sample is sure, and `ln num_classes`, where none has a preference; to be
/// minimised. Which class it is does not matter, nor does a shift of the logits; of equal largest logits the
/// first counts. The logits learn; values and gradients are finite for logits of 1e4 and beyond.
///
/// # Errors
///
/// An empty batch or no classes.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::one_hot_confidence;
///
/// let device = Device::flex();
/// let undecided = Tensor::<2>::zeros([3, 4], &device);
/// let loss = one_hot_confidence(undecided)?.into_scalar::<f32>();
/// assert!((loss - 4.0_f32.ln()).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen, Wang, Xu, Yang, Liu, Shi, Xu, Xu, Tian, "Data-Free Learning of Student Networks", ICCV 2019, arXiv
/// 1904.01186, the one-hot loss.
pub fn one_hot_confidence(logits: Tensor<2>) -> Result<Tensor<1>> {
    check::filled("one_hot_confidence", "logits", &logits)?;
    let class = logits.clone().without_autodiff().argmax(1); // [batch_size, 1]
    Ok(log_softmax(logits, 1).gather(1, class).mean().neg())
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "one-hot-confidence",
    title: "One-hot loss",
    family: Family::Priors,
    about: "cross-entropy of predictions with their own largest class",
    paper: Paper {
        authors: "Chen et al.",
        year: 2019,
        arxiv: "1904.01186",
        place: "the one-hot loss",
    },
    inputs: "logits `[batch, classes]`",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 1.0,
        source: "the authors' code on MNIST; 0.05 on CIFAR-10, 0.5 on CIFAR-100",
    }),
    cost: "",
    disagreements: "",
};
