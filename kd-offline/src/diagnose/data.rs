//! The samples of a run, inspected: their classes, and none in both parts.

use kd_core::{
    Finding, Normalisation, Result, SampleKind, Subset, Topic, Training, sample_findings,
};
use serde::Serialize;

use super::KEYS;
use crate::OfflineData;

/// The number of images on which mean and spread of the pixels are measured.
const MEASURED_IMAGES: usize = 2000;

/// The samples that the student is trained and measured on.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SampleFacts {
    /// The data set.
    pub name: String,
    /// What the samples are.
    pub kind: SampleKind,
    /// Channels, height and width of an image; vocabulary, 1 and length of a text.
    pub shape: [usize; 3],
    /// The number of classes.
    pub classes: usize,
    /// Training samples of each class, in label order; all of them in one number where there are masks.
    pub train_per_class: Vec<usize>,
    /// Held-out samples of each class, in the same form.
    pub held_out_per_class: Vec<usize>,
    /// Mean and standard deviation of each channel of the training images (at most 2000 of them), pixels in
    /// `[0, 1]`; none for texts.
    pub measured: Option<Normalisation>,
}

impl SampleFacts {
    /// The number of training samples.
    pub fn train(&self) -> usize {
        self.train_per_class.iter().sum()
    }

    /// The number of held-out samples.
    pub fn held_out(&self) -> usize {
        self.held_out_per_class.iter().sum()
    }
}

/// Inspects the samples.
pub(super) fn inspect(
    data: &OfflineData,
    training: &Training,
    findings: &mut Vec<Finding>,
) -> Result<SampleFacts> {
    let set = data.train.dataset();
    let has_masks = set.masks().is_some();
    // Of masks it is not counted how often each class is there.
    let counts = |part: &Subset| {
        if has_masks {
            vec![part.len()]
        } else {
            part.class_counts()
        }
    };
    let shape = set.shape();
    let facts = SampleFacts {
        name: set.name().to_owned(),
        kind: set.kind(),
        shape: [shape.channels, shape.height, shape.width],
        classes: set.classes(),
        train_per_class: counts(&data.train),
        held_out_per_class: counts(&data.held_out),
        measured: match set.kind() {
            SampleKind::Images => Some(measure(&data.train)?),
            _ => None,
        },
    };
    let before = findings.len();
    findings.extend(sample_findings(&data.train, &data.held_out, training, KEYS));
    if findings.len() == before {
        let classes = if has_masks {
            format!("masks of {} classes", facts.classes)
        } else {
            format!("each of the {} classes in both", facts.classes)
        };
        let text = format!(
            "{} training and {} held-out samples, none in both, {classes}",
            facts.train(),
            facts.held_out(),
        );
        findings.push(Finding::ok(Topic::Data, text));
    }
    Ok(facts)
}

/// Mean and standard deviation of each channel, over images that lie evenly in the subset.
fn measure(subset: &Subset) -> Result<Normalisation> {
    let set = subset.dataset();
    let shape = set.shape();
    let plane = shape.height * shape.width;
    let stride = subset.len().div_ceil(MEASURED_IMAGES).max(1);
    let mut sums = vec![[0.0_f64; 2]; shape.channels];
    let mut pixels = 0_usize;
    for image in subset
        .ids()
        .iter()
        .step_by(stride)
        .filter_map(|id| set.image(*id))
    {
        pixels += plane;
        for (sums, channel) in sums.iter_mut().zip(image.chunks_exact(plane)) {
            // Sums of bytes and of their squares fit into 64 bits for any image.
            let [sum, squares] = channel.iter().fold([0_u64; 2], |[sum, squares], &byte| {
                let byte = u64::from(byte);
                [sum + byte, squares + byte * byte]
            });
            sums[0] += sum as f64;
            sums[1] += squares as f64;
        }
    }
    let count = pixels.max(1) as f64;
    let mean: Vec<f64> = sums.iter().map(|[sum, _]| sum / count / 255.0).collect();
    let std = sums.iter().zip(&mean).map(|([_, squares], mean)| {
        let variance = squares / count / (255.0 * 255.0) - mean * mean;
        // Images of one single value have no spread to divide by.
        let spread = variance.max(0.0).sqrt();
        if spread > 1e-6 { spread } else { 1.0 }
    });
    let std = std.collect();
    Normalisation::new(mean, std)
}

