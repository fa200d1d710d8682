//! The search by descent on pixels: DeepInversion and Adaptive DeepInversion.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Draws, Error, ImageClassifier, ImageShape, NamedGradients, Normalisation, OptimizerConfig,
    Result, StepContext, Trained,
};
use kd_losses::{ImageSize, VariationForm, cross_entropy, image_l2, total_variation};
use serde::{Deserialize, Serialize};

use super::weights::check_weights;
use crate::bank::pixel_range;
use crate::noise::noise;
use crate::norm_distance::norm_distance;
use crate::teacher::ImageTeacher;

/// Purposes of draws.
const FIRST: &str = "data-free inversion noise";
const SHIFT: &str = "data-free inversion shift";
/// A constant that keeps norms above 0.
const EPSILON: f64 = 1e-6;
/// The smallest and the largest probability in the competition.
const CLAMP: [f64; 2] = [0.01, 0.99];
/// The divisor of logits in the competition.
const COMPETITION_TEMPERATURE: f64 = 3.0;

/// The search for a batch of images by descent on their pixels.
///
/// ```text
/// loss = one_hot CE(T(x'), y) + variation R_TV(x') + l2 R_l2(x') + bn_statistics R_BN(x')
///        + competition (1 - J(S(x'), T(x')))
/// ```
///
/// `x'` is `x` moved by a random offset around its edges, `y` has each class equally often, `R_TV` and `R_l2`
/// are [`total_variation`] and [`image_l2`] of the whole batch, and `R_BN` compares with the teacher's batch
/// norms ([`bn_statistics`](kd_losses::bn_statistics)). `J` is the divergence of student and teacher from
/// their mean, of probabilities at a temperature of 3 between 0.01 and 0.99, with the arguments as the
/// authors' code has them.
///
/// Steps, rate and the weights of targets, statistics and competition are by default those of the CMI
/// benchmark's port for CIFAR-10; offset and variation are those of the authors' program, where the port has
/// an eighth of the side, a mirroring, and 1e-3. The authors' program has 2,000 steps, and 100 for the
/// statistics by default and 10 in its notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PixelSearch {
    /// Steps of descent for a batch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub steps: usize,
    /// The rate of Adam, whose betas are 0.5 and 0.99.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub lr: f64,
    /// The weight of the cross-entropy with the targets.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub one_hot: f64,
    /// The weight of the statistics of the teacher's batch norms; 0 for a teacher without.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub bn_statistics: f64,
    /// The weight of the total variation.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub variation: f64,
    /// The weight of the l2 norm.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub l2: f64,
    /// The weight of the competition with the student; 0 for DeepInversion that is not adaptive.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub competition: f64,
    /// The largest offset of `x'`, in pixels, along both axes.
    pub shift: usize,
}

impl Default for PixelSearch {
    fn default() -> Self {
        Self {
            steps: 1000,
            lr: 0.1,
            one_hot: 1.0,
            bn_statistics: 10.0,
            variation: 2.5e-5,
            l2: 0.0,
            competition: 1.0,
            shift: 2,
        }
    }
}

