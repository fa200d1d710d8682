//! Heads for each set of students that answer, refitted from the covariance of the features.

use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, TensorData};
use kd_core::{Error, Result, Tensors};

use crate::cholesky::solve;
use crate::split::DenseStatistics;

/// The most students for which there is a head for each set.
const MOST_STUDENTS: usize = 8;
/// The most features for which heads are refitted: each takes the cube of those that are present.
const MOST_FEATURES: usize = 1024;

/// The heads for each set of students that answer: the policy `head` for missing chunks.
///
/// What is missing is guessed from what is there by a ridge regression over the training samples, and the
/// guess goes through the head; both are linear, so that they are one head for each set. Ours, not the
/// paper's.
///
/// ```text
/// A = (C_pp + r v I)^-1 C_pm                    C: covariance of the features, v: their mean variance, r:
/// ridge W' = W_p + A W_m      b' = b + (mean_m - mean_p A) W_m            p: present, m: missing
/// ```
///
/// All heads of 8 students come from one covariance matrix, without another look at the samples. Features are
/// those that the head reads, after the ReLU if there is one.
#[derive(Clone, Debug)]
pub struct RefittedHeads {
    lengths: Vec<usize>,
    means: Vec<f64>,
    /// `[features, features]`, row by row.
    covariance: Vec<f64>,
    /// What is added to the diagonal.
    ridge: f64,
}

impl RefittedHeads {
    /// Heads for chunks of these lengths, by the statistics of the features over the training samples.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the lengths do not add up to the features, or for more than 8 students or 1,024
    /// features.
    pub fn new(statistics: &DenseStatistics, lengths: &[usize], ridge: f64) -> Result<Self> {
        let features = statistics.features();
        if !Self::can_be_of(lengths) || lengths.iter().sum::<usize>() != features {
            let problem = format!(
                "must be of at most {MOST_STUDENTS} students and add up to the {features} features, which \
                 must be at most {MOST_FEATURES}, got {lengths:?}"
            );
            return Err(Error::config("lengths", problem));
        }
        let mut covariance = Vec::with_capacity(features * features);
        for row in 0..features {
            covariance.extend((0..features).map(|column| statistics.covariance(row, column)));
        }
        let variance = statistics.variances().iter().sum::<f64>() / features.max(1) as f64;
        Ok(Self {
            lengths: lengths.to_vec(),
            means: statistics.means(),
            covariance,
            // Where all features are dead nothing is guessed, and the matrix must be positive.
            ridge: (ridge * variance).max(f64::MIN_POSITIVE.sqrt()),
        })
    }

    /// Whether there can be heads for chunks of these lengths.
    pub(crate) fn can_be_of(lengths: &[usize]) -> bool {
        (1..=MOST_STUDENTS).contains(&lengths.len())
            && lengths.iter().sum::<usize>() <= MOST_FEATURES
    }

    /// The head for the students that are present, `[features, num_classes]` with zeros for the features that
    /// are missing, so that it takes chunks of zeros in their place.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no student is present, or there is another number of them.
    pub fn head(&self, head: &Linear, present: &[bool]) -> Result<Linear> {
        if present.len() != self.lengths.len() || !present.contains(&true) {
            let problem = format!(
                "must say of each of {} students whether it is there, and one must be, got {present:?}",
                self.lengths.len()
            );
            return Err(Error::config("present", problem));
        }
        let [features, classes] = head.weight.dims();
        let weight: Vec<f64> = numbers(head.weight.val());
        let bias = match &head.bias {
            Some(bias) => numbers(bias.val()),
            None => vec![0.0; classes],
        };
        let (weight, bias) = self.refitted(&weight, bias, present, classes);
        let device = head.weight.val().device();
        let mut refitted = LinearConfig::new(features, classes).init(&device);
        let weight = TensorData::new(weight, [features, classes]).convert::<f32>();
        refitted.weight = Param::from_tensor(Tensor::from_data(weight, &device));
        let bias = TensorData::new(bias, [classes]).convert::<f32>();
        refitted.bias = Some(Param::from_tensor(Tensor::from_data(bias, &device)));
        Ok(refitted)
    }

    /// Weight and bias of the refitted head, from those of the whole one.
    fn refitted(
        &self,
        weight: &[f64],
        mut bias: Vec<f64>,
        present: &[bool],
        classes: usize,
    ) -> (Vec<f64>, Vec<f64>) {
        let features = self.means.len();
        let of_unit = self.lengths.iter().zip(present);
        let there: Vec<bool> = of_unit
            .flat_map(|(&length, &there)| std::iter::repeat_n(there, length))
            .collect();
        let (kept, lost): (Vec<usize>, Vec<usize>) = (0..features).partition(|&unit| there[unit]);
        // What the missing features would add, guessed: A W_m, one row for each present feature.
        let mut matrix = Vec::with_capacity(kept.len() * kept.len());
        let mut right = Vec::with_capacity(kept.len() * classes);
        for &row in &kept {
            for &column in &kept {
                let ridge = if row == column { self.ridge } else { 0.0 };
                matrix.push(self.covariance[row * features + column] + ridge);
            }
            for class in 0..classes {
                let products = lost.iter().map(|&unit| {
                    self.covariance[row * features + unit] * weight[unit * classes + class]
                });
                right.push(products.sum::<f64>());
            }
        }
        let zeros = vec![0.0; right.len()];
        let guessed = solve(matrix, right, kept.len(), classes).unwrap_or(zeros);
        let mut refitted = vec![0.0; weight.len()];
        for (place, &unit) in kept.iter().enumerate() {
            for class in 0..classes {
                let more = guessed[place * classes + class];
                refitted[unit * classes + class] = weight[unit * classes + class] + more;
                bias[class] -= self.means[unit] * more;
            }
        }
        for &unit in &lost {
            for class in 0..classes {
                bias[class] += self.means[unit] * weight[unit * classes + class];
            }
        }
        (refitted, bias)
    }

