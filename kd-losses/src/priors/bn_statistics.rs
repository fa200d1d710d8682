//! Batch-norm statistics: a prior that synthetic images should look to each layer like the data that it was
//! trained on.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::{bounded_root, check_epsilon};
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

const LOSS: &str = "bn_statistics";

/// The distance of two statistics, from their difference of one number a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StatisticsDistance {
    /// The l2 norm over channels, not squared: paper and code of `DeepInversion`.
    Norm,
    /// The square of that norm.
    SquaredNorm,
    /// The mean square over channels.
    MeanSquare,
}

/// Mean and variance that a batch has at the input of a batch norm, and those that the batch norm remembers;
/// all `[channels]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NormStatistics {
    /// Mean of the batch, which learns.
    pub mean: Tensor<1>,
    /// Variance of the batch, which learns.
    pub variance: Tensor<1>,
    /// Running mean of the batch norm, a constant.
    pub running_mean: Tensor<1>,
    /// Running variance of the batch norm, a constant.
    pub running_variance: Tensor<1>,
}

impl NormStatistics {
    /// The statistics of `input`, `[batch_size, channels, height, width]`, what the batch norm gets.
    ///
    /// The variance is the biased one, divided by the number of values and not by one less, as in the code of
    /// `DeepInversion`. The running variance of `PyTorch` is an average of unbiased ones, that of Burn of
    /// biased ones; with `n` values a channel the two differ by a factor of `n / (n - 1)`.
    ///
    /// # Errors
    ///
    /// An input without elements; running statistics of another number of channels, dtype or device.
    pub fn of(
        input: Tensor<4>,
        running_mean: Tensor<1>,
        running_variance: Tensor<1>,
    ) -> Result<Self> {
        check::filled(LOSS, "input", &input)?;
        let mean = input.clone().mean_dims(&[0, 2, 3]); // [1, channels, 1, 1]
        let variance = (input - mean.clone()).square().mean_dims(&[0, 2, 3]);
        let statistics = Self {
            mean: mean.flatten(0, 3),
            variance: variance.flatten(0, 3),
            running_mean,
            running_variance,
        };
        statistics.check()?;
        Ok(statistics)
    }

    fn check(&self) -> Result<()> {
        let advice = "give the input of a batch norm and the running statistics of the same one";
        check::filled(LOSS, "mean", &self.mean)?;
        for (name, other) in [
            ("variance", &self.variance),
            ("running_mean", &self.running_mean),
            ("running_variance", &self.running_variance),
        ] {
            check::alike(LOSS, ("mean", &self.mean), (name, other), advice)?;
        }
        Ok(())
    }
}

/// The distance of the statistics of a batch from those that the batch norms of a network remember.
///
/// ```text
/// loss = sum over layers l of  s[l] (d(mean[l], running_mean[l]) + d(variance[l], running_variance[l]))
///
/// d = Norm:         max(||a - b||, e)       s[0] = first_layer_multiplier, s[l] = 1 for the others
///     SquaredNorm:  ||a - b||^2             ||.|| = the l2 norm over channels
///     MeanSquare:   mean of (a - b)^2       e = epsilon
/// ```
///
/// # Shapes
///
/// - `layers`: one or more [`NormStatistics`], each of its own number of channels, in the order of the
///   network
/// - result: `[1]`
///
/// The result mixes the units of features and of their squares, as the paper does, and is never negative.
/// `first_layer_multiplier` is at least 0. `epsilon` is from 1e-15 to 1 and keeps the gradient of the norm
/// finite where a statistic is met, where it is 0. The statistics of the batch learn; no gradient reaches the
/// running ones, which may live on the plain device.
///
/// # Errors
///
/// A constant outside its range; no layers; statistics of one layer with different numbers of channels or
/// dtypes, or on different devices; layers of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{NormStatistics, StatisticsDistance, bn_statistics};
///
/// let device = Device::flex();
/// // Mean 2 and variance 1, where the running statistics are mean 0 and variance 1.
/// let input = Tensor::<4>::from_data([[[[1.0, 3.0]]]], &device);
/// let layer = NormStatistics::of(input, Tensor::zeros([1], &device), Tensor::ones([1], &device))?;
/// let loss = bn_statistics(vec![layer], StatisticsDistance::SquaredNorm, 1.0, 1e-6)?;
/// assert_eq!(loss.into_scalar::<f32>(), 4.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yin, Molchanov, Li, Alvarez, Mallya, Hoiem, Jha, Kautz, "Dreaming to Distill: Data-Free Knowledge Transfer
/// via `DeepInversion`", CVPR 2020, arXiv 1912.08795, section 3.2. The multiplier of the first layer is only
/// in the authors' code for `ImageNet`.
pub fn bn_statistics(
    layers: Vec<NormStatistics>,
    distance: StatisticsDistance,
    first_layer_multiplier: f64,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_constants(first_layer_multiplier, epsilon)?;
    let advice = "give the inputs of the batch norms";
    check::at_least(LOSS, "layers", layers.len(), 1, advice)?;
    check_layers(&layers)?;

    let apart = |batch: Tensor<1>, running: Tensor<1>| {
        let square = (batch - running.without_autodiff()).square();
        match distance {
            StatisticsDistance::Norm => bounded_root(square.sum(), epsilon),
            StatisticsDistance::SquaredNorm => square.sum(),
            StatisticsDistance::MeanSquare => square.mean(),
        }
    };
    let mut terms = layers.into_iter().map(|layer| {
        apart(layer.mean, layer.running_mean) + apart(layer.variance, layer.running_variance)
    });
    let first = terms
        .next()
        .into_iter()
        .map(|term| term * first_layer_multiplier);
    let terms: Vec<_> = first.chain(terms).collect();
    Ok(Tensor::cat(terms, 0).sum())
}

