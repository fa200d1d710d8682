//! Total variation and the norm of images: symmetries, hard inputs.

use crate::support::{Outcome, assert_finite, hard_pairs, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{ImageSize, VariationForm, image_l2, total_variation};
use proptest::prelude::*;

const SIZES: [ImageSize; 3] = [ImageSize::Image, ImageSize::Batch, ImageSize::MeanSquare];

const VARIATIONS: [VariationForm; 4] = [
    VariationForm::Norms,
    VariationForm::Means,
    VariationForm::Absolute,
    VariationForm::Square,
];

#[test]
fn priors_of_images_survive_hard_inputs() -> Outcome {
    for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [2, 1, 1, 1], [1, 1, 1, 4]] {
        for (name, images, _) in hard_pairs::<4>(shape) {
            for form in VARIATIONS {
                let loss = |images| total_variation(images, form, 1e-6);
                assert!(assert_finite(name, images.clone(), loss)? >= 0.0);
            }
            for size in SIZES {
                let loss = |images| image_l2(images, size, 1e-6);
                assert!(assert_finite(name, images.clone(), loss)? >= 0.0);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn priors_of_images_see_neither_sign_nor_mirror_and_scale_as_documented(
        phase in 0.0_f64..6.0,
        shape in (1_usize..3, 1_usize..3, 1_usize..5, 1_usize..5),
        scale in 0.1_f64..10.0,
        shift in -5.0_f64..5.0,
    ) {
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let images = Tensor::<4>::from_data(wave(shape, phase), (&Device::flex(), DType::F64));
        let flips = [images.clone().neg(), images.clone().flip([2]), images.clone().flip([3])];
        let near = |found: f64, expected: f64| (found - expected).abs() <= 1e-8 * (1.0 + expected);
        for form in VARIATIONS {
            let loss = |images| value(total_variation(images, form, 1e-9));
            let plain = loss(images.clone())?;
            let power = if form == VariationForm::Square { 2 } else { 1 };
            prop_assert!(plain >= 0.0);
            prop_assert!(near(loss(images.clone() + shift)?, plain), "{form:?}, shifted");
            prop_assert!(near(loss(images.clone().swap_dims(2, 3))?, plain), "{form:?}, turned");
            prop_assert!(near(loss(images.clone() * scale)?, plain * scale.powi(power)), "{form:?}, scaled");
            for flipped in &flips {
                prop_assert!(near(loss(flipped.clone())?, plain), "{form:?}, flipped");
            }
        }
        for size in SIZES {
            let loss = |images| value(image_l2(images, size, 1e-9));
            let plain = loss(images.clone())?;
            let power = if size == ImageSize::MeanSquare { 2 } else { 1 };
            prop_assert!(plain >= 0.0);
            prop_assert!(near(loss(images.clone() * scale)?, plain * scale.powi(power)), "{size:?}, scaled");
            for flipped in &flips {
                prop_assert!(near(loss(flipped.clone())?, plain), "{size:?}, flipped");
            }
        }
    }
}