#[cfg(test)]
mod tests {
    use kd_core::{Augment, Dataset, Grade, ImageShape, Split, ViewPolicy};

    use super::*;

    fn data(split: Split, images: Vec<u8>, labels: Vec<u16>) -> Dataset {
        Dataset::new("tiny", split, ImageShape::new(2, 1, 1), 3, images, labels).unwrap()
    }

    fn inspected(train: Subset, held_out: Subset) -> (SampleFacts, Vec<(Grade, String)>) {
        let data = OfflineData {
            train,
            held_out,
            views: ViewPolicy::Fixed,
            augment: Augment::none(),
        };
        let mut findings = Vec::new();
        let facts = inspect(&data, &Training::default(), &mut findings).unwrap();
        let findings = findings.into_iter().map(|found| (found.grade, found.text));
        (facts, findings.collect())
    }

    #[test]
    fn means_and_spreads_are_those_of_the_pixels() {
        let train = data(
            Split::Train,
            vec![0, 255, 255, 255, 0, 255, 255, 255],
            vec![0, 1, 2, 0],
        );
        let test = data(Split::Test, vec![0; 6], vec![0, 1, 2]);
        let (facts, findings) = inspected(Subset::all(&train), Subset::all(&test));
        let measured = facts.measured.unwrap();
        assert_eq!(measured.mean, [0.5, 1.0]);
        assert_eq!(measured.std, [0.5, 1.0]);
        let text = "4 training and 3 held-out samples, none in both, each of the 3 classes in both";
        assert_eq!(findings, [(Grade::Ok, text.to_owned())]);
    }

    #[test]
    fn samples_in_both_parts_are_an_error() {
        let set = data(Split::Train, vec![0; 12], vec![0, 1, 2, 0, 1, 2]);
        let part = |ids: &[u32]| Subset::from_ids(&set, ids.to_vec()).unwrap();
        let (_, findings) = inspected(part(&[0, 1, 2, 3]), part(&[2, 3, 4, 0]));
        assert_eq!(findings[0].0, Grade::Error);
        assert!(
            findings[0]
                .1
                .starts_with("3 of the 4 held-out samples are trained on as well")
        );
        let (_, findings) = inspected(part(&[0, 1, 2]), part(&[3, 4, 5]));
        assert_eq!(findings[0].0, Grade::Ok);
    }

    #[test]
    fn the_same_ids_of_another_split_are_other_samples() {
        let (train, test) = (Split::Train, Split::Test);
        let [train, test] = [train, test].map(|split| data(split, vec![0; 6], vec![0, 1, 2]));
        let (_, findings) = inspected(Subset::all(&train), Subset::all(&test));
        assert_eq!(findings[0].0, Grade::Ok, "{findings:?}");
    }

    #[test]
    fn classes_without_samples_are_named() {
        let train = data(Split::Train, vec![0; 4], vec![1, 1]);
        let test = data(Split::Test, vec![0; 4], vec![0, 1]);
        let (_, findings) = inspected(Subset::all(&train), Subset::all(&test));
        let expected = [
            "2 of the 3 classes have no training sample (0, 2); they cannot be learnt",
            "class 2 has no held-out sample; nothing is measured on it",
        ];
        assert_eq!(
            findings,
            expected.map(|text| (Grade::Warning, text.to_owned()))
        );
    }

    #[test]
    fn uneven_classes_are_noted() {
        let labels: Vec<u16> = [vec![0; 22], vec![1, 1], vec![2; 5]].concat();
        let train = data(Split::Train, vec![0; 2 * labels.len()], labels);
        let test = data(Split::Test, vec![0; 6], vec![0, 1, 2]);
        let (_, findings) = inspected(Subset::all(&train), Subset::all(&test));
        assert_eq!(findings.len(), 1);
        assert!(
            findings[0].1.starts_with("the classes are uneven: 2 to 22"),
            "{findings:?}"
        );
    }
}