fn check_layers(layers: &[NormStatistics]) -> Result<()> {
    let advice = "take all layers from one network";
    for (index, layer) in layers.iter().enumerate() {
        layer.check()?;
        let name = format_args!("layers[{index}]");
        let (first, this) = (("layers[0]", &layers[0].mean), (name, &layer.mean));
        check::same_kind(LOSS, first, this, advice)?;
    }
    Ok(())
}

fn check_constants(first_layer_multiplier: f64, epsilon: f64) -> Result<()> {
    let advice = "1 treats all layers alike, 10 is usual on ImageNet";
    check::not_negative("first_layer_multiplier", first_layer_multiplier, advice)?;
    check_epsilon(epsilon)
}

/// The constants of [`bn_statistics`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct BnStatisticsLossConfig {
    /// The distance of two statistics.
    ///
    /// As in the paper by default.
    #[config(default = "StatisticsDistance::Norm")]
    pub distance: StatisticsDistance,
    /// The factor of the term of the first layer, at least 0.
    ///
    /// 1, as in the paper and in the authors' code on CIFAR-10; their code on `ImageNet` has 10.
    #[config(default = 1.0)]
    pub first_layer_multiplier: f64,
    /// The smallest norm, from 1e-15 to 1.
    ///
    /// 1e-6: ours, below what can be told from rounding.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl BnStatisticsLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<BnStatisticsLoss> {
        check_constants(self.first_layer_multiplier, self.epsilon)?;
        Ok(BnStatisticsLoss {
            config: self.clone(),
        })
    }
}

/// [`bn_statistics`] with its constants, made by [`BnStatisticsLossConfig`].
#[derive(Clone, Debug, PartialEq)]
pub struct BnStatisticsLoss {
    config: BnStatisticsLossConfig,
}

impl BnStatisticsLoss {
    /// The weight that the authors name for CIFAR-10 beside a cross-entropy of weight 1: 10; the default of
    /// their program is 100.
    pub const USUAL_WEIGHT: f64 = 10.0;

    /// [`bn_statistics`] of the layers of a network.
    ///
    /// # Errors
    ///
    /// Those of [`bn_statistics`] on counts, shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::{BnStatisticsLossConfig, NormStatistics};
    ///
    /// let device = Device::flex();
    /// let input = Tensor::<4>::from_data([[[[-1.0, 1.0]]]], &device);
    /// let layer = NormStatistics::of(input, Tensor::zeros([1], &device), Tensor::ones([1], &device))?;
    /// let loss = BnStatisticsLossConfig::new().init()?;
    /// assert!(loss.forward(vec![layer])?.into_scalar::<f32>() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, layers: Vec<NormStatistics>) -> Result<Tensor<1>> {
        let BnStatisticsLossConfig {
            distance,
            first_layer_multiplier,
            epsilon,
        } = self.config;
        bn_statistics(layers, distance, first_layer_multiplier, epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "bn-statistics",
    title: "Batch-norm statistics",
    family: Family::Priors,
    about: "statistics of a batch against those that the batch norms remember",
    paper: Paper {
        authors: "Yin et al.",
        year: 2019,
        arxiv: "1912.08795",
        place: "section 3.2",
    },
    inputs: "the input `[batch, channels, height, width]` and the running mean and variance of each batch \
        norm",
    constants: &[
        Constant {
            name: "distance",
            source: "the paper",
        },
        Constant {
            name: "first_layer_multiplier",
            source: "the paper; the authors' code on ImageNet: 10",
        },
        Constant {
            name: "epsilon",
            source: "ours",
        },
    ],
    defaults: Some(|| BnStatisticsLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: BnStatisticsLoss::USUAL_WEIGHT,
        source: "the authors' code on CIFAR-10, which also has 100; 0.05 on ImageNet",
    }),
    cost: "",
    disagreements: "l2 norms (paper and code) or squares or mean squares; biased variance of the batch \
        against running variances that PyTorch makes of unbiased ones; the first layer times 10 (the code on \
        ImageNet) or 1; here norms, biased, 1",
};
