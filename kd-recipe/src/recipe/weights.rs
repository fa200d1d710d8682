//! A plain weight file as a trained network.

use burn::tensor::Device;
use kd_core::{Error, Normalisation, Result};
use kd_models::{LoadReport, ModelConfig, ModelNetwork, Network, NetworkSpec, WeightFit, Weights};

use crate::notices::{Notice, Notices};
use crate::recipe::loaded::DataFacts;

/// A trained network in memory.
#[derive(Clone, Debug)]
pub struct LoadedNetwork<N = Network> {
    /// The network: a [`Network`], or a [`UNet`](kd_models::UNet).
    pub network: N,
    /// What is known of it.
    pub config: ModelConfig,
    /// How its weights fitted, if they came from a plain weight file.
    pub report: Option<LoadReport>,
}

/// A plain weight file, with what it does not say itself.
#[derive(Clone, Debug)]
pub struct WeightFile<'a> {
    /// What it is called in notices: "teacher `resnet20.pth`".
    pub who: String,
    /// Its tensors.
    pub weights: &'a Weights,
    /// The network that it is of.
    pub network: &'a str,
    /// How exactly it must fit.
    pub fit: WeightFit,
    /// The normalisation of the network's input; that of the data where there is none.
    pub normalisation: Option<&'a Normalisation>,
    /// What a user can do who knows another normalisation, as "give `normalisation`".
    pub remedy: &'a str,
}

impl WeightFile<'_> {
    /// The network for the classes and images of `data`. A normalisation that is taken from the data is said
    /// in a notice.
    ///
    /// # Errors
    ///
    /// If the tensors do not fit the network, and [`Error::Config`] for a normalisation that is not known or
    /// does not fit.
    pub fn load<N: ModelNetwork>(
        &self,
        data: &DataFacts,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<LoadedNetwork<N>> {
        let spec = NetworkSpec::new(self.network, data.classes, data.input());
        let (network, report) = self.weights.load_network_as(&spec, self.fit, device)?;
        let normalisation = self.normalisation(data, notices)?;
        Ok(LoadedNetwork {
            network,
            config: ModelConfig::new(spec, normalisation),
            report: Some(report),
        })
    }

    /// What was given, or else the normalisation of the data.
    fn normalisation(&self, data: &DataFacts, notices: &dyn Notices) -> Result<Normalisation> {
        let (who, remedy) = (&self.who, self.remedy);
        if let Some(given) = self.normalisation {
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
        notices.take(&Notice::Note(format!(
            "{who} does not say how its input was normalised; assumed is data set `{}`: mean {:?}, std {:?}; \
             {remedy} \
             if it was trained with another",
            data.name, assumed.mean, assumed.std
        )));
        Ok(assumed)
    }
}
