//! Augmentation: the crop, flip, rotation and translation of a view.

use serde::{Deserialize, Serialize};

use crate::data::shape::ImageShape;
use crate::draws::Draws;
use crate::error::{Error, Result};

/// How far a view may differ from its sample; by default not at all.
///
/// The steps are done in this order: crop and flip, which only move whole pixels, then rotation and
/// translation in one bilinear sampling. Pixels from outside the image are 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Pixels of padding on each side before a crop of the original size is taken at a uniformly drawn place.
    #[cfg_attr(feature = "schema", schemars(extend("x-unit" = "pixels")))]
    pub crop_padding: usize,
    /// The probability of mirroring left and right, 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0), extend("x-unit" = "probability")))]
    pub flip: f64,
    /// The largest rotation about the centre, in degrees; the angle is uniform in `[-r, r)`. 0 to 180.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 180.0), extend("x-unit" = "degrees")))]
    pub rotate_degrees: f64,
    /// The largest translation along each axis, in pixels; both are uniform in `[-t, t)`.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("x-unit" = "pixels")))]
    pub translate_pixels: f64,
}

impl Augment {
    /// No augmentation.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether every view is the sample as it is.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the ranges of the fields.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that names the first field that is out of its range.
    pub fn check(&self) -> Result<()> {
        let range = |field: &str, value: f64, most: Option<f64>| {
            if value.is_finite() && value >= 0.0 && most.is_none_or(|most| value <= most) {
                return Ok(());
            }
            let upper = most.map_or_else(String::new, |most| format!(" and at most {most}"));
            Err(Error::config(
                format!("augment.{field}"),
                format!("must be 0 or more{upper}, got {value}"),
            ))
        };
        range("flip", self.flip, Some(1.0))?;
        range("rotate_degrees", self.rotate_degrees, Some(180.0))?;
        range("translate_pixels", self.translate_pixels, None)
    }

    /// Checks the ranges of the fields for images of `shape`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] as [`Augment::check`], and if the padding or the translation is larger than the
    /// image.
    pub fn check_for(&self, shape: ImageShape) -> Result<()> {
        self.check()?;
        let side = shape.height.min(shape.width);
        let within = |field: &str, value: String, fits: bool| {
            if fits {
                return Ok(());
            }
            let problem = format!("must be at most {side} for images of {shape}, got {value}");
            Err(Error::config(format!("augment.{field}"), problem))
        };
        within(
            "crop_padding",
            self.crop_padding.to_string(),
            self.crop_padding <= side,
        )?;
        within(
            "translate_pixels",
            self.translate_pixels.to_string(),
            self.translate_pixels <= side as f64,
        )
    }

    /// What `view` of `sample` looks like: a pure function of `(seed, view, sample)`.
    ///
    /// Each number has its own draw, so that changing one field leaves the draws of the others as they were.
    ///
    /// ```
    /// use kd_core::Augment;
    /// let augment = Augment { crop_padding: 4, flip: 0.5, ..Augment::none() };
    /// assert_eq!(augment.params(1, 0, 42), augment.params(1, 0, 42));
    /// assert!(augment.params(1, 0, 42).crop_top <= 8);
    /// ```
    pub fn params(&self, seed: u64, view: u64, sample: u32) -> ViewParams {
        if self.is_none() {
            return ViewParams::IDENTITY;
        }
        let mut draws = Draws::new(seed, "view", view, u64::from(sample));
        let places = self.crop_padding.saturating_mul(2).saturating_add(1);
        ViewParams {
            crop_top: place(draws.uniform(), places),
            crop_left: place(draws.uniform(), places),
            flip: draws.chance(self.flip),
            angle: draws
                .between(-self.rotate_degrees, self.rotate_degrees)
                .to_radians(),
            down: draws.between(-self.translate_pixels, self.translate_pixels),
            right: draws.between(-self.translate_pixels, self.translate_pixels),
        }
    }
}

/// One of `places`, by a uniform number in `[0, 1)`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and cut to the range"
)]
fn place(uniform: f64, places: usize) -> usize {
    ((uniform * places as f64) as usize).min(places - 1)
}

/// The drawn numbers of one view of one sample; see [`Augment::params`].
///
/// With crop padding `p`, pixel `(y, x)` of the cropped and flipped image is pixel `(y + crop_top - p, x' +
/// crop_left - p)` of the sample, with `x' = width - 1 - x` if flipped and `x` if not. The content is then
/// turned clockwise by `angle` about the centre of the image and moved `down` and `right`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewParams {
    /// The first row of the crop in the padded image.
    pub crop_top: usize,
    /// The first column of the crop in the padded image.
    pub crop_left: usize,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// The rotation in radians, clockwise as seen on a screen.
    pub angle: f64,
    /// The translation down, in pixels.
    pub down: f64,
    /// The translation to the right, in pixels.
    pub right: f64,
}

impl ViewParams {
    /// The view that is the sample itself, where there is no padding.
    const IDENTITY: Self = Self {
        crop_top: 0,
        crop_left: 0,
        flip: false,
        angle: 0.0,
        down: 0.0,
        right: 0.0,
    };
}
