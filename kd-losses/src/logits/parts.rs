//! Parts of the losses of softened probabilities.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// `logits / temperature`, as a product: Burn's gradient of a division by a number is rounded to 32 bits.
pub(super) fn softened(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    logits * temperature.recip()
}

/// `log softmax(logits / temperature)`, `[batch_size, num_classes]`.
pub(super) fn log_softened(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    log_softmax(softened(logits, temperature), 1)
}

/// `sum over k of p[k] (log p[k] - log q[k])`, `[batch_size, 1]`.
pub(super) fn divergence(log_p: Tensor<2>, log_q: Tensor<2>) -> Tensor<2> {
    (log_p.clone().exp() * (log_p - log_q)).sum_dim(1)
}

/// The entries of the samples' own classes, `[batch_size, 1]`.
pub(super) fn of_target(values: Tensor<2>, targets: &Tensor<1, Int>) -> Tensor<2> {
    let [batch_size, _num_classes] = values.dims();
    let index = targets.clone().without_autodiff().reshape([batch_size, 1]);
    values.gather(1, index)
}

/// The entries of the other classes, in their order, `[batch_size, num_classes - 1]`.
///
/// They are picked, not masked: a large number taken from the target's logit hides it only while the logits
/// are small against that number.
pub(crate) fn of_others(values: Tensor<2>, targets: &Tensor<1, Int>) -> Tensor<2> {
    let [batch_size, num_classes] = values.dims();
    let shape = [batch_size, num_classes - 1];
    let targets = targets.clone().without_autodiff();
    let options = (&targets.device(), targets.dtype());
    let place = Tensor::<1, Int>::arange(0..i64::try_from(shape[1]).unwrap_or(i64::MAX), options);
    let place = place.reshape([1, shape[1]]).expand(shape);
    let target = targets.reshape([batch_size, 1]).expand(shape);
    // From the target on, every class is one further.
    let behind = place.clone().greater_equal(target);
    let index = place.clone().mask_where(behind, place + 1); // [batch_size, num_classes - 1]
    values.gather(1, index)
}

/// `log sum over k of exp(values[k])`, `[batch_size, 1]`.
pub(super) fn log_sum_exp(values: Tensor<2>) -> Tensor<2> {
    // The shift cancels out, also in the gradient, so it is a constant.
    let largest = values.clone().without_autodiff().max_dim(1); // [batch_size, 1]
    (values - largest.clone()).exp().sum_dim(1).log() + largest
}
