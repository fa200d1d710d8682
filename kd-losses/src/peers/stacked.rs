//! The logits of all peers as one tensor, checked, and what the targets take from it.

use burn::tensor::{Int, Tensor};

use crate::check;
use crate::error::Result;

/// The logits of two or more peers as a constant, `[peers, batch_size, num_classes]`.
pub(super) fn stacked(loss: &'static str, peers: &[Tensor<2>]) -> Result<Tensor<3>> {
    let advice = "give the logits of all peers";
    check::at_least(loss, "peers", peers.len(), 2, advice)?;
    for (index, logits) in peers.iter().enumerate() {
        check::filled(loss, "peers", logits)?;
        let this = (format_args!("peers[{index}]"), logits);
        let advice = "give the logits of all peers for one batch and the same classes";
        check::alike(loss, ("peers[0]", &peers[0]), this, advice)?;
    }
    let logits = peers.iter().map(|logits| logits.clone().without_autodiff());
    Ok(Tensor::stack(logits.collect(), 0))
}

/// [`stacked`] for samples that have labels `[batch_size]`.
pub(super) fn stacked_with_labels(
    loss: &'static str,
    peers: &[Tensor<2>],
    targets: &Tensor<1, Int>,
) -> Result<Tensor<3>> {
    let stack = stacked(loss, peers)?;
    check::labelled(loss, ("peers", &peers[0]), targets)?;
    Ok(stack)
}

/// Each peer's logits less the one of the label, `[peers, batch_size, num_classes]`: 0 at the label. The
/// cross-entropy is the logarithm of the sum of their exponentials.
pub(super) fn behind_the_label(stack: Tensor<3>, targets: &Tensor<1, Int>) -> Tensor<3> {
    let [peers, batch_size, _num_classes] = stack.dims();
    let index = targets
        .clone()
        .without_autodiff()
        .reshape([1, batch_size, 1]);
    let label = stack
        .clone()
        .gather(2, index.expand([peers, batch_size, 1]));
    stack - label
}

/// The logarithm of the sum of exponentials over the last axis, which becomes 1.
pub(super) fn log_sum_exp(values: Tensor<3>) -> Tensor<3> {
    let largest = values.clone().max_dim(2);
    (values - largest.clone()).exp().sum_dim(2).log() + largest
}

/// Those logits of the stack that `best` names for each sample, `[batch_size, num_classes]`.
///
/// `best` is `[1, batch_size, 1]`.
pub(super) fn chosen(stack: Tensor<3>, best: Tensor<3, Int>) -> Tensor<2> {
    let [_peers, batch_size, num_classes] = stack.dims();
    let index = best.expand([1, batch_size, num_classes]);
    stack.gather(0, index).squeeze_dim(0)
}
