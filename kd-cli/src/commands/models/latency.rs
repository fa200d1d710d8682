//! The time that a network takes to answer, on the machine that runs the command.

use burn::tensor::Device;
use kd_core::{Batch, Latency, Result};
use kd_models::TrainedModel;

/// The sizes of batches that are timed.
const BATCHES: [usize; 2] = [1, 64];

/// Times a network, with preprocessing, until its outputs are on the host.
pub(super) fn measured(model: &dyn TrainedModel, device: &Device) -> Result<Vec<Latency>> {
    let config = model.config();
    let of_batch = |batch: usize| {
        let kind = config.preprocessing.kind();
        let samples = Batch::blank(kind, config.network.input, batch, device);
        Latency::of(batch, || {
            model.output(&samples)?.wait();
            Ok(())
        })
    };
    BATCHES.into_iter().map(of_batch).collect()
}
