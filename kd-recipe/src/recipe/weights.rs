//! A plain weight file as a trained network.

use burn::tensor::Device;
use kd_core::{Error, Normalisation, Result, SampleKind};
use kd_models::{Families, LoadReport, ModelConfig, NetworkSpec, TrainedModel, WeightFit, Weights};

use crate::notices::{Notice, Notices};
use crate::recipe::loaded::DataFacts;

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
    /// The network for the classes and images of `data`, and how its weights fitted. A normalisation that is
    /// taken from the data is said in a notice.
    ///
    /// # Errors
    ///
    /// If the tensors do not fit the network, and [`Error::Config`] for a normalisation that is not known or
    /// does not fit.
    pub fn open(
        &self,
        families: &Families,
        data: &DataFacts,
        device: &Device,
        notices: &dyn Notices,
    ) -> Result<(Box<dyn TrainedModel>, LoadReport)> {
        if data.kind != SampleKind::Images {
            let problem = format!(
                "{} does not say which tokenizer its network was trained with; give a model folder",
                self.who
            );
            return Err(Error::config("weights", problem));
        }
        let spec = NetworkSpec::new(self.network, data.classes, data.input());
        let (normalisation, is_assumed) = self.normalisation(data)?;
        let config = ModelConfig::new(spec, normalisation.clone());
        let blank = families.blank(config, device)?;
        let opened = blank.with_weights(self.weights, self.fit)?;
        if is_assumed {
            notices.take(&Notice::Note(format!(
                "{} does not say how its input was normalised; assumed is data set `{}`: mean {:?}, std \
                 {:?}; {} if it was \
                 trained with another",
                self.who, data.name, normalisation.mean, normalisation.std, self.remedy
            )));
        }
        Ok(opened)
    }

    /// What was given, or else the normalisation of the data, and whether it is the latter.
    fn normalisation(&self, data: &DataFacts) -> Result<(Normalisation, bool)> {
        if let Some(given) = self.normalisation {
            given.check()?;
            let (means, channels) = (given.mean.len(), data.shape.channels);
            if means != channels {
                let problem = format!("must have one mean a channel: {means} for {channels}");
                return Err(Error::config("normalisation", problem));
            }
            return Ok((given.clone(), false));
        }
        let missing = || {
            let (who, remedy) = (&self.who, self.remedy);
            let problem = format!("{who} does not say how its input was normalised; {remedy}");
            Error::config("normalisation", problem)
        };
        Ok((data.normalisation.clone().ok_or_else(missing)?, true))
    }
}
