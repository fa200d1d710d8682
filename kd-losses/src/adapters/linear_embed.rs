//! A linear map of a layer's output to a short vector.

use super::widths::at_least_one;
use crate::check;
use crate::error::Result;
use crate::features::relation::epsilon as check_epsilon;
use crate::seeded::Layers;
use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Device, Tensor};

const NAME: &str = "linear_embed";

/// The normalisation of the embedding of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EmbedNormalisation {
    /// Nothing: its length is free.
    None,
    /// It is divided by its l2 norm, so that it lies on the unit sphere.
    L2,
}

/// The widths and choices of a [`LinearEmbed`].
///
/// # Examples
///
/// ```
/// use kd_losses::LinearEmbedConfig;
///
/// assert_eq!(LinearEmbedConfig::new(64).extra_parameters(), 64 * 128 + 128);
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinearEmbedConfig {
    /// Features of the layer, at least 1; of a map `channels * height * width`.
    pub features: usize,
    /// Length of the embedding, at least 1.
    ///
    /// 128, the value of Tian et al., arXiv 1910.10699, for the embeddings of CRD and CC.
    #[config(default = 128)]
    pub dim: usize,
    /// The normalisation of the embedding of a sample.
    ///
    /// Nothing by default, as RepDistiller has it for CC; for CRD ask for [`EmbedNormalisation::L2`].
    #[config(default = "EmbedNormalisation::None")]
    pub normalisation: EmbedNormalisation,
    /// Smallest norm that an embedding is divided by, from 1e-15 to 1.
    ///
    /// 1e-12, as in the normalisation of `PyTorch`. Its square must be representable: with 16-bit floats
    /// choose 1e-3 or more.
    #[config(default = 1e-12)]
    pub epsilon: f64,
}

impl LinearEmbedConfig {
    /// The number of trained parameters: `features * dim + dim`.
    pub fn extra_parameters(&self) -> usize {
        (self.features + 1) * self.dim
    }

    /// Checks the config and makes an embedding whose initial weights depend on `seed` only.
    ///
    /// Weight and bias are uniform in `[-b, b)` with `b = 1 / sqrt(features)`. Student and teacher should
    /// have different seeds. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// `features` or `dim` of 0; `epsilon` outside its range.
    pub fn init(&self, seed: u64, device: &Device) -> Result<LinearEmbed> {
        at_least_one("features", self.features)?;
        at_least_one("dim", self.dim)?;
        check_epsilon(self.epsilon)?;
        Ok(LinearEmbed {
            linear: Layers::new(seed, device).linear(self.features, self.dim),
            features: self.features,
            normalisation: self.normalisation,
            epsilon: self.epsilon,
        })
    }
}

/// A linear layer that makes an embedding `[batch_size, dim]` of a layer's output.
///
/// ```text
/// e    = x weight + bias           x = the features of a sample in one row
/// None:  e
/// L2:    e / max(||e||, epsilon)
/// ```
///
/// Losses that compare samples with each other need no equal widths, but work better, and faster, in a short
/// space of their own: student and teacher get an embedding each, and both are trained. It is a Burn module
/// of its own: give it to the optimizer beside the student, save it in checkpoints, and leave it out of the
/// finished student.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{EmbedNormalisation, LinearEmbedConfig};
///
/// let device = Device::flex();
/// let embed = LinearEmbedConfig::new(3 * 2 * 2)
///     .with_dim(5)
///     .with_normalisation(EmbedNormalisation::L2)
///     .init(0, &device)?;
/// let embedding = embed.forward(Tensor::<4>::ones([4, 3, 2, 2], &device))?;
/// assert_eq!(embedding.dims(), [4, 5]);
/// assert!((embedding.square().sum().into_scalar::<f32>() - 4.0).abs() < 1e-5);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699, and its
/// code: `Embed` is this with [`EmbedNormalisation::L2`], `LinearEmbed` without. Their norm has no lower
/// bound and divides 0 by 0.
#[derive(Module, Debug)]
pub struct LinearEmbed {
    linear: Linear,
    #[module(skip)]
    features: usize,
    #[module(skip)]
    normalisation: EmbedNormalisation,
    #[module(skip)]
    epsilon: f64,
}

impl LinearEmbed {
    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        self.linear.num_params()
    }

    /// The embeddings `[batch_size, dim]` of `[batch_size, ...]` with as many features a sample as the config
    /// says.
    ///
    /// Gradients reach the input: detach a teacher's features before.
    ///
    /// # Errors
    ///
    /// An empty batch; another number of features.
    pub fn forward<const D: usize>(&self, features: Tensor<D>) -> Result<Tensor<2>> {
        check::filled(NAME, "features", &features)?;
        let flat = flatten(features);
        check::width(NAME, "features", &flat, self.features)?;
        let embedding = self.linear.forward(flat);
        Ok(match self.normalisation {
            EmbedNormalisation::None => embedding,
            EmbedNormalisation::L2 => l2_normalised(embedding, self.epsilon),
        })
    }
}

/// `[batch_size, ...]` as `[batch_size, features]`.
pub(crate) fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<2> {
    let shape = tensor.dims();
    tensor.reshape([shape[0], shape[1..].iter().product()])
}

/// Each row divided by its norm, which is bounded before the root: the root's slope at 0 is infinite.
pub(crate) fn l2_normalised(rows: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let square = rows.clone().square().sum_dim(1); // [batch_size, 1]
    rows / square.clamp_min(epsilon * epsilon).sqrt()
}
