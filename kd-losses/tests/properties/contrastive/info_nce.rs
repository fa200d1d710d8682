//! `InfoNCE`: the bound, the teacher, hard inputs, which changes of an embedding change nothing.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use crate::{cases, value};
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{InfoNceLoss, InfoNceLossConfig, info_nce, info_nce_bound};
use proptest::prelude::*;

fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

prop_compose! {
    /// A shape and two embeddings of that shape, none of zeros.
    fn embeddings()(shape in (1_usize..7, 2_usize..6))(
        student in prop::collection::vec(0.1_f32..4.0, shape.0 * shape.1),
        teacher in prop::collection::vec(0.1_f32..4.0, shape.0 * shape.1),
        shape in Just([shape.0, shape.1]),
    ) -> ([usize; 2], Vec<f32>, Vec<f32>) {
        let sign = |(index, value): (usize, f32)| if index % 3 == 0 { -value } else { value };
        let signed = |values: Vec<f32>| values.into_iter().enumerate().map(sign).collect();
        (shape, signed(student), signed(teacher))
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn scale_rotation_and_order_change_nothing(
        (shape, student, teacher) in embeddings(),
        scale in 0.1_f64..10.0,
    ) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let at = |student: &Tensor<2>, teacher: &Tensor<2>| {
            value(info_nce(student.clone(), teacher.clone(), 0.2))
        };
        let found = at(&student, &teacher)?;
        prop_assert!(found >= 0.0);
        let close = |other: f64| (found - other).abs() < 1e-4 * (1.0 + found);
        prop_assert!(close(at(&(student.clone() * scale), &teacher)?));
        prop_assert!(close(at(&student, &(teacher.clone() * scale))?));
        prop_assert!(close(at(&student.clone().flip([0]), &teacher.clone().flip([0]))?));
        // Both turned by one angle in the plane of the first two features.
        let turn = |rows: &Tensor<2>| {
            let (x, y) = (rows.clone().narrow(1, 0, 1), rows.clone().narrow(1, 1, 1));
            let mut parts = vec![x.clone() * 0.6 - y.clone() * 0.8, x * 0.8 + y * 0.6];
            if shape[1] > 2 {
                parts.push(rows.clone().narrow(1, 2, shape[1] - 2));
            }
            Tensor::cat(parts, 1)
        };
        prop_assert!(close(at(&turn(&student), &turn(&teacher))?));
    }

    #[test]
    fn the_bound_is_the_log_of_the_batch_less_the_loss((shape, student, teacher) in embeddings()) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let loss = value(info_nce(student.clone(), teacher.clone(), 0.2))?;
        let bound = value(info_nce_bound(student, teacher, 0.2))?;
        let most = (shape[0] as f64).ln();
        prop_assert!((most - loss - bound).abs() < 1e-5);
        prop_assert!(bound <= most + 1e-6);
    }

    #[test]
    fn a_student_that_says_nothing_knows_nothing((shape, student, teacher) in embeddings()) {
        // All samples have the embedding of the first, so that the anchors differ in nothing.
        let first = tensor(&student, shape).narrow(0, 0, 1).repeat_dim(0, shape[0]);
        let bound = value(info_nce_bound(first, tensor(&teacher, shape), 0.2))?;
        prop_assert!(bound <= 1e-5, "{}", bound);
    }
}

#[test]
fn a_batch_of_one_gives_zero() -> Outcome {
    let device = Device::flex();
    let student = Tensor::<2>::from_data(wave([1, 5], 0.2), &device);
    let teacher = Tensor::<2>::from_data(wave([1, 5], 1.2), &device);
    let loss = InfoNceLossConfig::new().init()?;
    assert_eq!(numbers(loss.forward(student, teacher)?), [0.0]);
    Ok(())
}

#[test]
fn info_nce_survives_hard_inputs() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2], [3, 1]] {
        for temperature in [0.07, 0.001, 50.0] {
            for (name, student, teacher) in hard_pairs::<2>(shape) {
                let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
                let found = assert_finite(name, student, |student| {
                    info_nce(student, teacher.clone(), temperature)
                })?;
                assert!(found >= 0.0, "{name}: {found}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_gradient_of_an_embedding_of_zeros_is_zero() -> Outcome {
    let device = Device::flex();
    let student = Tensor::<2>::from_data([[0.0, 0.0], [1.0, 2.0]], &device.clone().autodiff());
    let student = student.require_grad();
    let teacher = Tensor::<2>::from_data([[3.0, 0.0], [1.0, -1.0]], &device);
    let gradient = student.grad(&info_nce(student.clone(), teacher, 0.1)?.backward());
    let gradient = numbers(gradient.ok_or("the student learns")?);
    assert_eq!(gradient[..2], [0.0, 0.0]);
    assert!(gradient[2..].iter().any(|slope| slope.abs() > 1e-3));
    Ok(())
}

#[test]
fn the_teacher_is_a_constant_wherever_it_is() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let student = Tensor::<2>::from_data(wave([4, 3], 0.1), &autodiff).require_grad();
    let leaf = Tensor::<2>::from_data(wave([4, 3], 0.9), &autodiff).require_grad();
    let mut values = Vec::new();
    for teacher in [leaf.clone() * 1.5, (leaf.clone() * 1.5).inner()] {
        let loss = info_nce(student.clone(), teacher.clone(), 0.07)?;
        values.push(numbers(loss.clone()));
        let gradients = loss.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());
        let plain = info_nce(student.clone().inner(), teacher, 0.07)?;
        assert!(!plain.is_autodiff());
        values.push(numbers(plain));
    }
    assert!(values.iter().all(|value| *value == values[0]));
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<InfoNceLoss>();
    send_and_sync::<InfoNceLossConfig>();
}
