//! The measures of synthetic images: their worth, as far as it can be told without a real one.

use burn::tensor::{Tensor, TensorData};
use kd_core::{Finding, Metrics, Topic};

use crate::objective::GeneratorObjective;
use crate::teacher::TeacherBatch;

/// The share of an equal share of the images below which a class is missing.
const MISSING: f64 = 0.1;
/// The correlation of the pixels of two images above which they are near copies.
const COLLAPSED: f64 = 0.7;
/// The confidence below which the teacher is unsure of the images.
const UNSURE: f64 = 0.5;
/// Missing classes that are named; of more than these the first.
const NAMED: usize = 10;

/// The measures of many synthetic images, by the output of a teacher.
///
/// | metric | is |
/// | --- | --- |
/// | `confidence` | the mean of the largest probability |
/// | `class_entropy` | the entropy of the teacher's classes over its largest value: 1 where all are alike |
/// | `missing_classes` | classes with less than a tenth of an equal share |
/// | `largest_class` | the share of the most frequent one |
/// | `pixel_correlation` | the mean correlation of the pixels of two images, of each with the next |
/// | `feature_distance` | the mean distance of two images of one class as inputs of the head, where known |
#[derive(Clone, Debug)]
pub struct BankMeasures {
    counts: Vec<u64>,
    confidence: f64,
    correlation: f64,
    pairs: u64,
    distance: f64,
    alike: u64,
    /// Whether the inputs of the head are known.
    knows_features: bool,
    /// The last features of each class, to be compared with the next.
    last: Vec<Option<Vec<f32>>>,
}

impl BankMeasures {
    /// Those of no image yet, for so many classes.
    pub fn new(classes: usize) -> Self {
        Self {
            counts: vec![0; classes],
            confidence: 0.0,
            correlation: 0.0,
            pairs: 0,
            distance: 0.0,
            alike: 0,
            knows_features: false,
            last: vec![None; classes],
        }
    }

    /// Adds images, as the teacher takes them, and its output for them.
    ///
    /// # Shapes
    ///
    /// `images`: `[batch_size, channels, height, width]`.
    pub fn add(&mut self, images: &Tensor<4>, inspected: &TeacherBatch) {
        let on_host = |data: TensorData| -> Vec<f32> { data.iter::<f32>().collect() };
        let pixels = on_host(images.clone().into_data());
        let logits = on_host(inspected.logits.clone().into_data());
        let features = on_host(inspected.dense.clone().into_data());
        let classes = self.add_plain(&pixels, &logits);
        self.knows_features = true;
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

    /// Adds images of which nothing but the logits is known, both row by row, and gives the class of each.
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

    /// The number of images that the teacher puts into each class.
    pub fn histogram(&self) -> &[u64] {
        &self.counts
    }

    /// The names of the measures.
    pub(crate) const METRICS: [&str; 6] = [
        "confidence",
        "class_entropy",
        "missing_classes",
        "largest_class",
        "pixel_correlation",
        "feature_distance",
    ];

    /// The measures by name; none of no image.
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
        let distance = self
            .knows_features
            .then_some(("feature_distance", distance));
        let all = numbers.into_iter().chain(distance);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The classes that the teacher hardly ever outputs.
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

    /// Warnings before a student learns from such images. Classes without a name go by their number.
    ///
    /// `objective` is that of the generator that made them, if it has one: each warning then ends with a
    /// remedy in its terms.
    pub fn findings(
        &self,
        class_names: Option<&[String]>,
        objective: Option<&GeneratorObjective>,
    ) -> Vec<Finding> {
        let metrics = self.metrics();
        if metrics.is_empty() {
            return Vec::new();
        }
        let of = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let warning = |topic: Topic, problem: String, remedy: &str| {
            let text = match objective {
                Some(_) => format!("{problem}; {remedy}"),
                None => problem,
            };
            Finding::warning(topic, text)
        };
        let mut findings = Vec::new();
        let missing = self.missing();
        if !missing.is_empty() {
            let problem = name_missing(&missing, class_names);
            let remedy = "give `batch_entropy` more weight";
            findings.push(warning(Topic::Data, problem, remedy));
        }
        if of("pixel_correlation") > COLLAPSED {
            let problem = format!(
                "the synthetic images are near copies of each other: the correlation of the pixels of two \
                 is {:.2} on average",
                of("pixel_correlation")
            );
            let remedy =
                "lower the learning rate of the generator, or give `diversity` more weight";
            findings.push(warning(Topic::Data, problem, remedy));
        }
        if of("confidence") < UNSURE {
            let problem = format!(
                "the teacher is unsure of the synthetic images: its largest probability is {:.2} on average",
                of("confidence")
            );
            let remedy = "train the generator for longer, or give `one_hot` more weight";
            findings.push(warning(Topic::Teachers, problem, remedy));
        }
        findings
    }
}

/// The classes that are missing, the first of them by name.
fn name_missing(missing: &[usize], class_names: Option<&[String]>) -> String {
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
    format!(
        "the teacher sees next to nothing of {classes} {}{more} in the synthetic images, so that a student \
         cannot learn {them}",
        named.join(", ")
    )
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
    use kd_core::Grade;

    use super::*;

    #[test]
    fn correlations_are_those_of_the_books() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert!(correlation(&[1.0, -1.0, 1.0, -1.0], &[1.0, 1.0, -1.0, -1.0]).abs() < 1e-12);
        assert!((correlation(&[1.0, 1.0], &[0.0, 5.0]) - 1.0).abs() < 1e-12);
    }

