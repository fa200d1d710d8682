//! The information entropy loss: a batch as a whole should have all classes.

use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

/// Negative entropy of the mean prediction of a batch.
///
/// ```text
/// loss = sum over k of  m[k] ln m[k]
///
/// m = mean over samples of  softmax(logits)
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`, those of the teacher on synthetic images
/// - result: `[1]`
///
/// In nats, between `-ln num_classes`, where the mean has all classes alike, and 0, where it is sure of one;
/// to be minimised. It sees the batch only through its mean, so that a batch of undecided samples is as good
/// as one that has each class: use it with [`one_hot_confidence`](crate::one_hot_confidence). The logits
/// learn. All is done with logarithms, so that value and gradient are finite for a class that no sample
/// predicts, where the formula as printed gives 0 times minus infinity.
///
/// # Errors
///
/// An empty batch or no classes.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::batch_entropy;
///
/// // Two samples, each sure of another class.
/// let logits = Tensor::<2>::from_data([[50.0, 0.0], [0.0, 50.0]], &Device::flex());
/// let loss = batch_entropy(logits)?.into_scalar::<f32>();
/// assert!((loss + 2.0_f32.ln()).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen, Wang, Xu, Yang, Liu, Shi, Xu, Xu, Tian, "Data-Free Learning of Student Networks", ICCV 2019, arXiv
/// 1904.01186, the information entropy loss. The authors' code takes logarithms to base 10, so that their
/// weight of 5 is 2.17 here; Han et al., arXiv 2011.03749, take natural ones in theirs, as here.
pub fn batch_entropy(logits: Tensor<2>) -> Result<Tensor<1>> {
    check::filled("batch_entropy", "logits", &logits)?;
    let [batch_size, _num_classes] = logits.dims();
    let log_p = log_softmax(logits, 1);
    // The logarithm of a sum of exponentials, [1, num_classes]; the largest of each class is taken out and is
    // a constant.
    let largest = log_p.clone().without_autodiff().max_dim(0);
    let sum = (log_p - largest.clone()).exp().sum_dim(0);
    let log_m = sum.log() + largest - (batch_size as f64).ln();
    Ok((log_m.clone().exp() * log_m).sum())
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "batch-entropy",
    title: "Information entropy loss",
    family: Family::Priors,
    about: "negative entropy of the mean prediction of a batch",
    paper: Paper {
        authors: "Chen et al.",
        year: 2019,
        arxiv: "1904.01186",
        place: "the information entropy loss",
    },
    inputs: "logits `[batch, classes]`",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 2.17,
        source: "the authors' code on MNIST, 5 with logarithms to base 10, beside a one-hot loss of weight \
            1; 5 on CIFAR-10 and 20 on CIFAR-100, to base 10, beside 0.05 and 0.5",
    }),
    cost: "",
    disagreements: "logarithms to base 10 (the authors' code) or natural ones (most others), a factor of \
        2.3; a class of probability 0 gives NaN in the formula as printed; here natural logarithms, and \
        finite",
};
