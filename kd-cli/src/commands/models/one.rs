//! One network: its costs by stage and kind of layer, layer by layer, and how long its answers take.

use std::path::Path;

use burn::tensor::Device;
use kd_core::{Costs, DeviceName, Latency, LayerKind, Result};
use kd_models::{Families, ModelConfig};
use kd_recipe::model_folder;
use kd_report::Align::{Left, Right};
use kd_report::count;
use serde_json::{Value, json};

use super::latency::measured;
use super::{Counted, costs, host, spec};
use crate::args::ModelsOptions;
use crate::commands::session::use_threads;
use crate::output;

/// A network of the catalogue, for the images of a data set.
pub(super) fn of_name(
    families: &Families,
    name: &str,
    info: &Counted,
    options: &ModelsOptions,
) -> Result<()> {
    let spec = spec(name, info);
    let costs = costs(&spec)?;
    let title = format!(
        "{} for {} ({}, {} classes)",
        spec.name, info.name, info.shape, info.classes
    );
    let mut facts = json!({
        "name": spec.name, "data": info.name, "params": costs.params(), "macs": costs.macs(), "layers": costs,
    });
    let latency = match timed(options)? {
        Some(device) => {
            let model = families.blank(ModelConfig::plain(spec)?, &device)?;
            Some(measured(model.as_ref(), &device)?)
        }
        None => None,
    };
    show(&title, &costs, latency.as_deref(), options, &mut facts);
    Ok(())
}

/// A trained network, of a model folder or the folder of a run.
pub(super) fn of_folder(families: &Families, folder: &Path, options: &ModelsOptions) -> Result<()> {
    let device = timed(options)?;
    let on = device.clone().map_or_else(host, Ok)?;
    let model = families.open(&model_folder(folder)?, &on)?;
    let (costs, config) = (model.costs()?, model.config());
    let network = &config.network;
    let [channels, height, width] = network.input;
    let title = format!(
        "{} ({channels}x{height}x{width}, {} classes)",
        network.name, network.classes
    );
    let mut facts = json!({
        "name": network.name, "network": network, "params": costs.params(), "macs": costs.macs(),
        "layers": costs,
    });
    let latency = device.map(|device| measured(model.as_ref(), &device));
    let latency = latency.transpose()?;
    show(&title, &costs, latency.as_deref(), options, &mut facts);
    Ok(())
}

/// The device that latency is measured on, where it is; its threads are set.
fn timed(options: &ModelsOptions) -> Result<Option<Device>> {
    if !options.latency {
        return Ok(None);
    }
    use_threads(options.threads)?;
    let device = options.device.unwrap_or(DeviceName::Auto);
    device.open().map(Some)
}

fn show(
    title: &str,
    costs: &Costs,
    latency: Option<&[Latency]>,
    options: &ModelsOptions,
    facts: &mut Value,
) {
    if options.json {
        if let Some(latency) = latency {
            facts["latency"] = json!(latency);
        }
        output::json(facts);
        return;
    }
    output::line(title);
    if options.layers {
        by_layer(costs);
    } else {
        by_stage(costs);
        output::line("");
        by_kind(costs);
    }
    if let Some(latency) = latency {
        output::line("");
        times(latency);
    }
}

fn by_stage(costs: &Costs) {
    let row = |name: String, params: u64, macs: u64| vec![name, count(params), count(macs)];
    let stages = costs.by_stage().into_iter();
    let mut rows: Vec<Vec<String>> = stages
        .map(|(stage, cost)| row(stage, cost.params, cost.macs))
        .collect();
    rows.push(row("total".into(), costs.params(), costs.macs()));
    output::table(
        &[("stage", Left), ("parameters", Right), ("MACs", Right)],
        &rows,
    );
}

fn by_kind(costs: &Costs) {
    let kinds = LayerKind::ALL.into_iter();
    let rows: Vec<Vec<String>> = kinds
        .map(|kind| {
            let cost = costs.of_kind(kind);
            let name = match kind {
                LayerKind::Conv => "convolutions",
                LayerKind::DepthwiseConv => "depthwise convolutions",
                LayerKind::Linear => "linear layers",
                LayerKind::Norm => "norms (not in the total of MACs)",
                LayerKind::Embedding => "embeddings",
            };
            vec![name.to_owned(), count(cost.params), count(cost.macs)]
        })
        .collect();
    output::table(
        &[("kind", Left), ("parameters", Right), ("MACs", Right)],
        &rows,
    );
}

/// Every layer, with what it puts out.
fn by_layer(costs: &Costs) {
    let layers = costs.layers().iter();
    let mut rows: Vec<Vec<String>> = layers
        .map(|layer| {
            vec![
                layer.layer.clone(),
                layer.stage.clone(),
                one_of(layer.kind).to_owned(),
                count(layer.params),
                count(layer.macs),
                count(layer.outputs),
            ]
        })
        .collect();
    let outputs = costs.layers().iter().map(|layer| layer.outputs).sum();
    rows.push(vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        count(costs.params()),
        count(costs.macs()),
        count(outputs),
    ]);
    let head = [
        ("layer", Left),
        ("stage", Left),
        ("kind", Left),
        ("parameters", Right),
        ("MACs", Right),
        ("outputs", Right),
    ];
    output::table(&head, &rows);
    output::line(
        "MACs of norms are not in the total. Outputs are numbers for one sample, of 4 bytes each.",
    );
}

fn one_of(kind: LayerKind) -> &'static str {
    match kind {
        LayerKind::Conv => "convolution",
        LayerKind::DepthwiseConv => "depthwise",
        LayerKind::Linear => "linear",
        LayerKind::Norm => "norm",
        LayerKind::Embedding => "embedding",
    }
}

fn times(latency: &[Latency]) {
    let milliseconds = |seconds: f64| format!("{:.3} ms", 1e3 * seconds);
    let rows: Vec<Vec<String>> = latency
        .iter()
        .map(|of| {
            vec![
                of.batch.to_string(),
                milliseconds(of.median_seconds),
                format!(
                    "{} to {}",
                    milliseconds(of.tenth_seconds),
                    milliseconds(of.ninetieth_seconds)
                ),
                milliseconds(of.median_seconds / of.batch as f64),
                of.passes.to_string(),
            ]
        })
        .collect();
    let head = [
        ("batch", Right),
        ("time of an answer", Right),
        ("8 of 10 between", Right),
        ("a sample", Right),
        ("passes", Right),
    ];
    output::table(&head, &rows);
}
