//! Bilinear scaling with antialiasing, of the part that is kept only; and the nearest pixel, for masks.

use crate::data::folder::fit::{Crop, ImageFit};

/// An image, row by row, the channels of a pixel side by side.
pub(in crate::data) struct Pixels {
    pub(in crate::data) bytes: Vec<u8>,
    pub(in crate::data) channels: usize,
    pub(in crate::data) height: u32,
    pub(in crate::data) width: u32,
}

/// The weights with which one new pixel is made of old ones, from `first` on.
struct Window {
    first: usize,
    weights: Vec<f32>,
}

/// Scales and crops `image` as `fit` says into `out`, `[channels, height, width]`.
pub(in crate::data) fn resize(image: &Pixels, fit: &ImageFit, out: &mut [u8]) {
    let crop = fit.crop(image.height, image.width);
    scale(image, crop, [fit.shape.height, fit.shape.width], out);
}

/// Scales all of `image` to `height` and `width`, whatever its own ratio, into `out`, `[channels, height,
/// width]`.
pub(in crate::data) fn stretch(image: &Pixels, [height, width]: [usize; 2], out: &mut [u8]) {
    let whole = Crop {
        height: height as u64,
        width: width as u64,
        top: 0,
        left: 0,
    };
    scale(image, whole, [height, width], out);
}

/// As [`stretch`] for an image of one channel, but each new pixel is the old one that its centre lies in: no
/// value appears that was not there.
pub(in crate::data) fn stretch_nearest(
    image: &Pixels,
    [height, width]: [usize; 2],
    out: &mut [u8],
) {
    let old = (image.height as usize, image.width as usize);
    let nearest = |at: usize, old: usize, new: usize| (2 * at + 1) * old / (2 * new);
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        let start = nearest(y, old.0, height) * old.1;
        for (x, pixel) in row.iter_mut().enumerate() {
            *pixel = image.bytes[start + nearest(x, old.1, width)];
        }
    }
}

/// Scales `image` to the size that `crop` says and keeps `[height, width]` of it.
///
/// Columns first, then rows; what lies between is not rounded.
fn scale(image: &Pixels, crop: Crop, [height, width]: [usize; 2], out: &mut [u8]) {
    let columns = windows(image.width, crop.width, crop.left, width);
    let rows = windows(image.height, crop.height, crop.top, height);
    let channels = image.channels;
    let stride = image.width as usize * channels;
    let first = rows.first().map_or(0, |row| row.first);
    let end = rows.last().map_or(0, |row| row.first + row.weights.len());
    // [rows of the source that are needed, channels, width]
    let mut narrowed = Vec::with_capacity((end - first) * channels * columns.len());
    for row in image.bytes.chunks_exact(stride).take(end).skip(first) {
        for channel in 0..channels {
            narrowed.extend(columns.iter().map(|column| {
                let pixels = row
                    .iter()
                    .skip(column.first * channels + channel)
                    .step_by(channels);
                column
                    .weights
                    .iter()
                    .zip(pixels)
                    .map(|(weight, pixel)| weight * f32::from(*pixel))
                    .sum::<f32>()
            }));
        }
    }
    let (width, plane) = (columns.len(), rows.len() * columns.len());
    let mut sums = vec![0.0_f32; width];
    for channel in 0..channels {
        for (y, row) in rows.iter().enumerate() {
            sums.fill(0.0);
            for (weight, source) in row.weights.iter().zip(row.first - first..) {
                let start = (source * channels + channel) * width;
                for (sum, pixel) in sums.iter_mut().zip(&narrowed[start..start + width]) {
                    *sum += weight * pixel;
                }
            }
            let start = channel * plane + y * width;
            for (pixel, sum) in out[start..start + width].iter_mut().zip(&sums) {
                *pixel = byte(*sum);
            }
        }
    }
}