    fn texts(findings: &[Finding]) -> Vec<&str> {
        findings
            .iter()
            .map(|finding| finding.text.as_str())
            .collect()
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let rdskd = GeneratorObjective::rdskd();
        let mut good = BankMeasures::new(2);
        assert!(good.findings(None, Some(&rdskd)).is_empty());
        let classes = good.add_plain(&[1.0, 2.0, 2.0, 1.0], &[5.0, 0.0, 0.0, 5.0]);
        assert_eq!((classes, good.histogram()), (vec![0, 1], &[1, 1][..]));
        assert_eq!(good.findings(None, Some(&rdskd)), []);
        let metrics = good.metrics();
        let confidence = 1.0 / (1.0 + (-5.0_f64).exp());
        assert!((metrics["confidence"] - confidence).abs() < 1e-12);
        assert!((metrics["pixel_correlation"] + 1.0).abs() < 1e-12);
        assert!(!metrics.contains_key("feature_distance"));

        let mut bad = BankMeasures::new(3);
        bad.add_plain(&[1.0, 2.0, 1.0, 3.0], &[0.1, 0.0, 0.0, 0.1, 0.0, 0.0]);
        let names = ["cat", "dog", "owl"].map(str::to_owned);
        let found = bad.findings(Some(&names), Some(&rdskd));
        let expected = [
            "the teacher sees next to nothing of classes `dog`, `owl` in the synthetic images, so that \
             a student cannot learn them; give `batch_entropy` more weight",
            "the synthetic images are near copies of each other: the correlation of the pixels of two is \
             1.00 on average; lower the learning rate of the generator, or give `diversity` more weight",
            "the teacher is unsure of the synthetic images: its largest probability is 0.36 on average; \
             train the generator for longer, or give `one_hot` more weight",
        ];
        assert_eq!(texts(&found), expected);
        assert!(found.iter().all(|found| found.grade == Grade::Warning));
        // Without an objective there is nothing to be weighed otherwise.
        let plain = bad.findings(Some(&names), None);
        let problems = expected.map(|text| text.split(';').next().unwrap_or_default());
        assert_eq!(texts(&plain), problems);
        let mut many = BankMeasures::new(30);
        many.add_plain(&[], &[0.0; 30]);
        let text = &many.findings(None, None)[0].text;
        assert!(text.contains("classes 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 19 more in"));
    }
}
