//! Means and covariances of a teacher's dense vector, summed on the host.

use burn::tensor::Tensor;

/// Sums over dense vectors from which means, variances and covariances follow, in double precision.
#[derive(Clone, Debug)]
pub struct DenseStatistics {
    features: usize,
    samples: usize,
    /// The first vector, from which deviations are taken.
    origin: Vec<f64>,
    sums: Vec<f64>,
    /// Products of deviations, row by row; the upper half alone is filled.
    products: Vec<f64>,
}

impl DenseStatistics {
    /// No sample yet, of `features` units.
    pub fn new(features: usize) -> Self {
        Self {
            features,
            samples: 0,
            origin: vec![0.0; features],
            sums: vec![0.0; features],
            products: vec![0.0; features * features],
        }
    }

    /// As [`DenseStatistics::new`], for the means alone: covariances take the square of the units for each
    /// sample.
    pub(crate) fn of_means(features: usize) -> Self {
        Self {
            products: Vec::new(),
            ..Self::new(features)
        }
    }

    /// Adds dense vectors, `[samples, features]`.
    pub fn add(&mut self, dense: &Tensor<2>) {
        let numbers: Vec<f64> = dense.clone().into_data().iter::<f64>().collect();
        for row in numbers.chunks_exact(self.features.max(1)) {
            if self.samples == 0 {
                self.origin.copy_from_slice(row);
            }
            self.samples += 1;
            let away: Vec<f64> = row.iter().zip(&self.origin).map(|(x, o)| x - o).collect();
            for (unit, &deviation) in away.iter().enumerate() {
                self.sums[unit] += deviation;
                if deviation == 0.0 || self.products.is_empty() {
                    continue;
                }
                let start = unit * self.features;
                let products = &mut self.products[start + unit..start + self.features];
                for (product, other) in products.iter_mut().zip(&away[unit..]) {
                    *product += deviation * other;
                }
            }
        }
    }

    /// The number of units.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The mean of each unit.
    pub fn means(&self) -> Vec<f64> {
        let samples = self.samples.max(1) as f64;
        let means = self.sums.iter().zip(&self.origin);
        means.map(|(sum, origin)| origin + sum / samples).collect()
    }

    /// The covariance of two units, over the number of samples.
    pub fn covariance(&self, one: usize, other: usize) -> f64 {
        let (low, high) = (one.min(other), one.max(other));
        let samples = self.samples.max(1) as f64;
        let product = self.products[low * self.features + high];
        (product - self.sums[low] * self.sums[high] / samples) / samples
    }

    /// The variance of each unit.
    pub fn variances(&self) -> Vec<f64> {
        let units = 0..self.features;
        units
            .map(|unit| self.covariance(unit, unit).max(0.0))
            .collect()
    }

    /// The correlation of two units; 0 where one of them is always the same.
    pub fn correlation(&self, one: usize, other: usize) -> f64 {
        let size = (self.covariance(one, one) * self.covariance(other, other)).sqrt();
        if size > 0.0 {
            self.covariance(one, other) / size
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn means_and_covariances_are_those_of_the_samples() {
        let device = Device::flex();
        let mut sums = DenseStatistics::new(3);
        sums.add(&Tensor::from_data(
            [[1.0, 4.0, 7.0], [3.0, 0.0, 7.0]],
            &device,
        ));
        sums.add(&Tensor::from_data([[5.0, 2.0, 7.0]], &device));
        assert_eq!(sums.means(), [3.0, 2.0, 7.0]);
        for (one, other, expected) in [(0, 0, 8.0 / 3.0), (0, 1, -4.0 / 3.0), (1, 0, -4.0 / 3.0)] {
            assert!((sums.covariance(one, other) - expected).abs() < 1e-12);
        }
        assert!((sums.correlation(0, 1) + 0.5).abs() < 1e-12);
        assert_eq!((sums.variances()[2], sums.correlation(1, 2)), (0.0, 0.0));
    }
}
