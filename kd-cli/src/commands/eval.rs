//! `kd eval`.

mod ensemble;
mod origin;

use std::path::Path;

use burn::tensor::Device;
use kd_core::{
    ClassificationSummary, CountedWork, DataRoots, DataSource, Dataset, DatasetInfo, DeviceName,
    Error, ImageShape, Loader, LoaderConfig, MaskClass, MaskSurvey, Normalisation, Result,
    SegmentationSummary, Subset, Task, check_finite, tell_counted,
};
use kd_models::{
    Evaluation, Families, LoadReport, ModelConfig, TrainedModel, WeightChoice, Weights,
};
use kd_recipe::{
    DataFacts, FolderSettings, ImageSize, Methods, WeightFile, check_fits, find_source, is_folder,
    is_masks, is_text, model_folder, open_for,
};
use kd_report::Align::{Left, Right};
use kd_report::{count, percent};
use kd_text::{KnownText, TextFiles, TextSettings};
use serde::Serialize;

use self::origin::{mask_classes_of_run, say_other_classes, say_trained_on};
use super::session::machine;
use crate::args::{ColumnOptions, EvalOptions, WeightOptions};
use crate::output;
use crate::progress::notices::Printed;
use crate::weights::only_network;

/// A network to be measured, and the data in the size that it takes.
struct Measured {
    model: Box<dyn TrainedModel>,
    source: DataSource,
    /// How its weights fitted, if it came from a weight file.
    report: Option<LoadReport>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct OfImages<'a> {
    #[serde(flatten)]
    summary: &'a ClassificationSummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<&'a LoadReport>,
}

/// The same of a network with an output for each pixel.
#[derive(Serialize)]
struct OfPixels<'a> {
    #[serde(flatten)]
    summary: &'a SegmentationSummary,
    /// The classes in the order of `class_iou`.
    class_names: Vec<String>,
}

pub(super) fn run(methods: &Methods, options: &EvalOptions) -> Result<()> {
    machine(&options.machine)?;
    let options = &with_folder(options)?;
    let is_texts = is_text(&options.data) || KnownText::find(&options.data).is_some();
    if !is_folder(&options.data) && !is_masks(&options.data) && !is_texts {
        // An unknown name is said before anything is read.
        find_source(&options.data, settings(options, None))?;
    }
    let device = options.machine.device.unwrap_or(DeviceName::Auto).open()?;
    let path = match options.model.as_slice() {
        [path] => path,
        paths => return ensemble::run(options, paths, methods.families(), &device),
    };
    if options.average.is_some() {
        let problem =
            "is for several models, and one is given; leave it out, or give `--model` again";
        return Err(Error::config("--average", problem));
    }
    let measured = if path.is_file() {
        from_file(options, path, methods.families(), &device)?
    } else {
        from_folder(options, path, methods.families(), &device)?
    };
    let (dataset, loader) = load(options, &measured, &device)?;
    let json = options.machine.json;
    match measured.model.evaluate(&loader)? {
        Evaluation::Segmentation(metrics) => {
            of_pixels(&measured, &dataset, &metrics.summary()?, json);
        }
        Evaluation::Classification(metrics) => {
            of_images(&measured, &dataset, &metrics.summary()?, json);
        }
        _ => {}
    }
    Ok(())
}

/// A folder or a table that stands in the place of a data set is one of texts, images, or images and masks.
fn with_folder(options: &EvalOptions) -> Result<EvalOptions> {
    let mut options = options.clone();
    let folder = Path::new(&options.data).to_owned();
    let is_name = is_folder(&options.data) || is_masks(&options.data);
    let is_name = is_name || is_text(&options.data);
    if options.path.is_some() || is_name {
        return Ok(options);
    }
    if TextFiles::are_at(&folder) && KnownText::find(&options.data).is_none() {
        options.data = "text".into();
        options.path = Some(folder);
    } else if folder.is_dir() && DatasetInfo::find(&options.data).is_err() {
        let has_masks = MaskSurvey::of(&folder, 1)?.is_some();
        options.data = if has_masks { "masks" } else { "folder" }.into();
        options.path = Some(folder);
    }
    Ok(options)
}

