//! The normalised error of a student on held-out data, and units of the teacher that never change.

use burn::tensor::Tensor;

/// Sums over samples from which the normalised mean squared error of a chunk follows.
///
/// ```text
/// NMSE_k = sum (S_k(x_i)_j - d_k(x_i)_j)^2 / sum (d_k(x_i)_j - mean_j)^2
/// ```
///
/// over samples, pixels where each has a chunk, and living units; 1 is what a constant output at the mean
/// gives. A unit of the teacher that has the same value for all samples is dead: it is counted and left out
/// of both sums. All is summed in double precision on the host.
#[derive(Clone, Debug)]
pub struct NmseSums {
    samples: usize,
    /// The value of each unit for the first sample: the origin that deviations are summed from.
    origin: Vec<f64>,
    deviations: Vec<f64>,
    squares: Vec<f64>,
    errors: Vec<f64>,
}

impl NmseSums {
    /// No sample yet, of a chunk of `length` units.
    pub fn new(length: usize) -> Self {
        let zeros = vec![0.0; length];
        Self {
            samples: 0,
            origin: zeros.clone(),
            deviations: zeros.clone(),
            squares: zeros.clone(),
            errors: zeros,
        }
    }

    /// Adds outputs and targets, both `[batch_size, chunk_length]`.
    pub fn add(&mut self, output: Tensor<2>, target: Tensor<2>) {
        let length = self.origin.len();
        let numbers = |tensor: Tensor<2>| tensor.into_data().iter::<f64>().collect::<Vec<f64>>();
        let (output, target) = (numbers(output), numbers(target));
        for (output, target) in output.chunks_exact(length).zip(target.chunks_exact(length)) {
            if self.samples == 0 {
                self.origin.copy_from_slice(target);
            }
            self.samples += 1;
            for unit in 0..length {
                let deviation = target[unit] - self.origin[unit];
                self.deviations[unit] += deviation;
                self.squares[unit] += deviation * deviation;
                self.errors[unit] += (output[unit] - target[unit]).powi(2);
            }
        }
    }

    fn is_dead(&self, unit: usize) -> bool {
        // A unit that ever differs from its first value has a positive square.
        self.squares[unit] == 0.0
    }

    /// The number of units that are the same for all samples.
    pub fn dead(&self) -> usize {
        (0..self.origin.len())
            .filter(|&unit| self.is_dead(unit))
            .count()
    }

    /// The mean squared error over all samples and units, dead ones as well.
    pub fn mse(&self) -> f64 {
        let numbers = (self.samples * self.errors.len()).max(1);
        self.errors.iter().sum::<f64>() / numbers as f64
    }

    /// The normalised error over the living units; none if all are dead.
    pub fn nmse(&self) -> Option<f64> {
        let living = (0..self.origin.len()).filter(|&unit| !self.is_dead(unit));
        let (mut errors, mut variances) = (0.0, 0.0);
        for unit in living {
            errors += self.errors[unit];
            let mean = self.deviations[unit] / self.samples as f64;
            variances += self.squares[unit] - mean * self.deviations[unit];
        }
        (variances > 0.0).then(|| errors / variances)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_mean_has_an_error_of_one_and_dead_units_are_left_out() {
        let device = Device::flex();
        let target = Tensor::<2>::from_data([[1.0, 7.0, 0.0], [3.0, 7.0, 4.0]], &device);
        let mut mean = NmseSums::new(3);
        let output = Tensor::<2>::from_data([[2.0, 0.0, 2.0], [2.0, 0.0, 2.0]], &device);
        mean.add(output, target.clone());
        assert_eq!((mean.dead(), mean.nmse()), (1, Some(1.0)));
        assert!((mean.mse() - (2.0 + 98.0 + 8.0) / 6.0).abs() < 1e-12);

        let mut one_by_one = NmseSums::new(3);
        for row in 0..2 {
            let output = Tensor::<2>::from_data([[1.0, 7.0, 1.0]], &device);
            one_by_one.add(output, target.clone().narrow(0, row, 1));
        }
        // Errors 0 + 4 and 1 + 9, variances 2 and 8.
        assert_eq!(one_by_one.nmse(), Some(1.4));
    }

    #[test]
    fn a_chunk_of_dead_units_has_no_error() {
        let same = Tensor::<2>::ones([3, 2], &Device::flex());
        let mut sums = NmseSums::new(2);
        sums.add(same.clone(), same);
        assert_eq!((sums.dead(), sums.nmse()), (2, None));
    }
}
