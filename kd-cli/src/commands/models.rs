//! `kd models`.

use burn::tensor::Device;
use kd_core::{CountCosts, DatasetInfo, DeviceName, Result};
use kd_models::{Network, NetworkSpec, known_networks};
use serde_json::json;

use crate::output::{self, count};

pub(super) fn run(data: &str, as_json: bool) -> Result<()> {
    let info = DatasetInfo::find(data)?;
    let input = [info.shape.channels, info.shape.height, info.shape.width];
    let device: Device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for known in known_networks() {
        let spec = NetworkSpec::new(known.name, info.classes, input);
        let costs = Network::build(&spec, 0, &device)?.costs(input)?;
        let description = known.description.to_owned();
        rows.push(vec![
            known.name.to_owned(),
            count(costs.params()),
            count(costs.macs()),
            description,
        ]);
        objects.push(json!({
            "name": known.name, "params": costs.params(), "macs": costs.macs(), "description": known.description,
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
    output::table(&["network", "parameters", "MACs", "what it is"], &rows);
    Ok(())
}
