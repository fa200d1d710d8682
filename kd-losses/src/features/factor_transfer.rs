//! Factor transfer: the code that an autoencoder has for the teacher's map, learnt from the student's map.

use super::relation::epsilon as check_epsilon;
use crate::adapters::linear_embed::{flatten, l2_normalised};
use crate::adapters::map_sizes::pool_to;
use crate::adapters::{MapSizes, widths};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::features::hint::mean_squared_difference;
use crate::features::paraphraser::{Decoder, Encoder, FactorNorm};
use crate::seeded::Layers;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

const NAME: &str = "factor_transfer";

/// Mean absolute difference of two maps, each sample divided by its norm.
///
/// ```text
/// loss = mean over samples, channels and positions of  | f / max(||f||, e) - g / max(||g||, e) |
///
/// f = student_factor      g = teacher_factor      e = epsilon
/// ||.|| = the l2 norm of a sample, all channels and positions
/// ```
///
/// # Shapes
///
/// - `student_factor`, `teacher_factor`: `[batch_size, channels, height, width]`
/// - result: `[1]`
///
/// The result has no unit; with `n = channels * height * width` it is from 0 to `2 / sqrt(n)`, so a weight
/// depends on the size of the map, though less than that of a sum. It does not change when a sample is
/// multiplied by a positive number. `epsilon` is from 1e-15 to 1 and keeps value and gradient finite for a
/// sample of zeros; its square must be representable: with 16-bit floats choose 1e-3 or more. The gradient
/// does not fade as the factors approach each other.
///
/// The teacher's factor is a constant: no gradient reaches it, and it may live on the plain device while the
/// student's is on the autodiff one.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; unequal shapes; tensors of different dtypes or on different
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::factor_transfer;
///
/// let device = Device::flex();
/// let student = Tensor::<4>::from_data([[[[3.0, 4.0]]]], &device);
/// let teacher = Tensor::<4>::from_data([[[[0.0, 2.0]]]], &device);
/// // (0.6, 0.8) against (0, 1).
/// let loss = factor_transfer(student, teacher, 1e-12)?.into_scalar::<f32>();
/// assert!((loss - 0.4).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", `NeurIPS` 2018,
/// arXiv 1802.04977, section 3, with p = 1. The paper prints the l1 norm, a sum; the authors' code takes the
/// mean over all elements, as here. RepDistiller normalises the mean of the squared channels instead of the
/// whole factor.
pub fn factor_transfer(
    student_factor: Tensor<4>,
    teacher_factor: Tensor<4>,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::feature_pair(NAME, &student_factor, &teacher_factor)?;
    let student = l2_normalised(flatten(student_factor), epsilon);
    let teacher = l2_normalised(flatten(teacher_factor.without_autodiff()), epsilon);
    Ok((student - teacher).abs().mean())
}

