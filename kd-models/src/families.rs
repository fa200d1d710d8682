//! The table of families: which type of network a spec is built as.

use std::fmt;
use std::path::Path;

use burn::tensor::Device;
use kd_core::{Costs, Error, Result};

use crate::model_config::{CONFIG_FILE, ModelConfig};
use crate::model_folder::WEIGHTS_FILE;
use crate::named::ModelNetwork;
use crate::spec::NetworkSpec;
use crate::trained_model::{Model, TrainedModel};
use crate::weights::{WeightFit, Weights};

/// The families of networks that model folders may hold: those of this crate, and those that others add.
///
/// A crate brings a family of its own in three steps:
///
/// 1. a config, serde with unknown keys refused, which [`Structure::of_family`](crate::Structure::of_family)
///    makes the structure of a spec;
/// 2. [`ModelNetwork`] for the type of network: the name of the family, and how one is built of that config,
///    which [`NetworkSpec::config_of`](crate::NetworkSpec::config_of) gives back, **checked against bounds**,
///    as it may come from a damaged file;
/// 3. [`Families::with`] where the program is put together.
///
/// Then its networks are saved with [`save_model`](crate::save_model) and read, measured and exported through
/// [`TrainedModel`] as those of this crate are.
///
/// # Examples
///
/// A family of one convolution and its width:
///
/// ```
/// use burn::module::Module;
/// use burn::nn::conv::{Conv2d, Conv2dConfig};
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Device, Tensor, activation::relu};
/// use kd_core::{
///     Costs, CountCosts, Error, Normalisation, Result, Scheme, StagedNetwork, initialise,
/// };
/// use kd_models::{Families, ModelConfig, ModelNetwork, NetworkSpec, Structure, save_model};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct PlainConfig { width: usize }
///
/// #[derive(Module, Debug)]
/// struct Plain { stem: Conv2d, fc: Linear }
///
/// impl ModelNetwork for Plain {
///     const FAMILIES: &'static [&'static str] = &["plain"];
///
///     fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
///         Self::check_spec(spec)?;
///         let PlainConfig { width } = spec.config_of("plain")?;
///         if !(1..=1024).contains(&width) {
///             return Err(Error::config("width", format!("must be 1 to 1024, got {width}")));
///         }
///         Ok(Self {
///             stem: Conv2dConfig::new([spec.input[0], width], [3, 3]).init(device),
///             fc: LinearConfig::new(width, spec.classes).init(device),
///         })
///     }
///     fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
///         initialise(&Self::blank(spec, device)?, Scheme::PyTorch, seed)
///     }
/// }
///
/// impl StagedNetwork for Plain {
///     type Input = Tensor<4>;
///     type Map = Tensor<4>;
///     type Dense = Tensor<2>;
///     type Output = Tensor<2>;
///
///     fn stage_names(&self) -> Vec<String> {
///         vec!["stem".into()]
///     }
///     fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
///         relu(self.stem.forward(input.clone()))
///     }
///     fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
///         maps[0].clone().mean_dim(3).mean_dim(2).flatten(1, 3) // [batch_size, channels]
///     }
///     fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
///         self.fc.forward(dense)
///     }
/// }
///
/// impl CountCosts for Plain {
///     fn costs(&self, input: [usize; 3]) -> Result<Costs> {
///         let mut costs = Costs::new();
///         costs.conv2d("stem", "stem", &self.stem, input)?;
///         costs.linear("head", "fc", &self.fc, 1);
///         Ok(costs)
///     }
/// }
///
/// let structure = Structure::of_family("plain", &PlainConfig { width: 4 })?;
/// let spec = NetworkSpec::with_structure("plain-4", structure, 10, [1, 8, 8]);
/// let network = Plain::build(&spec, 0, &Device::flex())?;
/// let folder = std::env::temp_dir().join("kd-models-plain");
/// save_model(&folder, &network, &ModelConfig::new(spec, Normalisation::identity(1)))?;
///
/// let families = Families::new().with::<Plain>();
/// let model = families.open(&folder, &Device::flex())?;
/// assert_eq!(model.config().network.title(), "plain-4 (plain)");
/// assert_eq!(model.costs()?.params(), 4 * 9 + 4 + 4 * 10 + 10);
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Families(Vec<Family>);

