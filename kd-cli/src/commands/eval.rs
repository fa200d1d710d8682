//! `kd eval`.

use std::path::Path;

use burn::tensor::Device;
use kd_core::{
    ClassificationSummary, DataRoots, DatasetInfo, DeviceName, Error, Frozen, Loader, LoaderConfig,
    Normalisation, Result, Split, StagedNetwork, evaluate,
};
use kd_models::{LoadReport, Network, WeightChoice, load_model};
use serde::Serialize;

use super::set_threads;
use crate::args::{MachineOptions, WeightOptions};
use crate::output::{self, percent};
use crate::parts::{DataFacts, FromFile, check_fits, given_or_assumed, model_folder};

/// A network to be measured.
struct Measured {
    name: String,
    network: Network,
    normalisation: Normalisation,
    /// How its weights fitted, if it came from a weight file.
    report: Option<LoadReport>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Evaluation<'a> {
    #[serde(flatten)]
    summary: &'a ClassificationSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a LoadReport>,
}

pub(super) fn run(
    model: &Path,
    data: &str,
    weights: &WeightOptions,
    split: Split,
    batch_size: usize,
    machine: &MachineOptions,
) -> Result<()> {
    set_threads(machine)?;
    let info = DatasetInfo::find(data)?;
    let device = machine.device.unwrap_or(DeviceName::Auto).open()?;
    let measured = open(model, weights, &info.into(), &device)?;
    let roots = DataRoots::from_env().with_explicit(machine.place.data_dir.clone());
    let loader = Loader::new(
        info.load(split, &roots)?,
        LoaderConfig::ordered(batch_size),
        &device,
    )?;
    let network = Frozen::new(&measured.network);
    let metrics = evaluate(&loader, None, |pixels| {
        Ok(network
            .network()
            .forward(&measured.normalisation.apply(pixels)?))
    })?;
    let summary = metrics.summary()?;
    if machine.json {
        output::json(&Evaluation {
            summary: &summary,
            weights: measured.report.as_ref(),
        });
    } else {
        if let Some(weights) = &measured.report {
            output::line(&weights.to_string());
        }
        report(&measured.name, info.name, &summary);
    }
    Ok(())
}

/// The network in a model folder or a weight file.
fn open(
    model: &Path,
    options: &WeightOptions,
    data: &DataFacts,
    device: &Device,
) -> Result<Measured> {
    if model.is_file() {
        let loaded = FromFile::load(
            model,
            &options.choice(),
            options.network.as_deref(),
            data,
            options.fit,
            device,
        )?;
        let who = format!("`{}`", model.display());
        let given = options.normalisation();
        let normalisation =
            given_or_assumed(given.as_ref(), data, &who, "give `--mean` and `--std`")?;
        return Ok(Measured {
            name: loaded.spec.name,
            network: loaded.network,
            normalisation,
            report: Some(loaded.report),
        });
    }
    let folder = model_folder(model)?;
    if let Some(option) = options.given() {
        return Err(Error::config(
            option,
            "is for weight files; a model folder says it itself",
        ));
    }
    let (network, config) = load_model(&folder, device)?;
    check_fits(&format!("model `{}`", model.display()), &config, data)?;
    Ok(Measured {
        name: config.network.name,
        network,
        normalisation: config.normalisation,
        report: None,
    })
}

impl WeightOptions {
    /// Which tensors of the file are meant.
    pub(super) fn choice(&self) -> WeightChoice {
        let mut choice = WeightChoice::default();
        choice.key.clone_from(&self.key);
        choice.prefix.clone_from(&self.prefix);
        choice
    }

    /// The normalisation that was typed, unchecked.
    pub(super) fn normalisation(&self) -> Option<Normalisation> {
        let (mean, std) = (self.mean.clone()?, self.std.clone()?);
        Some(Normalisation { mean, std })
    }

    /// The first option that was typed.
    fn given(&self) -> Option<&'static str> {
        [
            ("--network", self.network.is_some()),
            ("--mean", self.mean.is_some()),
            ("--key", self.key.is_some()),
            ("--prefix", self.prefix.is_some()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
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
