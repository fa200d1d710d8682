//! The scores of every set of students, by the number of those that are missing.

use burn::nn::Linear;
use burn::tensor::{Int, Tensor, TensorData};
use kd_core::{Batch, Loader, Result, SegmentationMetrics};

use crate::labels::pixels;
use crate::missing::{AdditiveHead, MissingAccuracy, MissingChunk};

/// The most students for which all sets are tried.
pub(crate) const ALL_SETS: usize = 8;
/// The most where each pixel has a class: 14 sets in place of 254.
pub(crate) const ALL_SETS_OF_PIXELS: usize = 4;

/// The scores of all sets of students but none and all, for each policy.
pub(crate) struct SetScores {
    students: usize,
    policies: Vec<Policy>,
}

/// What stands in place of missing students, and how good every set is with it, in the order of the sets: set
/// `i` is of the students whose bits are set in `i + 1`.
struct Policy {
    name: &'static str,
    answers: Answers,
    tallies: Vec<Tally>,
}

enum Answers {
    /// Parts of the logits in place of those of each student, `[num_classes]`.
    Filled(Vec<Vec<f32>>),
    /// A head for each set.
    Heads(Vec<Linear>),
}

/// A count of what is right.
#[derive(Clone)]
enum Tally {
    Samples { right: usize, all: usize },
    Pixels(SegmentationMetrics),
}

/// The labels of a batch.
enum Labels {
    Samples(Vec<usize>),
    Pixels(Box<Tensor<3, Int>>),
}

impl Labels {
    fn of(loader: &Loader, batch: &Batch) -> Result<Self> {
        let dataset = loader.subset().dataset();
        if dataset.masks().is_some() {
            return Ok(Self::Pixels(Box::new(pixels(loader, batch)?)));
        }
        let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
        Ok(Self::Samples(labels.map(usize::from).collect()))
    }
}

impl Tally {
    fn new(loader: &Loader) -> Result<Self> {
        match loader.subset().dataset().masks() {
            Some(masks) => SegmentationMetrics::of(masks).map(Self::Pixels),
            None => Ok(Self::Samples { right: 0, all: 0 }),
        }
    }