/// Makes a model of a config, its weights blank.
type Blank = fn(ModelConfig, &Device) -> Result<Box<dyn TrainedModel>>;

/// A type of network.
#[derive(Clone, Copy)]
struct Family {
    names: &'static [&'static str],
    blank: Blank,
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

impl Default for Families {
    fn default() -> Self {
        Self::new()
    }
}

impl Families {
    /// Those of this crate.
    pub fn new() -> Self {
        Self(Vec::new())
            .with::<crate::Network>()
            .with::<crate::UNet>()
            .with::<crate::TextCnn>()
    }

    /// And those of networks of type `N`; of two families with one name the one added last counts.
    #[must_use]
    pub fn with<N: ModelNetwork>(mut self) -> Self {
        let blank: Blank = |config, device| {
            let network = N::blank(&config.network, &device.clone().inner())?;
            Ok(Box::new(Model::new(network, config)?))
        };
        self.0.insert(
            0,
            Family {
                names: N::FAMILIES,
                blank,
            },
        );
        self
    }

    /// A model of `config` with all weights zero, on the plain form of `device`: for its task, stages and
    /// costs, or to be given weights ([`TrainedModel::with_weights`], [`TrainedModel::with_tensors`]).
    ///
    /// The weights take up no memory before they are read.
    ///
    /// # Errors
    ///
    /// As [`ModelConfig::check`], and [`Error::UnknownName`] for a family that has not been added.
    pub fn blank(&self, config: ModelConfig, device: &Device) -> Result<Box<dyn TrainedModel>> {
        config.check()?;
        let structure = config.network.structure()?;
        let name = structure.family();
        let family = self.0.iter().find(|family| family.names.contains(&name));
        let names = || {
            self.0
                .iter()
                .rev()
                .flat_map(|family| family.names.iter().copied())
        };
        let family = family.ok_or_else(|| Error::unknown_name("family", name, names()))?;
        (family.blank)(config, device)
    }

    /// The costs of a network of any of these families, without drawing its weights.
    ///
    /// # Errors
    ///
    /// As [`Families::blank`], and if the network cannot take the images of its spec.
    pub fn costs(&self, spec: &NetworkSpec, device: &Device) -> Result<Costs> {
        // They do not depend on the preprocessing.
        self.blank(ModelConfig::plain(spec.clone())?, device)?
            .costs()
    }

    /// Reads the model folder `folder`, whatever its network is, onto the plain form of `device`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file is missing, [`Error::BadFile`] if one is broken or describes a network that
    /// cannot be built, [`Error::Mismatch`] if the weights are those of another network or of another number
    /// of classes.
    pub fn open(&self, folder: &Path, device: &Device) -> Result<Box<dyn TrainedModel>> {
        let config = ModelConfig::read(folder)?;
        let blank = self.blank(config, device).map_err(|error| Error::BadFile {
            path: folder.join(CONFIG_FILE),
            offset: 0,
            problem: error.to_string(),
            remedy: "correct the file, or read it with the program that wrote it".into(),
        })?;
        let weights = Weights::read(&folder.join(WEIGHTS_FILE))?;
        Ok(blank.with_weights(&weights, WeightFit::Exact)?.0)
    }
}

/// Reads the model folder `folder`, whatever its network of this crate is, onto the plain form of `device`.
///
/// [`load_model`](crate::load_model) reads it as a type of network, to be trained further.
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::{Batch, Normalisation, Task};
/// use kd_models::{ModelConfig, Network, NetworkSpec, open_model, save_model};
///
/// let device = Device::flex();
/// let spec = NetworkSpec::new("lenet5-half", 10, [1, 28, 28]);
/// let network = Network::build(&spec, 0, &device)?;
/// let folder = std::env::temp_dir().join("kd-models-open");
/// save_model(&folder, &network, &ModelConfig::new(spec, Normalisation::identity(1)))?;
///
/// let model = open_model(&folder, &device)?;
/// assert_eq!(model.task(), Task::Classification);
/// let output = model.output(&Batch::black([1, 28, 28], 2, &device))?;
/// assert_eq!(output.logits()?.dims(), [2, 10]);
/// # Ok::<(), kd_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`Families::open`].
pub fn open_model(folder: &Path, device: &Device) -> Result<Box<dyn TrainedModel>> {
    Families::new().open(folder, device)
}
