//! A trained network to be learnt from.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_core::{Error, Result};
use kd_models::{CONFIG_FILE, ModelConfig, Network, load_model};
use serde::{Deserialize, Serialize};

use super::DataFacts;
use crate::job::MODEL;

/// An entry of `[[teachers]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherRecipe {
    /// Its model folder, or the folder of the run that made it; relative to where `kd` is started.
    pub model: PathBuf,
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct LoadedTeacher {
    /// The network.
    pub network: Network,
    /// What is known of it.
    pub config: ModelConfig,
}

impl TeacherRecipe {
    /// Reads the network and checks that it knows the classes and takes the images of the data.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or does not fit.
    pub fn load(&self, data: &DataFacts, device: &Device) -> Result<LoadedTeacher> {
        let (network, config) = load_model(&model_folder(&self.model)?, device)?;
        let who = format!("teacher `{}`", self.model.display());
        check_fits(&who, &config, data)?;
        Ok(LoadedTeacher { network, config })
    }

    /// Makes its paths absolute, so that the recipe can be run again from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no working folder.
    pub fn make_absolute(&mut self) -> Result<()> {
        self.model = std::path::absolute(&self.model).map_err(Error::io("read", &self.model))?;
        Ok(())
    }
}

/// The model folder that a person means: itself, or the one in a run folder.
pub(crate) fn model_folder(path: &Path) -> Result<PathBuf> {
    let inside = path.join(MODEL);
    if inside.is_dir() {
        return Ok(inside);
    }
    if path.join("recipe.toml").is_file() {
        return Err(Error::Input {
            path: path.to_owned(),
            problem: "is a run that is not finished; finish it with `kd resume`".into(),
        });
    }
    if !path.join(CONFIG_FILE).is_file() {
        return Err(Error::Input {
            path: path.to_owned(),
            problem: format!(
                "is no model folder, `{CONFIG_FILE}` is not in it; give the folder of a finished run, or its `{MODEL}`"
            ),
        });
    }
    Ok(path.to_owned())
}

/// Checks that a trained network takes the images of a data set and knows its classes.
pub(crate) fn check_fits(who: &str, config: &ModelConfig, data: &DataFacts) -> Result<()> {
    if config.network.classes != data.classes {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("{} classes, as data set `{}` has", data.classes, data.name),
            found: config.network.classes.to_string(),
            remedy: "use a data set of its classes".into(),
        });
    }
    let [channels, height, width] = config.network.input;
    if config.network.input != data.input() {
        return Err(Error::Shape {
            what: who.to_owned(),
            expected: format!("images of {}, as data set `{}` has", data.shape, data.name),
            found: format!("{channels}x{height}x{width}"),
            remedy: "use a data set with images of its size".into(),
        });
    }
    Ok(())
}
