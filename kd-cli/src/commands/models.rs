//! `kd models`.

use burn::tensor::Device;
use kd_core::{Costs, DatasetInfo, DeviceName, ImageShape, LayerKind, Result};
use kd_models::{NetworkSpec, known_networks};
use kd_report::Align::{Left, Right};
use kd_report::count;
use kd_text::{KnownText, TextSettings};
use serde_json::json;

use crate::output;

pub(super) fn run(name: Option<&str>, data: &str, as_json: bool) -> Result<()> {
    let info = Counted::find(data)?;
    match name {
        Some(name) => one(name, &info, as_json),
        None => all(&info, as_json),
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
    let device: Device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    spec.costs(&device)
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

/// One network, by stage and by kind of layer.
fn one(name: &str, info: &Counted, as_json: bool) -> Result<()> {
    let spec = spec(name, info);
    let costs = costs(&spec)?;
    let name = &spec.name;
    if as_json {
        output::json(&json!({
            "name": name, "data": info.name, "params": costs.params(), "macs": costs.macs(), "layers": costs,
        }));
        return Ok(());
    }
    output::line(&format!(
        "{name} for {} ({}, {} classes)",
        info.name, info.shape, info.classes
    ));
    let row = |name: String, params: u64, macs: u64| vec![name, count(params), count(macs)];
    let mut rows: Vec<Vec<String>> = costs
        .by_stage()
        .into_iter()
        .map(|(stage, cost)| row(stage, cost.params, cost.macs))
        .collect();
    rows.push(row("total".into(), costs.params(), costs.macs()));
    output::table(
        &[("stage", Left), ("parameters", Right), ("MACs", Right)],
        &rows,
    );
    output::line("");
    let rows: Vec<Vec<String>> = LayerKind::ALL
        .into_iter()
        .map(|kind| {
            let cost = costs.of_kind(kind);
            let name = match kind {
                LayerKind::Conv => "convolutions",
                LayerKind::DepthwiseConv => "depthwise convolutions",
                LayerKind::Linear => "linear layers",
                LayerKind::Norm => "norms (not in the total of MACs)",
                LayerKind::Embedding => "embeddings",
            };
            row(name.into(), cost.params, cost.macs)
        })
        .collect();
    output::table(
        &[("kind", Left), ("parameters", Right), ("MACs", Right)],
        &rows,
    );
    Ok(())
}
