//! Noise contrastive estimation against the rows of a memory bank.

use super::NAME;
use crate::check;
use crate::error::{Axis, Error, Result};
use burn::tensor::activation::sigmoid;
use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use core::ops::Range;

/// Elements that a temporary may have: 64 MiB in 32-bit floats. Longer batches are worked through in blocks
/// of samples.
const BLOCK: usize = if cfg!(test) { 64 } else { 1 << 24 };
/// A bank of at most so many rows for each candidate is multiplied as a whole: a matrix product with rows
/// that is not needed is still cheaper than a copy of those that are.
const WHOLE_BANK: usize = 16;

/// Noise contrastive estimation: the loss of telling the own row of a memory bank from the rows of others.
///
/// ```text
/// u[i, k] = <embedding[i], bank[candidates[i, k]]> / T
/// x[i, k] = exp(u[i, k]) / Z
/// h[i, k] = x[i, k] / (x[i, k] + m / n)
/// loss    = mean over samples i of  ( - log h[i, 0] - sum over k from 1 to m of log(1 - h[i, k]) )
///
/// T = temperature     log Z = log_z     m = the number of negatives     n = the number of rows of the bank
/// ```
///
/// Candidate 0 of a sample is its own row, the others are the negatives. `h` is the probability that a
/// candidate is the sample's own row and not one of `m` uniform draws from `n`.
///
/// # Shapes
///
/// - `embedding`: `[batch_size, dim]`, each row of length 1
/// - `bank`: `[num_samples, dim]`; `candidates`: `[batch_size, 1 + m]`, positions of rows; `log_z`: `[1]`,
///   see [`crd_log_z`]
/// - result: `[1]`, in nats, never negative, summed over candidates, the mean over the batch
///
/// `temperature` is finite and above 0. Everything is computed in log space and is finite for any temperature
/// at which `1 / T` is.
///
/// The bank, the candidates and `log_z` are constants. Of the loss only the embedding and its gradient,
/// `sum over k of (h[i, k] - [k is 0]) bank[candidates[i, k]] / (T batch_size)`, stay in memory until the
/// backward pass: the gradient is computed together with the value. A gradient of this gradient is not
/// available.
///
/// # Errors
///
/// `temperature` outside its range; an empty batch or bank; fewer than 2 candidates; unequal widths or batch
/// sizes; tensors of different dtypes or on different devices. The values in `candidates` are not looked at.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::{crd_log_z, crd_nce};
///
/// let device = Device::flex();
/// let bank = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], &device);
/// let candidates = Tensor::<2, Int>::from_data([[0, 1, 2]], &device);
/// let own = Tensor::<2>::from_data([[1.0, 0.0]], &device);
/// let other = Tensor::<2>::from_data([[0.0, 1.0]], &device);
///
/// let log_z = crd_log_z(own.clone(), bank.clone(), candidates.clone(), 0.1)?;
/// let good = crd_nce(own, bank.clone(), candidates.clone(), log_z.clone(), 0.1)?;
/// let bad = crd_nce(other, bank, candidates, log_z, 0.1)?;
/// assert!(good.into_scalar::<f32>() < bad.into_scalar::<f32>());
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// See [`CrdEmbeddings`](crate::CrdEmbeddings).
pub fn crd_nce(
    embedding: Tensor<2>,
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    log_z: Tensor<1>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_inputs(&embedding, &bank, &candidates, temperature)?;
    let [batch_size, _dim] = embedding.dims();
    let [num_samples, _] = bank.dims();
    let [_, width] = candidates.dims();
    let rows = Rows::new(bank, candidates, temperature);
    let constant = embedding.clone().without_autodiff();
    let log_noise = ((width - 1) as f64 / num_samples as f64).ln();
    let log_noise = log_z.without_autodiff().reshape([1, 1]) + log_noise;

    let (mut values, mut slopes) = (Vec::new(), Vec::new());
    for range in rows.blocks(batch_size) {
        let block = rows.block(range.clone());
        let odds = block.scores(constant.clone().slice([range])) - log_noise.clone(); // [block, 1 + m]
        // The log odds of the wrong answer: minus those of the own row, those of a negative.
        let sign = sign_of(&odds);
        let wrong = odds * sign.clone();
        values.push(softplus(wrong.clone()).sum());
        slopes.push(block.weighted_sum(sigmoid(wrong) * sign)); // [block, dim]
    }
    let value = Tensor::cat(values, 0).sum() / batch_size as f64;
    if !embedding.is_autodiff() {
        return Ok(value);
    }
    // The value with the gradient computed above: what is added is 0 and has that slope.
    let slope = Tensor::cat(slopes, 0) / (temperature * batch_size as f64);
    let along = (embedding * slope).sum();
    Ok(along.clone() - along.without_autodiff() + value)
}

