//! What synthetic images are worth, as far as it can be told without a real one.

use std::fmt;

use burn::tensor::{Tensor, TensorData};
use kd_core::Metrics;

use crate::teacher::Seen;

/// A class is missing if fewer than this share of the images that it would have among equals are its.
const MISSING: f64 = 0.1;
/// Images whose pixels agree more than this are near copies.
const COLLAPSED: f64 = 0.7;
/// Below this the teacher is not sure of what it sees.
const UNSURE: f64 = 0.5;
/// Of more missing classes than this, the first are named.
const NAMED: usize = 10;

/// What a teacher says of many synthetic images.
///
/// | metric | is |
/// | --- | --- |
/// | `confidence` | the mean of the largest probability |
/// | `class_entropy` | the entropy of the classes that the teacher sees, over the logarithm of their number: 1 where all are alike |
/// | `missing_classes` | classes with less than a tenth of an equal share |
/// | `largest_class` | the share of the most frequent one |
/// | `pixel_correlation` | the mean correlation of the pixels of two images, of each with the next |
/// | `feature_distance` | the mean distance of what goes into the head, of two images of one class; only where that was seen |
#[derive(Clone, Debug)]
pub struct Diagnosis {
    counts: Vec<u64>,
    confidence: f64,
    correlation: f64,
    pairs: u64,
    distance: f64,
    alike: u64,
    /// Whether what goes into the head was seen.
    sees_features: bool,
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
            sees_features: false,
            last: vec![None; classes],
        }
    }

    /// Adds images and what the teacher has seen of them.
    pub fn add(&mut self, images: &Tensor<4>, seen: &Seen) {
        let on_host = |data: TensorData| -> Vec<f32> { data.iter::<f32>().collect() };
        let pixels = on_host(images.clone().into_data());
        let logits = on_host(seen.logits.clone().into_data());
        let features = on_host(seen.dense.clone().into_data());
        let classes = self.add_plain(&pixels, &logits);
        self.sees_features = true;
        let width = features.len() / classes.len().max(1);
        for (&class, feature) in classes.iter().zip(features.chunks_exact(width.max(1))) {
            if let Some(last) = self.last[class].replace(feature.to_vec()) {
                let square = last
                    .iter()
                    .zip(feature)
                    .map(|(a, b)| f64::from(a - b).powi(2));
                self.distance += square.sum::<f64>().sqrt();
                self.alike += 1;
            }
        }
    }

    /// Adds images of which nothing but the logits is known, both one after the other, and gives the class of each.
    pub(crate) fn add_plain(&mut self, pixels: &[f32], logits: &[f32]) -> Vec<usize> {
        let mut classes = Vec::with_capacity(logits.len() / self.counts.len().max(1));
        for row in logits.chunks_exact(self.counts.len().max(1)) {
            let first = |best: (usize, f32), (place, &value): (usize, &f32)| {
                if value > best.1 { (place, value) } else { best }
            };
            let (class, largest) = row.iter().enumerate().fold((0, f32::MIN), first);
            let powers = row.iter().map(|&logit| f64::from(logit - largest).exp());
            self.confidence += powers.sum::<f64>().recip();
            self.counts[class] += 1;
            classes.push(class);
        }
        let size = pixels.len() / classes.len().max(1);
        let all: Vec<&[f32]> = pixels.chunks_exact(size.max(1)).collect();
        for pair in all.windows(2) {
            self.correlation += correlation(pair[0], pair[1]);
            self.pairs += 1;
        }
        classes
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
        ];
        let distance = mean(self.distance, self.alike);
        let distance = self.sees_features.then_some(("feature_distance", distance));
        let all = numbers.into_iter().chain(distance);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
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

    /// What a person should know before a student learns from such images. Classes without a name go by their number.
    pub fn warnings(&self, class_names: Option<&[String]>) -> Vec<Warning> {
        let metrics = self.metrics();
        if metrics.is_empty() {
            return Vec::new();
        }
        let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let mut said = Vec::new();
        let missing = self.missing();
        if !missing.is_empty() {
            let name = |&class: &usize| {
                let name = class_names.and_then(|names| names.get(class));
                name.map_or_else(|| class.to_string(), |name| format!("`{name}`"))
            };
            let named: Vec<String> = missing.iter().take(NAMED).map(name).collect();
            let more = match missing.len() {
                more if more > NAMED => format!(" and {} more", more - NAMED),
                _ => String::new(),
            };
            let (classes, them) = if missing.len() == 1 {
                ("class", "it")
            } else {
                ("classes", "them")
            };
            said.push(Warning {
                what: format!(
                    "the teacher sees next to nothing of {classes} {}{more} in the synthetic images, so that a student cannot learn {them}",
                    named.join(", ")
                ),
                remedy: "give `batch_entropy` more weight",
            });
        }
        if of("pixel_correlation") > COLLAPSED {
            said.push(Warning {
                what: format!(
                    "the synthetic images are near copies of each other: the correlation of the pixels of two is {:.2} on average",
                    of("pixel_correlation")
                ),
                remedy: "lower the learning rate of the generator, or give `diversity` more weight",
            });
        }
        if of("confidence") < UNSURE {
            said.push(Warning {
                what: format!(
                    "the teacher is unsure of the synthetic images: its largest probability is {:.2} on average",
                    of("confidence")
                ),
                remedy: "train the generator for longer, or give `one_hot` more weight",
            });
        }
        said
    }
}

/// What is wrong with synthetic images. It is shown with what to do about it, which is for a generator that learns an
/// [`Objective`](crate::Objective).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What is wrong, as a sentence without its end.
    pub what: String,
    /// What to do about it where a generator learns an objective.
    pub remedy: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
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

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let mut good = Diagnosis::new(2);
        assert!(good.warnings(None).is_empty());
        let classes = good.add_plain(&[1.0, 2.0, 2.0, 1.0], &[5.0, 0.0, 0.0, 5.0]);
        assert_eq!((classes, good.histogram()), (vec![0, 1], &[1, 1][..]));
        assert_eq!(good.warnings(None), []);
        let metrics = good.metrics();
        let confidence = 1.0 / (1.0 + (-5.0_f64).exp());
        assert!((metrics["confidence"] - confidence).abs() < 1e-12);
        assert!((metrics["pixel_correlation"] + 1.0).abs() < 1e-12);
        assert!(!metrics.contains_key("feature_distance"));

        let mut bad = Diagnosis::new(3);
        bad.add_plain(&[1.0, 2.0, 1.0, 3.0], &[0.1, 0.0, 0.0, 0.1, 0.0, 0.0]);
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let said = bad
            .warnings(Some(&names))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        assert_eq!(
            said,
            [
                "the teacher sees next to nothing of classes `dog`, `owl` in the synthetic images, so that a student cannot learn them; \
                 give `batch_entropy` more weight",
                "the synthetic images are near copies of each other: the correlation of the pixels of two is 1.00 on average; \
                 lower the learning rate of the generator, or give `diversity` more weight",
                "the teacher is unsure of the synthetic images: its largest probability is 0.36 on average; train the generator for \
                 longer, or give `one_hot` more weight",
            ]
        );
        let mut many = Diagnosis::new(30);
        many.add_plain(&[], &[0.0; 30]);
        assert!(
            many.warnings(None)[0]
                .what
                .contains("classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 19 more in")
        );
    }
}