/// The data to be measured on.
fn load(options: &EvalOptions, measured: &Measured, device: &Device) -> Result<(Dataset, Loader)> {
    let roots = DataRoots::from_env().with_explicit(options.machine.place.data_dir.clone());
    let mut dataset = measured.source.load(options.split, &roots)?;
    if options.scale {
        let [_, height, width] = measured.model.config().network.input;
        dataset = dataset.resized([height, width])?;
    }
    say_absent(&dataset);
    let batch_size = options.batch_size.unwrap_or(match dataset.task() {
        // Images of segmentation are larger.
        Task::Segmentation => 8,
        _ => 256,
    });
    let loader = LoaderConfig::ordered(batch_size);
    let loader = Loader::new(dataset.clone(), loader, device)?;
    let tell = |done: usize, all: usize| {
        tell_counted(CountedWork {
            what: "evaluating",
            unit: "samples",
            done: done as u64,
            total: all as u64,
        });
    };
    tell(0, dataset.len());
    Ok((dataset, loader.with_watch(tell)))
}

/// Says which classes of a folder have no image to be measured on.
fn say_absent(dataset: &Dataset) {
    let Some(names) = dataset
        .class_names()
        .filter(|_| dataset.task() == Task::Classification)
    else {
        return;
    };
    let counts = Subset::all(dataset).class_counts();
    let absent = names.iter().zip(counts).filter(|(_, count)| *count == 0);
    let absent: Vec<String> = absent.map(|(name, _)| format!("`{name}`")).collect();
    if !absent.is_empty() {
        output::notice(&format!(
            "note: {} of the {} classes have no image here, nothing is measured on them: {}",
            absent.len(),
            names.len(),
            absent.join(", ")
        ));
    }
}

/// The network in a weight file.
fn from_file(
    options: &EvalOptions,
    path: &Path,
    families: &Families,
    device: &Device,
) -> Result<Measured> {
    let refused = |problem: &str| {
        Err(Error::Input {
            path: path.to_owned(),
            problem: problem.into(),
        })
    };
    if is_folder(&options.data) {
        return refused(
            "cannot be measured on a folder of images, as it does not say what size it takes; make it a \
             model folder \
             first with `kd import --input`",
        );
    }
    if task_of(&options.data) == Task::Segmentation {
        return refused(
            "is a weight file, which does not say what size of images it is for; a network for masks is \
             measured from \
             its model folder",
        );
    }
    if options.scale {
        return refused(
            "is a weight file, which does not say what size of images it is for; make it a model folder \
             first with `kd import --input`, or leave out `--scale`",
        );
    }
    let source = find_source(&options.data, settings(options, None))?;
    let weights = Weights::read_chosen(path, &options.weights.choice())?;
    let name = match &options.weights.network {
        Some(name) => name.clone(),
        None => only_network(&weights, device)?,
    };
    let normalisation = options.weights.normalisation();
    let file = WeightFile {
        who: format!("`{}`", path.display()),
        weights: &weights,
        network: &name,
        fit: options.weights.fit,
        normalisation: normalisation.as_ref(),
        remedy: "give `--mean` and `--std`",
    };
    let (model, report) = file.open(families, &DataFacts::from(&source), device, &Printed)?;
    check_finite(&file.who, &model.state_dict())?;
    Ok(Measured {
        model,
        source,
        report: Some(report),
    })
}

