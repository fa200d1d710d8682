//! One face of trained networks of every task: what checks and reports need of them.

use std::cell::OnceCell;
use std::fmt::Debug;
use std::path::Path;
use std::rc::Rc;

use burn::tensor::Device;
use kd_core::{
    Batch, Frozen, FrozenTeacher, NetworkOutput, Output, Preprocessing, Result, Teacher,
};
use kd_models::{ModelConfig, ModelNetwork, Network, NetworkTask, UNet, load_model_as};

/// A trained network with what is known of it.
pub trait TrainedModel: Debug {
    /// What is known of it.
    fn config(&self) -> &ModelConfig;

    /// The output for a batch, on the plain form of its device.
    ///
    /// # Errors
    ///
    /// If the samples do not fit the network.
    fn predict(&self, batch: &Batch) -> Result<Output>;

    /// The teacher that it makes.
    fn teacher(&self, device: &Device) -> Box<dyn Teacher>;
}

/// A network in memory.
#[derive(Debug)]
struct InMemory<N> {
    network: N,
    frozen: OnceCell<Frozen<N>>,
    config: ModelConfig,
    preprocessing: Preprocessing,
}

impl<N: KnownNetwork> TrainedModel for InMemory<N> {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn predict(&self, batch: &Batch) -> Result<Output> {
        let input = self.preprocessing.input(batch)?;
        let frozen = self.frozen.get_or_init(|| Frozen::new(&self.network));
        Ok(frozen.network().forward(&input).into_output())
    }

    fn teacher(&self, device: &Device) -> Box<dyn Teacher> {
        let teacher = FrozenTeacher::new(&self.network, self.preprocessing.clone(), device);
        Box::new(teacher)
    }
}

/// A type of network that model folders hold and teachers are made of.
pub trait KnownNetwork: ModelNetwork + kd_core::TaskNetwork + 'static {}

impl<N: ModelNetwork + kd_core::TaskNetwork + 'static> KnownNetwork for N {}

/// The face of a network in memory.
pub(crate) fn model_of<N: KnownNetwork>(network: N, config: ModelConfig) -> Rc<dyn TrainedModel> {
    Rc::new(InMemory {
        frozen: OnceCell::new(),
        preprocessing: config.normalisation.clone().into(),
        network,
        config,
    })
}

/// Reads the network in a model folder, whatever its task.
pub(crate) fn open_model(folder: &Path, device: &Device) -> Result<Rc<dyn TrainedModel>> {
    match ModelConfig::read(folder)?.network.task()? {
        NetworkTask::Classification => {
            let (network, config) = load_model_as::<Network>(folder, device)?;
            Ok(model_of(network, config))
        }
        NetworkTask::Segmentation => {
            let (network, config) = load_model_as::<UNet>(folder, device)?;
            Ok(model_of(network, config))
        }
    }
}
