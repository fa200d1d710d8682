//! `kd cache build`, `kd cache verify` and `kd cache info`.

use std::path::Path;

use kd_core::{Cache, CacheDescription, CacheDtype, Error, Result};
use kd_recipe::{CachePlace, Methods};
use kd_report::count;
use serde_json::json;

use super::session::{machine, stop_on_interrupt};
use crate::args::{CacheCommand, MachineOptions, Precision};
use crate::output::{self, bytes};
use crate::progress::run::Progress;

pub(super) fn run(methods: &Methods, what: &CacheCommand) -> Result<()> {
    match what {
        CacheCommand::Build {
            recipe,
            out,
            dtype,
            overrides,
            machine,
        } => {
            let mut place = CachePlace::default();
            place.file.clone_from(out);
            place.dtype = dtype.map(|dtype| match dtype {
                Precision::F32 => CacheDtype::F32,
                Precision::F16 => CacheDtype::F16,
            });
            build(methods, recipe, place, overrides, machine)
        }
        CacheCommand::Verify { file, json } => verify(file, *json),
        CacheCommand::Info { file, json } => info(file, *json),
    }
}

fn build(
    methods: &Methods,
    path: &Path,
    place: CachePlace,
    overrides: &[String],
    options: &MachineOptions,
) -> Result<()> {
    let machine = machine(options)?;
    let mut recipe = methods.read_file(path, overrides)?;
    let stop = stop_on_interrupt()?;
    let files = recipe.build_caches(&machine, &place, &mut Progress::new("cache"), &stop)?;
    let caches = files.iter().map(|file| Cache::open(file));
    let caches = caches.collect::<Result<Vec<Cache>>>()?;
    if options.json {
        let all: Vec<_> = caches
            .iter()
            .map(|cache| facts(cache.path(), cache.description(), cache.bytes(), None))
            .collect();
        output::json(&json!({ "caches": all }));
        return Ok(());
    }
    for cache in caches {
        let what = cache.description();
        output::line(&format!(
            "{}: {} of {} {}, {} rows, {}",
            cache.path().display(),
            names(what),
            what.data.name,
            what.data.split,
            count(what.rows()),
            bytes(cache.bytes())
        ));
    }
    Ok(())
}

fn verify(path: &Path, as_json: bool) -> Result<()> {
    let cache = Cache::open(path)?;
    let stop = stop_on_interrupt()?;
    let rows = cache.description().rows();
    cache.verify(&mut Progress::new("cache"), &stop)?;
    if as_json {
        output::json(&json!({ "file": path, "rows": rows, "whole": true }));
    } else {
        output::line(&format!(
            "{}: all {} rows are whole",
            path.display(),
            count(rows)
        ));
    }
    Ok(())
}

fn info(path: &Path, as_json: bool) -> Result<()> {
    let (description, there) = Cache::inspect(path)?;
    let length = description.file_bytes()?;
    let unfinished = (there < description.rows()).then_some(there);
    if as_json {
        output::json(&facts(path, &description, length, unfinished));
        return Ok(());
    }
    let CacheDescription { data, augment, .. } = &description;
    let mut lines = vec![
        ("teacher", description.teacher.clone()),
        (
            "data",
            format!(
                "{} {}, {} samples",
                data.name,
                data.split,
                count(data.samples)
            ),
        ),
        ("data sha256", data.hash.clone()),
        ("views", description.views.to_string()),
        (
            "kept",
            description
                .fields
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("precision", description.dtype.to_string()),
        ("rows", count(description.rows())),
        ("size", bytes(length)),
        ("made by", description.made_by.clone()),
    ];
    if description.views.augments() {
        let augment =
            serde_json::to_string(augment).map_err(|error| Error::method("augmentation", error))?;
        lines.insert(4, ("augmentation", augment));
        lines.insert(5, ("seed of views", description.view_seed.to_string()));
    }
    if let Some(there) = unfinished {
        lines.push((
            "unfinished",
            format!("at most {} rows are there", count(there)),
        ));
    }
    output::line(&path.display().to_string());
    output::list(14, &lines);
    Ok(())
}

/// The names of what is kept.
fn names(description: &CacheDescription) -> String {
    let names: Vec<&str> = description
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    names.join(", ")
}

fn facts(
    path: &Path,
    description: &CacheDescription,
    length: u64,
    unfinished: Option<u64>,
) -> serde_json::Value {
    json!({
        "file": path,
        "description": description,
        "rows": description.rows(),
        "bytes": length,
        "rows_there": unfinished.unwrap_or(description.rows()),
    })
}
