//! Views against plain implementations on the host, and what their settings accept.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use burn::tensor::Device;
use kd_core::{
    Augment, Dataset, Draws, ImageShape, Loader, LoaderConfig, Split, ViewParams, ViewPolicy,
};
use proptest::prelude::*;

/// Random pixels.
fn noise(shape: ImageShape, samples: usize, seed: u64) -> Dataset {
    let mut draws = Draws::new(seed, "test pixels", 0, 0);
    let images = (0..samples * shape.bytes())
        .map(|_| draws.bits().to_le_bytes()[0])
        .collect();
    let labels = (0..samples)
        .map(|at| u16::try_from(at % 3).unwrap())
        .collect();
    Dataset::new("noise", Split::Train, shape, 3, images, labels).unwrap()
}

fn loader(data: &Dataset, seed: u64, augment: &Augment) -> Loader {
    let config = LoaderConfig {
        seed,
        views: ViewPolicy::Unlimited,
        augment: augment.clone(),
        ..LoaderConfig::new(7)
    };
    Loader::new(data, config, &Device::flex()).unwrap()
}

/// The pixels of one view of every sample, one sample after the other.
fn device_view(data: &Dataset, seed: u64, augment: &Augment, view: u64) -> Vec<Vec<f32>> {
    let ids: Vec<u32> = (0..).take(data.len()).collect();
    let batch = loader(data, seed, augment).view(view, &ids).unwrap();
    let pixels = batch
        .pixels()
        .unwrap()
        .into_data()
        .try_to_vec::<f32>()
        .unwrap();
    pixels
        .chunks_exact(data.shape().bytes())
        .map(<[f32]>::to_vec)
        .collect()
}

/// The pixel at `(row, column)` of a channel; 0 outside.
fn at<T: Copy + Default>(plane: &[T], shape: ImageShape, row: i64, column: i64) -> T {
    match (usize::try_from(row), usize::try_from(column)) {
        (Ok(row), Ok(column)) if row < shape.height && column < shape.width => {
            plane[row * shape.width + column]
        }
        _ => T::default(),
    }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap()
}

/// Crop and flip, pixel by pixel.
fn crop_and_flip(image: &[u8], shape: ImageShape, padding: usize, view: &ViewParams) -> Vec<f32> {
    let mut result = Vec::new();
    for plane in image.chunks_exact(shape.height * shape.width) {
        for row in 0..shape.height {
            for column in 0..shape.width {
                let column = if view.flip {
                    shape.width - 1 - column
                } else {
                    column
                };
                let row = signed(row + view.crop_top) - signed(padding);
                let column = signed(column + view.crop_left) - signed(padding);
                result.push(f32::from(at(plane, shape, row, column)) / 255.0);
            }
        }
    }
    result
}

/// Rotation and translation in double precision: where does the pixel come from, and what is there?
fn affine(image: &[f32], shape: ImageShape, view: &ViewParams) -> Vec<f64> {
    let (middle_row, middle_column) = (
        (shape.height as f64 - 1.0) / 2.0,
        (shape.width as f64 - 1.0) / 2.0,
    );
    let mut result = Vec::new();
    for plane in image.chunks_exact(shape.height * shape.width) {
        let plane: Vec<f64> = plane.iter().copied().map(f64::from).collect();
        for row in 0..shape.height {
            for column in 0..shape.width {
                // Undo the translation, then the rotation.
                let (y, x) = (
                    row as f64 - middle_row - view.down,
                    column as f64 - middle_column - view.right,
                );
                let (sin, cos) = (-view.angle).sin_cos();
                let (x, y) = (
                    cos * x - sin * y + middle_column,
                    sin * x + cos * y + middle_row,
                );
                let mut sum = 0.0;
                #[expect(clippy::cast_possible_truncation, reason = "near the image")]
                for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)]
                    .map(|(dy, dx)| (y.floor() as i64 + dy, x.floor() as i64 + dx))
                {
                    let weight = (1.0 - (y - row as f64).abs()) * (1.0 - (x - column as f64).abs());
                    sum += weight * at(&plane, shape, row, column);
                }
                result.push(sum);
            }
        }
    }
    result
}

