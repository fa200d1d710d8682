//! `kd import`.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use kd_core::{DatasetInfo, DeviceName, Error, Normalisation, Result, non_finite};
use kd_models::{Families, ModelConfig, NetworkSpec, Weights};
use serde_json::json;

use crate::args::ImportOptions;
use crate::output;
use crate::progress::counted::Busy;
use crate::weights::only_network;

pub(super) fn run(options: &ImportOptions) -> Result<()> {
    let data = options.data.as_deref().map(DatasetInfo::find).transpose()?;
    let normalisation = match (options.weights.normalisation(), data) {
        (Some(given), _) => given,
        (None, Some(data)) => data.normalisation(),
        (None, None) => {
            let problem = "and `--std` are missing; give them, or the data set whose they are as `--data`; \
                           `--mean 0,0,0 --std 1,1,1` if the network takes pixels in 0 to 1 as they are";
            return Err(Error::config("--mean", problem));
        }
    };
    check_empty(&options.out)?;
    let device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    let busy = Busy::new("reading the weights");
    let weights = Weights::read_chosen(&options.file, &options.weights.choice())?;
    let spec = spec(options, data, &weights, &device)?;
    let mut config = ModelConfig::new(spec, normalisation);
    config.class_names = class_names(options)?;
    config.provenance.data = data.map(|data| data.name.to_owned());
    let file = options.file.file_name().unwrap_or_default();
    let notes = &mut config.provenance.notes;
    notes.insert("imported_from".into(), json!(file.to_string_lossy()));
    notes.insert("imported_sha256".into(), json!(weights.hash()));
    let blank = Families::new().blank(config, &device)?;
    let (model, report) = blank.with_weights(&weights, options.weights.fit)?;
    drop(busy);
    let state = model.state_dict();
    let not_finite = non_finite(&state);
    model.save(&options.out)?;
    let config = model.config();
    if !not_finite.is_empty() {
        output::notice(&format!(
            "warning: {} of {} tensors have numbers that are not finite, the first is `{}`; the model gives \
             no answers",
            not_finite.len(),
            state.len(),
            not_finite[0]
        ));
    }
    if options.json {
        output::json(&json!({
            "model": options.out, "network": config.network, "weights": report,
            "not_finite": not_finite,
        }));
        return Ok(());
    }
    output::line(&report.to_string());
    let NetworkSpec {
        name,
        classes,
        input: [channels, height, width],
        ..
    } = &config.network;
    let Normalisation { mean, std } = config.normalisation()?;
    output::line(&format!(
        "{name}, {classes} classes, images of {channels}x{height}x{width}, mean {mean:?}, std {std:?}"
    ));
    output::line(&format!("model in {}", options.out.display()));
    Ok(())
}

/// The names of the classes, as typed or one a line of a file.
fn class_names(options: &ImportOptions) -> Result<Option<Vec<String>>> {
    let Some(typed) = &options.class_names else {
        return Ok(None);
    };
    let names: Vec<String> = match typed.strip_prefix('@') {
        None => typed
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
            text.trim_end()
                .lines()
                .map(|name| name.trim().to_owned())
                .collect()
        }
    };
    let mut seen = BTreeSet::new();
    let problem = match names.iter().find(|name| !seen.insert(name.as_str())) {
        _ if names.iter().any(String::is_empty) => {
            "has an empty name; give one for each class".into()
        }
        Some(twice) => format!("names `{twice}` twice; give each class its own name"),
        None => return Ok(Some(names)),
    };
    Err(Error::config("--class-names", problem))
}

/// What was typed, then what the data set says, then what the tensors say.
fn spec(
    options: &ImportOptions,
    data: Option<&DatasetInfo>,
    weights: &Weights,
    device: &Device,
) -> Result<NetworkSpec> {
    let name = match &options.weights.network {
        Some(name) => name.clone(),
        None => only_network(weights, device)?,
    };
    let of_data = data.map(|data| [data.shape.channels, data.shape.height, data.shape.width]);
    let Some(input) = options.input.or(of_data) else {
        let problem = "is missing; give channels, height and width as in `--input 3,32,32`, or the data set \
                       as `--data`";
        return Err(Error::config("--input", problem));
    };
    let classes = match options.classes.or(data.map(|data| data.classes)) {
        Some(classes) => classes,
        None => weights.spec(&name, [input[1], input[2]], device)?.classes,
    };
    Ok(NetworkSpec::new(name, classes, input))
}

/// Nothing of the user's is overwritten.
fn check_empty(folder: &Path) -> Result<()> {
    let taken = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    if taken {
        return Err(Error::Input {
            path: folder.to_owned(),
            problem: "is there already and not an empty folder; give a new one as `--out`".into(),
        });
    }
    Ok(())
}
