//! Mode seeking: images of different noise should differ.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The quotient of the distances of images and of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ModeSeekingForm {
    /// The inverse of the ratio of mean absolute distances: the code of Mao et al., to be minimised.
    Inverse,
    /// Minus that ratio: the paper of Mao et al. maximises it. It has no lower bound.
    Ratio,
    /// The ratio of l2 norms the other way round, codes over images, with the teacher's probabilities as
    /// codes: the code of Han et al.
    Norms,
}

/// Ratio of the distance of two batches of images to the distance of the codes they were made from.
///
/// ```text
/// r    = mean |x - y| / max(mean |u - v|, e)
///
/// loss = Inverse:  1 / (r + e)
///        Ratio:    -r
///        Norms:    sqrt(||u - v||^2 + e^2) / sqrt(||x - y||^2 + e^2)
///
/// x, y = images, other_images      u, v = codes, other_codes      e = epsilon
/// ||.|| = the l2 norm over the whole batch
/// ```
///
/// # Shapes
///
/// - `images`, `other_images`: `[batch_size, channels, height, width]`, equal in all
/// - `codes`, `other_codes`: `[batch_size, features]`, equal in both: the noise that the images were made
///   from or, for [`ModeSeekingForm::Norms`], the teacher's softmax of them
/// - result: `[1]`
///
/// The distances are those of whole batches: one ratio, not a mean of the ratios of pairs. `Inverse` is
/// between 0 and `1 / epsilon`, `Norms` is above 0 and grows without bound as the images coincide while the
/// codes differ; `Ratio` is 0 or below. `epsilon` is from 1e-10 to 1 and keeps value and gradient finite
/// where images or codes coincide, where the gradient is 0. Gradients reach images and codes: noise has none,
/// and the teacher's predictions lead back to the images.
///
/// # Errors
///
/// `epsilon` outside its range; an empty batch; images (or codes) of different shapes or dtypes or on
/// different devices; another number of images than of codes.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{ModeSeekingForm, mode_seeking};
///
/// let device = Device::flex();
/// let image = |value: f32| Tensor::<4>::full([1, 1, 2, 2], value, &device);
/// let noise = |value: f32| Tensor::<2>::full([1, 3], value, &device);
/// // The images are twice as far apart as the noise.
/// let form = ModeSeekingForm::Ratio;
/// let loss = mode_seeking(image(0.0), image(2.0), noise(0.0), noise(1.0), form, 1e-5)?;
/// assert_eq!(loss.into_scalar::<f32>(), -2.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Mao, Lee, Tseng, Ma, Yang, "Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis",
/// CVPR 2019, arXiv 1903.05628: the paper maximises the ratio of distances, the authors' code minimises its
/// inverse plus 1e-5, with mean absolute differences; the code has no bound for equal noise. Han, Park, Wang,
/// Liu, "Robustness and Diversity Seeking Data-Free Knowledge Distillation", ICASSP 2021, arXiv 2011.03749:
/// the form of the authors' code, which adds 1e-20 to the inverse; that is lost in 32-bit floats, and equal
/// predictions divide by 0 there, hence `epsilon` under the roots here.
pub fn mode_seeking(
    images: Tensor<4>,
    other_images: Tensor<4>,
    codes: Tensor<2>,
    other_codes: Tensor<2>,
    form: ModeSeekingForm,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check_pairs(&images, &other_images, &codes, &other_codes)?;

    let (images, codes) = (images - other_images, codes - other_codes);
    let ratio = |images: Tensor<4>, codes: Tensor<2>| {
        images.abs().mean() / codes.abs().mean().clamp_min(epsilon)
    };
    Ok(match form {
        ModeSeekingForm::Inverse => (ratio(images, codes) + epsilon).recip(),
        ModeSeekingForm::Ratio => ratio(images, codes).neg(),
        ModeSeekingForm::Norms => {
            let square = epsilon * epsilon;
            let norm = |sum: Tensor<1>| (sum + square).sqrt();
            norm(codes.square().sum()) / norm(images.square().sum())
        }
    })
}

