//! A plain weight file as a network.

use std::path::Path;

use burn::tensor::Device;
use kd_core::{Error, Normalisation, Result};
use kd_models::{LoadReport, ModelNetwork, Network, NetworkSpec, WeightChoice, WeightFit, Weights};

use super::DataFacts;
use crate::output;

/// A network whose weights came from a file that does not say which network it is.
#[derive(Clone, Debug)]
pub(crate) struct FromFile<N = Network> {
    pub(crate) network: N,
    pub(crate) spec: NetworkSpec,
    pub(crate) report: LoadReport,
}

impl<N: ModelNetwork> FromFile<N> {
    /// Reads `file` into the network `name` for the classes and images of `data`; without a name, into the one network that
    /// the tensors fit.
    pub(crate) fn load(
        file: &Path,
        choice: &WeightChoice,
        name: Option<&str>,
        data: &DataFacts,
        fit: WeightFit,
        device: &Device,
    ) -> Result<Self> {
        let weights = Weights::read_chosen(file, choice)?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => only_network(&weights, device)?,
        };
        let spec = NetworkSpec::new(name, data.classes, data.input());
        let (network, report) = weights.load_network_as(&spec, fit, device)?;
        Ok(Self {
            network,
            spec,
            report,
        })
    }
}

/// The name of the one network that the tensors of a file fit.
pub(crate) fn only_network(weights: &Weights, device: &Device) -> Result<String> {
    let fitting = weights.networks(device);
    let problem = match &fitting[..] {
        [one] => return Ok(one.name.clone()),
        [] => "fits no network that is known here; name one with `--network` to see what differs, `kd models` lists them"
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

/// What was given, or else the normalisation of the data, which is said to be an assumption about `who`.
pub(crate) fn given_or_assumed(
    given: Option<&Normalisation>,
    data: &DataFacts,
    who: &str,
    remedy: &str,
) -> Result<Normalisation> {
    if let Some(given) = given {
        given.check()?;
        let (means, channels) = (given.mean.len(), data.shape.channels);
        if means != channels {
            let problem = format!("must have one mean a channel: {means} for {channels}");
            return Err(Error::config("normalisation", problem));
        }
        return Ok(given.clone());
    }
    let Some(assumed) = data.normalisation.clone() else {
        let problem = format!("{who} does not say how its input was normalised; {remedy}");
        return Err(Error::config("normalisation", problem));
    };
    output::notice(&format!(
        "note: {who} does not say how its input was normalised; assumed is data set `{}`: mean {:?}, std {:?}; {remedy} \
         if it was trained with another",
        data.name, assumed.mean, assumed.std
    ));
    Ok(assumed)
}
