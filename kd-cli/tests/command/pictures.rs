//! Pictures of one's own, as a user brings them: uneven classes, odd sizes; and images with masks.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};

/// The classes, with their images to train on and to test on.
const CLASSES: [(&str, usize, usize); 3] = [("disc", 26, 6), ("square", 14, 5), ("stripes", 9, 4)];

/// Folders `train` and `test` in `folder`, in each a folder for each class.
pub(crate) fn photos(folder: &Path) {
    for (kind, (class, train, test)) in CLASSES.into_iter().enumerate() {
        for (split, first, count) in [("train", 0, train), ("test", train, test)] {
            write_class(&folder.join(split).join(class), kind, first..first + count);
        }
    }
}

/// A folder for each class directly in `folder`.
pub(crate) fn flat_photos(folder: &Path) {
    for (kind, (class, train, test)) in CLASSES.into_iter().enumerate() {
        write_class(&folder.join(class), kind, 0..train + test);
    }
}

fn write_class(folder: &Path, kind: usize, numbers: std::ops::Range<usize>) {
    std::fs::create_dir_all(folder).unwrap();
    for number in numbers {
        picture(kind, number)
            .save(folder.join(format!("{number:03}.png")))
            .unwrap();
    }
}

/// A bright shape on a dark ground; place, size and colours follow from the number.
fn picture(kind: usize, number: usize) -> RgbImage {
    let (width, height) = (side(37, 5, number % 7), side(33, 4, number % 5));
    let radius = f64::from(width.min(height)) / (2.5 + 0.3 * (number % 4) as f64);
    let (x0, y0) = (
        f64::from(width) / 2.0,
        f64::from(height) / (1.8 + 0.1 * (number % 3) as f64),
    );
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = ((f64::from(x) - x0).abs(), (f64::from(y) - y0).abs());
        let inside = match kind {
            0 => dx * dx + dy * dy < radius * radius,
            1 => dx.max(dy) < 0.8 * radius,
            _ => (x + y) % 8 < 4,
        };
        let shade = u8::try_from(10 * (number % 6)).unwrap();
        if inside {
            Rgb([200 - shade, 160 + shade, 120])
        } else {
            Rgb([20 + shade, 40, 60 - shade])
        }
    })
}

fn side(least: u32, step: u32, times: usize) -> u32 {
    least + step * u32::try_from(times).unwrap()
}

/// `images` and `masks` in `folder`, in each `train` and `test`: a bright cell, 255 in the mask.
pub(crate) fn scans(folder: &Path) {
    for (split, numbers) in [("train", 0..24), ("test", 24..32)] {
        let [images, masks] = ["images", "masks"].map(|part| folder.join(part).join(split));
        for folder in [&images, &masks] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for number in numbers {
            let (width, height) = (side(60, 5, number % 4), side(50, 3, number % 3));
            let radius = 12.0 + (number % 5) as f64;
            let (x0, y0) = (20.0 + (number % 6) as f64 * 4.0, 25.0 + (number % 4) as f64);
            let inside = |x: u32, y: u32| (f64::from(x) - x0).hypot(f64::from(y) - y0) < radius;
            let image = RgbImage::from_fn(width, height, |x, y| {
                if inside(x, y) {
                    Rgb([210, 190, 170])
                } else {
                    Rgb([40, 50, 60])
                }
            });
            let mask =
                GrayImage::from_fn(width, height, |x, y| Luma([255 * u8::from(inside(x, y))]));
            image.save(images.join(format!("{number:03}.png"))).unwrap();
            mask.save(masks.join(format!("{number:03}.png"))).unwrap();
        }
    }
}