fn shapes() -> impl Strategy<Value = ImageShape> {
    (1_usize..4, 1_usize..12, 1_usize..12)
        .prop_map(|(channels, height, width)| ImageShape::new(channels, height, width))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn crop_and_flip_are_exactly_those_of_the_host(
        shape in shapes(),
        padding in 0_usize..5,
        flip in 0.0_f64..=1.0,
        seed: u64,
        view in 0_u64..1000,
    ) {
        let padding = padding.min(shape.height).min(shape.width);
        let data = noise(shape, 9, seed);
        let augment = Augment { crop_padding: padding, flip, ..Augment::none() };
        for (id, pixels) in (0..).zip(device_view(&data, seed, &augment, view)) {
            let params = augment.params(seed, view, id);
            prop_assert_eq!(&pixels, &crop_and_flip(data.image(id).unwrap(), shape, padding, &params));
        }
    }

    #[test]
    fn rotation_and_translation_are_those_of_the_host_in_double_precision(
        shape in shapes(),
        crop_padding in 0_usize..2,
        rotate_degrees in 0.0_f64..180.0,
        translate_pixels in 0.0_f64..1.0,
        seed: u64,
    ) {
        let data = noise(shape, 5, seed);
        let augment = Augment { crop_padding, flip: 0.5, rotate_degrees, translate_pixels };
        for (id, pixels) in (0..).zip(device_view(&data, seed, &augment, 3)) {
            let params = augment.params(seed, 3, id);
            let cropped = crop_and_flip(data.image(id).unwrap(), shape, crop_padding, &params);
            for (device, host) in pixels.into_iter().zip(affine(&cropped, shape, &params)) {
                prop_assert!((f64::from(device) - host).abs() < 1e-5, "{} {}", device, host);
            }
        }
    }

    #[test]
    fn settings_survive_being_written_and_read(
        views in 1_u32..100,
        padding in 0_usize..9,
        flip in 0.0_f64..=1.0,
    ) {
        let augment = Augment { crop_padding: padding, flip, ..Augment::none() };
        let text = toml::to_string(&augment).unwrap();
        prop_assert_eq!(toml::from_str::<Augment>(&text).unwrap(), augment);
        let policy: ViewPolicy = serde_json::from_str(&views.to_string()).unwrap();
        prop_assert_eq!(policy.count(), Some(views));
        prop_assert_eq!(serde_json::to_string(&policy).unwrap(), views.to_string());
    }
}

#[test]
fn the_images_of_cifar_size_are_within_the_tolerance_too() {
    let shape = ImageShape::new(3, 32, 32);
    let data = noise(shape, 16, 4);
    let augment = Augment {
        crop_padding: 4,
        flip: 0.5,
        rotate_degrees: 15.0,
        translate_pixels: 3.0,
    };
    let mut worst = 0.0_f64;
    for (id, pixels) in (0..).zip(device_view(&data, 1, &augment, 0)) {
        let params = augment.params(1, 0, id);
        let cropped = crop_and_flip(data.image(id).unwrap(), shape, 4, &params);
        for (device, host) in pixels.into_iter().zip(affine(&cropped, shape, &params)) {
            worst = worst.max((f64::from(device) - host).abs());
        }
    }
    assert!(worst < 1e-5, "{worst}");
}

/// Where the light is, from the centre of the image: `(down, right)`.
fn centre_of_light(pixels: &[f32], side: usize) -> (f64, f64) {
    let (mut sum, mut down, mut right) = (0.0, 0.0, 0.0);
    for (at, pixel) in pixels.iter().enumerate() {
        let middle = (side as f64 - 1.0) / 2.0;
        sum += f64::from(*pixel);
        down += f64::from(*pixel) * ((at / side) as f64 - middle);
        right += f64::from(*pixel) * ((at % side) as f64 - middle);
    }
    (down / sum, right / sum)
}

#[test]
fn content_turns_clockwise_and_moves_down_and_right() {
    const SIDE: usize = 31;
    let mut image = vec![0; SIDE * SIDE];
    // A spot of 3 by 3, eight to the right of the centre and three below.
    for row in 17..20 {
        image[row * SIDE + 22..row * SIDE + 25].fill(255);
    }
    let images = image.repeat(20);
    let data = Dataset::new(
        "spot",
        Split::Train,
        ImageShape::new(1, SIDE, SIDE),
        1,
        images,
        vec![0; 20],
    )
    .unwrap();
    let augment = Augment {
        rotate_degrees: 90.0,
        translate_pixels: 4.0,
        ..Augment::none()
    };
    for (id, pixels) in (0..).zip(device_view(&data, 8, &augment, 5)) {
        let ViewParams {
            angle, down, right, ..
        } = augment.params(8, 5, id);
        let found = centre_of_light(&pixels, SIDE);
        // On a screen, a clockwise turn takes right to down and down to left.
        let expected = (
            8.0 * angle.sin() + 3.0 * angle.cos() + down,
            8.0 * angle.cos() - 3.0 * angle.sin() + right,
        );
        let away = (found.0 - expected.0).hypot(found.1 - expected.1);
        assert!(away < 0.05, "{found:?} {expected:?}");
    }
}

