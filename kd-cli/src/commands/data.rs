//! `kd data list` and `kd data info`.

use kd_core::{DataRoots, DatasetInfo, Result, Split, Subset};
use serde_json::json;

use crate::args::DataCommand;
use crate::output::Side::{Left, Right};
use crate::output::{self, count};

pub(super) fn run(what: &DataCommand) -> Result<()> {
    match what {
        DataCommand::List { place, json } => {
            list(
                &DataRoots::from_env().with_explicit(place.data_dir.clone()),
                *json,
            );
            Ok(())
        }
        DataCommand::Info { name, place, json } => info(
            name,
            &DataRoots::from_env().with_explicit(place.data_dir.clone()),
            *json,
        ),
    }
}

/// Whether the files of both splits are there.
fn is_here(info: &DatasetInfo, roots: &DataRoots) -> bool {
    info.embedded
        || [Split::Train, Split::Test]
            .into_iter()
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
                info.shape.to_string(),
                count(info.train as u64),
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
        ("test", Right),
        ("here", Left),
    ];
    output::table(&head, &rows);
}

fn info(name: &str, roots: &DataRoots, as_json: bool) -> Result<()> {
    let info = DatasetInfo::find(name)?;
    let train = Subset::all(&info.load(Split::Train, roots)?);
    let test = Subset::all(&info.load(Split::Test, roots)?);
    if as_json {
        output::json(&json!({
            "info": info,
            "train": { "count": train.len(), "per_class": train.class_counts(), "sha256": train.dataset().hash() },
            "test": { "count": test.len(), "per_class": test.class_counts(), "sha256": test.dataset().hash() },
        }));
        return Ok(());
    }
    let counts = |subset: &Subset| {
        let counts = subset.class_counts();
        let counts: Vec<String> = counts.into_iter().map(|n| n.to_string()).collect();
        counts.join(" ")
    };
    let numbers = |values: &[f64]| {
        values
            .iter()
            .map(|x| format!("{x}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    output::line(&format!(
        "{}: images of {}, {} classes",
        info.name, info.shape, info.classes
    ));
    let mut rows = vec![
        (
            "train",
            format!(
                "{}, per class {}",
                count(train.len() as u64),
                counts(&train)
            ),
        ),
        (
            "test",
            format!("{}, per class {}", count(test.len() as u64), counts(&test)),
        ),
        ("mean", numbers(info.mean)),
        ("std", numbers(info.std)),
        ("train sha256", train.dataset().hash().to_owned()),
        ("test sha256", test.dataset().hash().to_owned()),
        ("source", info.source.to_owned()),
        ("licence", info.licence.to_owned()),
        ("cite", info.citation.to_owned()),
    ];
    if let Some(names) = train.dataset().class_names() {
        rows.insert(2, ("classes", names.join(", ")));
    }
    for (name, value) in rows {
        output::line(&format!("  {name:<13} {value}"));
    }
    Ok(())
}
