//! The target of collaborative learning that is searched for: the best convex combination of the peers.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

use super::stacked::{behind_the_label, chosen, log_sum_exp, stacked_with_labels};
use crate::check;
use crate::error::Result;

/// The largest step size of the search; what is near the end of its way needs no larger one.
const LARGEST_RATE: f64 = 1e6;

/// KDCL-Linear: for each sample the convex combination of the peers' logits with the smallest cross-entropy.
///
/// ```text
/// target[s] = sum over i of a[s, i] z[i][s]
/// a[s]      = argmin over a of  - log softmax(sum over i of a[i] z[i][s])[y[s]]
///             with a[i] >= 0 and sum over i of a[i] = 1
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
/// The result is a constant: no gradient flows through it. The cross-entropy is convex in `a`; it is searched
/// from equal weights by `steps` multiplicative updates `a[i] <- a[i] exp(-r g[i]) / sum` along its gradient
/// `g`. An update is kept if the cross-entropy has fallen all the way, and doubles the step size `r` of its
/// sample; else `r` falls to a quarter. So the cross-entropy never rises above that of the mean of the
/// logits, and where the best single peer is better still, that is the target. At least 1 step; 100 leave
/// 1e-5 nats to the minimum in the mean over samples, and 2e-3 at most, for two to four peers whose logits
/// have a deviation of 3 to 4, and ten times that for a deviation of 10 or where two peers nearly agree.
///
/// A step costs one pass over the logits of all peers. Nothing waits for the device.
///
/// # Errors
///
/// `steps` of 0; and those of [`kdcl_naive`](crate::kdcl_naive).
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::kdcl_linear;
///
/// let device = Device::flex();
/// // Each peer confuses the label with another class: in the middle both errors are smallest.
/// let peers = [[[2.0, 2.0, -2.0]], [[2.0, -2.0, 2.0]]];
/// let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &device));
/// let target = kdcl_linear(&peers, Tensor::<1, Int>::from_data([0], &device), 100)?;
/// let logits: Vec<f32> = target.into_data().iter().collect();
/// assert_eq!(logits, [2.0, 0.0, 0.0]);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// As [`kdcl_naive`](crate::kdcl_naive); the way to the minimum is ours.
pub fn kdcl_linear(
    peers: &[Tensor<2>],
    targets: Tensor<1, Int>,
    steps: usize,
) -> Result<Tensor<2>> {
    let advice = "100 are enough for a handful of peers";
    check::constant("steps", steps as f64, steps > 0, "at least 1", advice)?;
    let stack = stacked_with_labels("kdcl_linear", peers, &targets)?;
    let behind = behind_the_label(stack.clone(), &targets); // [peers, batch_size, num_classes]
    let weights = best_weights(behind.clone().swap_dims(0, 1), steps); // [batch_size, 1, peers]
    let combined = |logits: Tensor<3>| weights.clone().matmul(logits.swap_dims(0, 1));

    let losses = log_sum_exp(behind.clone()); // [peers, batch_size, 1]
    let found = log_sum_exp(combined(behind)).swap_dims(0, 1); // [1, batch_size, 1]
    let single = losses.clone().min_dim(0).lower(found); // [1, batch_size, 1]
    let best = chosen(stack.clone(), losses.argmin(0));
    let combined: Tensor<2> = combined(stack).squeeze_dim(1);
    let single = single.squeeze_dim::<2>(0).expand(combined.dims());
    Ok(combined.mask_where(single, best))
}

/// The weights after `steps` updates from equal ones, `[batch_size, 1, peers]`.
///
/// `logits` are `[batch_size, peers, num_classes]`, 0 at the label, so that the cross-entropy is the
/// logarithm of a sum of exponentials. The weights are kept as logarithms, which cannot become 0 for good.
fn best_weights(logits: Tensor<3>, steps: usize) -> Tensor<3> {
    let [batch_size, peers, _num_classes] = logits.dims();
    let slopes_at = |log_weights: Tensor<3>| {
        let p = softmax(log_weights.exp().matmul(logits.clone()), 2); // [batch_size, 1, num_classes]
        p.matmul(logits.clone().swap_dims(1, 2)) // [batch_size, 1, peers]
    };
    let options = (&logits.device(), logits.dtype());
    let mut log_weights = Tensor::zeros([batch_size, 1, peers], options) - (peers as f64).ln();
    let mut slopes = slopes_at(log_weights.clone());
    let mut rates = Tensor::<3>::ones([batch_size, 1, 1], options);
    for _ in 0..steps {
        let moved = log_softmax(log_weights.clone() - slopes.clone() * rates.clone(), 2);
        let there = slopes_at(moved.clone());
        // A convex function has fallen all the way if it still falls, or is level, at the end.
        let step = moved.clone().exp() - log_weights.clone().exp();
        let too_far = (there.clone() * step).sum_dim(2).greater_elem(0.0); // [batch_size, 1, 1]
        let all = too_far.clone().expand([batch_size, 1, peers]);
        log_weights = moved.mask_where(all.clone(), log_weights);
        slopes = there.mask_where(all, slopes);
        rates = (rates.clone() * 2.0).mask_where(too_far, rates * 0.25);
        rates = rates.clamp_max(LARGEST_RATE);
    }
    log_weights.exp()
}
