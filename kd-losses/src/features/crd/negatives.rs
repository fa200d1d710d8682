//! The negatives of contrastive distillation: samples that others are compared with.

use super::NAME;
use crate::error::{Error, Result};
use crate::seeded::splitmix64;
use burn::serde::{Deserialize, Serialize};
use core::ops::Range;

/// The samples that the negatives of a sample are drawn from, uniformly and with replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CrdNegatives {
    /// All but the sample itself, of its class too.
    OtherSamples,
    /// Those of other classes; the labels of all samples must be known.
    OtherClasses,
}

/// The samples of a training set, for a memory bank.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum CrdSamples<'a> {
    /// Their number.
    Count(usize),
    /// The label of each.
    Labels(&'a [usize]),
}

impl CrdSamples<'_> {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Labels(labels) => labels.len(),
        }
    }
}

/// Draws negatives: the same for the same seed, draw and sample, whatever was drawn before.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    seed: u64,
    count: usize,
    classes: Option<Classes>,
}

#[derive(Clone, Debug)]
struct Classes {
    /// The samples, class by class.
    order: Vec<usize>,
    /// The range of each sample's class in `order`.
    places: Vec<Range<usize>>,
}

impl Sampler {
    pub(super) fn new(negatives: CrdNegatives, samples: CrdSamples<'_>, seed: u64) -> Result<Self> {
        let count = samples.count();
        let none = |reason| Err(Error::NoNegatives { loss: NAME, reason });
        if count < 2 {
            return none("a memory needs at least 2 samples");
        }
        let classes = match (negatives, samples) {
            (CrdNegatives::OtherSamples, _) => None,
            (CrdNegatives::OtherClasses, CrdSamples::Count(_)) => {
                return none("negatives of other classes need the labels of all samples");
            }
            (CrdNegatives::OtherClasses, CrdSamples::Labels(labels)) => {
                let classes = Classes::new(labels);
                if classes.places.iter().any(|place| place.len() == count) {
                    return none("all samples are of one class");
                }
                Some(classes)
            }
        };
        Ok(Self {
            seed,
            count,
            classes,
        })
    }

    /// For each of `ids` the sample itself and `num_negatives` others, one after the other.
    pub(super) fn draw(&self, ids: &[usize], num_negatives: usize, draw: u64) -> Vec<i64> {
        let seed = splitmix64(self.seed, draw);
        let mut candidates = Vec::with_capacity(ids.len() * (num_negatives + 1));
        for &id in ids {
            let seed = splitmix64(seed, id as u64);
            // The samples that are left out are one range, of places in the order by classes or of the
            // samples themselves.
            let left_out = match &self.classes {
                Some(classes) => classes.places[id].clone(),
                None => id..id + 1,
            };
            let (start, left) = (left_out.start as u64, left_out.len() as u64);
            let others = self.count as u64 - left;
            candidates.push((id as u64).cast_signed());
            // A remainder of 64 bits prefers some samples by less than `count / 2^64`.
            candidates.extend((0..num_negatives as u64).map(|index| {
                let place = splitmix64(seed, index) % others;
                let place = place + if place < start { 0 } else { left };
                self.sample_at(place)
            }));
        }
        candidates
    }

    fn sample_at(&self, place: u64) -> i64 {
        let sample = self.classes.as_ref().and_then(|classes| {
            let place = usize::try_from(place).ok()?;
            classes.order.get(place).map(|&sample| sample as u64)
        });
        sample.unwrap_or(place).cast_signed()
    }
}

impl Classes {
    fn new(labels: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|&sample| labels[sample]);
        let mut places = vec![0..0; labels.len()];
        let mut start = 0;
        for class in order.chunk_by(|&a, &b| labels[a] == labels[b]) {
            for &sample in class {
                places[sample] = start..start + class.len();
            }
            start += class.len();
        }
        Self { order, places }
    }
}

#[cfg(test)]
mod tests {
    use super::{CrdNegatives, CrdSamples, Sampler};
    use crate::error::Result;

    #[test]
    fn every_other_sample_is_drawn_alike_and_the_sample_itself_never() -> Result<()> {
        let sampler = Sampler::new(CrdNegatives::OtherSamples, CrdSamples::Count(5), 3)?;
        let drawn = sampler.draw(&[2], 40_000, 7);
        assert_eq!(drawn[0], 2);
        for sample in 0..5 {
            let count = drawn[1..].iter().filter(|&&other| other == sample).count();
            // 10000 each, with a standard deviation of 87.
            let expected = if sample == 2 { 0..1 } else { 9600..10_400 };
            assert!(expected.contains(&count), "{sample}: {count}");
        }
        Ok(())
    }

    #[test]
    fn every_sample_of_another_class_is_drawn_alike_and_no_other() -> Result<()> {
        let labels = [7, 1, 7, 0, 1, 7];
        let samples = CrdSamples::Labels(&labels);
        let sampler = Sampler::new(CrdNegatives::OtherClasses, samples, 3)?;
        for id in 0..6 {
            let drawn = sampler.draw(&[id], 30_000, 1);
            let others = labels.iter().filter(|&&label| label != labels[id]).count();
            for (sample, label) in (0_i64..).zip(labels) {
                let count = drawn[1..].iter().filter(|&&other| other == sample).count();
                let expected = 30_000 / others;
                let expected = if label == labels[id] {
                    0..1
                } else {
                    expected - 400..expected + 400
                };
                assert!(expected.contains(&count), "{id}, {sample}: {count}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_draw_depends_on_seed_draw_and_sample_alone() -> Result<()> {
        let make = |seed| Sampler::new(CrdNegatives::OtherSamples, CrdSamples::Count(1000), seed);
        let both = make(1)?.draw(&[4, 9], 20, 5);
        assert_eq!(both[21..], make(1)?.draw(&[9], 20, 5));
        assert_ne!(both[1..21], both[22..]);
        assert_ne!(both, make(1)?.draw(&[4, 9], 20, 6));
        assert_ne!(both, make(2)?.draw(&[4, 9], 20, 5));
        Ok(())
    }
}
