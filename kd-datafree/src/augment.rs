//! Augmentation that gradients pass through: crops and mirrorings of synthetic images.

use burn::tensor::{Int, Tensor, TensorData};
use kd_core::{Augment, Draws};
use serde::{Deserialize, Serialize};

/// A random crop of the padded image, mirrored or not: how far a view of a synthetic image may be from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CropFlip {
    /// Pixels of black on each side before a crop of the original size is taken at a uniformly drawn place.
    pub crop_padding: usize,
    /// The probability of mirroring left and right.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0, max = 1.0)))]
    pub flip: f64,
}

impl Default for CropFlip {
    fn default() -> Self {
        Self {
            crop_padding: 4,
            flip: 0.5,
        }
    }
}

/// The origin of each pixel of a view: a place in the plane of its image, and a weight.
struct PixelOrigins {
    places: Vec<i64>,
    weights: Vec<f32>,
}

impl PixelOrigins {
    fn new() -> Self {
        Self {
            places: Vec::new(),
            weights: Vec::new(),
        }
    }

    fn push(&mut self, place: Option<usize>, weight: f64) {
        let there = place.and_then(|place| i64::try_from(place).ok());
        self.places.push(there.unwrap_or_default());
        #[expect(clippy::cast_possible_truncation, reason = "images are of 32 bits")]
        self.weights
            .push(if there.is_some() { weight as f32 } else { 0.0 });
    }

    /// The pixels, each times its weight.
    fn take(self, images: &Tensor<4>) -> Tensor<4> {
        let [count, channels, height, width] = images.dims();
        let device = images.device();
        let shape = [count, 1, height * width];
        let places = Tensor::<3, Int>::from_data(
            TensorData::new(self.places, shape),
            &device.clone().without_autodiff(),
        );
        let weights = Tensor::<3>::from_data(TensorData::new(self.weights, shape), &device);
        let planes = images.clone().reshape([count, channels, height * width]);
        let taken = planes.gather(2, places.repeat_dim(1, channels)) * weights;
        taken.reshape([count, channels, height, width])
    }
}

impl CropFlip {
    /// The same in a loader's terms.
    pub(crate) fn augment(&self) -> Augment {
        Augment {
            crop_padding: self.crop_padding,
            flip: self.flip,
            ..Augment::none()
        }
    }

    /// A view of each image, drawn by `(seed, purpose, a, b)` and its place in the batch.
    ///
    /// # Shapes
    ///
    /// `images` and the result: `[batch_size, channels, height, width]`.
    pub(crate) fn view(
        &self,
        images: &Tensor<4>,
        (seed, purpose, a, b): (u64, &str, u64, u64),
    ) -> Tensor<4> {
        if self.augment().is_none() {
            return images.clone();
        }
        let [count, _, height, width] = images.dims();
        let mut draws = Draws::new(seed, purpose, a, b);
        let mut origins = PixelOrigins::new();
        let padding = self.crop_padding;
        for _ in 0..count {
            let mut offset =
                || usize::try_from(draws.below(2 * padding as u64 + 1)).unwrap_or_default();
            let (down, right) = (offset(), offset());
            let mirrored = draws.chance(self.flip);
            for y in 0..height {
                let from = (y + down).checked_sub(padding).filter(|&y| y < height);
                for x in 0..width {
                    let x = if mirrored { width - 1 - x } else { x };
                    let at = (x + right).checked_sub(padding).filter(|&x| x < width);
                    let place = from.zip(at).map(|(y, x)| y * width + x);
                    origins.push(place, 1.0);
                }
            }
        }
        origins.take(images)
    }
}

/// A part of each image, a quarter of its area or more and three quarters to four thirds as wide as high, at
/// the size of the image, some of them mirrored.
///
/// # Shapes
///
/// `images` and the result: `[batch_size, channels, height, width]`.
pub(crate) fn close_view(
    images: &Tensor<4>,
    (seed, purpose, a, b): (u64, &str, u64, u64),
) -> Tensor<4> {
    let [count, _, height, width] = images.dims();
    let mut draws = Draws::new(seed, purpose, a, b);
    let mut corners = [(); 4].map(|()| PixelOrigins::new());
    for _ in 0..count {
        let area = draws.between(0.25, 1.0);
        let ratio = draws.between((0.75_f64).ln(), (4.0 / 3.0_f64).ln()).exp();
        let part = |size: usize, share: f64| (share.sqrt() * size as f64).min(size as f64);
        let (high, wide) = (part(height, area / ratio), part(width, area * ratio));
        let top = draws.between(0.0, height as f64 - high);
        let left = draws.between(0.0, width as f64 - wide);
        let mirrored = draws.chance(0.5);
        for y in 0..height {
            let rows = between(top, high, y, height);
            for x in 0..width {
                let x = if mirrored { width - 1 - x } else { x };
                let columns = between(left, wide, x, width);
                let pairs = rows
                    .iter()
                    .flat_map(|row| columns.map(|column| (*row, column)));
                for (corner, (row, column)) in corners.iter_mut().zip(pairs) {
                    corner.push(Some(row.0 * width + column.0), row.1 * column.1);
                }
            }
        }
    }
    let [first, second, third, fourth] = corners;
    [second, third, fourth]
        .into_iter()
        .fold(first.take(images), |sum, corner| sum + corner.take(images))
}

