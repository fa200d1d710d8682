//! Losses of dense prediction: golden values and gradients, what their formulas imply, inputs that they must survive,
//! teachers that learn nothing, the words of their errors.

mod support;

use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    CwdLoss, CwdLossConfig, PairWiseAffinityLoss, PairWiseAffinityLossConfig, PixelWiseLoss,
    PixelWiseLossConfig, Result, cross_entropy, cwd, pair_wise_affinity, pixel_cross_entropy,
    pixel_wise, soft_target,
};
use support::{Golden, Outcome, assert_finite, hard_pairs, numbers, wave};

#[test]
fn cwd_is_as_the_formula_says() -> Outcome {
    Golden::read("cwd")?.check(10, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(cwd(student, teacher, given.number("temperature")?)?)
    })
}

#[test]
fn pixel_wise_is_as_the_formula_says() -> Outcome {
    Golden::read("pixel_wise")?.check(10, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(pixel_wise(student, teacher, given.number("temperature")?)?)
    })
}

#[test]
fn pixel_cross_entropy_is_as_the_formula_says() -> Outcome {
    Golden::read("pixel_cross_entropy")?.check(11, |given| {
        let logits = given.student::<4>("logits")?;
        let [batch_size, _, height, width] = logits.dims();
        let masks = given.ints("masks")?.reshape([batch_size, height, width]);
        let ignore = given.number("ignore")?;
        let ignore = (-1..=255).find(|value| f64::from(*value).total_cmp(&ignore).is_eq());
        let ignore = ignore.map(i64::from);
        Ok(pixel_cross_entropy(logits, masks, ignore)?)
    })
}

#[test]
fn pixel_cross_entropy_is_cross_entropy_where_all_pixels_are_kept() -> Outcome {
    let device = Device::flex();
    let logits = map([2, 3, 2, 2], 0.4);
    let masks = Tensor::<3, Int>::from_data([[[0, 1], [2, 0]], [[1, 1], [2, 2]]], &device);
    let rows = logits.clone().permute([0, 2, 3, 1]).reshape([8, 3]);
    let expected = value(cross_entropy(rows, masks.clone().reshape([8]), 0.0))?;
    for ignore in [None, Some(3), Some(-1)] {
        close(
            value(pixel_cross_entropy(logits.clone(), masks.clone(), ignore))?,
            expected,
        );
    }
    Ok(())
}

#[test]
fn a_batch_without_a_labelled_pixel_teaches_nothing() -> Outcome {
    let device = Device::flex();
    let logits = Tensor::<4>::from_data(wave([2, 3, 2, 2], 0.1), &device.clone().autodiff());
    let logits = logits.require_grad();
    let masks = Tensor::<3, Int>::full([2, 2, 2], 11, &device);
    let loss = pixel_cross_entropy(logits.clone(), masks, Some(11))?;
    assert_eq!(numbers(loss.clone()), [0.0]);
    let gradients = loss.backward();
    let gradient = logits.grad(&gradients).ok_or("no gradient")?;
    assert_eq!(numbers(gradient), [0.0; 24]);
    Ok(())
}

#[test]
fn masks_of_another_size_are_refused_in_words() {
    let device = Device::flex();
    let text = |shape: [usize; 4], masks: [usize; 3]| {
        let masks = Tensor::<3, Int>::zeros(masks, &device);
        let loss = pixel_cross_entropy(Tensor::zeros(shape, &device), masks, Some(11));
        loss.map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(
        text([2, 3, 4, 5], [1, 4, 5]),
        "`pixel_cross_entropy`: `logits` [2, 3, 4, 5] and `masks` [1, 4, 5] differ in batch size; take both from the same batch"
    );
    assert_eq!(
        text([2, 3, 4, 5], [2, 5, 4]),
        "`pixel_cross_entropy`: `logits` [2, 3, 4, 5] and `masks` [2, 5, 4] differ in height or width; give masks of the \
         size of the logits"
    );
    assert_eq!(
        text([0, 3, 4, 5], [0, 4, 5]),
        "`pixel_cross_entropy`: `logits` [0, 3, 4, 5] has no elements; skip empty batches"
    );
}

#[test]
fn pair_wise_affinity_is_as_the_formula_says() -> Outcome {
    Golden::read("pair_wise_affinity")?.check(12, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let (scale, epsilon) = (given.number("scale")?, given.number("epsilon")?);
        Ok(pair_wise_affinity(student, teacher, scale, epsilon)?)
    })
}

type Loss = fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>;

