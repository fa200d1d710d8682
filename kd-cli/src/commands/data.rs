//! `kd data list` and `kd data info`.

use kd_core::{DataRoots, DataSource, DatasetInfo, ImageFolder, Result, Split, Subset, Task};
use kd_recipe::{FolderSettings, find_source};
use kd_report::Align::{Left, Right};
use kd_report::count;
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
            let settings = FolderSettings {
                path: folder.path.as_deref(),
                size: folder.size,
                resize: folder.resize,
                grey: folder.grey,
                skip_broken: false,
                masks: None,
                classes: None,
                prefix: "--",
            };
            let roots = DataRoots::from_env().with_explicit(place.data_dir.clone());
            info(&find_source(name, settings)?, &roots, *json)
        }
    }
}

/// Whether the files of all splits are there.
fn is_here(info: &DatasetInfo, roots: &DataRoots) -> bool {
    info.embedded
        || [Split::Train, Split::Validation, Split::Test]
            .into_iter()
            .filter(|split| info.samples(*split) > 0)
            .all(|split| info.locate(split, roots).is_ok())
}

fn list(roots: &DataRoots, as_json: bool) {
    if as_json {
        let all: Vec<_> = DatasetInfo::all()
            .iter()
            .map(|info| json!({ "name": info.name, "here": is_here(info, roots), "info": info }))
            .collect();
        output::json(&json!({ "data": all }));
        return;
    }
    let rows: Vec<Vec<String>> = DatasetInfo::all()
        .iter()
        .map(|info| {
            let here = match (info.embedded, is_here(info, roots)) {
                (true, _) => "built in",
                (_, true) => "yes",
                (_, false) => "no",
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
                here.to_owned(),
            ]
        })
        .collect();
    let head = [
        ("data set", Left),
        ("classes", Right),
        ("images", Left),
        ("train", Right),
        ("validation", Right),
        ("test", Right),
        ("here", Left),
    ];
    output::table(&head, &rows);
}

fn info(source: &DataSource, roots: &DataRoots, as_json: bool) -> Result<()> {
    let part = |split: Split| -> Result<Option<Subset>> {
        let part = source.has(split).then(|| source.load(split, roots));
        Ok(part.transpose()?.map(Subset::from))
    };
    let train = Subset::all(&source.load(Split::Train, roots)?);
    let (validation, test) = (part(Split::Validation)?, part(Split::Test)?);
    let normalisation = source.normalisation(train.dataset())?;
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
                    "mean": normalisation.mean,
                    "std": normalisation.std,
                },
                "skipped": folder.skipped(),
            }),
            DataSource::Known(info) => json!({ "info": info }),
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
    output::line(&format!(
        "{}: images of {}, {} {what}",
        source.name(),
        source.shape(),
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
    rows.push(("mean", numbers(&normalisation.mean)));
    rows.push(("std", numbers(&normalisation.std)));
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
