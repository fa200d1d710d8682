//! Mode seeking: symmetries, hard inputs.

use crate::support::{Outcome, assert_finite, hard_pairs, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{ModeSeekingForm, mode_seeking};
use proptest::prelude::*;

const FORMS: [ModeSeekingForm; 3] = [
    ModeSeekingForm::Inverse,
    ModeSeekingForm::Ratio,
    ModeSeekingForm::Norms,
];

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

proptest! {
    #![proptest_config(cases(48))]

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
            let (images, codes) = (|x: &Tensor<4>| x.clone() * scale, |u: &Tensor<2>| u.clone() * scale);
            let scaled = loss(&images(&x), &images(&y), &codes(&u), &codes(&v))?;
            prop_assert!(near(scaled), "{form:?}: {plain}, scaled {scaled}");
        }
    }
}