/// The logarithm of the constant `Z` by which [`crd_nce`] divides, estimated from one batch.
///
/// ```text
/// Z = n * mean over samples i and candidates k of exp(u[i, k])
/// ```
///
/// With this constant the estimated `x[i, k]` have a mean of `1 / n`, as probabilities over the `n` rows do.
/// It is estimated once, from the first batch, and then stays (Wu et al., "Unsupervised Feature Learning via
/// Non-Parametric Instance Discrimination", CVPR 2018, arXiv 1805.01978).
///
/// # Shapes
///
/// As [`crd_nce`]; result: `[1]`, a constant without a gradient.
///
/// # Errors
///
/// Those of [`crd_nce`].
pub fn crd_log_z(
    embedding: Tensor<2>,
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check_inputs(&embedding, &bank, &candidates, temperature)?;
    let [batch_size, _dim] = embedding.dims();
    let [num_samples, _] = bank.dims();
    let rows = Rows::new(bank, candidates, temperature);
    let embedding = embedding.without_autodiff();
    let scores = rows
        .blocks(batch_size)
        .map(|range| {
            let part = embedding.clone().slice([range.clone()]);
            rows.block(range).scores(part)
        })
        .collect();
    let scores = Tensor::cat(scores, 0); // [batch_size, 1 + m]
    let count = scores.dims().iter().product::<usize>();
    let largest = scores.clone().max(); // [1]
    let sum = (scores - largest.clone().reshape([1, 1])).exp().sum();
    Ok(sum.log() + largest + (num_samples as f64 / count as f64).ln())
}

/// The rows of a bank that belong to a batch.
struct Rows {
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    temperature: f64,
    whole: bool,
}

/// The rows that belong to a few samples of the batch.
enum Block<'a> {
    /// All rows of the bank, from which the candidates are taken after the product.
    Whole(&'a Rows, Tensor<2, Int>),
    /// The candidates' rows, `[block, 1 + m, dim]`.
    Picked(&'a Rows, Tensor<3>),
}

impl Rows {
    fn new(bank: Tensor<2>, candidates: Tensor<2, Int>, temperature: f64) -> Self {
        let (bank, candidates) = (bank.without_autodiff(), candidates.without_autodiff());
        let whole = bank.dims()[0] <= WHOLE_BANK * candidates.dims()[1];
        Self {
            bank,
            candidates,
            temperature,
            whole,
        }
    }

    /// The batch in blocks whose temporaries are small.
    fn blocks(&self, batch_size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let [num_samples, dim] = self.bank.dims();
        let elements = if self.whole {
            num_samples
        } else {
            self.candidates.dims()[1] * dim
        };
        let size = (BLOCK / elements).clamp(1, batch_size);
        let starts = (0..batch_size).step_by(size);
        starts.map(move |start| start..(start + size).min(batch_size))
    }

    fn block(&self, range: Range<usize>) -> Block<'_> {
        let candidates = self.candidates.clone().slice([range]);
        if self.whole {
            return Block::Whole(self, candidates);
        }
        let [samples, width] = candidates.dims();
        let rows = self.bank.clone().select(0, candidates.flatten(0, 1));
        Block::Picked(self, rows.reshape([samples, width, self.bank.dims()[1]]))
    }
}

