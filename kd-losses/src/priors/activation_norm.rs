//! The activation loss: images of known things have large activations.

use crate::catalogue::{Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::tensor::Tensor;

/// Negative mean size of the features.
///
/// ```text
/// loss = - mean over samples and features of  |f|
///
/// f = features
/// ```
///
/// # Shapes
///
/// - `features`: of any rank, the teacher's dense representation `[batch_size, features]` or a map
/// - result: `[1]`
///
/// In the unit of a feature, 0 or below, without a lower bound; to be minimised. The features learn; at 0 the
/// slope is taken to be 0.
///
/// # Errors
///
/// Features without elements.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::activation_norm;
///
/// let features = Tensor::<2>::from_data([[1.0, -3.0], [0.0, 4.0]], &Device::flex());
/// assert_eq!(activation_norm(features)?.into_scalar::<f32>(), -2.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen, Wang, Xu, Yang, Liu, Shi, Xu, Xu, Tian, "Data-Free Learning of Student Networks", ICCV 2019, arXiv
/// 1904.01186, the activation loss. The paper has the l1 norm of each sample's features, the authors' code
/// their mean, as here: the two differ by the number of features, and the weights of the code belong to the
/// mean.
pub fn activation_norm<const D: usize>(features: Tensor<D>) -> Result<Tensor<1>> {
    check::filled("activation_norm", "features", &features)?;
    Ok(features.abs().mean().neg())
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "activation-norm",
    title: "Activation loss",
    family: Family::Priors,
    about: "negative mean size of the features",
    paper: Paper {
        authors: "Chen et al.",
        year: 2019,
        arxiv: "1904.01186",
        place: "the activation loss",
    },
    inputs: "features of any rank",
    constants: &[],
    defaults: None,
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: 0.1,
        source: "the authors' code on MNIST; 0.01 on CIFAR-10, 0.1 on CIFAR-100, beside a one-hot loss of 1, \
            0.05 and 0.5",
    }),
    cost: "",
    disagreements: "the l1 norm of a sample (the paper) or the mean over its features (the authors' code); \
        here the mean",
};