impl PixelSearch {
    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, and for statistics of batch norms that the teacher
    /// does not have.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        if self.steps == 0 {
            return Err(Error::config("steps", "must be above 0"));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            let problem = format!("must be finite and above 0, got {}", self.lr);
            return Err(Error::config("lr", problem));
        }
        let weights = [
            ("one_hot", self.one_hot),
            ("bn_statistics", self.bn_statistics),
            ("variation", self.variation),
            ("l2", self.l2),
            ("competition", self.competition),
        ];
        check_weights(&weights, teacher)
    }

    /// Batch number `index`: `[count, channels, height, width]`, pixels in `[0, 1]`, on the plain device;
    /// without a student there is no competition.
    pub(crate) fn batch<S: ImageClassifier>(
        &self,
        student: Option<&S>,
        teacher: &dyn ImageTeacher,
        (seed, index): (u64, u64),
        count: usize,
        device: &Device,
    ) -> Result<Tensor<4>> {
        let ImageShape {
            channels,
            height,
            width,
        } = teacher.image();
        let size = channels * height * width;
        let first = noise((seed, FIRST, index), 0, [count, size], device);
        let shape = [count, channels, height, width];
        let images = LearntImages::of(first.reshape(shape));
        let mut images = Trained::new("images", images, adam())?;
        let targets = even_targets(count, teacher.classes(), &device.clone().autodiff());
        let [low, high] = pixel_range(teacher.normalisation()?);
        let rival = student.filter(|_| self.competition > 0.0);
        let rival = rival.map(Module::valid);
        for step in 0..self.steps {
            let moved = self.moved(images.network().pixels.val(), seed, index, step as u64);
            let loss = self.loss(moved, &targets, rival.as_ref(), teacher)?;
            let mut gradients = NamedGradients::new();
            images.collect(&mut gradients, &mut loss.backward());
            images.step(self.at(step), &gradients);
            images.change(|_, pixels| {
                let pixels = pixels.reshape(shape);
                Some(within(pixels, &low, &high).flatten(0, 3))
            });
        }
        pixels(images.network().pixels.val().inner(), teacher)
    }

    fn at(&self, step: usize) -> StepContext {
        StepContext {
            step,
            epoch: 0,
            step_in_epoch: step,
            lr: self.lr,
            momentum: None,
        }
    }

    /// The images, moved around their edges.
    fn moved(&self, images: Tensor<4>, seed: u64, index: u64, step: u64) -> Tensor<4> {
        let mut draws = Draws::new(seed, SHIFT, index, step);
        let [_, _, height, width] = images.dims();
        [(2, height), (3, width)]
            .into_iter()
            .fold(images, |images, (axis, size)| {
                let choices = 2 * self.shift as u64 + 1;
                let drawn = usize::try_from(draws.below(choices)).unwrap_or_default();
                // From `-shift` to `shift`.
                let offset = (drawn + size * (1 + self.shift / size) - self.shift) % size;
                if offset == 0 {
                    return images;
                }
                let tail = images.clone().narrow(axis, size - offset, offset);
                Tensor::cat(vec![tail, images.narrow(axis, 0, size - offset)], axis)
            })
    }

    fn loss<S: ImageClassifier>(
        &self,
        images: Tensor<4>,
        targets: &Tensor<1, Int>,
        rival: Option<&S>,
        teacher: &dyn ImageTeacher,
    ) -> Result<Tensor<1>> {
        let wrong = |error: kd_losses::Error| Error::method("the loss of the images", error);
        let inspected = teacher.inspect(images.clone());
        let mut all = Vec::new();
        if self.one_hot > 0.0 {
            let apart =
                cross_entropy(inspected.logits.clone(), targets.clone(), 0.0).map_err(wrong)?;
            all.push(apart.mul_scalar(self.one_hot));
        }
        if self.variation > 0.0 {
            let value =
                total_variation(images.clone(), VariationForm::Norms, EPSILON).map_err(wrong)?;
            all.push(value.mul_scalar(self.variation));
        }
        if self.l2 > 0.0 {
            let value = image_l2(images.clone(), ImageSize::Batch, EPSILON).map_err(wrong)?;
            all.push(value.mul_scalar(self.l2));
        }
        if self.bn_statistics > 0.0 {
            all.push(norm_distance(&inspected)?.mul_scalar(self.bn_statistics));
        }
        if let Some(rival) = rival {
            let divergence = competition(rival.forward(&images), inspected.logits);
            let value = divergence.clamp(0.0, 1.0).neg().add_scalar(1.0);
            all.push(value.mul_scalar(self.competition));
        }
        Ok(Tensor::cat(all, 0).sum())
    }
}

/// Adam as the authors' code has it for pixels.
fn adam() -> OptimizerConfig {
    OptimizerConfig::Adam {
        beta1: 0.5,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.0,
    }
}

