//! The size of a bank, and the order in which its blocks are made anew.

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::source::BLOCK;

/// The most images of a bank: fifteen times as many as ImageNet has.
const MOST_IMAGES: usize = 20_000_000;

/// The size of a bank, and the share of it that is made anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BankConfig {
    /// The number of images; rounded up to a multiple of 128.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1, max = 20_000_000)))]
    pub images: usize,
    /// The share of the images that is made anew before each epoch but the first, in `[0, 1]`.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0, max = 1.0)))]
    pub refresh: f64,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            images: 50_000,
            refresh: 0.0,
        }
    }
}

impl BankConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        if self.images == 0 {
            let problem = "must be above 0; 50000 is as large as the training split of CIFAR-10";
            return Err(Error::config("bank.images", problem));
        }
        if self.images > MOST_IMAGES {
            let problem = format!(
                "must be at most {MOST_IMAGES}, got {}; more would fill the memory before anything is learnt",
                self.images
            );
            return Err(Error::config("bank.images", problem));
        }
        if !(0.0..=1.0).contains(&self.refresh) {
            let problem = format!("must be from 0 to 1, got {}", self.refresh);
            return Err(Error::config("bank.refresh", problem));
        }
        Ok(())
    }

    pub(crate) fn blocks(&self) -> usize {
        self.images.div_ceil(BLOCK)
    }

    /// The number of images of all its blocks.
    pub(crate) fn rounded(&self) -> usize {
        self.blocks() * BLOCK
    }

    /// The number of blocks that are made anew before an epoch.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count that fits"
    )]
    fn renewed(&self) -> usize {
        let blocks = (self.refresh * self.blocks() as f64).round() as usize;
        if self.refresh > 0.0 { blocks.max(1) } else { 0 }
    }

    /// The number of times that block `block` has been made anew when epoch `epoch` begins: blocks take
    /// turns.
    pub(crate) fn generation(&self, block: usize, epoch: usize) -> u64 {
        let turns = self.renewed() * epoch;
        (turns + self.blocks() - 1 - block.min(self.blocks() - 1)) as u64 / self.blocks() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_take_turns() {
        let config = BankConfig {
            images: 5 * BLOCK - 3,
            refresh: 0.4,
        };
        let at = |epoch| -> Vec<u64> {
            (0..5)
                .map(|block| config.generation(block, epoch))
                .collect()
        };
        assert_eq!(config.blocks(), 5);
        assert_eq!(at(0), [0, 0, 0, 0, 0]);
        assert_eq!(at(1), [1, 1, 0, 0, 0]);
        assert_eq!(at(2), [1, 1, 1, 1, 0]);
        assert_eq!(at(3), [2, 1, 1, 1, 1]);
        assert_eq!(at(5), [2, 2, 2, 2, 2]);
        let still = BankConfig {
            refresh: 0.0,
            ..config.clone()
        };
        assert_eq!(still.generation(4, 100), 0);
        let whole = BankConfig {
            refresh: 1.0,
            ..config
        };
        assert_eq!(whole.generation(4, 3), 3);
    }
}