/// The constants of [`FactorTransferLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct FactorTransferLossConfig {
    /// Channels of a factor over the channels of the teacher, above 0 and at most 16, the paper's paraphrase
    /// rate k.
    ///
    /// 0.5, the default of the authors' code. The number of channels is rounded to the nearest.
    #[config(default = 0.5)]
    pub rate: f64,
    /// The norm behind each convolution of the paraphraser.
    ///
    /// A batch norm by default. The authors' published code has its batch norms commented out, RepDistiller
    /// has none here.
    #[config(default = "FactorNorm::Batch")]
    pub paraphraser_norm: FactorNorm,
    /// The norm behind each convolution of the translator.
    ///
    /// A batch norm by default, as in RepDistiller. The authors' published code has its batch norms commented
    /// out.
    #[config(default = "FactorNorm::Batch")]
    pub translator_norm: FactorNorm,
    /// Smallest norm that a factor is divided by, from 1e-15 to 1.
    ///
    /// 1e-12, the default of the normalisation that the authors' code calls.
    #[config(default = 1e-12)]
    pub epsilon: f64,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default. Under [`MapSizes::PoolLarger`] the larger *factor* is pooled, as in RepDistiller.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl FactorTransferLossConfig {
    /// Checks the constants and makes the loss with initial weights that depend on `seed` only.
    ///
    /// Weights and biases are uniform in `[-b, b)` with `b = 1 / sqrt(9 * channels)` of the layer's input (of
    /// the output for a transposed convolution, as `PyTorch` has it); batch norms start with scale 1 and
    /// shift 0. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; a constant outside its range; a `rate` so small that a factor has no channel.
    pub fn init(
        &self,
        student_channels: usize,
        teacher_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<FactorTransferLoss> {
        widths::channels(student_channels, teacher_channels)?;
        check_epsilon(self.epsilon)?;
        let factor = factor_channels(self.rate, teacher_channels)?;
        let mut layers = Layers::new(seed, device);
        let layers = &mut layers;
        Ok(FactorTransferLoss {
            encoder: Encoder::new(layers, teacher_channels, factor, self.paraphraser_norm),
            decoder: Decoder::new(layers, factor, teacher_channels, self.paraphraser_norm),
            translator: Encoder::new(layers, student_channels, factor, self.translator_norm),
            student_channels,
            teacher_channels,
            epsilon: self.epsilon,
            map_sizes: self.map_sizes,
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate above 0 and at most 16 times a number of channels"
)]
fn factor_channels(rate: f64, teacher_channels: usize) -> Result<usize> {
    let channels = rate * teacher_channels as f64;
    let ok = rate > 0.0 && rate <= 16.0 && channels.round() >= 1.0;
    let range = "above 0 and at most 16, with one channel at least in a factor";
    check::constant("rate", rate, ok, range, "the authors use 0.5")?;
    Ok(channels.round() as usize)
}

/// [`factor_transfer`] between the factors of a trained paraphraser and of a translator; made by
/// [`FactorTransferLossConfig`].
///
/// ```text
/// transfer       = factor_transfer(translator(s), encoder(t))        gradient into student and translator
/// reconstruction = mean of (decoder(encoder(t)) - t)^2               gradient into the paraphraser
///
/// s, t = student_features, teacher_features      paraphraser = encoder and decoder
/// ```
///
/// Encoder and translator are three 3x3 convolutions each, the decoder is three transposed ones; all keep
/// height and width, and behind each are the norm of [`FactorNorm`] and a leaky `ReLU` of slope 0.1. With
/// `k = rate` and `t` channels of the teacher a factor has `k t` channels; the encoder's second convolution
/// makes them, the decoder's second one takes them back.
///
/// Train in two steps: [`FactorTransferLoss::reconstruction`] alone on the teacher's maps, some epochs, then
/// [`FactorTransferLoss::transfer`] beside the student's own loss. In the second the paraphraser is a
/// constant, and its batch norms use the running statistics of the first. In training, that is on the
/// autodiff device, the other batch norms use the statistics of the batch and update their running ones.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. This is a Burn module of its own: give it to the optimizer, save it in
/// checkpoints, and leave it out of the finished student.
///
/// # References
///
/// Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", `NeurIPS` 2018,
/// arXiv 1802.04977, section 3. For the reconstruction the paper has the squared norm, the authors' code the
/// mean absolute difference, and RepDistiller the mean square, as here.
#[derive(Module, Debug)]
pub struct FactorTransferLoss {
    encoder: Encoder,
    decoder: Decoder,
    translator: Encoder,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    epsilon: f64,
    #[module(skip)]
    map_sizes: MapSizes,
}

impl FactorTransferLoss {
    /// The weight usual for the transfer beside a cross-entropy of weight 1: 500, that of the authors' code
    /// for CIFAR-10.
    ///
    /// RepDistiller has 200 for its own form, which averages the channels first.
    pub const USUAL_WEIGHT: f64 = 500.0;

    /// The number of trained parameters beside the student's, those of the paraphraser among them: with
    /// student's and teacher's channels `s` and `t` and `h = rate * t` it is
    /// `9 (2 (t t + t h + h h) + s s + s h + h h)` for the convolutions, and for [`FactorNorm::Batch`] twice
    /// (for [`FactorNorm::None`] once) `(t + 2 h) + (2 t + h) + (s + 2 h)`.
    pub fn extra_parameters(&self) -> usize {
        self.encoder.extra_parameters()
            + self.decoder.extra_parameters()
            + self.translator.extra_parameters()
    }

    /// The same as [`FactorTransferLoss::transfer`].
    ///
    /// # Errors
    ///
    /// Those of [`FactorTransferLoss::transfer`].
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        self.transfer(student_features, teacher_features)
    }

    /// The difference of the factors of two maps `[batch_size, channels, height, width]` whose channels are
    /// those given to `init`.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; other channels than given to `init`; unequal heights or widths
    /// under [`MapSizes::MustMatch`]; tensors of different dtypes or on different devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::FactorTransferLossConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let loss = FactorTransferLossConfig::new().init(2, 4, 0, &device)?;
    /// let student = Tensor::<4>::ones([3, 2, 5, 5], &device).require_grad();
    /// let teacher = Tensor::<4>::ones([3, 4, 5, 5], &device);
    /// let first = loss.reconstruction(teacher.clone())?.backward();
    /// let second = loss.transfer(student.clone(), teacher)?.backward();
    /// assert!(student.grad(&first).is_none() && student.grad(&second).is_some());
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn transfer(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        check::sample_pair(NAME, &student_features, &teacher_features)?;
        let (from, to) = (self.student_channels, self.teacher_channels);
        check::width(NAME, "student_features", &student_features, from)?;
        check::width(NAME, "teacher_features", &teacher_features, to)?;
        let (student_shape, teacher_shape) = (student_features.dims(), teacher_features.dims());
        let size = self.map_sizes.common(NAME, student_shape, teacher_shape)?;

        let student = self.translator.forward(student_features);
        // The paraphraser in inference form: no gradient, running statistics.
        let teacher = self.encoder.valid();
        let teacher = teacher.forward(teacher_features.without_autodiff());
        factor_transfer(pool_to(student, size), pool_to(teacher, size), self.epsilon)
    }

    /// The error with which the paraphraser rebuilds the teacher's map
    /// `[batch_size, teacher_channels, height, width]`.
    ///
    /// # Errors
    ///
    /// A map without elements; other channels than given to `init`.
    pub fn reconstruction(&self, teacher_features: Tensor<4>) -> Result<Tensor<1>> {
        check::filled(NAME, "teacher_features", &teacher_features)?;
        let expected = self.teacher_channels;
        check::width(NAME, "teacher_features", &teacher_features, expected)?;
        let teacher = teacher_features.without_autodiff();
        let rebuilt = self.decoder.forward(self.encoder.forward(teacher.clone()));
        Ok(mean_squared_difference(rebuilt, teacher))
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "ft",
    title: "Factor transfer",
    family: Family::Features,
    about: "normalised factors of an autoencoder on the teacher's map and of a translator on the student's",
    paper: Paper {
        authors: "Kim et al.",
        year: 2018,
        arxiv: "1802.04977",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ; first the teacher's alone",
    constants: &[
        Constant {
            name: "rate",
            source: "the authors' code",
        },
        Constant {
            name: "paraphraser_norm",
            source: "ours; commented out in the authors' code, absent in RepDistiller",
        },
        Constant {
            name: "translator_norm",
            source: "RepDistiller; commented out in the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
        Constant {
            name: "map_sizes",
            source: "pooling must be asked for; RepDistiller pools the larger factor",
        },
    ],
    defaults: Some(|| FactorTransferLossConfig::new().to_string()),
    extra_parameters: "`9 (2 (t t + t h + h h) + s s + s h + h h) + 2 (3 t + 5 h + s)` for `s` and `t` \
        channels of student and teacher and `h = rate t`",
    usual_weight: Some(UsualWeight {
        value: FactorTransferLoss::USUAL_WEIGHT,
        source: "the authors' code, for the transfer",
    }),
    cost: "six 3x3 convolutions; in a first step the autoencoder is trained",
    disagreements: "the l1 norm (the paper) or the mean over elements (the authors' code); the factor \
        normalised as a whole (both) or the mean of its squared channels (RepDistiller); here the authors' \
        code; the reconstruction as squared norm (the paper), mean absolute difference (the authors' code), \
        or mean square (RepDistiller, here)",
};
