//! Targets of collaborative learning that need no search: the best peer of a sample, and the minimum of
//! logits.

use burn::tensor::{Int, Tensor};

use super::stacked::{behind_the_label, chosen, log_sum_exp, stacked_with_labels};
use crate::error::Result;

/// KDCL-Naive: for each sample the logits of the peer with the smallest cross-entropy.
///
/// ```text
/// target[s] = z[i][s]      with i = argmin over peers j of  - log softmax(z[j][s])[y[s]]
///
/// z[i] = logits of peer i      y = targets
/// ```
///
/// # Shapes
///
/// - `peers`: the logits of two or more peers, `[batch_size, num_classes]`, equal in both
/// - `targets`: `[batch_size]`, each from 0 to below `num_classes`, which is **not checked**
/// - result: `[batch_size, num_classes]`, logits
///
/// The result is a constant: no gradient flows through it. It is the target of
/// [`soft_target`](crate::soft_target), which every peer has as a term beside its cross-entropy. Of equally
/// good peers the first is taken.
///
/// # Errors
///
/// Fewer than two peers; an empty batch; peers of different shapes, dtypes or devices; another number of
/// labels than samples.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::kdcl_naive;
///
/// let device = Device::flex();
/// let peers = [[[2.0, 0.0], [5.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]];
/// let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &device));
/// // The first peer is surer of the first label, and wrong about the second by more.
/// let target = kdcl_naive(&peers, Tensor::<1, Int>::from_data([0, 1], &device))?;
/// let logits: Vec<f32> = target.into_data().iter().collect();
/// assert_eq!(logits, [2.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Guo, Wang, Wu, Yu, Liang, Hu, Luo, "Online Knowledge Distillation via Collaborative Learning", CVPR 2020.
/// Its text and code were not at hand: the four targets ([`kdcl_naive`],
/// [`kdcl_min_logit`](crate::kdcl_min_logit), [`kdcl_linear`](crate::kdcl_linear),
/// [`kdcl_general`](crate::kdcl_general)) are as the literature describes them, the order of equal peers is
/// ours. There each peer sees an augmentation of its own, and learns with its cross-entropy plus
/// `T^2 KL(target || peer)`; the temperature is not known.
pub fn kdcl_naive(peers: &[Tensor<2>], targets: Tensor<1, Int>) -> Result<Tensor<2>> {
    let stack = stacked_with_labels("kdcl_naive", peers, &targets)?;
    let losses = log_sum_exp(behind_the_label(stack.clone(), &targets)); // [peers, batch_size, 1]
    Ok(chosen(stack, losses.argmin(0)))
}

/// KDCL-MinLogit: the smallest logit of each class, measured from that of the label.
///
/// ```text
/// target[s, k] = min over peers i of  (z[i][s, k] - z[i][s, y[s]])
///
/// z[i] = logits of peer i      y = targets
/// ```
///
/// # Shapes
///
/// - `peers`: the logits of two or more peers, `[batch_size, num_classes]`, equal in both
/// - `targets`: `[batch_size]`, each from 0 to below `num_classes`, which is **not checked**
/// - result: `[batch_size, num_classes]`, logits that are 0 at the label
///
/// The result is a constant: no gradient flows through it. Its cross-entropy is at most that of the best peer
/// of each sample, for each wrong class counts as little as it does for the peer that is least drawn to it.
/// A shift of one peer's logits changes nothing.
///
/// # Errors
///
/// Those of [`kdcl_naive`].
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::kdcl_min_logit;
///
/// let device = Device::flex();
/// let peers = [[[2.0, 0.5, -1.0]], [[1.0, 1.0, 0.0]]];
/// let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &device));
/// let target = kdcl_min_logit(&peers, Tensor::<1, Int>::from_data([0], &device))?;
/// let logits: Vec<f32> = target.into_data().iter().collect();
/// assert_eq!(logits, [0.0, -1.5, -3.0]);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// As [`kdcl_naive`].
pub fn kdcl_min_logit(peers: &[Tensor<2>], targets: Tensor<1, Int>) -> Result<Tensor<2>> {
    let stack = stacked_with_labels("kdcl_min_logit", peers, &targets)?;
    Ok(behind_the_label(stack, &targets).min_dim(0).squeeze_dim(0))
}
