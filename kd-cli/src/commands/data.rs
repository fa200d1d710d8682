//! `kd data list` and `kd data info`.

use std::path::PathBuf;

use kd_core::{
    DataRoots, DataSource, DatasetInfo, ImageFolder, Normalisation, Result, Split, Subset, Task,
    TokenizerFile,
};
use kd_recipe::{DataFacts, FolderSettings, find_source};
use kd_report::Align::{Left, Right};
use kd_report::count;
use kd_text::KnownText;
use serde_json::json;

use crate::args::DataCommand;
use crate::output;

pub(super) fn run(what: &DataCommand) -> Result<()> {
    match what {
        DataCommand::List { place, json } => {
            list(
                &DataRoots::from_env().with_explicit(place.data_dir.clone()),
                *json,
            );
            Ok(())
        }
        DataCommand::Info {
            name,
            folder,
            place,
            json,
        } => {
            let roots = DataRoots::from_env().with_explicit(place.data_dir.clone());
            let columns = folder.columns.settings();
            let settings = FolderSettings {
                path: folder.path.as_deref(),
                size: folder.size,
                resize: folder.resize,
                grey: folder.grey,
                text: columns.as_ref(),
                roots: Some(&roots),
                prefix: "--",
                ..FolderSettings::default()
            };
            info(&find_source(name, settings)?, &roots, *json)
        }
    }
}

/// The folder with the files of all splits, if they are there; none for a set that is built in.
fn folder(info: &DatasetInfo, roots: &DataRoots) -> Option<PathBuf> {
    let splits = [Split::Train, Split::Validation, Split::Test].into_iter();
    let splits = splits.filter(|split| info.samples(*split) > 0);
    let files: Vec<Vec<PathBuf>> = splits
        .map(|split| info.locate(split, roots).ok())
        .collect::<Option<_>>()?;
    Some(files.first()?.first()?.parent()?.to_owned())
}

fn list(roots: &DataRoots, as_json: bool) {
    if as_json {
        let all: Vec<_> = DatasetInfo::all()
            .iter()
            .map(|info| {
                let folder = folder(info, roots);
                let here = info.embedded || folder.is_some();
                json!({ "name": info.name, "here": here, "folder": folder, "info": info })
            })
            .chain(KnownText::all().iter().map(|info| {
                let folder = info.locate(roots).ok();
                let here = folder.is_some();
                json!({ "name": info.name, "here": here, "folder": folder, "info": info })
            }))
            .collect();
        output::json(&json!({ "data": all }));
        return;
    }
    let rows: Vec<Vec<String>> = DatasetInfo::all()
        .iter()
        .map(|info| {
            let here = match (info.embedded, folder(info, roots)) {
                (true, _) => "built in".to_owned(),
                (_, Some(folder)) => folder.display().to_string(),
                (_, None) => "no".to_owned(),
            };
            vec![
                info.name.to_owned(),
                info.classes.to_string(),
                match info.task {
                    Task::Segmentation => format!("{} and masks", info.shape),
                    _ => info.shape.to_string(),
                },
                count(info.train as u64),
                match info.validation {
                    0 => "-".to_owned(),
                    samples => count(samples as u64),
                },
                count(info.test as u64),
                here,
            ]
        })
        .chain(KnownText::all().iter().map(|info| text_row(info, roots)))
        .collect();
    let head = [
        ("data set", Left),
        ("classes", Right),
        ("samples", Left),
        ("train", Right),
        ("validation", Right),
        ("test", Right),
        ("here", Left),
    ];
    output::table_without(&head, &rows, &["validation", "test", "train", "classes"]);
}

/// The row of a data set of texts.
fn text_row(info: &KnownText, roots: &DataRoots) -> Vec<String> {
    let here = info.locate(roots);
    let here = here.map_or_else(|_| "no".to_owned(), |folder| folder.display().to_string());
    vec![
        info.name.to_owned(),
        info.class_names.len().to_string(),
        "texts".to_owned(),
        count(info.train as u64),
        "-".to_owned(),
        count(info.test as u64),
        here,
    ]
}

