//! `kd eval`.

use std::path::Path;

use burn::tensor::Device;
use kd_core::{
    ClassificationSummary, DataRoots, DataSource, DeviceName, Error, Frozen, Loader, LoaderConfig,
    Normalisation, Result, Split, StagedNetwork, evaluate,
};
use kd_models::{LoadReport, Network, WeightChoice, load_model};
use serde::Serialize;

use super::set_threads;
use crate::args::{MachineOptions, WeightOptions};
use crate::output::{self, percent};
use crate::parts::{
    DataFacts, FolderSettings, FromFile, ImageSize, check_fits, find_source, given_or_assumed,
    is_folder, model_folder,
};

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

/// What a network is measured on.
pub(super) struct Data<'a> {
    pub(super) name: &'a str,
    /// The folder of images.
    pub(super) path: Option<&'a Path>,
    /// The length of their shorter side before the crop.
    pub(super) resize: Option<usize>,
    pub(super) split: Split,
}

pub(super) fn run(
    model: &Path,
    data: &Data<'_>,
    weights: &WeightOptions,
    batch_size: usize,
    machine: &MachineOptions,
) -> Result<()> {
    set_threads(machine)?;
    if !is_folder(data.name) {
        // An unknown name, and data that no classifier is measured on, are said before anything is read.
        let source = find_source(data.name, data.settings(None))?;
        DataFacts::from(&source).check_labelled()?;
    }
    let device = machine.device.unwrap_or(DeviceName::Auto).open()?;
    let (measured, source) = if model.is_file() {
        from_file(model, weights, data, &device)?
    } else {
        from_folder(model, weights, data, &device)?
    };
    let roots = DataRoots::from_env().with_explicit(machine.place.data_dir.clone());
    let loader = Loader::new(
        source.load(data.split, &roots)?,
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
        report(&measured.name, source.name(), &summary);
    }
    Ok(())
}

/// The network in a weight file.
fn from_file(
    model: &Path,
    options: &WeightOptions,
    data: &Data<'_>,
    device: &Device,
) -> Result<(Measured, DataSource)> {
    if is_folder(data.name) {
        let problem = "cannot be measured on a folder of images, as it does not say what size it takes; make it a model \
                       folder first with `kd import --input`";
        return Err(Error::Input {
            path: model.to_owned(),
            problem: problem.into(),
        });
    }
    let source = find_source(data.name, data.settings(None))?;
    let facts = DataFacts::from(&source);
    let loaded = FromFile::load(
        model,
        &options.choice(),
        options.network.as_deref(),
        &facts,
        options.fit,
        device,
    )?;
    let who = format!("`{}`", model.display());
    let given = options.normalisation();
    let normalisation =
        given_or_assumed(given.as_ref(), &facts, &who, "give `--mean` and `--std`")?;
    let measured = Measured {
        name: loaded.spec.name,
        network: loaded.network,
        normalisation,
        report: Some(loaded.report),
    };
    Ok((measured, source))
}

/// The network in a model folder.
fn from_folder(
    model: &Path,
    options: &WeightOptions,
    data: &Data<'_>,
    device: &Device,
) -> Result<(Measured, DataSource)> {
    let folder = model_folder(model)?;
    if let Some(option) = options.given() {
        return Err(Error::config(
            option,
            "is for weight files; a model folder says it itself",
        ));
    }
    let (network, config) = load_model(&folder, device)?;
    let source = find_source(data.name, data.settings(Some(config.network.input)))?;
    let facts = DataFacts::from(&source);
    check_fits(&format!("model `{}`", model.display()), &config, &facts)?;
    let measured = Measured {
        name: config.network.name,
        network,
        normalisation: config.normalisation,
        report: None,
    };
    Ok((measured, source))
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

impl Data<'_> {
    /// How a folder is read for a network that takes images of `input`: channels, height, width.
    fn settings(&self, input: Option<[usize; 3]>) -> FolderSettings<'_> {
        let input = input.filter(|_| is_folder(self.name));
        FolderSettings {
            path: self.path,
            size: input.map(|[_, height, width]| ImageSize { height, width }),
            resize: self.resize,
            grey: input.is_some_and(|[channels, ..]| channels == 1),
            prefix: "--",
        }
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
