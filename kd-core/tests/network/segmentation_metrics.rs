//! The metrics of a segmentation: cases counted by hand, and against a slow count of sets of pixels on random
//! data.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Dataset, Draws, ImageShape, Loader, LoaderConfig, Masks, SegmentationMetrics,
    SegmentationSummary, Split, evaluate_segmentation,
};
use proptest::prelude::*;

fn ints(values: &[i64], shape: [usize; 3]) -> Tensor<3, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
}

#[test]
fn a_case_counted_by_hand() {
    let mut metrics = SegmentationMetrics::new(4, Some(9)).unwrap();
    // Classes 0 to 3; class 3 is never there and never predicted. Nothing is labelled in the last column.
    let masks = [0, 0, 1, 9, /**/ 2, 1, 1, 9];
    let said = [0, 1, 1, 0, /**/ 2, 2, 1, 2];
    metrics
        .add_predictions(ints(&said, [1, 2, 4]), ints(&masks, [1, 2, 4]))
        .unwrap();
    let summary = metrics.summary().unwrap();
    assert_eq!(
        (summary.images, summary.pixels, summary.void_pixels),
        (1, 6, 2)
    );
    near(summary.pixel_accuracy, 4.0 / 6.0);
    // Class 0: one of two found, no other taken for it. Class 1: two of three, one other. Class 2: the one,
    // one other.
    let expected = [Some(1.0 / 2.0), Some(2.0 / 4.0), Some(1.0 / 2.0), None];
    assert_eq!(summary.class_iou, expected);
    near(summary.mean_iou, 0.5);
    assert_eq!(
        metrics.confusion().rows(),
        [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0; 4]]
    );
    // With all pixels, class 0 is also predicted once and class 2 once where nothing is labelled; class 3
    // scores 1.
    let e = 1e-6;
    let compat = [
        (1.0 + e) / (3.0 + e),
        (2.0 + e) / (4.0 + e),
        (1.0 + e) / (3.0 + e),
        1.0,
    ];
    near(summary.miou_compat, compat.iter().sum::<f64>() / 4.0);
}

#[test]
fn the_authors_form_is_a_mean_over_images_and_ours_is_not() {
    let mut metrics = SegmentationMetrics::new(2, None).unwrap();
    // Image one: class 0 only, all right, so 1 and 1. Image two: 0 is 1/2, 1 is 2/3.
    let masks = [0, 0, 0, 0, /**/ 0, 0, 1, 1];
    let said = [0, 0, 0, 0, /**/ 0, 1, 1, 1];
    metrics
        .add_predictions(ints(&said, [2, 2, 2]), ints(&masks, [2, 2, 2]))
        .unwrap();
    let summary = metrics.summary().unwrap();
    let each = [1.0, f64::midpoint(0.5, 2.0 / 3.0)];
    assert!((summary.miou_compat - f64::midpoint(each[0], each[1])).abs() < 1e-6);
    assert_eq!(summary.class_iou, [Some(5.0 / 6.0), Some(2.0 / 3.0)]);
}

#[test]
fn an_output_for_void_is_a_prediction_of_no_class() {
    let mut metrics = SegmentationMetrics::new(2, Some(2)).unwrap();
    // Three outputs; the third is the largest for pixel 1 (of class 1) and pixel 3 (void).
    let logits = [
        [3.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 3.0, 1.0],
        [0.0, 2.0, 0.0, 2.0],
    ];
    let logits = Tensor::<2>::from_data(logits, &Device::flex()).reshape([1, 3, 2, 2]);
    metrics.add(logits, ints(&[0, 1, 1, 2], [1, 2, 2])).unwrap();
    let summary = metrics.summary().unwrap();
    assert_eq!(summary.class_iou, [Some(1.0), Some(0.5)]);
    near(summary.pixel_accuracy, 2.0 / 3.0);
    assert_eq!(metrics.confusion().rows(), [[1, 0], [0, 1]]);
    assert_eq!(summary.non_finite, 0);
}

