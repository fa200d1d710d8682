//! `kd models`.

mod latency;
mod one;

use std::path::Path;

use burn::tensor::Device;
use kd_core::{Costs, DatasetInfo, DeviceName, Error, ImageShape, Result};
use kd_models::{NetworkSpec, known_networks};
use kd_recipe::Methods;
use kd_report::Align::{Left, Right};
use kd_report::count;
use kd_text::{KnownText, TextSettings};
use serde_json::json;

use crate::args::ModelsOptions;
use crate::output;

/// The data set whose images are counted for where nothing is said.
const USUAL_DATA: &str = "cifar10";

pub(super) fn run(methods: &Methods, options: &ModelsOptions) -> Result<()> {
    let data = options.data.as_deref();
    match options.name.as_deref() {
        Some(folder) if Path::new(folder).is_dir() || folder.contains(std::path::is_separator) => {
            if data.is_some() {
                let problem = "says which images a network is counted for, and a model folder says so \
                               itself; leave it out";
                return Err(Error::config("--data", problem));
            }
            one::of_folder(methods.families(), Path::new(folder), options)
        }
        Some(name) => {
            let info = Counted::find(data.unwrap_or(USUAL_DATA))?;
            one::of_name(methods.families(), name, &info, options)
        }
        None => all(&Counted::find(data.unwrap_or(USUAL_DATA))?, options.json),
    }
}

/// The samples that costs are counted for.
struct Counted {
    name: &'static str,
    classes: usize,
    shape: ImageShape,
}

impl Counted {
    /// Those of a data set; of texts with the usual length and vocabulary.
    fn find(data: &str) -> Result<Self> {
        if let Some(known) = KnownText::find(data) {
            let usual = TextSettings::default();
            return Ok(Self {
                name: known.name,
                classes: known.class_names.len(),
                shape: ImageShape::new(usual.vocabulary(), 1, usual.length()),
            });
        }
        let info = DatasetInfo::find(data)?;
        Ok(Self {
            name: info.name,
            classes: info.classes,
            shape: info.shape,
        })
    }
}

fn spec(name: &str, info: &Counted) -> NetworkSpec {
    let input = [info.shape.channels, info.shape.height, info.shape.width];
    NetworkSpec::new(name, info.classes, input)
}

fn costs(spec: &NetworkSpec) -> Result<Costs> {
    spec.costs(&host()?)
}

/// A device that is enough to count on.
fn host() -> Result<Device> {
    DeviceName::Cpu.open().or_else(|_| DeviceName::Auto.open())
}

fn all(info: &Counted, as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    let mut left_out = Vec::new();
    for known in known_networks() {
        let spec = spec(known.name, info);
        if spec.check().is_err() {
            left_out.push(known.name);
            continue;
        }
        let costs = costs(&spec)?;
        rows.push(vec![
            known.name.to_owned(),
            count(costs.params()),
            count(costs.macs()),
            known.description.to_owned(),
        ]);
        objects.push(json!({
            "name": known.name, "params": costs.params(), "macs": costs.macs(),
            "description": known.description,
        }));
    }
    if as_json {
        output::json(&json!({ "data": info.name, "networks": objects }));
        return Ok(());
    }
    output::line(&format!(
        "for {} ({}, {} classes)",
        info.name, info.shape, info.classes
    ));
    let head = [
        ("network", Left),
        ("parameters", Right),
        ("MACs", Right),
        ("what it is", Left),
    ];
    output::table(&head, &rows);
    if !left_out.is_empty() {
        let (shape, names) = (info.shape, left_out.join(", "));
        output::line(&format!("not for images of {shape}: {names}"));
    }
    Ok(())
}
