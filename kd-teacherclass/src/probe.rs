//! A linear head on the frozen features of a network, for a task that the network has not learnt.

use burn::tensor::{Tensor, TensorData};
use kd_core::{Error, Result};

use crate::cholesky::solve;
use crate::split::DenseStatistics;

/// A linear head that is fitted to frozen features: how much they hold of a task that their network has not
/// learnt.
///
/// Least squares to one-hot labels with a ridge, in closed form, so that features are compared without a rate
/// or a number of steps:
///
/// ```text
/// W = (C_ff + r v I)^-1 C_fy      b = mean_y - mean_f W      C: covariances of features f and labels y,
///                                                            v: mean variance of the features, r: ridge
/// ```
///
/// Whether the paper fits its heads for other tasks in this way is unknown.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_teacherclass::LinearProbe;
///
/// let features = Tensor::<2>::from_data([[0.0, 1.0], [0.2, 0.8], [3.0, 1.1], [3.1, 0.9]], &Device::flex());
/// let labels = [0, 0, 1, 1];
/// let probe = LinearProbe::fit(&features, &labels, 1e-3)?;
/// assert_eq!(probe.accuracy(features, &labels), 1.0);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LinearProbe {
    /// `[features, num_classes]`.
    weight: Tensor<2>,
    /// `[1, num_classes]`.
    bias: Tensor<2>,
}

impl LinearProbe {
    /// A head for `features`, `[samples, features]`, and the class of each sample, from 0 on. `ridge` is a
    /// share of the features' mean variance.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for no samples, another number of labels, or a ridge that is not above 0.
    pub fn fit(features: &Tensor<2>, labels: &[usize], ridge: f64) -> Result<Self> {
        let [samples, length] = features.dims();
        if samples == 0 || samples != labels.len() {
            let problem = format!(
                "must be one for each sample and at least one, got {} for {samples} samples",
                labels.len()
            );
            return Err(Error::config("labels", problem));
        }
        if !ridge.is_finite() || ridge <= 0.0 {
            let problem = format!("must be finite and above 0, got {ridge}");
            return Err(Error::config("ridge", problem));
        }
        let classes = labels.iter().max().map_or(0, |last| last + 1);
        let mut statistics = DenseStatistics::new(length + classes);
        let one_hot = one_hot(labels, classes, features);
        statistics.add(&Tensor::cat(vec![features.clone(), one_hot], 1));
        Ok(Self::of_statistics(
            &statistics,
            [length, classes],
            ridge,
            features,
        ))
    }

    /// The head by the statistics of features and one-hot labels side by side.
    fn of_statistics(
        statistics: &DenseStatistics,
        [length, classes]: [usize; 2],
        ridge: f64,
        like: &Tensor<2>,
    ) -> Self {
        let variance = statistics.variances()[..length].iter().sum::<f64>() / length.max(1) as f64;
        // Where all features are dead the answer is the mean, and the matrix must be positive.
        let ridge = (ridge * variance).max(f64::MIN_POSITIVE.sqrt());
        let mut matrix = Vec::with_capacity(length * length);
        let mut right = Vec::with_capacity(length * classes);
        for row in 0..length {
            let added = |column| if row == column { ridge } else { 0.0 };
            matrix.extend((0..length).map(|at| statistics.covariance(row, at) + added(at)));
            right.extend((length..length + classes).map(|at| statistics.covariance(row, at)));
        }
        let zeros = vec![0.0; right.len()];
        let weight = solve(matrix, right, length, classes).unwrap_or(zeros);
        let means = statistics.means();
        let mut bias = means[length..].to_vec();
        for (row, mean) in weight.chunks_exact(classes).zip(&means) {
            for (bias, weight) in bias.iter_mut().zip(row) {
                *bias -= mean * weight;
            }
        }
        let tensor = |numbers: Vec<f64>, shape: [usize; 2]| {
            Tensor::from_data(
                TensorData::new(numbers, shape).convert::<f32>(),
                &like.device(),
            )
        };
        Self {
            weight: tensor(weight, [length, classes]),
            bias: tensor(bias, [1, classes]),
        }
    }

    /// The logits for `features`, `[samples, features]`: `[samples, num_classes]`.
    pub fn logits(&self, features: Tensor<2>) -> Tensor<2> {
        features.matmul(self.weight.clone()) + self.bias.clone()
    }

    /// The share of samples, `[samples, features]`, whose class it finds.
    pub fn accuracy(&self, features: Tensor<2>, labels: &[usize]) -> f64 {
        let found = self.logits(features).argmax(1).into_data();
        let pairs = found.iter::<i64>().zip(labels);
        let right = pairs.filter(|&(found, &label)| usize::try_from(found) == Ok(label));
        right.count() as f64 / labels.len().max(1) as f64
    }
}

/// One-hot labels, `[samples, classes]`, on the device of `like`.
fn one_hot(labels: &[usize], classes: usize, like: &Tensor<2>) -> Tensor<2> {
    let mut numbers = vec![0.0_f32; labels.len() * classes];
    for (row, &label) in labels.iter().enumerate() {
        numbers[row * classes + label] = 1.0;
    }
    Tensor::from_data(
        TensorData::new(numbers, [labels.len(), classes]),
        &like.device(),
    )
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn one_feature_by_hand() {
        // Features -1 and 1 with classes 0 and 1: variance 1, covariances with the labels -1/2 and 1/2; a
        // ridge of 1 halves the slopes.
        let features = Tensor::<2>::from_data([[-1.0], [1.0]], &Device::flex());
        let probe = LinearProbe::fit(&features, &[0, 1], 1.0).unwrap();
        let logits = probe.logits(features).into_data();
        assert_eq!(
            logits.iter::<f32>().collect::<Vec<_>>(),
            [0.75, 0.25, 0.25, 0.75]
        );
    }

    #[test]
    fn dead_features_give_the_commonest_class() {
        let features = Tensor::<2>::ones([3, 4], &Device::flex());
        let probe = LinearProbe::fit(&features, &[1, 0, 1], 1e-3).unwrap();
        assert!((probe.accuracy(features, &[1, 0, 1]) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let features = Tensor::<2>::ones([2, 1], &Device::flex());
        let refused = |labels: &[usize], ridge| {
            let found = LinearProbe::fit(&features, labels, ridge);
            found
                .map_err(|error| error.to_string())
                .err()
                .unwrap_or_default()
        };
        assert_eq!(
            refused(&[0], 1.0),
            "`labels` must be one for each sample and at least one, got 1 for 2 samples"
        );
        assert_eq!(
            refused(&[0, 1], 0.0),
            "`ridge` must be finite and above 0, got 0"
        );
    }
}
