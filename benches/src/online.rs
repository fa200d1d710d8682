//! Students that teach each other, with all that one step and one evaluation of them need.

use burn::tensor::Device;
use kd_core::{
    Error, ImageShape, Loader, LoaderConfig, Normalisation, Result, Scheme, Subset, initialise,
};
use kd_models::{Network, NetworkSpec};
use kd_online::{Branches, Diversification, Online, OnlineConfig, OnlineData, Peers, branch_seed};

use crate::pair::{noise_images, training};

/// The students' network, that of most tables of the methods.
pub const ONLINE_NETWORK: &str = "crd-resnet32";
/// The number of students.
pub const BRANCHES: usize = 4;
/// The last stage that branches share.
pub const SHARED: &str = "layer2";
/// Classes of the made-up data.
pub const ONLINE_CLASSES: usize = 100;
/// Channels, height and width of the images.
pub const ONLINE_INPUT: [usize; 3] = [3, 32, 32];

/// Samples of the made-up data, trained on or measured on.
const SAMPLES: usize = 2048;

/// Students, and what they learn from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnlineCase {
    /// What the case is called in results.
    pub name: &'static str,
    /// The objective's name in a recipe.
    pub kind: &'static str,
    /// The attention of `okdmde`.
    attention: Option<&'static str>,
    /// Whether the likeness of the classifiers is a term.
    pub diversified: bool,
    /// Whether the students are branches rather than whole networks.
    pub shares: bool,
    /// The number of students.
    pub students: usize,
}

/// Branches of this objective.
const fn branches(name: &'static str, kind: &'static str) -> OnlineCase {
    OnlineCase {
        name,
        kind,
        attention: None,
        diversified: false,
        shares: true,
        students: BRANCHES,
    }
}

/// The cases that are measured.
pub const ONLINE_CASES: [OnlineCase; 8] = [
    OnlineCase {
        shares: false,
        students: 1,
        ..branches("single", "single")
    },
    OnlineCase {
        shares: false,
        ..branches("apart", "independent")
    },
    branches("independent", "independent"),
    branches("one", "one"),
    OnlineCase {
        diversified: true,
        ..branches("one_diversified", "one")
    },
    OnlineCase {
        attention: Some("gate"),
        ..branches("gate", "okdmde")
    },
    OnlineCase {
        attention: Some("gate"),
        diversified: true,
        ..branches("gate_diversified", "okdmde")
    },
    OnlineCase {
        attention: Some("per-peer"),
        diversified: true,
        ..branches("per_peer_diversified", "okdmde")
    },
];

impl OnlineCase {
    /// The case that goes by `name`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    pub fn find(name: &str) -> Result<Self> {
        let names = || ONLINE_CASES.iter().map(|case| case.name);
        ONLINE_CASES
            .into_iter()
            .find(|case| case.name == name)
            .ok_or_else(|| Error::unknown_name("case", name, names()))
    }

    /// Its settings: those of the public codes, the weight of the divergences at its full value from the
    /// first step.
    ///
    /// # Errors
    ///
    /// None for the cases of [`ONLINE_CASES`].
    pub fn config(self) -> Result<OnlineConfig> {
        let mut config = OnlineConfig::of(self.kind)?.with_branches(self.students);
        if let Some(attention) = self.attention {
            config = config.with("attention", attention)?;
        }
        if self.shares {
            config = config.with_shared(SHARED);
        }
        if self.diversified {
            config = config.with_diversification(Diversification::working());
        }
        config.ramp_up_epochs = Some(0.0);
        Ok(config)
    }

    /// Students with initial weights, data and settings for steps of `batch_size` on `device`, its plain
    /// form.
    ///
    /// # Errors
    ///
    /// If `batch_size` is 0 or more than the 2048 samples of the data.
    pub fn setup(self, batch_size: usize, device: &Device) -> Result<OnlineSetup> {
        let [channels, height, width] = ONLINE_INPUT;
        let shape = ImageShape::new(channels, height, width);
        let images = |seed| noise_images(shape, ONLINE_CLASSES, SAMPLES, seed).map(Subset::from);
        let setup = OnlineSetup {
            case: self,
            config: self.config()?,
            normalisation: Normalisation::new(vec![0.45; channels], vec![0.3; channels])?,
            train: images(0)?,
            held_out: images(1)?,
            batch_size,
            device: device.clone(),
        };
        setup.method()?.check()?;
        Ok(setup)
    }
}

/// A case made ready.
#[derive(Debug)]
pub struct OnlineSetup {
    /// Which case.
    pub case: OnlineCase,
    /// What the students learn from each other.
    pub config: OnlineConfig,
    /// What the students make of pixels in `[0, 1]`.
    pub normalisation: Normalisation,
    /// The samples that they are trained on, without augmentation.
    pub train: Subset,
    /// The samples that they are measured on.
    pub held_out: Subset,
    /// Samples of a step and of a batch of an evaluation.
    pub batch_size: usize,
    /// The plain form of the device.
    pub device: Device,
}

impl OnlineSetup {
    /// The students with their initial weights.
    ///
    /// # Errors
    ///
    /// Those of [`Branches::drawn`].
    pub fn branches(&self) -> Result<Branches<Network>> {
        let spec = NetworkSpec::new(ONLINE_NETWORK, ONLINE_CLASSES, ONLINE_INPUT);
        let make = |seed| Network::build(&spec, seed, &self.device);
        Branches::drawn(self.case.students, self.config.shared.as_deref(), 2, make)
    }

    /// The method under test. All layers of a gate are drawn, its last one too, so that it does something
    /// from the first step.
    ///
    /// # Errors
    ///
    /// Those of [`Online::check`].
    pub fn method(&self) -> Result<Online> {
        let peers = Peers::of(self.branches()?, self.normalisation.clone());
        let data = OnlineData::new(self.train.clone(), self.held_out.clone());
        let mut training = training(self.batch_size);
        training.eval_batch_size = self.batch_size;
        let method = Online::new(peers, self.config.clone(), data, training, &self.device);
        let Some(combiner) = method.combiner()? else {
            return Ok(method);
        };
        let drawn = initialise(
            &combiner,
            Scheme::PyTorch,
            branch_seed(2, self.case.students),
        )?;
        Ok(method.with_combiner(drawn))
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.train.len().div_ceil(self.batch_size)
    }

    /// A loader of the batches of the steps.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`].
    pub fn train_loader(&self) -> Result<Loader> {
        let config = LoaderConfig::new(self.batch_size);
        Loader::new(self.train.clone(), config, &self.device)
    }

    /// A loader of the batches of an evaluation.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`].
    pub fn held_out_loader(&self) -> Result<Loader> {
        let config = LoaderConfig::ordered(self.batch_size);
        Loader::new(self.held_out.clone(), config, &self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_can_be_made() {
        for case in ONLINE_CASES {
            let found = OnlineCase::find(case.name).unwrap();
            assert_eq!(found, case);
            let config = found.config().unwrap();
            config.check().unwrap();
            assert_eq!(config.branches, case.students, "{}", case.name);
            assert_eq!(config.shared.is_some(), case.shares, "{}", case.name);
        }
        assert!(OnlineCase::find("two").is_err());
    }
}
