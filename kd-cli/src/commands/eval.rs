//! `kd eval`.

use std::path::Path;

use kd_core::{
    ClassificationMetrics, ClassificationSummary, DataRoots, DatasetInfo, DeviceName, Frozen,
    Loader, LoaderConfig, Result, Split, StagedNetwork,
};
use kd_models::load_model;

use super::set_threads;
use crate::args::MachineOptions;
use crate::job::{check_fits, model_folder};
use crate::output::{self, percent};

pub(super) fn run(
    model: &Path,
    data: &str,
    split: Split,
    batch_size: usize,
    machine: &MachineOptions,
) -> Result<()> {
    set_threads(machine)?;
    let info = DatasetInfo::find(data)?;
    let device = machine.device.unwrap_or(DeviceName::Auto).open()?;
    let (network, config) = load_model(&model_folder(model)?, &device)?;
    check_fits(&format!("model `{}`", model.display()), &config, info)?;
    let roots = DataRoots::from_env().with_explicit(machine.place.data_dir.clone());
    let loader = Loader::new(
        info.load(split, &roots)?,
        LoaderConfig::ordered(batch_size),
        &device,
    )?;
    let network = Frozen::new(&network);
    let labels = loader.subset().dataset().labels().to_vec();
    let mut metrics = ClassificationMetrics::new(info.classes)?;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let input = config.normalisation.apply(batch.pixels)?;
        let logits = network.network().forward(&input).into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let targets: Vec<usize> = batch
            .ids
            .iter()
            .map(|&id| usize::from(labels[id as usize]))
            .collect();
        metrics.add(&logits, &targets, None)?;
    }
    let summary = metrics.summary()?;
    if machine.json {
        output::json(&summary);
    } else {
        report(&config.network.name, info.name, &summary);
    }
    Ok(())
}

fn report(network: &str, data: &str, summary: &ClassificationSummary) {
    let rows = [
        ("accuracy", percent(summary.accuracy)),
        (
            "top-k accuracy",
            format!(
                "{} (k = {})",
                percent(summary.top_k_accuracy),
                summary.top_k
            ),
        ),
        ("cross-entropy", format!("{:.4} nats", summary.loss)),
        ("calibration error", format!("{:.4}", summary.ece)),
        ("samples", output::count(summary.count)),
    ];
    output::line(&format!("{network} on {data}"));
    for (name, value) in rows {
        output::line(&format!("  {name:<18} {value}"));
    }
}
