//! The target of collaborative learning that is weighted by the errors of the peers on held-out data.

use burn::tensor::activation::softmax;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use super::stacked::{stacked, stacked_with_labels};
use crate::check;
use crate::error::Result;

const LOSS: &str = "kdcl_general";

/// KDCL-General: the peers' logits with one weight a peer, from their errors on held-out data.
///
/// ```text
/// target[s] = sum over i of w[i] z[i][s]
///
/// z[i] = logits of peer i      w = weights, which sum to 1; some may be negative
/// ```
///
/// The weights are those of [`KdclErrors::weights`], measured before, usually once an epoch.
///
/// # Shapes
///
/// - `peers`: the logits of two or more peers, `[batch_size, num_classes]`, equal in both
/// - `weights`: one for each peer
/// - result: `[batch_size, num_classes]`, logits
///
/// The result is a constant: no gradient flows through it.
///
/// # Errors
///
/// Fewer than two peers; an empty batch; peers of different shapes, dtypes or devices; another number of
/// weights than peers; weights that are not finite or do not sum to 1.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::{KdclErrors, kdcl_general};
///
/// let device = Device::flex();
/// let peers = [[[2.0, 0.0], [0.0, 2.0]], [[-1.0, 1.0], [0.0, 1.0]]];
/// let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &device));
/// let mut errors = KdclErrors::new(2)?;
/// errors.add(&peers, Tensor::<1, Int>::from_data([0, 1], &device))?;
/// let weights = errors.weights(1e-3)?;
/// assert!(weights[0] > weights[1]);
/// let target = kdcl_general(&peers, &weights)?;
/// assert_eq!(target.dims(), [2, 2]);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// As [`kdcl_naive`](crate::kdcl_naive).
pub fn kdcl_general(peers: &[Tensor<2>], weights: &[f64]) -> Result<Tensor<2>> {
    let stack = stacked(LOSS, peers)?; // [peers, batch_size, num_classes]
    let (given, expected) = (("weights", weights.len()), ("peers", peers.len()));
    check::same_count(LOSS, given, expected, "give one weight for each peer")?;
    let total: f64 = weights.iter().sum();
    let advice = "take those of `KdclErrors::weights`";
    check::constant(
        "weights",
        total,
        (total - 1.0).abs() <= 1e-6,
        "of sum 1",
        advice,
    )?;
    let options = (&stack.device(), stack.dtype());
    let weights = Tensor::<1>::from_data(TensorData::from(weights), options);
    let weights = weights.reshape([peers.len(), 1, 1]);
    Ok((stack * weights).sum_dim(0).squeeze_dim(0))
}

/// The errors of peers on held-out data: how large they are, and how much peers have them in common.
///
/// ```text
/// C[i, j] = mean over held-out samples of  sum over k of  (p[i][k] - t[k]) (p[j][k] - t[k])
/// w[i]    = sum over j of C^-1[i, j]  /  sum over i and j of C^-1[i, j]
///
/// p[i] = softmax(logits of peer i)      t = 1 at the label, else 0
/// ```
///
/// The weights are those of the linear combination of the `p[i]` with the smallest mean squared error, of all
/// with the sum 1: a peer counts for much if its errors are small and others do not share them.
///
/// # Examples
///
/// See [`kdcl_general`].
///
/// # References
///
/// As [`kdcl_naive`](crate::kdcl_naive); the weights are those of Perrone and Cooper, "When Networks
/// Disagree: Ensemble Methods for Hybrid Neural Networks", 1993. Probabilities, not logits, are compared with
/// the label: an error of logits has no scale.
#[derive(Clone, Debug, PartialEq)]
pub struct KdclErrors {
    peers: usize,
    samples: usize,
    /// Row by row, summed over samples.
    sums: Vec<f64>,
}

impl KdclErrors {
    /// The errors of so many peers, on no data yet.
    ///
    /// # Errors
    ///
    /// Fewer than two peers.
    pub fn new(peers: usize) -> Result<Self> {
        let advice = "one network has no peers";
        check::at_least(LOSS, "peers", peers, 2, advice)?;
        Ok(Self {
            peers,
            samples: 0,
            sums: vec![0.0; peers * peers],
        })
    }

    /// Adds a batch: the logits of every peer `[batch_size, num_classes]` and the labels `[batch_size]`.
    /// Reads `peers^2` numbers back, which waits for the device.
    ///
    /// # Errors
    ///
    /// Another number of peers; and those of [`kdcl_naive`](crate::kdcl_naive). Nothing is added then.
    pub fn add(&mut self, peers: &[Tensor<2>], targets: Tensor<1, Int>) -> Result<()> {
        let (given, expected) = (("peers", peers.len()), ("errors", self.peers));
        let advice = "give the logits of as many peers as the errors were made for";
        check::same_count(LOSS, given, expected, advice)?;
        let stack = stacked_with_labels(LOSS, peers, &targets)?;
        let [_peers, batch_size, num_classes] = stack.dims();
        let index = targets.without_autodiff().reshape([1, batch_size, 1]);
        let index = index.expand([self.peers, batch_size, 1]);
        let p = softmax(stack, 2);
        let less_one = p.ones_like().narrow(2, 0, 1).neg();
        let errors = p.scatter(2, index, less_one, IndexingUpdateOp::Add);
        let rows = errors.reshape([self.peers, batch_size * num_classes]);
        let products = rows.clone().matmul(rows.transpose()); // [peers, peers]
        for (sum, product) in self.sums.iter_mut().zip(products.into_data().iter::<f64>()) {
            *sum += product;
        }
        self.samples += batch_size;
        Ok(())
    }

    /// The weights of the peers, which sum to 1.
    ///
    /// `ridge` is above 0 and at most 1: so many times the mean of the diagonal of `C` is added to it, since
    /// peers that agree make it singular. 1e-3 is ours. Peers without any error have equal weights.
    ///
    /// # Errors
    ///
    /// `ridge` outside its range; no data.
    pub fn weights(&self, ridge: f64) -> Result<Vec<f64>> {
        let advice = "1e-3 suits peers that hardly differ";
        let ok = ridge > 0.0 && ridge <= 1.0;
        check::constant("ridge", ridge, ok, "above 0 and at most 1", advice)?;
        let advice = "add held-out batches first";
        check::at_least(LOSS, "samples", self.samples, 1, advice)?;
        let diagonal = self.sums.iter().step_by(self.peers + 1);
        let mean = diagonal.sum::<f64>() / self.peers as f64;
        if mean <= 0.0 {
            return Ok(vec![1.0 / self.peers as f64; self.peers]);
        }
        let mut matrix: Vec<f64> = self.sums.iter().map(|sum| sum / mean).collect();
        for index in 0..self.peers {
            matrix[index * self.peers + index] += ridge;
        }
        let raw = solved(matrix, vec![1.0; self.peers]);
        let total: f64 = raw.iter().sum();
        Ok(raw.into_iter().map(|weight| weight / total).collect())
    }
}

/// `x` with `matrix x = right`, for a symmetric matrix whose eigenvalues are above 0, by elimination without
/// exchanges.
fn solved(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for pivot in 0..size {
        for row in pivot + 1..size {
            let factor = matrix[row * size + pivot] / matrix[pivot * size + pivot];
            for column in pivot..size {
                matrix[row * size + column] -= factor * matrix[pivot * size + column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..size).rev() {
        for column in row + 1..size {
            right[row] -= matrix[row * size + column] * right[column];
        }
        right[row] /= matrix[row * size + row];
    }
    right
}