/// The divergence of student and teacher from their mean, as the authors' code has it.
fn competition(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let softened = |logits: Tensor<2>| {
        softmax(logits.div_scalar(COMPETITION_TEMPERATURE), 1).clamp(CLAMP[0], CLAMP[1])
    };
    let raw = |logits: Tensor<2>| softmax(logits.div_scalar(COMPETITION_TEMPERATURE), 1);
    let mean = (raw(student.clone()) + raw(teacher.clone()))
        .mul_scalar(0.5)
        .clamp(CLAMP[0], CLAMP[1]);
    // The mean against each: the reverse of a Jensen-Shannon divergence.
    let from_mean = |other: Tensor<2>| {
        (mean.clone() * (mean.clone().log() - other.log()))
            .sum_dim(1)
            .mean()
    };
    (from_mean(softened(student)) + from_mean(softened(teacher))).mul_scalar(0.5)
}

/// Images that learn.
#[derive(Module, Debug)]
struct LearntImages {
    pixels: Param<Tensor<4>>,
}

impl LearntImages {
    /// Plain pixels as the beginning of a graph.
    fn of(pixels: Tensor<4>) -> Self {
        Self {
            pixels: Param::from_tensor(Tensor::from_inner(pixels)),
        }
    }
}

/// Each class equally often, in turn.
pub(crate) fn even_targets(count: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = (0..count)
        .map(|place| i64::try_from(place % classes.max(1)).unwrap_or_default())
        .collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The input of the teacher as pixels.
fn pixels(images: Tensor<4>, teacher: &dyn ImageTeacher) -> Result<Tensor<4>> {
    let how = teacher.normalisation()?;
    let back = Normalisation {
        mean: how
            .mean
            .iter()
            .zip(&how.std)
            .map(|(mean, std)| -mean / std)
            .collect(),
        std: how.std.iter().map(|std| std.recip()).collect(),
    };
    Ok(back.apply(images)?.clamp(0.0, 1.0))
}

fn within(images: Tensor<4>, low: &[f64], high: &[f64]) -> Tensor<4> {
    let device = images.device();
    let channels = low.len();
    let by_channel = |values: &[f64]| {
        let data = TensorData::new(values.to_vec(), [1, channels, 1, 1]).convert::<f32>();
        Tensor::<4>::from_data(data, &device)
    };
    images.max_pair(by_channel(low)).min_pair(by_channel(high))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, Tolerance};

    use super::*;

    /// Computed by PyTorch in 64 bits.
    #[test]
    fn the_competition_is_that_of_an_independent_computation() {
        let device = Device::flex();
        let student = Tensor::<2>::from_floats([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]], &device);
        let teacher = Tensor::<2>::from_floats([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]], &device);
        let expected = TensorData::new(vec![0.006_039_414_f32], [1]);
        let value = competition(student, teacher).into_data();
        value.assert_approx_eq::<f32>(&expected, Tolerance::relative(1e-4));
    }

    #[test]
    fn images_are_moved_around_their_edges() {
        let device = Device::flex();
        let place = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &device);
        let columns = place.clone().reshape([1, 1, 1, 6]).repeat(&[1, 1, 6, 1]);
        let rows = place.reshape([1, 1, 6, 1]).repeat(&[1, 1, 1, 6]);
        let images = Tensor::cat(vec![rows, columns], 1);
        let search = PixelSearch::default();
        let mut offsets = std::collections::BTreeSet::new();
        for step in 0..200 {
            let moved = search.moved(images.clone(), 1, 2, step);
            let values: Vec<i32> = moved.into_data().iter::<i32>().collect();
            let (down, right) = (values[0], values[36]);
            for y in 0..6 {
                for x in 0..6 {
                    let at = usize::try_from(6 * y + x).unwrap();
                    assert_eq!(values[at], (down + y).rem_euclid(6));
                    assert_eq!(values[36 + at], (right + x).rem_euclid(6));
                }
            }
            offsets.insert((down, right));
        }
        // From -2 to 2 along both axes.
        assert_eq!(offsets.len(), 25);
        assert!(
            offsets
                .iter()
                .all(|(down, right)| *down != 3 && *right != 3)
        );
    }
}
