//! Weighted sums of losses, and weights that change with time.

mod schedule;
mod weighted_sum;

pub use schedule::Schedule;
pub use weighted_sum::{Combined, WeightedSum};
