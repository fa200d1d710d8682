//! `kd eval`.

use std::path::Path;

use kd_core::{
    ClassificationSummary, DataRoots, DatasetInfo, DeviceName, Frozen, Loader, LoaderConfig,
    Result, Split, StagedNetwork, evaluate,
};
use kd_models::load_model;

use super::set_threads;
use crate::args::MachineOptions;

use crate::output::{self, percent};
use crate::parts::{check_fits, model_folder};

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
    check_fits(
        &format!("model `{}`", model.display()),
        &config,
        &info.into(),
    )?;
    let roots = DataRoots::from_env().with_explicit(machine.place.data_dir.clone());
    let loader = Loader::new(
        info.load(split, &roots)?,
        LoaderConfig::ordered(batch_size),
        &device,
    )?;
    let network = Frozen::new(&network);
    let metrics = evaluate(&loader, None, |pixels| {
        Ok(network
            .network()
            .forward(&config.normalisation.apply(pixels)?))
    })?;
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
