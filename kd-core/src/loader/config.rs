//! The settings of a loader.

use std::ops::Range;

use crate::data::shape::ImageShape;
use crate::error::{Error, Result};
use crate::views::augment::Augment;
use crate::views::policy::ViewPolicy;

/// The settings of a [`Loader`](crate::Loader).
///
/// ```
/// use kd_core::LoaderConfig;
/// let config = LoaderConfig { seed: 3, drop_last: true, ..LoaderConfig::new(128) };
/// assert!(config.shuffle);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Samples in a batch, at least 1; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// The seed of the order, and of views that never come again.
    pub seed: u64,
    /// The seed of the views of a bank. It has its own, so that runs of different seeds see the same bank:
    /// recorded views are part of the data, and what a frozen network says of them serves all those runs.
    pub bank_seed: u64,
    /// Whether each epoch has an order of its own, a function of seed and epoch; otherwise it is that of the
    /// ids.
    pub shuffle: bool,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// A last batch of fewer samples than this is not made: all batches of the epoch are then equally large
    /// but for one sample. Without effect where the batch size is less than twice this.
    pub spread_below: usize,
    /// Whether each class is drawn equally often, in a new choice each epoch; a function of seed and epoch.
    pub balanced: bool,
    /// How many views each sample has.
    pub views: ViewPolicy,
    /// What the views look like; without effect where there is one view only.
    pub augment: Augment,
    /// Bytes that the samples may take on the device; if they take more, batches are sent there one by one.
    pub resident_budget_bytes: u64,
    /// Threads that prepare batches ahead where the data is not on the device; 0 prepares them when they are
    /// asked for.
    pub threads: usize,
}

/// Samples that are too few for the statistics of a batch norm.
pub const FEW: usize = 4;

impl LoaderConfig {
    /// Shuffled batches of `batch_size` without augmentation: seeds 0, the last batch kept, spread where it
    /// would have fewer than [`FEW`] samples, up to 1 GiB on the device, two threads.
    pub fn new(batch_size: usize) -> Self {
        Self {
            batch_size,
            seed: 0,
            bank_seed: 0,
            shuffle: true,
            drop_last: false,
            spread_below: FEW,
            balanced: false,
            views: ViewPolicy::Fixed,
            augment: Augment::none(),
            resident_budget_bytes: 1 << 30,
            threads: 2,
        }
    }

    /// As [`LoaderConfig::new`], but in the order of the ids.
    pub fn ordered(batch_size: usize) -> Self {
        Self {
            shuffle: false,
            spread_below: 0,
            ..Self::new(batch_size)
        }
    }

    /// Whether the batches of an epoch of `samples` are of equal size, as the last would have too few.
    pub fn spreads(&self, samples: usize) -> bool {
        let rest = samples.checked_rem(self.batch_size).unwrap_or(0);
        !self.drop_last
            && (1..self.spread_below).contains(&rest)
            && samples > self.batch_size
            && self.batch_size >= 2 * self.spread_below
    }

    /// The places of batch `step` in the order of an epoch of `samples`.
    pub(super) fn range(&self, step: usize, samples: usize) -> Range<usize> {
        if self.spreads(samples) {
            let steps = samples.div_ceil(self.batch_size);
            return step * samples / steps..(step + 1) * samples / steps;
        }
        let start = step * self.batch_size;
        start..(start + self.batch_size).min(samples)
    }

    /// The seed that decides the views: that of the order for views without limit, that of the bank for a
    /// bank, and 0 where a sample has one view.
    pub fn view_seed(&self) -> u64 {
        match self.views {
            ViewPolicy::Fixed => 0,
            ViewPolicy::Bank(_) => self.bank_seed,
            ViewPolicy::Unlimited => self.seed,
        }
    }

    /// What is done to the samples under this view policy.
    pub(crate) fn applied(&self) -> Augment {
        if self.views.augments() {
            self.augment.clone()
        } else {
            Augment::none()
        }
    }

    /// Checks the settings for `samples` images of `shape`, and gives the number of batches in an epoch.
    pub(super) fn steps(&self, samples: usize, shape: ImageShape) -> Result<usize> {
        self.views.check()?;
        self.augment.check_for(shape)?;
        if self.batch_size == 0 {
            return Err(Error::config("batch_size", "must be at least 1, got 0"));
        }
        if samples == 0 {
            return Err(Error::config(
                "data",
                "has no samples; give a data set or subset with at least one",
            ));
        }
        if !self.drop_last {
            return Ok(samples.div_ceil(self.batch_size));
        }
        match samples / self.batch_size {
            0 => {
                let problem = format!(
                    "leaves no batch: {samples} samples do not fill one of {}; use a smaller `batch_size` or \
                     keep the last batch",
                    self.batch_size
                );
                Err(Error::config("drop_last", problem))
            }
            steps => Ok(steps),
        }
    }
}