    /// Counts predicted classes, one for each sample or pixel.
    fn add(&mut self, predicted: &[usize], labels: &Labels) -> Result<()> {
        match (self, labels) {
            (Self::Samples { right, all }, Labels::Samples(labels)) => {
                let pairs = predicted.iter().zip(labels);
                *right += pairs.filter(|(class, label)| class == label).count();
                *all += labels.len();
            }
            (Self::Pixels(metrics), Labels::Pixels(masks)) => {
                let classes = predicted
                    .iter()
                    .map(|&class| i64::try_from(class).unwrap_or(-1));
                let classes = TensorData::new(classes.collect::<Vec<i64>>(), masks.dims());
                let classes = Tensor::from_data(classes, &masks.device());
                metrics.add_predictions(classes, masks.as_ref().clone())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn score(&self) -> Result<f64> {
        match self {
            Self::Samples { right, all } => Ok(*right as f64 / (*all).max(1) as f64),
            Self::Pixels(metrics) => Ok(metrics.summary()?.mean_iou),
        }
    }
}

impl SetScores {
    /// Nothing counted yet, of the samples of `held_out`; `refitted` has a head for each set.
    pub(crate) fn new(
        additive: &AdditiveHead,
        refitted: Option<Vec<Linear>>,
        held_out: &Loader,
    ) -> Result<Self> {
        let students = additive.students();
        let tallies = vec![Tally::new(held_out)?; (1 << students) - 2];
        let policy = |name, answers| Policy {
            name,
            answers,
            tallies: tallies.clone(),
        };
        let filled = [("zero", MissingChunk::Zero), ("mean", MissingChunk::Mean)];
        let filled = filled
            .map(|(name, missing)| Ok(policy(name, Answers::Filled(additive.fills(missing)?))));
        let mut policies = filled.into_iter().collect::<Result<Vec<Policy>>>()?;
        policies.extend(refitted.map(|heads| policy("head", Answers::Heads(heads))));
        Ok(Self { students, policies })
    }

    /// Counts the features of a batch of `held_out`, `[positions, features]`.
    pub(crate) fn add(
        &mut self,
        additive: &AdditiveHead,
        features: Tensor<2>,
        held_out: &Loader,
        batch: &Batch,
    ) -> Result<()> {
        let labels = Labels::of(held_out, batch)?;
        let parts = HostParts::of(additive, &features);
        for policy in &mut self.policies {
            for (set, tally) in policy.tallies.iter_mut().enumerate() {
                let predicted = match &policy.answers {
                    Answers::Filled(fills) => parts.predicted(set + 1, fills),
                    Answers::Heads(heads) => largest(heads[set].forward(features.clone())),
                };
                tally.add(&predicted, &labels)?;
            }
        }
        Ok(())
    }

    /// The scores by number of missing students, from 1 up to all but one, by policy.
    pub(crate) fn by_policy(&self) -> Result<Vec<(&'static str, Vec<MissingAccuracy>)>> {
        let policies = self.policies.iter();
        let of_policy = policies.map(|policy| {
            let mut found: Vec<Vec<f64>> = vec![Vec::new(); self.students];
            for (set, tally) in policy.tallies.iter().enumerate() {
                let present = (set + 1).count_ones() as usize;
                found[self.students - present].push(tally.score()?);
            }
            Ok((policy.name, summed(&found)))
        });
        of_policy.collect()
    }
}

/// The class with the largest logit in each row.
fn largest(logits: Tensor<2>) -> Vec<usize> {
    let classes = logits.argmax(1).into_data();
    let class = |class: i64| usize::try_from(class).unwrap_or(usize::MAX);
    classes.iter::<i64>().map(class).collect()
}

/// The mean and the worst of scores by number of missing students; `found` has those of each number.
fn summed(found: &[Vec<f64>]) -> Vec<MissingAccuracy> {
    let sets = found.iter().enumerate().filter(|(_, all)| !all.is_empty());
    let summed = sets.map(|(missing, all)| MissingAccuracy {
        missing,
        mean: all.iter().sum::<f64>() / all.len() as f64,
        worst: all.iter().copied().fold(1.0, f64::min),
    });
    summed.collect()
}

impl AdditiveHead {
    /// What stands in place of each student's part, on the host.
    fn fills(&self, policy: MissingChunk) -> Result<Vec<Vec<f32>>> {
        let fill = |student| {
            let filled = self.filled(student, policy)?;
            Ok(filled.map_or_else(|| vec![0.0; self.classes()], numbers))
        };
        (0..self.students()).map(fill).collect()
    }
}

/// Parts of the logits of all students on the host.
struct HostParts {
    /// By student, `[positions * num_classes]`.
    parts: Vec<Vec<f32>>,
    bias: Vec<f32>,
}

impl HostParts {
    fn of(additive: &AdditiveHead, features: &Tensor<2>) -> Self {
        let mut start = 0;
        let parts = additive.lengths().enumerate().map(|(student, length)| {
            let chunk = features.clone().narrow(1, start, length);
            start += length;
            numbers(additive.part(student, chunk))
        });
        Self {
            parts: parts.collect(),
            bias: numbers(additive.bias()),
        }
    }

    /// The class of each position with the students whose bits are set in `present`; `fill` stands in place
    /// of the others' parts.
    fn predicted(&self, present: usize, fill: &[Vec<f32>]) -> Vec<usize> {
        let classes = self.bias.len();
        let positions = self.parts.first().map_or(0, Vec::len) / classes.max(1);
        let mut logits = self.bias.clone();
        let of_position = (0..positions).map(|position| {
            logits.copy_from_slice(&self.bias);
            for (student, part) in self.parts.iter().enumerate() {
                let part = if present >> student & 1 == 1 {
                    &part[position * classes..(position + 1) * classes]
                } else {
                    &fill[student]
                };
                for (logit, part) in logits.iter_mut().zip(part) {
                    *logit += part;
                }
            }
            first_largest(&logits)
        });
        of_position.collect()
    }
}

/// The numbers of a tensor on the host.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn first_largest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scores of both students and of either alone.
    fn scores(fill: Vec<Vec<f32>>) -> MissingAccuracy {
        // Student 0 knows the first sample, student 1 the second.
        let parts = HostParts {
            parts: vec![vec![2.0, 0.0, 0.0, 0.0], vec![0.0, 0.0, 0.0, 3.0]],
            bias: vec![0.0, 1.0],
        };
        let labels = Labels::Samples(vec![0, 1]);
        let mut tallies = vec![Tally::Samples { right: 0, all: 0 }; 2];
        for (set, tally) in tallies.iter_mut().enumerate() {
            tally
                .add(&parts.predicted(set + 1, &fill), &labels)
                .unwrap();
        }
        let policy = Policy {
            name: "zero",
            answers: Answers::Filled(fill),
            tallies,
        };
        let scores = SetScores {
            students: 2,
            policies: vec![policy],
        };
        let found = scores.by_policy().unwrap();
        assert_eq!((found[0].0, found[0].1.len()), ("zero", 1));
        found[0].1[0]
    }

    #[test]
    fn every_set_of_students_is_tried() {
        let expected = MissingAccuracy {
            missing: 1,
            mean: 0.75,
            worst: 0.5,
        };
        assert_eq!(scores(vec![vec![0.0; 2]; 2]), expected);
        // In place of student 1 stands what makes all of class 0.
        let expected = MissingAccuracy {
            mean: 0.5,
            ..expected
        };
        assert_eq!(scores(vec![vec![0.0; 2], vec![9.0, 0.0]]), expected);
    }
}
