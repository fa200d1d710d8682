//! The face of a trained network with its config, whatever its type: measured, shown, saved and exported
//! through it.

use std::any::Any;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Batch, ClassificationMetrics, Costs, Error, Frozen, FrozenTeacher, Loader, Names, NetworkInput,
    NetworkOutput, Output, Result, SampleKind, Samples, SegmentationMetrics, Task, Teacher,
    Tensors, evaluate, evaluate_segmentation, import, network_hash, tensor_shapes,
};

use crate::model_config::ModelConfig;
use crate::model_folder::{save_model, state_dict};
use crate::named::ModelNetwork;
#[cfg(feature = "onnx")]
use crate::onnx::OnnxOptions;
use crate::weights::{LoadReport, WeightFit, Weights, is_counter};

/// A trained network with its config, whatever its type, task and input are.
///
/// It is object-safe, so that a program that measures, shows or exports networks need not know their types:
/// [`Families::open`](crate::Families::open) makes one of a model folder, [`Model`] one of any
/// [`ModelNetwork`]. A method that trains a network needs its type; [`load_model`](crate::load_model) reads
/// it as that.
///
/// It never changes: what gives it other weights gives another model.
pub trait TrainedModel: Debug {
    /// The description: network, preprocessing, classes, provenance.
    fn config(&self) -> &ModelConfig;

    /// The task.
    fn task(&self) -> Task;

    /// The names of the stages, first to last.
    fn stage_names(&self) -> Vec<String>;

    /// The output for a batch, at inference, with the model's own preprocessing, on the plain form of the
    /// batch's device.
    ///
    /// A classifier runs as it was trained, a network with an output for each pixel with its norms folded
    /// ([`fold_norms`](kd_core::StagedNetwork::fold_norms)).
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the images are not of the size in the config, [`Error::Config`] if the samples are
    /// of another kind.
    fn output(&self, batch: &Batch) -> Result<Output>;

    /// Its costs, layer by layer and stage by stage.
    ///
    /// # Errors
    ///
    /// As [`CountCosts::costs`](kd_core::CountCosts::costs).
    fn costs(&self) -> Result<Costs>;

    /// The names and shapes of its tensors in PyTorch's words, without the numbers.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>>;

    /// Its tensors as PyTorch's `state_dict()` has them: see [`state_dict`].
    fn state_dict(&self) -> Tensors;

    /// The SHA-256 of what it is: weights, running statistics, preprocessing.
    fn hash(&self) -> String;

    /// The teacher that it is, on the plain form of `device`.
    fn teacher(&self, device: &Device) -> Box<dyn Teacher>;

    /// The same network with other tensors: a phase's result, or what [`TrainedModel::state_dict`] gives.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if they are not exactly the network's; `origin` says where they come from.
    fn with_tensors(&self, tensors: &Tensors, origin: &str) -> Result<Box<dyn TrainedModel>>;

    /// The same network with the weights of a file, and how they fitted.
    ///
    /// # Errors
    ///
    /// As [`Weights::load_known`].
    fn with_weights(
        &self,
        weights: &Weights,
        fit: WeightFit,
    ) -> Result<(Box<dyn TrainedModel>, LoadReport)>;

    /// Writes it to a model folder: see [`save_model`].
    ///
    /// # Errors
    ///
    /// As [`save_model`].
    fn save(&self, folder: &Path) -> Result<()>;

    /// An ONNX graph of it, from `images` to `logits` (feature `onnx`).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the network does something that cannot be written, with what can be done.
    #[cfg(feature = "onnx")]
    fn onnx(&self, options: &OnnxOptions) -> Result<Vec<u8>> {
        let _ = options;
        Err(Error::config(
            "onnx",
            "is a format that this network cannot be written in",
        ))
    }

    /// Itself, to be told by its type: see [`network`](#method.network).
    fn as_any(&self) -> &dyn Any;

    /// Measures it on every sample of a loader's first epoch, by what its outputs are about.
    ///
    /// # Errors
    ///
    /// As [`kd_core::evaluate`] and [`kd_core::evaluate_segmentation`]: if the data set is of another task,
    /// or has other images.
    fn evaluate(&self, loader: &Loader) -> Result<Evaluation> {
        Ok(match self.task() {
            Task::Segmentation => {
                Evaluation::Segmentation(evaluate_segmentation(loader, |batch| {
                    Tensor::<4>::from_output(self.output(batch)?)
                })?)
            }
            _ => Evaluation::Classification(evaluate(loader, None, |batch| {
                self.output(batch)?.logits()
            })?),
        })
    }
}

impl dyn TrainedModel {
    /// The network, if it is of type `N`.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use kd_core::Normalisation;
    /// use kd_models::{Families, ModelConfig, Network, NetworkSpec, UNet};
    ///
    /// let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
    /// let config = ModelConfig::new(spec, Normalisation::identity(3));
    /// let model = Families::new().blank(config, &Device::flex())?;
    /// assert!(matches!(model.network::<Network>(), Some(Network::HeResNet(_))));
    /// assert!(model.network::<UNet>().is_none());
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    pub fn network<N: ModelNetwork>(&self) -> Option<&N> {
        let model: Option<&Model<N>> = self.as_any().downcast_ref();
        model.map(Model::network)
    }
}

