//! Mode seeking.

use crate::support::{Golden, Outcome, assert_finite, hard_pairs, wave};
use crate::{config, text, value};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{ModeSeekingForm, mode_seeking};
use proptest::prelude::*;

const FORMS: [ModeSeekingForm; 3] = [
    ModeSeekingForm::Inverse,
    ModeSeekingForm::Ratio,
    ModeSeekingForm::Norms,
];

#[test]
fn mode_seeking_is_as_the_formula_says() -> Outcome {
    Golden::read("mode_seeking")?.check(24, |given| {
        Ok(mode_seeking(
            given.student("images")?,
            given.student("other_images")?,
            given.student("codes")?,
            given.student("other_codes")?,
            given.choice("form")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn mode_seeking_survives_hard_inputs() -> Outcome {
    for shape in [[2, 3, 2, 3], [1, 1, 1, 1]] {
        for (name, images, other) in hard_pairs::<4>(shape) {
            for (code_name, codes, other_codes) in hard_pairs::<2>([shape[0], 3]) {
                for (form, epsilon) in FORMS
                    .into_iter()
                    .zip([1e-5; 3])
                    .chain(FORMS.into_iter().zip([1e-10; 3]))
                {
                    let plain =
                        |data: &TensorData| Tensor::from_data(data.clone(), &Device::flex());
                    let codes = plain(&codes);
                    let others = (
                        plain(&other_codes),
                        Tensor::from_data(other.clone(), &Device::flex()),
                    );
                    let what = format!("{form:?}: images {name}, codes {code_name}");
                    assert_finite(&what, images.clone(), |images| {
                        let (other_codes, other) = others.clone();
                        mode_seeking(images, other, codes.clone(), other_codes, form, epsilon)
                    })?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn mode_seeking_says_what_is_wrong() {
    let device = Device::flex();
    let image = |shape: [usize; 4]| Tensor::<4>::zeros(shape, &device);
    let code = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device);
    let loss =
        |images: [usize; 4], other: [usize; 4], codes: [usize; 2], other_codes: [usize; 2]| {
            let (images, other) = (image(images), image(other));
            let form = ModeSeekingForm::Inverse;
            text(mode_seeking(
                images,
                other,
                code(codes),
                code(other_codes),
                form,
                1e-5,
            ))
        };
    let advice = "make both from batches of one size by the same generator";
    assert_eq!(
        loss([2, 1, 2, 2], [1, 1, 2, 2], [2, 3], [2, 3]),
        format!(
            "`mode_seeking`: `images` ([2, 1, 2, 2]) and `other_images` ([1, 1, 2, 2]) differ in shape; {advice}"
        )
    );
    assert_eq!(
        loss([2, 1, 2, 2], [2, 1, 2, 2], [2, 3], [2, 1]),
        format!(
            "`mode_seeking`: `codes` ([2, 3]) and `other_codes` ([2, 1]) differ in shape; {advice}"
        )
    );
    assert_eq!(
        loss([2, 1, 2, 2], [2, 1, 2, 2], [3, 3], [3, 3]),
        "`mode_seeking`: `images` [2, 1, 2, 2] and `codes` [3, 3] differ in batch size; take both from the same batch"
    );
    assert_eq!(
        loss([0, 1, 2, 2], [0, 1, 2, 2], [0, 3], [0, 3]),
        "`mode_seeking`: `images` [0, 1, 2, 2] has no elements; skip empty batches"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mode_seeking_sees_neither_order_nor_shift_and_falls_as_images_part(
        phases in prop::array::uniform4(0.0_f64..6.0), batch in 1_usize..4, scale in 1.1_f64..5.0,
    ) {
        let options = (&Device::flex(), DType::F64);
        let image = |phase| Tensor::<4>::from_data(wave([batch, 2, 2, 3], phase), options);
        let code = |phase| Tensor::<2>::from_data(wave([batch, 3], phase), options);
        let (x, y, u, v) = (image(phases[0]), image(phases[1] + 0.1), code(phases[2]), code(phases[3] + 0.1));
        for form in FORMS {
            let loss = |x: &Tensor<4>, y: &Tensor<4>, u: &Tensor<2>, v: &Tensor<2>| {
                value(mode_seeking(x.clone(), y.clone(), u.clone(), v.clone(), form, 1e-7))
            };
            let plain = loss(&x, &y, &u, &v)?;
            let near = |found: f64| (found - plain).abs() <= 1e-6 * (1.0 + plain.abs());
            prop_assert!(near(loss(&y, &x, &u, &v)?), "{form:?}: images exchanged");
            prop_assert!(near(loss(&x, &y, &v, &u)?), "{form:?}: codes exchanged");
            prop_assert!(near(loss(&(x.clone() + 1.5), &(y.clone() + 1.5), &u, &v)?), "{form:?}: shifted");
            prop_assert!(loss(&(x.clone() * scale), &(y.clone() * scale), &u, &v)? <= plain);
            // Both by one factor: the ratio stays.
            let scaled = loss(&(x.clone() * scale), &(y.clone() * scale), &(u.clone() * scale), &(v.clone() * scale))?;
            prop_assert!(near(scaled), "{form:?}: {plain}, scaled {scaled}");
        }
    }
}