/// The slope of `Norms` has the third power of `epsilon` below it, which must be representable.
fn check_epsilon(value: f64) -> Result<()> {
    let ok = (1e-10..=1.0).contains(&value);
    let advice = "the authors of `inverse` use 1e-5";
    check::constant("epsilon", value, ok, "from 1e-10 to 1", advice)
}

fn check_pairs(
    images: &Tensor<4>,
    other_images: &Tensor<4>,
    codes: &Tensor<2>,
    other_codes: &Tensor<2>,
) -> Result<()> {
    const LOSS: &str = "mode_seeking";
    let advice = "make both from batches of one size by the same generator";
    check::filled(LOSS, "images", images)?;
    check::filled(LOSS, "codes", codes)?;
    check::alike(
        LOSS,
        ("images", images),
        ("other_images", other_images),
        advice,
    )?;
    check::alike(LOSS, ("codes", codes), ("other_codes", other_codes), advice)?;
    check::batches(LOSS, ("images", images), ("codes", codes))?;
    let (images, codes) = (("images", images), ("codes", codes));
    check::same_kind(LOSS, images, codes, "keep both in one dtype on one device")
}

/// The constants of [`mode_seeking`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModeSeekingLossConfig {
    /// The quotient of the distances.
    ///
    /// The form of the code of Mao et al. by default.
    #[config(default = "ModeSeekingForm::Inverse")]
    pub form: ModeSeekingForm,
    /// The number that keeps the quotients finite, from 1e-10 to 1.
    ///
    /// 1e-5, as in the code of Mao et al.; for [`ModeSeekingForm::Norms`] anything below 1e-4 is lost beside
    /// the norms of a batch.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

impl ModeSeekingLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<ModeSeekingLoss> {
        check_epsilon(self.epsilon)?;
        Ok(ModeSeekingLoss {
            form: self.form,
            epsilon: self.epsilon,
        })
    }
}

/// [`mode_seeking`] with its constants, made by [`ModeSeekingLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModeSeekingLoss {
    form: ModeSeekingForm,
    epsilon: f64,
}

impl ModeSeekingLoss {
    /// The weight in the code of Mao et al. and of Han et al.: 1.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// [`mode_seeking`] of two batches of images and the codes they were made from.
    ///
    /// # Errors
    ///
    /// Those of [`mode_seeking`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::ModeSeekingLossConfig;
    ///
    /// let device = Device::flex();
    /// let image = |value: f32| Tensor::<4>::full([1, 1, 2, 2], value, &device);
    /// let noise = |value: f32| Tensor::<2>::full([1, 3], value, &device);
    /// let loss = ModeSeekingLossConfig::new().init()?;
    /// let value = loss.forward(image(0.0), image(4.0), noise(0.0), noise(1.0))?;
    /// assert!((value.into_scalar::<f32>() - 0.25).abs() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        images: Tensor<4>,
        other_images: Tensor<4>,
        codes: Tensor<2>,
        other_codes: Tensor<2>,
    ) -> Result<Tensor<1>> {
        mode_seeking(
            images,
            other_images,
            codes,
            other_codes,
            self.form,
            self.epsilon,
        )
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "mode-seeking",
    title: "Mode seeking",
    family: Family::Priors,
    about: "the distance of two images against that of their noise",
    paper: Paper {
        authors: "Mao et al.",
        year: 2019,
        arxiv: "1903.05628",
        place: "the mode seeking term",
    },
    inputs: "two batches of images `[batch, channels, height, width]` and of codes `[batch, features]`",
    constants: &[
        Constant {
            name: "form",
            source: "the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| ModeSeekingLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: ModeSeekingLoss::USUAL_WEIGHT,
        source: "the authors' code",
    }),
    cost: "",
    disagreements: "the ratio is maximised (the paper) or its inverse minimised (the authors' code), with \
        mean absolute distances; 2011.03749 takes l2 norms and the teacher's softmax for the noise; here the \
        inverse, the others as `form`",
};