/// To the nearest of 0 to 255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped before"
)]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// The windows of `count` new pixels from `offset` on, when `old` pixels are scaled to `new`.
///
/// The weight falls linearly from the centre of the new pixel to nothing, one old pixel away, or one new
/// pixel away where that is more.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the positions of pixels before"
)]
fn windows(old: u32, new: u64, offset: u64, count: usize) -> Vec<Window> {
    let scale = f64::from(old) / new as f64;
    let reach = scale.max(1.0);
    let window = |position: u64| {
        let centre = (position as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5)
            .floor()
            .clamp(0.0, f64::from(old - 1)) as usize;
        let end = (centre + reach + 0.5)
            .floor()
            .clamp(first as f64 + 1.0, f64::from(old)) as usize;
        let weight = |at: usize| (1.0 - (at as f64 + 0.5 - centre).abs() / reach).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        // Every centre lies inside the image, at most half an old pixel from the middle of one.
        let weights = (first..end).map(|at| (weight(at) / sum) as f32).collect();
        Window { first, weights }
    };
    (offset..).take(count).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::shape::ImageShape;

    fn resized(bytes: &[u8], size: (u32, u32), to: (usize, usize)) -> Vec<u8> {
        let pixels = Pixels {
            bytes: bytes.to_vec(),
            channels: 1,
            height: size.0,
            width: size.1,
        };
        let shape = ImageShape::new(1, to.0, to.1);
        let mut out = vec![0; shape.bytes()];
        resize(&pixels, &ImageFit::new(shape), &mut out);
        out
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let image: Vec<u8> = (0..12).map(|n| n * 20).collect();
        assert_eq!(resized(&image, (3, 4), (3, 4)), image);
    }

    #[test]
    fn halving_weighs_a_triangle() {
        // Centre of new pixel 0 is 1.0, its reach 2: weights 0.75, 0.75, 0.25 of old pixels 0 to 2, by their
        // sum 1.75.
        let row = [70, 0, 0, 0, 0, 140, 0, 0];
        // New pixel 2 at 5.0: old 3 to 6 weigh 0.25, 0.75, 0.75, 0.25 by 2.
        let image = [row, row].concat();
        assert_eq!(resized(&image, (2, 8), (1, 4)), [30, 0, 53, 20]);
    }

    #[test]
    fn doubling_interpolates() {
        assert_eq!(
            resized(&[0, 100], (1, 2), (2, 4)),
            [0, 25, 75, 100, 0, 25, 75, 100]
        );
    }

    #[test]
    fn stretching_keeps_all_of_the_image() {
        let pixels = Pixels {
            bytes: vec![0, 100, 0, 100],
            channels: 1,
            height: 1,
            width: 4,
        };
        let mut out = vec![7; 4];
        stretch(&pixels, [2, 2], &mut out);
        // Centre 1.0, reach 2: weights 0.75, 0.75, 0.25 of 0, 100, 0, by their sum 1.75; and the mirror
        // image.
        assert_eq!(out, [43, 57, 43, 57]);
    }

    #[test]
    fn the_nearest_pixel_is_that_of_the_centre() {
        let nearest = |bytes: &[u8], size: (u32, u32), to: [usize; 2]| {
            let pixels = Pixels {
                bytes: bytes.to_vec(),
                channels: 1,
                height: size.0,
                width: size.1,
            };
            let mut out = vec![99; to[0] * to[1]];
            stretch_nearest(&pixels, to, &mut out);
            out
        };
        assert_eq!(nearest(&[1, 2], (1, 2), [1, 4]), [1, 1, 2, 2]);
        // Centres at 0.33, 1 and 1.67 of two old pixels, at 0.75 and 2.25 of three.
        assert_eq!(nearest(&[1, 2], (2, 1), [3, 1]), [1, 2, 2]);
        assert_eq!(nearest(&[1, 2, 3], (1, 3), [1, 2]), [1, 3]);
        assert_eq!(nearest(&[1, 2, 3, 4], (2, 2), [2, 2]), [1, 2, 3, 4]);
    }

    #[test]
    fn channels_come_out_one_after_the_other() {
        let pixels = Pixels {
            bytes: vec![1, 2, 3, 1, 2, 3],
            channels: 3,
            height: 1,
            width: 2,
        };
        let mut out = vec![0; 3];
        resize(&pixels, &ImageFit::new(ImageShape::new(3, 1, 1)), &mut out);
        assert_eq!(out, [1, 2, 3]);
    }
}
