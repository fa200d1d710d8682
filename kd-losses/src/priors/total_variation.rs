//! Total variation: a prior that neighbouring pixels are alike.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::{bounded_root, check_epsilon};
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::{Tensor, s};

/// The measure of the differences of neighbouring pixels.
///
/// The four differ by orders of magnitude: the norm grows with the root of the number of pixels in the whole
/// batch, the means do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum VariationForm {
    /// Sum over four directions (right, down and both diagonals) of the l2 norm of the differences of the
    /// whole batch: `tv_l2` in the code of `DeepInversion`.
    Norms,
    /// Sum over the same four directions of the mean absolute difference: `tv_l1` there.
    Means,
    /// Mean absolute difference to the right plus that down: the anisotropic total variation.
    Absolute,
    /// Mean squared difference to the right plus that down.
    Square,
}

/// Differences of neighbouring pixels.
///
/// ```text
/// d[j] = difference of the pixels one step apart in direction j
///
/// loss = Norms:     sum over right, down, both diagonals of  max(||d[j]||, e)
///        Means:     sum over right, down, both diagonals of  mean |d[j]|
///        Absolute:  sum over right, down of  mean |d[j]|
///        Square:    sum over right, down of  mean d[j]^2
///
/// ||.|| = the l2 norm over the whole batch       e = epsilon
/// ```
///
/// # Shapes
///
/// - `images`: `[batch_size, channels, height, width]`
/// - result: `[1]`
///
/// The result has the unit of a pixel (of its square for [`VariationForm::Square`]) and is never negative; a
/// direction in which an image is one pixel long counts 0. `epsilon` is from 1e-15 to 1 and keeps the
/// gradient of a norm finite where all pixels are equal, where it is 0. The images learn.
///
/// # Errors
///
/// `epsilon` outside its range; images without elements.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{VariationForm, total_variation};
///
/// let images = Tensor::<4>::from_data([[[[0.0, 2.0], [1.0, 3.0]]]], &Device::flex());
/// // 2 to the right and 1 down.
/// let loss = total_variation(images, VariationForm::Square, 1e-6)?;
/// assert_eq!(loss.into_scalar::<f32>(), 5.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yin, Molchanov, Li, Alvarez, Mallya, Hoiem, Jha, Kautz, "Dreaming to Distill: Data-Free Knowledge Transfer
/// via `DeepInversion`", CVPR 2020, arXiv 1912.08795, section 3; the four directions and both norms are those
/// of the authors' code.
pub fn total_variation(images: Tensor<4>, form: VariationForm, epsilon: f64) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::filled("total_variation", "images", &images)?;
    let diagonals = matches!(form, VariationForm::Norms | VariationForm::Means);
    let differences = differences(&images, diagonals);
    let reduced = differences.into_iter().map(|difference| match form {
        VariationForm::Norms => bounded_root(difference.square().sum(), epsilon),
        VariationForm::Means | VariationForm::Absolute => difference.abs().mean(),
        VariationForm::Square => difference.square().mean(),
    });
    // A single pixel has no neighbours, and a loss has a gradient.
    Ok(reduced
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| images.sum() * 0.0))
}

/// The differences in each direction that has some.
fn differences(images: &Tensor<4>, diagonals: bool) -> Vec<Tensor<4>> {
    let [_, _, height, width] = images.dims();
    let image = || images.clone();
    let mut found = Vec::with_capacity(4);
    if width > 1 {
        found.push(image().slice(s![.., .., .., 1..]) - image().slice(s![.., .., .., ..-1]));
    }
    if height > 1 {
        found.push(image().slice(s![.., .., 1.., ..]) - image().slice(s![.., .., ..-1, ..]));
    }
    if diagonals && width > 1 && height > 1 {
        found.push(image().slice(s![.., .., 1.., 1..]) - image().slice(s![.., .., ..-1, ..-1]));
        found.push(image().slice(s![.., .., 1.., ..-1]) - image().slice(s![.., .., ..-1, 1..]));
    }
    found
}

/// The constants of [`total_variation`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct TotalVariationLossConfig {
    /// The measure of the differences.
    ///
    /// The norms by default, which is what the code of `DeepInversion` uses where it gives a weight.
    #[config(default = "VariationForm::Norms")]
    pub form: VariationForm,
    /// The smallest norm, from 1e-15 to 1.
    ///
    /// 1e-6: ours, far below the smallest difference that can be seen.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl TotalVariationLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<TotalVariationLoss> {
        check_epsilon(self.epsilon)?;
        Ok(TotalVariationLoss {
            form: self.form,
            epsilon: self.epsilon,
        })
    }
}

/// [`total_variation`] with its constants, made by [`TotalVariationLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TotalVariationLoss {
    form: VariationForm,
    epsilon: f64,
}

impl TotalVariationLoss {
    /// The default weight of the authors' code on CIFAR-10, for [`VariationForm::Norms`] and batches of 256:
    /// 2.5e-5. They recommend 1e-3 for better images.
    pub const USUAL_WEIGHT: f64 = 2.5e-5;

    /// [`total_variation`] of `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Images without elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::TotalVariationLossConfig;
    ///
    /// let loss = TotalVariationLossConfig::new().init()?;
    /// let grey = Tensor::<4>::ones([2, 3, 8, 8], &Device::flex());
    /// assert!(loss.forward(grey)?.into_scalar::<f32>() < 1e-5);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<1>> {
        total_variation(images, self.form, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "total-variation",
    title: "Total variation",
    family: Family::Priors,
    about: "differences of neighbouring pixels",
    paper: Paper {
        authors: "Yin et al.",
        year: 2019,
        arxiv: "1912.08795",
        place: "section 3; the form from the authors' code",
    },
    inputs: "images `[batch, channels, height, width]`",
    constants: &[
        Constant {
            name: "form",
            source: "the authors' code",
        },
        Constant {
            name: "epsilon",
            source: "ours",
        },
    ],
    defaults: Some(|| TotalVariationLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: TotalVariationLoss::USUAL_WEIGHT,
        source: "the authors' code on CIFAR-10, who name 1e-3 for better images; 1e-4 on ImageNet",
    }),
    cost: "",
    disagreements: "norms over the whole batch in four directions (the code of DeepInversion), means in four \
        or in two directions, squares; here the norms, the others as `form`",
};
