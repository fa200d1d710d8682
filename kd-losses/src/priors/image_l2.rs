//! A prior on the size of images.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::{bounded_root, check_epsilon};
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The measure of the size of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ImageSize {
    /// Mean over images of the l2 norm of each: the authors' code for `ImageNet`.
    Image,
    /// The l2 norm of the whole batch: the authors' code for CIFAR-10. It grows with the root of the number
    /// of images.
    Batch,
    /// Mean square of the pixels.
    MeanSquare,
}

/// The l2 norm of images.
///
/// ```text
/// loss = Image:       mean over images of  max(||x||, e)
///        Batch:       max(||X||, e)
///        MeanSquare:  mean over pixels of  x^2
///
/// x = an image      X = the batch      e = epsilon
/// ```
///
/// # Shapes
///
/// - `images`: `[batch_size, channels, height, width]`
/// - result: `[1]`
///
/// The result has the unit of a pixel (of its square for [`ImageSize::MeanSquare`]) and is never negative.
/// `epsilon` is from 1e-15 to 1 and keeps the gradient of a norm finite for images of zeros, where it is 0.
/// The images learn.
///
/// # Errors
///
/// `epsilon` outside its range; images without elements.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{ImageSize, image_l2};
///
/// let images = Tensor::<4>::from_data([[[[3.0, 4.0]]], [[[0.0, 1.0]]]], &Device::flex());
/// let loss = image_l2(images, ImageSize::Image, 1e-6)?;
/// assert_eq!(loss.into_scalar::<f32>(), 3.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Yin, Molchanov, Li, Alvarez, Mallya, Hoiem, Jha, Kautz, "Dreaming to Distill: Data-Free Knowledge Transfer
/// via `DeepInversion`", CVPR 2020, arXiv 1912.08795, section 3; the two norms are those of the authors' two
/// programs.
pub fn image_l2(images: Tensor<4>, size: ImageSize, epsilon: f64) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check::filled("image_l2", "images", &images)?;
    let square = images.square();
    Ok(match size {
        ImageSize::Image => {
            let per_image = square.flatten::<2>(1, 3).sum_dim(1); // [batch_size, 1]
            bounded_root(per_image, epsilon).mean()
        }
        ImageSize::Batch => bounded_root(square.sum(), epsilon),
        ImageSize::MeanSquare => square.mean(),
    })
}

/// The constants of [`image_l2`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageL2LossConfig {
    /// The measure of the size.
    ///
    /// The mean of the norms of the images by default: the one of the authors' two norms that does not depend
    /// on the number of images.
    #[config(default = "ImageSize::Image")]
    pub size: ImageSize,
    /// The smallest norm, from 1e-15 to 1.
    ///
    /// 1e-6: ours, far below the norm of an image.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl ImageL2LossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<ImageL2Loss> {
        check_epsilon(self.epsilon)?;
        Ok(ImageL2Loss {
            size: self.size,
            epsilon: self.epsilon,
        })
    }
}

/// [`image_l2`] with its constants, made by [`ImageL2LossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageL2Loss {
    size: ImageSize,
    epsilon: f64,
}

impl ImageL2Loss {
    /// The default weight of the authors' code on `ImageNet`, for [`ImageSize::Image`]: 1e-5. On CIFAR-10 it
    /// is 0.
    pub const USUAL_WEIGHT: f64 = 1e-5;

    /// [`image_l2`] of `[batch_size, channels, height, width]`.
    ///
    /// # Errors
    ///
    /// Images without elements.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::ImageL2LossConfig;
    ///
    /// let loss = ImageL2LossConfig::new().init()?;
    /// let images = Tensor::<4>::ones([5, 1, 3, 3], &Device::flex());
    /// assert!((loss.forward(images)?.into_scalar::<f32>() - 3.0).abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, images: Tensor<4>) -> Result<Tensor<1>> {
        image_l2(images, self.size, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "image-l2",
    title: "l2 prior on images",
    family: Family::Priors,
    about: "the l2 norm of images",
    paper: Paper {
        authors: "Yin et al.",
        year: 2019,
        arxiv: "1912.08795",
        place: "section 3; the form from the authors' code",
    },
    inputs: "images `[batch, channels, height, width]`",
    constants: &[
        Constant {
            name: "size",
            source: "the authors' code for ImageNet",
        },
        Constant {
            name: "epsilon",
            source: "ours",
        },
    ],
    defaults: Some(|| ImageL2LossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: ImageL2Loss::USUAL_WEIGHT,
        source: "the authors' code on ImageNet; 0 on CIFAR-10",
    }),
    cost: "",
    disagreements: "the mean norm of an image (the authors' code for ImageNet) or the norm of the batch (for \
        CIFAR-10); here the first, the second and the mean square as `size`",
};
