//! `kd eval`.

use std::path::Path;

use burn::tensor::Device;
use kd_core::{
    ClassificationSummary, DataRoots, DataSource, Dataset, DatasetInfo, DeviceName, Error, Frozen,
    Loader, LoaderConfig, Normalisation, Result, SegmentationSummary, Split, StagedNetwork, Task,
    evaluate,
};
use kd_models::{
    LoadReport, ModelConfig, ModelNetwork, Network, UNet, WeightChoice, load_model_as,
};
use serde::Serialize;

use super::set_threads;
use crate::args::{MachineOptions, WeightOptions};
use crate::output::Side::{Left, Right};
use crate::output::{self, percent};
use crate::parts::{
    DataFacts, FolderSettings, FromFile, ImageSize, check_fits, find_source, given_or_assumed,
    is_folder, model_folder,
};
use crate::report::masks::{self, measure};

/// Samples in a batch of images that have one class each.
const BATCH_SIZE: usize = 256;

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

/// The same of a network that says a class of each pixel.
#[derive(Serialize)]
struct Segmentation<'a> {
    #[serde(flatten)]
    summary: &'a SegmentationSummary,
    /// The classes in the order of `class_iou`.
    class_names: Vec<String>,
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
    batch_size: Option<usize>,
    machine: &MachineOptions,
) -> Result<()> {
    set_threads(machine)?;
    if !is_folder(data.name) {
        // An unknown name is said before anything is read.
        let source = find_source(data.name, data.settings(None))?;
        if source.task() == Task::Segmentation {
            return run_masks(model, data, weights, batch_size, machine);
        }
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
        LoaderConfig::ordered(batch_size.unwrap_or(BATCH_SIZE)),
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

/// The same where each image has a mask.
fn run_masks(
    model: &Path,
    data: &Data<'_>,
    weights: &WeightOptions,
    batch_size: Option<usize>,
    machine: &MachineOptions,
) -> Result<()> {
    if model.is_file() {
        let problem = "is a weight file, which does not say what size of images it is for; a network for \
                       masks is measured from its \
                       model folder";
        return Err(Error::Input {
            path: model.to_owned(),
            problem: problem.into(),
        });
    }
    let device = machine.device.unwrap_or(DeviceName::Auto).open()?;
    let (network, config, source) = in_folder::<UNet>(model, weights, data, &device)?;
    let roots = DataRoots::from_env().with_explicit(machine.place.data_dir.clone());
    let dataset = source.load(data.split, &roots)?;
    let batch_size = batch_size.unwrap_or(masks::BATCH_SIZE);
    let loader = LoaderConfig::ordered(batch_size);
    let loader = Loader::new(dataset.clone(), loader, &device)?;
    let (summary, _) = measure(&network, &config.normalisation, &loader, &[])?;
    if machine.json {
        output::json(&Segmentation {
            summary: &summary,
            class_names: masks::names(&dataset),
        });
    } else {
        report_masks(&config.network.name, &dataset, &summary);
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
        let problem = "cannot be measured on a folder of images, as it does not say what size it takes; make \
                       it a model \
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
    let (network, config, source) = in_folder(model, options, data, device)?;
    let measured = Measured {
        name: config.network.name,
        network,
        normalisation: config.normalisation,
        report: None,
    };
    Ok((measured, source))
}

/// The same for a network of either type, with the data in the size that it takes.
fn in_folder<N: ModelNetwork>(
    model: &Path,
    options: &WeightOptions,
    data: &Data<'_>,
    device: &Device,
) -> Result<(N, ModelConfig, DataSource)> {
    let folder = model_folder(model)?;
    if let Some(option) = options.given() {
        return Err(Error::config(
            option,
            "is for weight files; a model folder says it itself",
        ));
    }
    let (network, config) = load_model_as::<N>(&folder, device)?;
    let source = find_source(data.name, data.settings(Some(config.network.input)))?;
    let facts = DataFacts::from(&source);
    check_fits(&format!("model `{}`", model.display()), &config, &facts)?;
    Ok((network, config, source))
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
    /// How a folder, or data with masks, are read for a network that takes images of `input`: channels,
    /// height, width.
    fn settings(&self, input: Option<[usize; 3]>) -> FolderSettings<'_> {
        let known = DatasetInfo::find(self.name);
        let has_masks = known.is_ok_and(|info| info.task == Task::Segmentation);
        let size = input.filter(|_| has_masks || is_folder(self.name));
        let input = input.filter(|_| is_folder(self.name));
        FolderSettings {
            path: self.path,
            size: size.map(|[_, height, width]| ImageSize { height, width }),
            resize: self.resize,
            grey: input.is_some_and(|[channels, ..]| channels == 1),
            prefix: "--",
        }
    }
}

fn report_masks(network: &str, dataset: &Dataset, summary: &SegmentationSummary) {
    let rows = [
        ("mean IoU", percent(summary.mean_iou)),
        ("pixel accuracy", percent(summary.pixel_accuracy)),
        ("mIoU compat", percent(summary.miou_compat)),
        ("images", output::count(summary.images)),
    ];
    output::line(&format!("{network} on {}", dataset.name()));
    for (name, value) in rows {
        output::line(&format!("  {name:<18} {value}"));
    }
    output::line("");
    let shown = |share: &Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let names = masks::names(dataset).into_iter();
    let rows: Vec<Vec<String>> = names
        .zip(&summary.class_iou)
        .map(|(name, share)| vec![name, shown(share)])
        .collect();
    output::table(&[("class", Left), ("IoU", Right)], &rows);
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