const ALL: &[(&str, Loss)] = &[
    ("cwd", |student, teacher| cwd(student, teacher, 4.0)),
    ("pixel-wise", |student, teacher| {
        pixel_wise(student, teacher, 1.0)
    }),
    ("pair-wise-affinity", |student, teacher| {
        pair_wise_affinity(student, teacher, 0.5, 1e-8)
    }),
    ("pair-wise-affinity of positions", |student, teacher| {
        pair_wise_affinity(student, teacher, 1e-3, 1e-8)
    }),
];

#[test]
fn every_dense_loss_survives_hard_inputs() -> Outcome {
    for (name, loss) in ALL {
        for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [3, 2, 1, 1], [1, 1, 1, 1]] {
            for (input, student, teacher) in hard_pairs::<4>(shape) {
                let what = format!("{name} {shape:?} {input}");
                let teacher = Tensor::<4>::from_data(teacher, &Device::flex());
                let value =
                    assert_finite(&what, student, |student| loss(student, teacher.clone()))?;
                assert!(value >= -1e-5, "{what}: {value}");
                if ["equal", "both of zeros"].contains(&input) {
                    assert!(value <= 1e-5, "{what}: {value}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Outcome {
    let shape = [3, 2, 3, 4];
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    for (name, loss) in ALL {
        let student = Tensor::<4>::from_data(wave(shape, 0.3), &autodiff).require_grad();
        let leaf = Tensor::<4>::from_data(wave(shape, 2.1), &autodiff).require_grad();
        let teacher = leaf.clone() * 1.5;
        let value = loss(student.clone(), teacher.clone())?;
        let gradients = value.backward();
        assert!(student.grad(&gradients).is_some(), "{name}: no gradient");
        assert!(
            leaf.grad(&gradients).is_none(),
            "{name}: the teacher learns"
        );
        let lifted = loss(student.clone(), teacher.clone().inner())?;
        let alone = loss(student.inner(), teacher)?;
        assert!(!alone.is_autodiff(), "{name}");
        let value = value.into_scalar::<f32>().to_bits();
        assert_eq!(value, lifted.into_scalar::<f32>().to_bits(), "{name}");
        assert_eq!(value, alone.into_scalar::<f32>().to_bits(), "{name}");
    }
    Ok(())
}

fn value(loss: Result<Tensor<1>>) -> Outcome<f64> {
    Ok(numbers(loss?).into_iter().sum())
}

fn close(one: f64, other: f64) {
    assert!(
        (one - other).abs() <= 1e-5 * (1.0 + one.abs()),
        "{one}, {other}"
    );
}

fn map(shape: [usize; 4], phase: f64) -> Tensor<4> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

#[test]
fn pixel_wise_is_soft_targets_at_each_position() -> Outcome {
    let (student, teacher) = (map([2, 5, 3, 2], 0.3), map([2, 5, 3, 2], 2.1));
    let rows = |map: Tensor<4>| map.permute([0, 2, 3, 1]).reshape([12, 5]);
    let expected = soft_target(rows(student.clone()), rows(teacher.clone()), 3.0);
    close(value(pixel_wise(student, teacher, 3.0))?, value(expected)?);
    Ok(())
}

#[test]
fn cwd_is_pixel_wise_with_channels_and_positions_exchanged() -> Outcome {
    let (student, teacher) = (map([2, 5, 1, 6], 0.3), map([2, 5, 1, 6], 2.1));
    let turned = |map: Tensor<4>| map.swap_dims(1, 3);
    let expected = pixel_wise(turned(student.clone()), turned(teacher.clone()), 3.0);
    close(value(cwd(student, teacher, 3.0))?, value(expected)?);
    Ok(())
}

#[test]
fn each_divergence_sees_no_shift_along_its_axis() -> Outcome {
    let (student, teacher) = (map([2, 3, 4, 4], 0.3), map([2, 3, 4, 4], 2.1));
    let of_channels = map([2, 3, 1, 1], 1.0) * 5.0;
    let of_positions = map([2, 1, 4, 4], 1.0) * 5.0;
    let plain = value(cwd(student.clone(), teacher.clone(), 2.0))?;
    let shifted = cwd(student.clone() + of_channels.clone(), teacher.clone(), 2.0);
    close(plain, value(shifted)?);
    let shifted = cwd(student.clone() + of_positions.clone(), teacher.clone(), 2.0);
    assert!((plain - value(shifted)?).abs() > 0.1);
    let plain = value(pixel_wise(student.clone(), teacher.clone(), 2.0))?;
    let shifted = pixel_wise(student.clone() + of_positions, teacher.clone(), 2.0);
    close(plain, value(shifted)?);
    let shifted = pixel_wise(student + of_channels, teacher, 2.0);
    assert!((plain - value(shifted)?).abs() > 0.1);
    Ok(())
}

#[test]
fn the_gradient_of_a_divergence_keeps_its_size_as_the_temperature_grows() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let teacher = map([2, 3, 4, 4], 2.1);
    for loss in [cwd, pixel_wise] {
        let size = |temperature| -> Outcome<f64> {
            let student = Tensor::from_data(wave([2, 3, 4, 4], 0.3), &autodiff).require_grad();
            let gradients = loss(student.clone(), teacher.clone(), temperature)?.backward();
            let gradient = student.grad(&gradients).ok_or("no gradient")?;
            value(Ok(gradient.abs().sum()))
        };
        let ratio = size(40.0)? / size(80.0)?;
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    }
    Ok(())
}

#[test]
fn affinities_see_neither_scale_nor_a_rotation_of_channels_nor_the_order_of_positions() -> Outcome {
    let (student, teacher) = (map([2, 2, 3, 2], 0.3), map([2, 4, 3, 2], 2.1));
    let loss = |student| value(pair_wise_affinity(student, teacher.clone(), 0.1, 1e-8));
    let plain = loss(student.clone())?;
    assert!(plain > 0.01);
    close(plain, loss(student.clone() * 7.0)?);
    let (one, other) = (
        student.clone().narrow(1, 0, 1),
        student.clone().narrow(1, 1, 1),
    );
    let turned = [
        one.clone() * 0.6 - other.clone() * 0.8,
        one * 0.8 + other * 0.6,
    ];
    close(plain, loss(Tensor::cat(turned.to_vec(), 1))?);
    let flipped = pair_wise_affinity(student.flip([2, 3]), teacher.flip([2, 3]), 0.1, 1e-8);
    close(plain, value(flipped)?);
    Ok(())
}

fn text<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn other_shapes_are_errors() {
    let device = Device::flex();
    let ones = |shape: [usize; 4]| Tensor::<4>::ones(shape, &device);
    for (name, loss) in ALL {
        let against = |shape| text(loss(ones([2, 2, 2, 2]), ones(shape)));
        let found = against([1, 2, 2, 2]);
        assert!(found.contains("differ in batch size"), "{name}: {found}");
        let found = against([2, 2, 2, 1]);
        assert!(
            found.contains("differ in height or width"),
            "{name}: {found}"
        );
        let found = against([2, 0, 2, 2]);
        assert!(found.contains("has no elements"), "{name}: {found}");
    }
    assert_eq!(
        text(pixel_wise(ones([2, 3, 2, 2]), ones([2, 4, 2, 2]), 1.0)),
        "`pixel_wise`: `student_logits` [2, 3, 2, 2] and `teacher_logits` [2, 4, 2, 2] differ in number of classes; \
         give teacher and student the same classes in the same order"
    );
    assert_eq!(
        text(cwd(ones([2, 3, 2, 2]), ones([2, 4, 2, 2]), 1.0)),
        "`cwd`: `student_features` [2, 3, 2, 2] and `teacher_features` [2, 4, 2, 2] differ in channels; \
         bring the student to the teacher's width with a `Regressor`"
    );
}

#[test]
fn constants_outside_their_range_are_errors() {
    assert_eq!(
        text(CwdLossConfig::new().with_temperature(0.0).init()),
        "`temperature` must be finite and above 0, got 0; the paper uses 4"
    );
    assert_eq!(
        text(PixelWiseLossConfig::new().with_temperature(-1.0).init()),
        "`temperature` must be finite and above 0, got -1; 1 leaves the logits as they are"
    );
    let pair_wise = PairWiseAffinityLossConfig::new;
    for scale in [0.0, 1.5, f64::NAN] {
        let found = text(pair_wise().with_scale(scale).init());
        let expected = format!(
            "`scale` must be above 0 and at most 1, got {scale}; the authors' code uses 0.5"
        );
        assert_eq!(found, expected);
    }
    assert_eq!(
        text(pair_wise().with_epsilon(2.0).init()),
        "`epsilon` must be from 1e-15 to 1, got 2; 1e-12 suits 32-bit floats, 1e-3 16-bit ones"
    );
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<CwdLoss>();
    send_and_sync::<CwdLossConfig>();
    send_and_sync::<PairWiseAffinityLoss>();
    send_and_sync::<PairWiseAffinityLossConfig>();
    send_and_sync::<PixelWiseLoss>();
    send_and_sync::<PixelWiseLossConfig>();
}