fn info(source: &DataSource, roots: &DataRoots, as_json: bool) -> Result<()> {
    let part = |split: Split| -> Result<Option<Subset>> {
        let part = source.has(split).then(|| source.load(split, roots));
        Ok(part.transpose()?.map(Subset::from))
    };
    let train = Subset::all(&source.load(Split::Train, roots)?);
    let (validation, test) = (part(Split::Validation)?, part(Split::Test)?);
    let preprocessing = source.preprocessing(train.dataset())?;
    let normalisation = preprocessing.normalisation().ok();
    if as_json {
        let part = |subset: &Subset| {
            let (what, counts) = match subset.dataset().masks() {
                Some(masks) => ("pixels_per_class", json!(masks.pixel_counts())),
                None => ("per_class", json!(subset.class_counts())),
            };
            json!({
                "count": subset.len(),
                what: counts,
                "sha256": subset.dataset().hash(),
            })
        };
        let mut object = match source {
            DataSource::Folder(folder) => json!({
                "folder": {
                    "path": folder.path(),
                    "classes": source.classes(),
                    "class_names": folder.class_names(),
                    "shape": source.shape(),
                    "mean": normalisation.map(|normalisation| &normalisation.mean),
                    "std": normalisation.map(|normalisation| &normalisation.std),
                },
                "skipped": folder.skipped(),
            }),
            DataSource::Known(info) => json!({ "info": info }),
            DataSource::Files(files) => json!({
                "texts": {
                    "classes": source.classes(),
                    "class_names": files.class_names(),
                    "vocabulary": source.shape().channels,
                    "length": source.shape().width,
                    "tokenizer_sha256": preprocessing.tokenizer().map(TokenizerFile::sha256),
                },
            }),
            _ => json!({}),
        };
        object["train"] = part(&train);
        if let Some(validation) = &validation {
            object["validation"] = part(validation);
        }
        object["test"] = test.as_ref().map_or(serde_json::Value::Null, part);
        output::json(&object);
        return Ok(());
    }
    let what = match source.task() {
        Task::Segmentation => "classes of pixels",
        _ => "classes",
    };
    let of = DataFacts::from(source).described();
    output::line(&format!(
        "{}: {of}, {} {what}",
        source.name(),
        source.classes()
    ));
    let mut rows = vec![("train", counts(&train))];
    rows.extend(validation.as_ref().map(|part| ("validation", counts(part))));
    rows.push((
        "test",
        test.as_ref().map_or_else(
            || "none; hold out a part of train with `held_out`".to_owned(),
            counts,
        ),
    ));
    if let Some(names) = train.dataset().class_names() {
        rows.push(("classes", names.join(", ")));
    }
    if let Some(Normalisation { mean, std }) = normalisation {
        rows.push(("mean", numbers(mean)));
        rows.push(("std", numbers(std)));
    }
    if let Some(tokenizer) = preprocessing.tokenizer() {
        rows.push(("tokenizer", tokenizer.sha256().to_owned()));
    }
    rows.push(("train sha256", train.dataset().hash().to_owned()));
    rows.extend(validation.map(|part| ("val sha256", part.dataset().hash().to_owned())));
    rows.extend(test.map(|test| ("test sha256", test.dataset().hash().to_owned())));
    match source {
        DataSource::Known(info) => rows.extend([
            ("source", info.source.to_owned()),
            ("licence", info.licence.to_owned()),
            ("cite", info.citation.to_owned()),
        ]),
        DataSource::Folder(folder) => {
            rows.push(("source", folder.path().display().to_string()));
            rows.extend(skipped(folder).map(|skipped| ("skipped", skipped)));
        }
        _ => {}
    }
    output::list(13, &rows);
    Ok(())
}

/// The samples of a split, all and of each class, or the pixels of each.
fn counts(subset: &Subset) -> String {
    let all = count(subset.len() as u64);
    match subset.dataset().masks() {
        Some(masks) => format!("{all}, pixels per class {}", listed(&masks.pixel_counts())),
        None => format!("{all}, per class {}", listed(&subset.class_counts())),
    }
}

fn listed(counts: &[impl ToString]) -> String {
    let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
    counts.join(" ")
}

fn numbers(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    values.join(", ")
}

/// What was passed over in a folder, the first few by name.
fn skipped(folder: &ImageFolder) -> Option<String> {
    let all = folder.skipped();
    let shown = all.iter().take(SHOWN).map(|path| {
        let path = path.strip_prefix(folder.path()).unwrap_or(path);
        path.display().to_string()
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => None,
        n @ ..=SHOWN => Some(format!("{n}: {shown}")),
        n => Some(format!("{n}: {shown} and {} more", n - SHOWN)),
    }
}

const SHOWN: usize = 5;