impl Block<'_> {
    /// `u`, `[block, 1 + m]`, of embeddings `[block, dim]`.
    fn scores(&self, embedding: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Whole(rows, candidates) => {
                let embedding = embedding / rows.temperature;
                let all = embedding.matmul(rows.bank.clone().transpose());
                all.gather(1, candidates.clone())
            }
            Self::Picked(rows, picked) => {
                let embedding = embedding / rows.temperature;
                let scores = picked.clone().matmul(embedding.unsqueeze_dim::<3>(2));
                scores.squeeze_dim(2)
            }
        }
    }

    /// The sum over candidates of weight times row, `[block, dim]`.
    fn weighted_sum(&self, weights: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Whole(rows, candidates) => {
                let shape = [weights.dims()[0], rows.bank.dims()[0]];
                let none = Tensor::zeros(shape, (&weights.device(), weights.dtype()));
                let all = none.scatter(1, candidates.clone(), weights, IndexingUpdateOp::Add);
                all.matmul(rows.bank.clone())
            }
            Self::Picked(_, picked) => {
                let sum = weights.unsqueeze_dim::<3>(1).matmul(picked.clone());
                sum.squeeze_dim(1)
            }
        }
    }
}

/// `[1, 1 + m]`: -1 for the own row, 1 for the negatives.
fn sign_of(odds: &Tensor<2>) -> Tensor<2> {
    let ones = odds.clone().narrow(0, 0, 1).ones_like();
    let first = ones.clone().narrow(1, 0, 1).neg();
    ones.slice_assign([0..1, 0..1], first)
}

/// `log(1 + exp(x))`, exact at both ends.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().log1p()
}

fn check_inputs(
    embedding: &Tensor<2>,
    bank: &Tensor<2>,
    candidates: &Tensor<2, Int>,
    temperature: f64,
) -> Result<()> {
    check::positive("temperature", temperature, super::TEMPERATURE)?;
    let names = ["embedding", "bank"];
    check::pair(NAME, names, embedding, bank, [(Axis::Features, 1..2)])?;
    let (left, right) = (embedding.dims(), candidates.dims());
    if left[0] != right[0] {
        return Err(Error::UnequalShapes {
            loss: NAME,
            axis: Axis::Batch,
            left: names[0],
            left_shape: left.to_vec(),
            right: "candidates",
            right_shape: right.to_vec(),
        });
    }
    if right[1] < 2 {
        let reason = "`candidates` has a sample's own row alone";
        return Err(Error::NoNegatives { loss: NAME, reason });
    }
    let devices = [embedding.device(), candidates.device()];
    check::same_device(NAME, [names[0], "candidates"], devices)
}

#[cfg(test)]
mod tests {
    use super::{Rows, crd_log_z, crd_nce};
    use crate::error::Result;
    use burn::tensor::{Device, Distribution, Int, Tensor};

    fn random(shape: [usize; 2]) -> Tensor<2> {
        Tensor::random(shape, Distribution::Uniform(-0.5, 0.5), &Device::flex())
    }

    #[test]
    fn a_batch_in_blocks_is_the_mean_of_its_samples() -> Result<()> {
        // One sample a block with the whole bank; two and a last one with rows picked.
        for (num_samples, blocks) in [(40, 5), (200, 3)] {
            let (bank, start) = (random([num_samples, 3]), random([5, 3]));
            let places = Distribution::Uniform(0.0, num_samples as f64 - 0.5);
            let candidates = Tensor::<2>::random([5, 9], places, &Device::flex()).int();
            let rows = Rows::new(bank.clone(), candidates.clone(), 0.5);
            assert_eq!(rows.blocks(5).count(), blocks);

            let (all, some) = (start.clone(), candidates.clone());
            let log_z = crd_log_z(all, bank.clone(), some, 0.5)?;
            let nce = |embedding: Tensor<2>, candidates: Tensor<2, Int>| {
                crd_nce(embedding, bank.clone(), candidates, log_z.clone(), 0.5)
            };
            let embedding = start.autodiff().require_grad();
            let together = nce(embedding.clone(), candidates.clone())?;
            let mut apart = together.zeros_like();
            for sample in 0..5 {
                let one = embedding.clone().narrow(0, sample, 1);
                let own = candidates.clone().narrow(0, sample, 1);
                apart = apart + nce(one, own)? / 5.0;
            }
            let difference = together.clone() - apart.clone();
            assert!(difference.abs().into_scalar::<f32>() < 1e-5);
            let [left, right] = [together, apart].map(|loss| embedding.grad(&loss.backward()));
            let difference = left.zip(right).map(|(a, b)| (a - b).abs().max());
            assert!(difference.is_some_and(|most| most.into_scalar::<f32>() < 1e-5));
        }
        Ok(())
    }
}
