//! The time that a network takes to answer, on the machine that runs the command.

use std::time::{Duration, Instant};

use burn::tensor::Device;
use kd_core::{Batch, Result};
use kd_models::TrainedModel;
use serde::Serialize;

/// The sizes of batches that are timed.
const BATCHES: [usize; 2] = [1, 64];
/// Passes before the clock counts.
const WARM_UP: usize = 3;
/// At least so many passes are timed, and more until [`LONG_ENOUGH`] has gone by or there are [`MOST`].
const LEAST: usize = 10;
const MOST: usize = 1_000;
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// The times of many answers to one size of batch.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// Samples at once.
    pub(super) batch: usize,
    /// The time that half of the passes stay below.
    pub(super) median_seconds: f64,
    /// The time that a tenth stay below.
    pub(super) tenth_seconds: f64,
    /// The time that nine of ten stay below.
    pub(super) ninetieth_seconds: f64,
    /// Passes that were timed.
    pub(super) passes: usize,
}

/// Times a network, with preprocessing, until its outputs are on the host.
pub(super) fn measured(model: &dyn TrainedModel, device: &Device) -> Result<Vec<Latency>> {
    BATCHES
        .into_iter()
        .map(|batch| of_batch(model, batch, device))
        .collect()
}

fn of_batch(model: &dyn TrainedModel, batch: usize, device: &Device) -> Result<Latency> {
    let config = model.config();
    let samples = Batch::blank(
        config.preprocessing.kind(),
        config.network.input,
        batch,
        device,
    );
    let pass = || -> Result<f64> {
        let start = Instant::now();
        model.output(&samples)?.wait();
        Ok(start.elapsed().as_secs_f64())
    };
    for _ in 0..WARM_UP {
        pass()?;
    }
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < LEAST || (start.elapsed() < LONG_ENOUGH && times.len() < MOST) {
        times.push(pass()?);
    }
    times.sort_by(f64::total_cmp);
    let at = |tenths: usize| times[(times.len() - 1) * tenths / 10];
    Ok(Latency {
        batch,
        median_seconds: at(5),
        tenth_seconds: at(1),
        ninetieth_seconds: at(9),
        passes: times.len(),
    })
}