/// The network in a model folder.
fn from_folder(
    options: &EvalOptions,
    path: &Path,
    families: &Families,
    device: &Device,
) -> Result<Measured> {
    let folder = model_folder(path)?;
    if let Some(option) = options.weights.given() {
        let problem = "is for weight files; a model folder says it itself";
        return Err(Error::config(option, problem));
    }
    let model = open_for(families, &folder, task_of(&options.data), device)?;
    let config = model.config();
    let of_run = mask_classes_of_run(path).filter(|_| options.classes.is_empty());
    let (classes, no_class) = match of_run {
        Some((classes, no_class)) => (classes, options.no_class.clone().or(no_class)),
        None => (mask_classes(options, config)?, options.no_class.clone()),
    };
    let columns = options.columns.settings();
    let roots = DataRoots::from_env().with_explicit(options.machine.place.data_dir.clone());
    let settings = FolderSettings {
        text: columns.as_ref(),
        tokenizer: config.preprocessing.tokenizer(),
        roots: Some(&roots),
        masks: is_masks(&options.data).then_some((&classes[..], no_class.as_ref())),
        classes: config.class_names.as_deref(),
        ..settings(options, Some(config.network.input))
    };
    let source = find_source(&options.data, settings)?;
    let who = format!("model `{}`", path.display());
    check_fits(&who, config, &facts(options, config, &source)?)?;
    say_other_classes(config, &source);
    say_trained_on(path, &source);
    check_finite(&who, &model.state_dict())?;
    Ok(Measured {
        model,
        source,
        report: None,
    })
}

/// Facts about the data as they are measured: in the size of the model, where they are to be scaled.
fn facts(options: &EvalOptions, config: &ModelConfig, source: &DataSource) -> Result<DataFacts> {
    let mut facts = DataFacts::from(source);
    if options.scale {
        check_scale(options, source)?;
        let [_, height, width] = config.network.input;
        facts.shape = ImageShape::new(facts.shape.channels, height, width);
    }
    Ok(facts)
}

/// Only images of a data set known by name have a size of their own.
fn check_scale(options: &EvalOptions, source: &DataSource) -> Result<()> {
    if is_folder(&options.data) || source.task() == Task::Segmentation {
        let problem = "has no effect: images of a folder, and those with masks, are brought to the size of \
                       the network anyway; leave it out";
        return Err(Error::config("--scale", problem));
    }
    Ok(())
}

/// The classes of masks of one's own: those that were typed, or those of the model in the order of their
/// values.
fn mask_classes(options: &EvalOptions, config: &ModelConfig) -> Result<Vec<MaskClass>> {
    let typed = !options.classes.is_empty() || options.no_class.is_some();
    if typed && !is_masks(&options.data) {
        let problem = "and `--no-class` are for `--data masks`; leave them out";
        return Err(Error::config("--classes", problem));
    }
    if !options.classes.is_empty() {
        return Ok(options.classes.clone());
    }
    let names = config.class_names.clone();
    let numbered = || {
        (0..config.network.classes)
            .map(|class| class.to_string())
            .collect()
    };
    let names: Vec<String> = names.unwrap_or_else(numbered);
    Ok(names.into_iter().map(MaskClass::Name).collect())
}

/// The task of a data set by name; a folder of images has a class for each.
fn task_of(data: &str) -> Task {
    if is_masks(data) {
        return Task::Segmentation;
    }
    DatasetInfo::find(data).map_or(Task::Classification, |info| info.task)
}

/// How a folder, or data with masks, are read for a network that takes images of `input`: channels, height,
/// width.
fn settings(options: &EvalOptions, input: Option<[usize; 3]>) -> FolderSettings<'_> {
    let (path, data): (Option<&Path>, &str) = (options.path.as_deref(), &options.data);
    let is_sized = is_folder(data) || task_of(data) == Task::Segmentation;
    let size = input.filter(|_| is_sized);
    let input = input.filter(|_| is_folder(data));
    FolderSettings {
        path,
        size: size.map(|[_, height, width]| ImageSize { height, width }),
        resize: options.resize,
        grey: input.is_some_and(|[channels, ..]| channels == 1),
        prefix: "--",
        ..FolderSettings::default()
    }
}

impl ColumnOptions {
    /// The settings of texts, if one was typed.
    pub(super) fn settings(&self) -> Option<TextSettings> {
        let mut settings = TextSettings::default();
        settings.label_column.clone_from(&self.label_column);
        settings.text_column.clone_from(&self.text_column);
        Some(settings).filter(|settings| *settings != TextSettings::default())
    }
}

impl WeightOptions {
    /// The tensors of the file that are meant.
    pub(super) fn choice(&self) -> WeightChoice {
        let mut choice = WeightChoice::default();
        choice.key.clone_from(&self.key);
        choice.prefix.clone_from(&self.prefix);
        choice.rename = self.rename.iter().cloned().collect();
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
            ("--rename", !self.rename.is_empty()),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }
}