    /// The logits, `[batch_size, num_classes]`, of the features of the students that are there, each
    /// `[batch_size, chunk_length]`, by the head for that set.
    ///
    /// # Errors
    ///
    /// As [`RefittedHeads::head`].
    pub fn logits(&self, head: &Linear, features: &[Option<Tensor<2>>]) -> Result<Tensor<2>> {
        let present: Vec<bool> = features.iter().map(Option::is_some).collect();
        let refitted = self.head(head, &present)?;
        let there = features.iter().flatten().next();
        let none = || Error::config("students", "are all missing; at least one must answer");
        let first = there.ok_or_else(none)?;
        let (samples, device) = (first.dims()[0], first.device());
        let filled = features
            .iter()
            .zip(&self.lengths)
            .map(|(chunk, &length)| match chunk {
                Some(chunk) => chunk.clone(),
                None => Tensor::zeros([samples, length], &device),
            });
        Ok(refitted.forward(Tensor::cat(filled.collect(), 1)))
    }

    /// The heads for every set of students but none and all, in the order of [`RefittedHeads::sets`].
    ///
    /// # Errors
    ///
    /// As [`RefittedHeads::head`].
    pub(crate) fn all(&self, head: &Linear) -> Result<Vec<Linear>> {
        self.sets()
            .map(|present| self.head(head, &present))
            .collect()
    }

    /// Every set of students but none and all, as which are there, in the order of their bits.
    pub(crate) fn sets(&self) -> impl Iterator<Item = Vec<bool>> + use<> {
        let students = self.lengths.len();
        let there = move |set: u32| {
            (0..students)
                .map(|student| set >> student & 1 == 1)
                .collect()
        };
        (1_u32..(1 << students) - 1).map(there)
    }

    /// The heads of all sets as a file beside the class: `weight`, `[sets, features, num_classes]`, and
    /// `bias`, `[sets, num_classes]`. Set `i` from 0 is of the students whose bits are set in `i + 1`.
    ///
    /// # Errors
    ///
    /// As [`RefittedHeads::head`].
    pub(crate) fn tensors(&self, head: &Linear) -> Result<Tensors> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for refitted in self.all(head)? {
            weights.push(refitted.weight.val().unsqueeze::<3>());
            biases.extend(refitted.bias.map(|bias| bias.val().unsqueeze::<2>()));
        }
        if weights.is_empty() {
            return Ok(Tensors::new());
        }
        Ok(Tensors::from([
            ("weight".into(), Tensor::cat(weights, 0).into_data()),
            ("bias".into(), Tensor::cat(biases, 0).into_data()),
        ]))
    }
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use kd_core::read_tensors;

    use super::*;

    const LENGTHS: [usize; 3] = [2, 3, 2];

    fn fixture() -> Tensors {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/refit.safetensors");
        read_tensors(&file).unwrap()
    }

    fn features(fixture: &Tensors) -> Tensor<2> {
        Tensor::from_data(fixture["features"].clone(), &Device::flex())
    }

    fn head(fixture: &Tensors) -> Linear {
        let device = Device::flex();
        let mut head = LinearConfig::new(7, 4).init(&device);
        head.weight = Param::from_tensor(Tensor::from_data(fixture["weight"].clone(), &device));
        let bias = Tensor::from_data(fixture["bias"].clone(), &device);
        head.bias = Some(Param::from_tensor(bias));
        head
    }

    fn heads(fixture: &Tensors) -> RefittedHeads {
        let mut statistics = DenseStatistics::new(7);
        statistics.add(&features(fixture));
        RefittedHeads::new(&statistics, &LENGTHS, 0.05).unwrap()
    }

    #[test]
    fn the_head_of_every_set_is_that_of_float64() {
        let fixture = fixture();
        let found = heads(&fixture).tensors(&head(&fixture)).unwrap();
        for (name, expected) in [("weight", "weights"), ("bias", "biases")] {
            let (found, expected) = (&found[name], &fixture[expected]);
            assert_eq!(found.shape(), expected.shape());
            for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{name}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn features_of_those_that_are_there_go_through_the_head_of_their_set() {
        let fixture = fixture();
        let (features, head, heads) = (features(&fixture), head(&fixture), heads(&fixture));
        let chunk = |start, length| Some(features.clone().narrow(1, start, length));
        let all = [chunk(0, 2), chunk(2, 3), chunk(5, 2)];
        let off = |one: Tensor<2>, other: Tensor<2>| (one - other).abs().max().into_scalar::<f32>();
        let whole = heads.logits(&head, &all).unwrap();
        assert!(off(whole, head.forward(features.clone())) < 1e-5);
        let some = heads
            .logits(&head, &[all[0].clone(), None, all[2].clone()])
            .unwrap();
        let refitted = heads.head(&head, &[true, false, true]).unwrap();
        // The rows of what is missing are zeros: whatever stands there is not read.
        assert!(off(some, refitted.forward(features)) < 1e-5);

        let none = heads
            .logits(&head, &[None, None, None])
            .unwrap_err()
            .to_string();
        assert!(
            none.starts_with("`present` must say of each of 3 students"),
            "{none}"
        );
        let statistics = DenseStatistics::new(7);
        let wrong = RefittedHeads::new(&statistics, &[3, 3], 0.1)
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("add up to the 7 features"), "{wrong}");
    }
}
