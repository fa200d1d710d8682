//! The time that answers take: many passes, and what most of them stay below.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Result;
use crate::interruption;

/// Passes before the clock counts.
const WARM_UP: usize = 3;
/// At least so many passes are timed, and more until [`LONG_ENOUGH`] has gone by or there are [`MOST`].
const LEAST: usize = 10;
const MOST: usize = 1_000;
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// The times of many answers to one size of batch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// Samples at once.
    pub batch: usize,
    /// The time that half of the passes stay below.
    pub median_seconds: f64,
    /// The time that a tenth stay below.
    pub tenth_seconds: f64,
    /// The time that nine of ten stay below.
    pub ninetieth_seconds: f64,
    /// Passes that were timed.
    pub passes: usize,
}

impl Latency {
    /// Times `pass`, an answer to `batch` samples until it is on the host, for two seconds.
    ///
    /// # Errors
    ///
    /// What `pass` fails with; [`Error::Interrupted`](crate::Error::Interrupted) within
    /// [`interruptible`](crate::interruptible).
    pub fn of(batch: usize, mut pass: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut timed = || -> Result<f64> {
            interruption::check()?;
            let start = Instant::now();
            pass()?;
            Ok(start.elapsed().as_secs_f64())
        };
        for _ in 0..WARM_UP {
            timed()?;
        }
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < LEAST || (start.elapsed() < LONG_ENOUGH && times.len() < MOST) {
            times.push(timed()?);
        }
        times.sort_by(f64::total_cmp);
        let at = |tenths: usize| times[(times.len() - 1) * tenths / 10];
        Ok(Self {
            batch,
            median_seconds: at(5),
            tenth_seconds: at(1),
            ninetieth_seconds: at(9),
            passes: times.len(),
        })
    }

    /// The shortest of a few passes, for what is measured many times over, as the layers of a network are.
    ///
    /// # Errors
    ///
    /// As [`Latency::of`].
    pub fn shortest_seconds(mut pass: impl FnMut()) -> Result<f64> {
        const LEAST: usize = 5;
        const LONG_ENOUGH: Duration = Duration::from_millis(10);
        interruption::check()?;
        pass();
        let (begin, mut shortest, mut passes) = (Instant::now(), f64::INFINITY, 0);
        while passes < LEAST || begin.elapsed() < LONG_ENOUGH {
            let start = Instant::now();
            pass();
            shortest = shortest.min(start.elapsed().as_secs_f64());
            passes += 1;
        }
        Ok(shortest)
    }
}