#[test]
fn a_pixel_with_a_logit_that_is_not_finite_is_wrong() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut metrics = SegmentationMetrics::new(2, Some(2)).unwrap();
        let logits = [[3.0, bad, 3.0, 3.0], [0.0, 0.0, 0.0, bad]];
        let logits = Tensor::<2>::from_data(logits, &Device::flex()).reshape([1, 2, 1, 4]);
        metrics.add(logits, ints(&[0, 0, 0, 2], [1, 1, 4])).unwrap();
        let summary = metrics.summary().unwrap();
        assert_eq!(summary.non_finite, 2);
        near(summary.pixel_accuracy, 2.0 / 3.0);
        assert_eq!(summary.class_iou, [Some(2.0 / 3.0), None]);
    }
}

#[test]
fn counts_beyond_what_a_float_of_32_bits_can_hold_are_exact() {
    let mut metrics = SegmentationMetrics::new(2, None).unwrap();
    // 2^24 + 1 pixels of class 0, one after the other in odd numbers, of which 3 are not recognised.
    let side = 4099;
    let device = Device::flex();
    let masks = Tensor::<3, Int>::zeros([1, side, 4097], &device);
    let mut said = vec![0_i64; side * 4097];
    for at in [0, 5_000_000, side * 4097 - 1] {
        said[at] = 1;
    }
    let said = ints(&said, [1, side, 4097]);
    metrics.add_predictions(said, masks).unwrap();
    let summary = metrics.summary().unwrap();
    assert_eq!(summary.pixels, 16_793_603);
    assert_eq!(metrics.confusion().rows(), [[16_793_600, 3], [0, 0]]);
}

