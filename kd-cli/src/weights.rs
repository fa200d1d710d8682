//! The network that a weight file is of.

use burn::tensor::Device;
use kd_core::{Error, Result};
use kd_models::Weights;

/// The name of the one network that the tensors of a file fit.
pub(crate) fn only_network(weights: &Weights, device: &Device) -> Result<String> {
    let fitting = weights.networks(device);
    let problem = match &fitting[..] {
        [one] => return Ok(one.name.clone()),
        [] => "fits no network that is known here; name one with `--network` to see what differs, `kd \
               models` lists them"
            .to_owned(),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|spec| format!("`{}`", spec.name))
                .collect();
            format!("fits {}; say which with `--network`", names.join(" and "))
        }
    };
    Err(Error::Input {
        path: weights.path.clone(),
        problem,
    })
}