/// The metrics of a model on a data set, by its task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Evaluation {
    /// Of a class for each sample.
    Classification(ClassificationMetrics),
    /// Of a class for each pixel.
    Segmentation(SegmentationMetrics),
}

/// A network of a known type with its config.
#[derive(Clone, Debug)]
pub struct Model<N: ModelNetwork> {
    network: N,
    config: ModelConfig,
    /// The network as it is measured, made when it is needed.
    frozen: OnceCell<Frozen<N>>,
}

impl<N: ModelNetwork> Model<N> {
    /// `network` with its config.
    ///
    /// # Errors
    ///
    /// As [`ModelConfig::check`], and [`Error::Mismatch`] if the network is not the one that the config
    /// describes.
    pub fn new(network: N, config: ModelConfig) -> Result<Self> {
        config.check()?;
        let device = network.devices().into_iter().next().unwrap_or_default();
        let described = tensor_shapes(&N::blank(&config.network, &device)?, Names::PyTorch);
        let own = tensor_shapes(&network, Names::PyTorch);
        LoadReport::of_shapes("the network of the model", &own, &described).check()?;
        Ok(Self::unchecked(network, config))
    }

    fn unchecked(network: N, config: ModelConfig) -> Self {
        let frozen = OnceCell::new();
        Self {
            network,
            config,
            frozen,
        }
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// The network and its config.
    pub fn into_parts(self) -> (N, ModelConfig) {
        (self.network, self.config)
    }

    fn frozen(&self) -> &N {
        let freeze = || match N::TASK {
            Task::Segmentation => Frozen::folded(&self.network),
            _ => Frozen::new(&self.network),
        };
        self.frozen.get_or_init(freeze).network()
    }
}

impl<N: ModelNetwork> TrainedModel for Model<N> {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn task(&self) -> Task {
        N::TASK
    }

    fn stage_names(&self) -> Vec<String> {
        self.network.stage_names()
    }

    fn output(&self, batch: &Batch) -> Result<Output> {
        check_samples(&batch.samples, &self.config)?;
        let input: N::Input = self.config.preprocessing.input(batch)?;
        if input.samples() == 0 {
            return Err(Error::Shape {
                what: "batch for a model".into(),
                expected: "at least one sample".into(),
                found: "none".into(),
                remedy: "leave empty batches out".into(),
            });
        }
        Ok(self.frozen().forward(&input).into_output())
    }

    fn costs(&self) -> Result<Costs> {
        self.network.costs(self.config.network.input)
    }

    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        tensor_shapes(&self.network, Names::PyTorch)
    }

    fn state_dict(&self) -> Tensors {
        state_dict(&self.network)
    }

    fn hash(&self) -> String {
        network_hash(&self.network, &self.config.preprocessing)
    }

    fn teacher(&self, device: &Device) -> Box<dyn Teacher> {
        let preprocessing = self.config.preprocessing.clone();
        Box::new(FrozenTeacher::new(&self.network, preprocessing, device))
    }

    fn with_tensors(&self, tensors: &Tensors, origin: &str) -> Result<Box<dyn TrainedModel>> {
        let weights = tensors.iter().filter(|(name, _)| !is_counter(name));
        let weights = weights.map(|(name, data)| (name.clone(), data.clone()));
        let network = import(&self.network, &weights.collect(), Names::PyTorch, origin)?;
        Ok(Box::new(Self::unchecked(network, self.config.clone())))
    }

    fn with_weights(
        &self,
        weights: &Weights,
        fit: WeightFit,
    ) -> Result<(Box<dyn TrainedModel>, LoadReport)> {
        let (network, report) = weights.load_known(&self.config.network, &self.network, fit)?;
        let model = Self::unchecked(network, self.config.clone());
        Ok((Box::new(model), report))
    }

    fn save(&self, folder: &Path) -> Result<()> {
        save_model(folder, &self.network, &self.config)
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, options: &OnnxOptions) -> Result<Vec<u8>> {
        crate::onnx::export(&self.network, &self.config, options)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Texts must have the length that a network of this crate was built for.
fn check_texts(ids: &Tensor<2, Int>, config: &ModelConfig) -> Result<()> {
    let [_batch_size, found] = ids.dims();
    let expected = config.network.input[2];
    let own = config.network.structure()?.takes() == Some(SampleKind::Texts);
    if !own || found == expected {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("texts for `{}`", config.network.name),
        expected: format!("{expected} tokens"),
        found: found.to_string(),
        remedy: "make them with the tokenizer of the model".into(),
    })
}

/// Images must have the size that the network was built for; layers panic on others.
fn check_samples(samples: &Samples, config: &ModelConfig) -> Result<()> {
    let images = match samples {
        Samples::Images(images) => images,
        Samples::Tokens(ids) => return check_texts(ids, config),
        _ => return Ok(()),
    };
    let [_, found @ ..] = images.dims();
    if found == config.network.input {
        return Ok(());
    }
    let shown = |[channels, height, width]: [usize; 3]| format!("{channels}x{height}x{width}");
    Err(Error::Shape {
        what: format!("images for `{}`", config.network.name),
        expected: shown(config.network.input),
        found: shown(found),
        remedy: "give images of the size that the network was built for".into(),
    })
}
