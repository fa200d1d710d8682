//! Fitting images of any size to one size.

use crate::data::shape::ImageShape;
use crate::error::{Error, Result};

/// How an image is brought to `shape`: scaled, then cropped at the centre.
///
/// Without `resize` an image is scaled so that it just covers `shape`, and what stands over at two sides is
/// cut off. With `resize` its shorter side becomes that long, as `torchvision`'s `Resize(resize)` does, and
/// the centre of `shape` is cut out, as its `CenterCrop` does: the usual evaluation on `ImageNet` is 224
/// pixels out of 256.
///
/// Scaling is bilinear and antialiased: when an image is made smaller, each new pixel is the mean of those
/// below it with the weights of a triangle, in the manner of Pillow's and `torchvision`'s `BILINEAR` on
/// images. The longer side is rounded down, and a crop that is not centred to a whole pixel goes to the even
/// one, both as in `torchvision`.
///
/// Three channels are red, green and blue, of grey images three times the same. One channel is grey,
/// `0.299 R + 0.587 G + 0.114 B` (ITU-R 601) as in Pillow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageFit {
    /// What comes out: 1 or 3 channels, sides of 1 to 4096 pixels.
    pub shape: ImageShape,
    /// The length of the shorter side before the crop, in pixels; at least the longer side of `shape`.
    pub resize: Option<usize>,
}

const LONGEST_SIDE: usize = 4096;

/// Which part of an image that was scaled to `height x width` is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crop {
    pub(super) height: u64,
    pub(super) width: u64,
    pub(super) top: u64,
    pub(super) left: u64,
}

impl ImageFit {
    /// Scales an image so that it covers `shape`.
    pub fn new(shape: ImageShape) -> Self {
        Self {
            shape,
            resize: None,
        }
    }

    /// Scales the shorter side to `resize` pixels instead.
    #[must_use]
    pub fn with_resize(mut self, resize: Option<usize>) -> Self {
        self.resize = resize;
        self
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the first that cannot be used.
    pub fn check(&self) -> Result<()> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        if !matches!(channels, 1 | 3) {
            let problem = format!("must be 1 (grey) or 3 (red, green, blue), got {channels}");
            return Err(Error::config("channels", problem));
        }
        check_sides([height, width])?;
        let least = height.max(width);
        match self.resize {
            Some(resize) if !(least..=LONGEST_SIDE).contains(&resize) => {
                let problem = format!(
                    "must be {least} (the longer side of `size`) to {LONGEST_SIDE} pixels, got {resize}"
                );
                Err(Error::config("resize", problem))
            }
            _ => Ok(()),
        }
    }

    /// The scaled size of an image of `height x width`, neither of them 0, and what is kept of it.
    pub(super) fn crop(&self, height: u32, width: u32) -> Crop {
        let (height, width) = (u64::from(height), u64::from(width));
        let wanted = (self.shape.height as u64, self.shape.width as u64);
        let by_height = match self.resize {
            Some(_) => height <= width,
            None => wanted.0 * width >= wanted.1 * height,
        };
        let scaled = match (by_height, self.resize.map(|side| side as u64)) {
            (true, side) => {
                let side = side.unwrap_or(wanted.0);
                (side, side * width / height)
            }
            (false, side) => {
                let side = side.unwrap_or(wanted.1);
                (side * height / width, side)
            }
        };
        Crop {
            height: scaled.0,
            width: scaled.1,
            top: half(scaled.0 - wanted.0),
            left: half(scaled.1 - wanted.1),
        }
    }
}

/// Checks the height and the width that images are brought to.
pub(in crate::data) fn check_sides([height, width]: [usize; 2]) -> Result<()> {
    let sides = 1..=LONGEST_SIDE;
    if sides.contains(&height) && sides.contains(&width) {
        return Ok(());
    }
    let problem = format!("must be 1 to {LONGEST_SIDE} pixels a side, got {height}x{width}");
    Err(Error::config("size", problem))
}

/// Half of `number`, rounded to the even one.
fn half(number: u64) -> u64 {
    let down = number / 2;
    down + (number % 2) * (down % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crop(size: (usize, usize), resize: Option<usize>, image: (u32, u32)) -> [u64; 4] {
        let fit = ImageFit::new(ImageShape::new(3, size.0, size.1)).with_resize(resize);
        fit.check().unwrap();
        let crop = fit.crop(image.0, image.1);
        [crop.height, crop.width, crop.top, crop.left]
    }

    #[test]
    fn an_image_just_covers_the_size() {
        assert_eq!(crop((32, 32), None, (100, 50)), [64, 32, 16, 0]);
        assert_eq!(crop((32, 32), None, (50, 100)), [32, 64, 0, 16]);
        assert_eq!(crop((32, 64), None, (320, 640)), [32, 64, 0, 0]);
        assert_eq!(crop((32, 64), None, (640, 640)), [64, 64, 16, 0]);
        assert_eq!(crop((1, 1), None, (1, 65_000)), [1, 65_000, 0, 32_500]);
    }

    #[test]
    fn sizes_and_crops_round_as_in_torchvision() {
        // Resize(256) of 375x500 is 256x341; CenterCrop(224) of 341 is at round(58.5) = 58, of 3 over at
        // round(1.5) = 2.
        assert_eq!(crop((224, 224), Some(256), (375, 500)), [256, 341, 16, 58]);
        assert_eq!(crop((10, 10), Some(10), (10, 13)), [10, 13, 0, 2]);
        assert_eq!(crop((10, 10), Some(10), (15, 10)), [15, 10, 2, 0]);
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let text = |shape, resize| {
            let fit = ImageFit::new(shape).with_resize(resize);
            fit.check().unwrap_err().to_string()
        };
        assert_eq!(
            text(ImageShape::new(4, 8, 8), None),
            "`channels` must be 1 (grey) or 3 (red, green, blue), got 4"
        );
        assert_eq!(
            text(ImageShape::new(3, 8, 0), None),
            "`size` must be 1 to 4096 pixels a side, got 8x0"
        );
        assert_eq!(
            text(ImageShape::new(3, 8, 16), Some(15)),
            "`resize` must be 16 (the longer side of `size`) to 4096 pixels, got 15"
        );
        assert!(text(ImageShape::new(1, 8, 8), Some(5000)).ends_with("got 5000"));
    }
}
