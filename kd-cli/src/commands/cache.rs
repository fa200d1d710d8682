//! `kd cache build`, `kd cache verify` and `kd cache info`.

use std::path::Path;

use kd_core::{Cache, CacheDescription, CacheDtype, Error, Result, read_recipe};
use kd_offline::CacheConfig;
use serde_json::json;

use super::{set_threads, stop_on_interrupt};
use crate::args::{CacheCommand, MachineOptions, Precision};
use crate::job::context;
use crate::method::{MethodRecipe, Methods};
use crate::methods::DistillRecipe;
use crate::output::{self, bytes, count};
use crate::progress::Progress;

pub(super) fn run(methods: &Methods, what: &CacheCommand) -> Result<()> {
    match what {
        CacheCommand::Build {
            recipe,
            out,
            dtype,
            overrides,
            machine,
        } => build(
            methods,
            recipe,
            (out.as_deref(), *dtype),
            overrides,
            machine,
        ),
        CacheCommand::Verify { file, json } => verify(file, *json),
        CacheCommand::Info { file, json } => info(file, *json),
    }
}

fn build(
    methods: &Methods,
    path: &Path,
    (out, dtype): (Option<&Path>, Option<Precision>),
    overrides: &[String],
    machine: &MachineOptions,
) -> Result<()> {
    set_threads(machine)?;
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let origin = path.display().to_string();
    let method = methods.of(&origin, &text, overrides, None)?;
    if method.name != DistillRecipe::METHOD {
        let problem = format!(
            "its method is `{}`, which asks no teacher that could be cached",
            method.name
        );
        return Err(Error::Recipe { origin, problem });
    }
    let mut recipe: DistillRecipe = read_recipe(&origin, &text, overrides)?;
    let mut config = recipe.cache.take().unwrap_or_default();
    if let Some(file) = out {
        config = CacheConfig::file(file).with_dtype(config.dtype);
    }
    if let Some(dtype) = dtype {
        config = config.with_dtype(match dtype {
            Precision::F32 => CacheDtype::F32,
            Precision::F16 => CacheDtype::F16,
        });
    }
    let context = context(
        &mut recipe,
        machine.device,
        machine.place.data_dir.as_deref(),
    )?;
    let (offline, _) = recipe.offline(&context)?;
    let offline = offline.with_cache(config);
    offline.check()?;
    let stop = stop_on_interrupt()?;
    offline.open_caches(&mut Progress::new("cache"), &stop)?;
    if machine.json {
        let all: Vec<_> = offline
            .caches()
            .map(|cache| facts(cache.path(), cache.description(), cache.bytes(), None))
            .collect();
        output::json(&json!({ "caches": all }));
        return Ok(());
    }
    for cache in offline.caches() {
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
    cache.verify(&mut Progress::of_cache(rows), &stop)?;
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
    for (name, value) in lines {
        output::line(&format!("  {name:<14} {value}"));
    }
    Ok(())
}

/// What is kept, in words.
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