fn of_pixels(measured: &Measured, dataset: &Dataset, summary: &SegmentationSummary, json: bool) {
    let class_names = dataset.class_names().map_or_else(
        || {
            (0..dataset.classes())
                .map(|class| class.to_string())
                .collect()
        },
        <[String]>::to_vec,
    );
    if json {
        output::json(&OfPixels {
            summary,
            class_names,
        });
        return;
    }
    output::line(&format!("{} on {}", title(measured), dataset.name()));
    let rows = [
        ("mean IoU", percent(summary.mean_iou)),
        ("pixel accuracy", percent(summary.pixel_accuracy)),
        ("mIoU compat", percent(summary.miou_compat)),
        ("images", count(summary.images)),
    ];
    output::list(18, &rows);
    output::line("");
    let shown = |share: &Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let names = class_names.into_iter();
    let rows: Vec<Vec<String>> = names
        .zip(&summary.class_iou)
        .map(|(name, share)| vec![name, shown(share)])
        .collect();
    output::table(&[("class", Left), ("IoU", Right)], &rows);
}

fn of_images(measured: &Measured, dataset: &Dataset, summary: &ClassificationSummary, json: bool) {
    let weights = measured.report.as_ref();
    if json {
        output::json(&OfImages { summary, weights });
        return;
    }
    if let Some(weights) = weights {
        output::line(&weights.to_string());
    }
    output::line(&format!(
        "{} on {}",
        title(measured),
        measured.source.name()
    ));
    list(summary);
    if is_uneven(dataset) {
        by_class(dataset, summary);
    }
}

/// Whether classes have so different numbers of samples that accuracy says little of the small ones.
fn is_uneven(dataset: &Dataset) -> bool {
    let counts = Subset::all(dataset).class_counts();
    let fewest = counts.iter().filter(|count| **count > 0).min();
    fewest.is_some_and(|fewest| counts.iter().any(|count| *count > 2 * fewest))
}

/// The accuracy of each class; of many classes, of the least recognised.
fn by_class(dataset: &Dataset, summary: &ClassificationSummary) {
    const SHOWN: usize = 20;
    let counts = Subset::all(dataset).class_counts();
    let name = |class: usize| match dataset.class_names() {
        Some(names) => names[class].clone(),
        None => class.to_string(),
    };
    let shares = summary.class_accuracy.iter().enumerate();
    let mut shares: Vec<(usize, f64)> = shares
        .filter_map(|(class, share)| Some((class, (*share)?)))
        .collect();
    if shares.len() > SHOWN {
        shares.sort_by(|one, other| one.1.total_cmp(&other.1));
        shares.truncate(SHOWN);
        output::line(&format!("\nthe {SHOWN} least recognised classes:"));
    } else {
        output::line("");
    }
    let row = |&(class, share): &(usize, f64)| {
        vec![name(class), percent(share), count(counts[class] as u64)]
    };
    let rows: Vec<Vec<String>> = shares.iter().map(row).collect();
    output::table(
        &[("class", Left), ("accuracy", Right), ("samples", Right)],
        &rows,
    );
}

/// The metrics of a classifier, one a line.
fn list(summary: &ClassificationSummary) {
    let top_k = percent(summary.top_k_accuracy);
    let mut rows = vec![
        ("accuracy", percent(summary.accuracy)),
        ("balanced accuracy", percent(summary.balanced_accuracy)),
    ];
    // The right class is always among as many answers as there are classes.
    if summary.top_k < summary.class_accuracy.len() {
        rows.push(("top-k accuracy", format!("{top_k} (k = {})", summary.top_k)));
    }
    rows.extend([
        ("cross-entropy", number(summary.loss, " nats")),
        ("calibration error", number(summary.ece, "")),
        ("samples", count(summary.count)),
    ]);
    output::list(18, &rows);
}

/// A number in words where it is none.
fn number(value: f64, unit: &str) -> String {
    if value.is_finite() {
        format!("{value:.4}{unit}")
    } else {
        "not a number".into()
    }
}

fn title(measured: &Measured) -> String {
    measured.model.config().network.title()
}