#[test]
fn no_rotation_and_no_translation_leave_the_bytes_alone() {
    let shape = ImageShape::new(3, 9, 6);
    let data = noise(shape, 11, 2);
    let plain: Vec<f32> = data
        .images()
        .iter()
        .map(|byte| f32::from(*byte) / 255.0)
        .collect();
    assert_eq!(device_view(&data, 1, &Augment::none(), 6).concat(), plain);
    // A sampling that is configured but happens to be almost nothing is the identity up to rounding.
    let nothing = Augment {
        rotate_degrees: 1e-9,
        translate_pixels: 1e-9,
        ..Augment::none()
    };
    for (device, host) in device_view(&data, 1, &nothing, 6)
        .concat()
        .into_iter()
        .zip(plain)
    {
        assert!((device - host).abs() < 1e-5, "{device} {host}");
    }
}

#[test]
fn draws_cover_their_range_and_do_not_depend_on_each_other() {
    let all = Augment {
        crop_padding: 2,
        flip: 0.5,
        rotate_degrees: 10.0,
        translate_pixels: 1.5,
    };
    let views: Vec<_> = (0..2000).map(|sample| all.params(5, 1, sample)).collect();
    let tops: BTreeSet<_> = views.iter().map(|view| view.crop_top).collect();
    let lefts: BTreeSet<_> = views.iter().map(|view| view.crop_left).collect();
    assert_eq!((tops, lefts), ((0..=4).collect(), (0..=4).collect()));
    let flipped = views.iter().filter(|view| view.flip).count();
    assert!((900..1100).contains(&flipped), "{flipped}");
    assert!(
        views
            .iter()
            .all(|view| view.angle.to_degrees().abs() <= 10.0 && view.down.abs() <= 1.5)
    );
    assert!(
        views.iter().any(|view| view.angle.to_degrees() > 9.5)
            && views.iter().any(|view| view.right < -1.4)
    );
    // The flip of a view stays what it is when the other settings change.
    let only_flip = Augment {
        flip: 0.5,
        ..Augment::none()
    };
    assert!(
        (0..)
            .zip(&views)
            .all(|(sample, view)| only_flip.params(5, 1, sample).flip == view.flip)
    );
    for changed in [
        all.params(6, 1, 0),
        all.params(5, 2, 0),
        all.params(5, 1, 1),
    ] {
        assert_ne!(changed, views[0]);
    }
}

#[test]
fn settings_out_of_range_are_refused_in_words() {
    let shape = ImageShape::new(3, 32, 28);
    let none = Augment::none;
    let cases = [
        (
            Augment {
                flip: 1.5,
                ..none()
            },
            "`augment.flip` must be 0 or more and at most 1, got 1.5",
        ),
        (
            Augment {
                flip: f64::NAN,
                ..none()
            },
            "`augment.flip` must be 0 or more and at most 1, got NaN",
        ),
        (
            Augment {
                rotate_degrees: -1.0,
                ..none()
            },
            "`augment.rotate_degrees` must be 0 or more and at most 180, got -1",
        ),
        (
            Augment {
                translate_pixels: f64::INFINITY,
                ..none()
            },
            "`augment.translate_pixels` must be 0 or more, got inf",
        ),
        (
            Augment {
                crop_padding: 29,
                ..none()
            },
            "`augment.crop_padding` must be at most 28 for images of 3x32x28, got 29",
        ),
        (
            Augment {
                translate_pixels: 28.5,
                ..none()
            },
            "`augment.translate_pixels` must be at most 28 for images of 3x32x28, got 28.5",
        ),
    ];
    for (augment, text) in cases {
        assert_eq!(augment.check_for(shape).unwrap_err().to_string(), text);
    }
    let unknown = toml::from_str::<Augment>("flips = 0.5")
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("unknown field `flips`"), "{unknown}");
    assert_eq!(
        ViewPolicy::Bank(1).check().unwrap_err().to_string(),
        "`views` must be 1 (no augmentation), 2 or more, or \"unlimited\"; a bank of 1 is none"
    );
}

#[test]
fn a_policy_is_a_number_or_a_word() {
    let read =
        |text: &str| serde_json::from_str::<ViewPolicy>(text).map_err(|error| error.to_string());
    assert_eq!(read("1"), Ok(ViewPolicy::Fixed));
    assert_eq!(read("8"), Ok(ViewPolicy::Bank(8)));
    assert_eq!(read("\"unlimited\""), Ok(ViewPolicy::Unlimited));
    for bad in ["0", "-1", "\"many\"", "1.5", "5000000000"] {
        let error = read(bad).unwrap_err();
        assert!(
            error.contains("1 (no augmentation), a number of recorded views, or \"unlimited\""),
            "{error}"
        );
    }
    assert_eq!(
        serde_json::to_string(&ViewPolicy::Unlimited).unwrap(),
        "\"unlimited\""
    );
    assert_eq!(
        [ViewPolicy::Fixed, ViewPolicy::Bank(3)].map(|policy| policy.view(7)),
        [0, 1]
    );
}
