//! What synthetic images are worth, as far as it can be told without a real one.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use kd_core::Metrics;

use crate::teacher::Seen;

/// A class is missing if fewer than this share of the images that it would have among equals are its.
const MISSING: f64 = 0.1;
/// Images whose pixels agree more than this are near copies.
const COLLAPSED: f64 = 0.7;
/// Below this the teacher is not sure of what it sees.
const UNSURE: f64 = 0.5;

/// What a teacher says of many synthetic images.
///
/// | metric | is |
/// | --- | --- |
/// | `confidence` | the mean of the largest probability |
/// | `class_entropy` | the entropy of the classes that the teacher sees, over the logarithm of their number: 1 where all are alike |
/// | `missing_classes` | classes with less than a tenth of an equal share |
/// | `largest_class` | the share of the most frequent one |
/// | `pixel_correlation` | the mean correlation of the pixels of two images, of each with the next |
/// | `feature_distance` | the mean distance of what goes into the head, of two images of one class |
#[derive(Clone, Debug)]
pub struct Diagnosis {
    counts: Vec<u64>,
    confidence: f64,
    correlation: f64,
    pairs: u64,
    distance: f64,
    alike: u64,
    /// The last features of each class, to be compared with the next.
    last: Vec<Option<Vec<f32>>>,
}

impl Diagnosis {
    /// Of no image yet, for so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            counts: vec![0; classes],
            confidence: 0.0,
            correlation: 0.0,
            pairs: 0,
            distance: 0.0,
            alike: 0,
            last: vec![None; classes],
        }
    }

    /// Adds images and what the teacher has seen of them.
    pub fn add(&mut self, images: &Tensor<4>, seen: &Seen) {
        let [count, ..] = images.dims();
        let probabilities = softmax(seen.logits.clone(), 1);
        let rows: Vec<f32> = probabilities.into_data().iter::<f32>().collect();
        let features: Vec<f32> = seen.dense.clone().into_data().iter::<f32>().collect();
        let width = features.len() / count.max(1);
        for (row, feature) in rows
            .chunks_exact(self.counts.len())
            .zip(features.chunks_exact(width))
        {
            let (class, largest) =
                row.iter()
                    .enumerate()
                    .fold((0, f32::MIN), |best, (place, &value)| {
                        if value > best.1 { (place, value) } else { best }
                    });
            self.counts[class] += 1;
            self.confidence += f64::from(largest);
            if let Some(last) = self.last[class].replace(feature.to_vec()) {
                let square = last
                    .iter()
                    .zip(feature)
                    .map(|(a, b)| f64::from(a - b).powi(2));
                self.distance += square.sum::<f64>().sqrt();
                self.alike += 1;
            }
        }
        let pixels: Vec<f32> = images.clone().into_data().iter::<f32>().collect();
        let size = pixels.len() / count.max(1);
        let all: Vec<&[f32]> = pixels.chunks_exact(size.max(1)).collect();
        for pair in all.windows(2) {
            self.correlation += correlation(pair[0], pair[1]);
            self.pairs += 1;
        }
    }

    /// How many images the teacher puts into each class.
    pub fn histogram(&self) -> &[u64] {
        &self.counts
    }

    /// The numbers by name; nothing of no image.
    pub fn metrics(&self) -> Metrics {
        let count: u64 = self.counts.iter().sum();
        if count == 0 {
            return Metrics::new();
        }
        let all = count as f64;
        let shares = || self.counts.iter().map(|&count| count as f64 / all);
        let entropy: f64 = shares()
            .filter(|share| *share > 0.0)
            .map(|share| -share * share.ln())
            .sum();
        let classes = self.counts.len() as f64;
        let mean = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
        let numbers = [
            ("confidence", self.confidence / all),
            (
                "class_entropy",
                if classes > 1.0 {
                    (entropy / classes.ln()).max(0.0)
                } else {
                    1.0
                },
            ),
            ("missing_classes", self.missing().len() as f64),
            ("largest_class", shares().fold(0.0, f64::max)),
            ("pixel_correlation", mean(self.correlation, self.pairs)),
            ("feature_distance", mean(self.distance, self.alike)),
        ];
        numbers.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The classes that the teacher hardly ever sees.
    fn missing(&self) -> Vec<usize> {
        let all: u64 = self.counts.iter().sum();
        let equal = all as f64 / self.counts.len().max(1) as f64;
        let is_missing = |&(_, &count): &(usize, &u64)| (count as f64) < MISSING * equal;
        self.counts
            .iter()
            .enumerate()
            .filter(is_missing)
            .map(|(class, _)| class)
            .collect()
    }

    /// What a person should know before a student learns from such images, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let metrics = self.metrics();
        let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let mut said = Vec::new();
        let missing = self.missing();
        if !missing.is_empty() && !metrics.is_empty() {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            said.push(format!(
                "the teacher sees next to nothing of class {} in the synthetic images; a student cannot learn it from them (give `batch_entropy` more weight)",
                names.join(", ")
            ));
        }
        if of("pixel_correlation") > COLLAPSED {
            said.push(format!(
                "the synthetic images are near copies of each other (the correlation of two is {:.2} on average); lower the learning rate of the generator, or give `diversity` more weight",
                of("pixel_correlation")
            ));
        }
        if !metrics.is_empty() && of("confidence") < UNSURE {
            said.push(format!(
                "the teacher is unsure of the synthetic images (its largest probability is {:.2} on average); train the generator for longer, or give `one_hot` more weight",
                of("confidence")
            ));
        }
        said
    }
}

/// Pearson's correlation of two rows; 1 of two that do not vary.
fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean =
        |row: &[f32]| row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len().max(1) as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - of_a, f64::from(b) - of_b);
        both += a * b;
        first += a * a;
        second += b * b;
    }
    if first == 0.0 || second == 0.0 {
        1.0
    } else {
        both / (first * second).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_the_books() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert!(correlation(&[1.0, -1.0, 1.0, -1.0], &[1.0, 1.0, -1.0, -1.0]).abs() < 1e-12);
        assert!((correlation(&[1.0, 1.0], &[0.0, 5.0]) - 1.0).abs() < 1e-12);
    }
}