#[test]
fn a_summary_survives_json() {
    let mut metrics = SegmentationMetrics::new(3, Some(3)).unwrap();
    let masks = ints(&[0, 1, 3, 1], [1, 2, 2]);
    metrics
        .add_predictions(ints(&[0, 1, 1, 0], [1, 2, 2]), masks)
        .unwrap();
    let summary = metrics.summary().unwrap();
    let text = serde_json::to_string(&summary).unwrap();
    assert!(text.contains(r#""class_iou":[0.5,0.5,null]"#), "{text}");
    let back: SegmentationSummary = serde_json::from_str(&text).unwrap();
    assert_eq!(back, summary);
}

#[test]
fn what_cannot_be_counted_is_an_error_and_adds_nothing() {
    let text = |error: kd_core::Error| error.to_string();
    assert_eq!(
        text(SegmentationMetrics::new(1, None).unwrap_err()),
        "`classes` must be 2 to 256, got 1"
    );
    assert_eq!(
        text(SegmentationMetrics::new(3, Some(0)).unwrap_err()),
        "`void` must be no class, got 0; classes are 0 to 2"
    );
    let mut metrics = SegmentationMetrics::new(3, Some(9)).unwrap();
    let device = Device::flex();
    let masks = ints(&[0, 9], [1, 1, 2]);
    let logits = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device);
    assert_eq!(
        text(
            metrics
                .add(logits([1, 2, 1, 2]), masks.clone())
                .unwrap_err()
        ),
        "logits: expected at least 3 outputs a pixel, one a class, got [1, 2, 1, 2]; give the logits of a \
         network that knows \
         these classes"
    );
    assert_eq!(
        text(
            metrics
                .add(logits([1, 3, 2, 2]), masks.clone())
                .unwrap_err()
        ),
        "masks: expected [1, 2, 2], as the predictions have, got [1, 1, 2]; give one mask for each image, of \
         its height and \
         width"
    );
    let odd = ints(&[0, 4], [1, 1, 2]);
    assert_eq!(
        text(metrics.add_predictions(masks.clone(), odd).unwrap_err()),
        "`masks` must be 0 to 2 or 9 (no class), got 4"
    );
    assert!(text(metrics.summary().unwrap_err()).contains("0 in 0 images"));
    let void = ints(&[9, 9], [1, 1, 2]);
    metrics.add_predictions(masks, void).unwrap();
    assert!(text(metrics.summary().unwrap_err()).contains("0 in 1 images"));
}

#[test]
fn a_loader_s_images_are_measured() {
    let shape = ImageShape::new(1, 2, 2);
    // The network says the class that the pixel is.
    let images = vec![0, 1, 2, 0, /**/ 1, 1, 2, 2, /**/ 0, 0, 0, 1];
    let values = vec![0, 1, 2, 9, /**/ 1, 2, 2, 9, /**/ 0, 0, 0, 0];
    let masks = Masks::new(3, Some(9), values).unwrap();
    let data = Dataset::segmentation("toy", Split::Test, shape, images, masks).unwrap();
    let loader = Loader::new(&data, LoaderConfig::ordered(2), &Device::flex()).unwrap();
    let metrics = evaluate_segmentation(&loader, |batch| {
        let pixels = batch.pixels().unwrap();
        let says = |class: f64| -((pixels.clone() * 255.0 - class).abs());
        Ok(Tensor::cat(vec![says(0.0), says(1.0), says(2.0)], 1))
    });
    let summary = metrics.unwrap().summary().unwrap();
    assert_eq!((summary.images, summary.pixels), (3, 10));
    near(summary.pixel_accuracy, 0.8);
    assert_eq!(
        summary.class_iou,
        [Some(4.0 / 5.0), Some(2.0 / 4.0), Some(2.0 / 3.0)]
    );
}

/// Everything once more from lists of the pixels that are, and that are said to be, of a class.
fn slowly(said: &[Vec<i64>], masks: &[Vec<i64>], classes: usize, void: i64) -> [f64; 3] {
    let classes = i64::try_from(classes).unwrap();
    let all =
        || (0..masks.len()).flat_map(|image| (0..masks[image].len()).map(move |at| (image, at)));
    let pairs = |kept: &dyn Fn(usize, usize) -> bool, class: i64| {
        let (mut both, mut either) = (0_u32, 0_u32);
        for (image, at) in all().filter(|(image, at)| kept(*image, *at)) {
            let (is, says) = (masks[image][at] == class, said[image][at] == class);
            both += u32::from(is && says);
            either += u32::from(is || says);
        }
        (f64::from(both), f64::from(either))
    };
    let labelled = |image: usize, at: usize| masks[image][at] != void;
    let right = all()
        .filter(|(image, at)| masks[*image][*at] == said[*image][*at] && labelled(*image, *at));
    let accuracy =
        right.count() as f64 / all().filter(|(image, at)| labelled(*image, *at)).count() as f64;
    let ious: Vec<f64> = (0..classes)
        .map(|class| pairs(&labelled, class))
        .filter(|(_, either)| *either > 0.0)
        .map(|(both, either)| both / either)
        .collect();
    let mut compat = 0.0;
    for image in 0..masks.len() {
        for class in 0..classes {
            let (both, either) = pairs(&|one, _| one == image, class);
            compat += (both + 1e-6) / (either + 1e-6);
        }
    }
    [
        accuracy,
        ious.iter().sum::<f64>() / ious.len() as f64,
        compat / (masks.len() as f64 * classes as f64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_slow_count_agrees(
        seed in 0_u64..10_000,
        images in 1_usize..6,
        classes in 2_usize..6,
        cut in 1_usize..6,
    ) {
        let (height, width) = (3, 5);
        let pixels = height * width;
        let mut draws = Draws::new(seed, "test", 0, 0);
        let mut draw = |most: usize| i64::try_from(draws.bits() % most as u64).unwrap();
        let void = i64::try_from(classes).unwrap();
        let mut table = || -> Vec<Vec<i64>> {
            (0..images).map(|_| (0..pixels).map(|_| draw(classes + 1)).collect()).collect()
        };
        let (said, mut masks) = (table(), table());
        masks[0][0] = 0;
        let mut metrics = SegmentationMetrics::new(classes, u8::try_from(classes).ok()).unwrap();
        let mut whole = metrics.clone();
        for at in (0..images).step_by(cut) {
            let end = (at + cut).min(images);
            let shape = [end - at, height, width];
            let (said, masks) = (said[at..end].concat(), masks[at..end].concat());
            metrics.add_predictions(ints(&said, shape), ints(&masks, shape)).unwrap();
        }
        let shape = [images, height, width];
        let all = (ints(&said.concat(), shape), ints(&masks.concat(), shape));
        whole.add_predictions(all.0, all.1).unwrap();
        let summary = metrics.summary().unwrap();
        prop_assert_eq!(&summary, &whole.summary().unwrap());
        let expected = slowly(&said, &masks, classes, void);
        let found = [summary.pixel_accuracy, summary.mean_iou, summary.miou_compat];
        for (found, expected) in found.into_iter().zip(expected) {
            prop_assert!((found - expected).abs() < 1e-12, "{} {}", found, expected);
        }
    }
}