/// The two pixels, with their weights, between which pixel `place` of `size` lies in a part that begins at
/// `first` and has `length` pixels.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the image"
)]
fn between(first: f64, length: f64, place: usize, size: usize) -> [(usize, f64); 2] {
    let at = first + (place as f64 + 0.5) * length / size as f64 - 0.5;
    let at = at.clamp(0.0, size as f64 - 1.0);
    let low = at.floor() as usize;
    let share = at - low as f64;
    [(low, 1.0 - share), ((low + 1).min(size - 1), share)]
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor, Tolerance};

    use super::*;

    fn numbers(tensor: &Tensor<4>) -> Vec<f32> {
        tensor.clone().into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_view_is_a_crop_of_the_padded_image_or_its_mirror() {
        let device = Device::flex();
        let images = Tensor::<4>::random([40, 2, 5, 4], Distribution::Default, &device);
        let views = CropFlip {
            crop_padding: 2,
            flip: 0.5,
        };
        let viewed = views.view(&images, (1, "t", 2, 3));
        assert_eq!(
            numbers(&views.view(&images, (1, "t", 2, 3))),
            numbers(&viewed)
        );
        let mut offsets = std::collections::BTreeSet::new();
        for image in 0..40 {
            let (from, to) = (
                images.clone().narrow(0, image, 1),
                viewed.clone().narrow(0, image, 1),
            );
            let padded = from.pad((2, 2, 2, 2), 0.0);
            let mut found = None;
            for down in 0..5 {
                for right in 0..5 {
                    let crop = padded
                        .clone()
                        .slice([0..1, 0..2, down..down + 5, right..right + 4]);
                    for (mirrored, crop) in [(false, crop.clone()), (true, crop.flip([3]))] {
                        if numbers(&crop) == numbers(&to) {
                            found = Some((down, right, mirrored));
                        }
                    }
                }
            }
            offsets.insert(found.unwrap());
        }
        assert!(offsets.len() > 15, "{offsets:?}");
    }

    #[test]
    fn views_of_nothing_are_the_images() {
        let images = Tensor::<4>::random([3, 1, 4, 4], Distribution::Default, &Device::flex());
        let none = CropFlip {
            crop_padding: 0,
            flip: 0.0,
        };
        assert_eq!(
            numbers(&none.view(&images, (0, "t", 0, 0))),
            numbers(&images)
        );
    }

    #[test]
    fn close_views_stay_within_the_image_and_keep_straight_lines() {
        let device = Device::flex().autodiff();
        // Each pixel has the number of its row: a part of it runs evenly from one row to another.
        let rows = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &device);
        let images = rows
            .reshape([1, 1, 8, 1])
            .repeat(&[6, 2, 1, 6])
            .require_grad();
        let viewed = close_view(&images, (5, "t", 0, 0));
        let values = numbers(&viewed.clone().inner());
        assert!(values.iter().all(|value| (0.0..=7.0).contains(value)));
        for image in values.chunks_exact(2 * 8 * 6) {
            let column: Vec<f32> = (0..8).map(|y| image[y * 6]).collect();
            let steps: Vec<f32> = column.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let inner = &steps[1..6];
            assert!(
                inner
                    .iter()
                    .all(|step| (step - inner[0]).abs() < 1e-4 && *step > 0.2)
            );
        }
        // The weights with which gradients go back add up to the pixels of the views.
        let gradients = viewed.sum().backward();
        let back = images.grad(&gradients).unwrap().sum().into_data();
        let all = TensorData::new(vec![(6 * 2 * 8 * 6) as f32], [1]);
        back.assert_approx_eq::<f32>(&all, Tolerance::relative(1e-5));
    }
}
