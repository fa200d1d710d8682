//! The teacher of a drafted recipe: a model folder, or a weight file.

use std::path::{Path, PathBuf};

use kd_core::{DeviceName, Error, Result};
use kd_models::{ModelConfig, WeightChoice, Weights, known_networks};
use kd_recipe::model_folder;

use crate::weights::only_network;

/// What is known of a teacher without running it.
#[derive(Debug)]
pub(super) struct TeacherDraft {
    /// As it was typed.
    pub(super) path: PathBuf,
    /// Whether it is a weight file, which says less.
    pub(super) is_file: bool,
    /// The name of its network.
    pub(super) network: String,
    pub(super) classes: usize,
    /// The names of its classes, where it knows them.
    pub(super) class_names: Option<Vec<String>>,
    /// Channels, height and width of its images, where it says them.
    pub(super) input: Option<[usize; 3]>,
}

/// The sides that networks for large images are trained with.
const LARGE: usize = 224;

impl TeacherDraft {
    pub(super) fn of(path: &Path) -> Result<Self> {
        if path.is_file() {
            return Self::of_file(path);
        }
        if !path.exists() && known_networks().any(|known| path == Path::new(known.name)) {
            let problem = format!(
                "is the name of a network, which has learnt nothing yet; train it first with `kd train \
                 --data DATA --student {}`, and give the folder of that run",
                path.display()
            );
            return Err(Error::config("--teacher", problem));
        }
        let config = ModelConfig::read(&model_folder(path)?)?;
        Ok(Self {
            path: path.to_owned(),
            is_file: false,
            network: config.network.name.clone(),
            classes: config.network.classes,
            class_names: config.class_names.clone(),
            input: Some(config.network.input),
        })
    }

    fn of_file(path: &Path) -> Result<Self> {
        let device = DeviceName::Cpu
            .open()
            .or_else(|_| DeviceName::Auto.open())?;
        let weights = Weights::read_chosen(path, &WeightChoice::default())?;
        let network = only_network(&weights, &device)?;
        let classes = weights.spec(&network, [LARGE, LARGE], &device)?.classes;
        Ok(Self {
            path: path.to_owned(),
            is_file: true,
            input: is_for_large_images(&network).then_some([3, LARGE, LARGE]),
            network,
            classes,
            class_names: None,
        })
    }

    /// Whether its input is normalised as ImageNet's is.
    pub(super) fn is_of_imagenet(&self) -> bool {
        self.is_file && is_for_large_images(&self.network)
    }
}

/// Whether networks of this name are those of torchvision.
fn is_for_large_images(network: &str) -> bool {
    ["resnet18", "resnet34", "resnet50", "mobilenetv2-imagenet"].contains(&network)
}
