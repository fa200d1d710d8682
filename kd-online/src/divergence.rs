//! Divergences of all students at once: one softmax and one sum for all of them.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

/// The logits of all students, one below the other: `[students, batch_size, num_classes]`.
pub(crate) fn stacked(logits: impl Iterator<Item = Tensor<2>>) -> Tensor<3> {
    Tensor::stack(logits.collect(), 0)
}

/// Temperature, and what is added to the probabilities of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Softening {
    pub(crate) temperature: f64,
    pub(crate) target_epsilon: f64,
}

/// The cross-entropy of each student, the mean over the batch.
///
/// ```text
/// loss[i] = mean over samples s of  - log softmax(logits[i, s])[y[s]]
/// ```
///
/// # Shapes
///
/// - `logits`: `[students, batch_size, num_classes]`; `targets`: `[batch_size]`, on the plain device
/// - result: `[students]`
pub(crate) fn cross_entropies(logits: Tensor<3>, targets: &Tensor<1, Int>) -> Tensor<1> {
    let [students, batch_size, _num_classes] = logits.dims();
    let index = targets.clone().reshape([1, batch_size, 1]);
    let index = index.expand([students, batch_size, 1]);
    let picked = log_softmax(logits, 2).gather(2, index); // [students, batch_size, 1]
    picked.mean_dim(1).neg().reshape([students])
}

/// The divergence of each student from its target, both softened.
///
/// ```text
/// loss[i] = T^2 * mean over samples of  sum over k of  p[k] (log p[k] - log q[k])
///
/// p = softmax(target[i] / T) + epsilon      q = softmax(student[i] / T)
/// ```
///
/// Gradients reach the targets as well, unless they are detached. They are those of the students plus, for
/// the target, those of a divergence by its first argument.
///
/// # Shapes
///
/// - `targets`: `[students, batch_size, num_classes]`, or `[1, ...]` for one target of all
/// - `students`: `[students, batch_size, num_classes]`
/// - result: `[students]`
pub(crate) fn divergences(
    targets: Tensor<3>,
    students: Tensor<3>,
    softening: Softening,
) -> Tensor<1> {
    let Softening {
        temperature,
        target_epsilon: epsilon,
    } = softening;
    let [count, batch_size, _num_classes] = students.dims();
    let log_q = log_softmax(students / temperature, 2);
    let targets = targets / temperature;
    let (p, log_p) = if epsilon > 0.0 {
        let p = softmax(targets, 2) + epsilon;
        (p.clone(), p.log())
    } else {
        let log_p = log_softmax(targets, 2);
        (log_p.clone().exp(), log_p)
    };
    let scale = temperature * temperature / batch_size as f64;
    (p * (log_p - log_q)).sum_dim(2).sum_dim(1).reshape([count]) * scale
}

/// The mean divergence of each student from all others.
///
/// ```text
/// loss[i] = 1 / (m - 1) * sum over j != i of  T^2 KL(targets[j] || students[i])
/// ```
///
/// The targets are constants: the logits of the students themselves, or of those that they are averaged to.
///
/// # Shapes
///
/// - `targets`, `students`: `[students, batch_size, num_classes]`
/// - result: `[students]`
pub(crate) fn mutual_divergences(
    targets: Tensor<3>,
    students: Tensor<3>,
    softening: Softening,
) -> Tensor<1> {
    let [count, ..] = students.dims();
    let targets = targets.detach();
    // A view of the others for each: [students * (students - 1)] pairs in one pass.
    let others = |index: usize| (0..count).filter(move |&other| other != index);
    let pick = |all: &Tensor<3>, index: usize| all.clone().narrow(0, index, 1);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for index in 0..count {
        for other in others(index) {
            left.push(pick(&targets, other));
            right.push(pick(&students, index));
        }
    }
    let pairs = divergences(Tensor::cat(left, 0), Tensor::cat(right, 0), softening);
    pairs
        .reshape([count, count - 1])
        .mean_dim(1)
        .reshape([count])
}

/// The mean of the logits of all others: `[students, batch_size, num_classes]`, a constant.
pub(crate) fn mean_of_others(logits: Tensor<3>) -> Tensor<3> {
    let [count, ..] = logits.dims();
    let logits = logits.detach();
    (logits.clone().sum_dim(0) - logits) / (count - 1) as f64
}
