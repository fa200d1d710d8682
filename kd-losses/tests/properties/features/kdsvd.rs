//! Distillation by singular value decomposition: hard inputs, the teacher, which changes of a map change
//! nothing.

use crate::support::{Outcome, assert_finite, hard_pairs, wave};
use burn::tensor::{Device, Tensor};
use kd_losses::{KdsvdLoss, KdsvdLossConfig, Result, kdsvd};

#[test]
fn kdsvd_survives_hard_inputs() -> Outcome {
    for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [3, 5, 1, 1], [1, 1, 1, 1]] {
        for (input, student, teacher) in hard_pairs::<4>(shape) {
            for components in [1, 3] {
                let what = format!("{shape:?} {input} {components}");
                let teacher = Tensor::<4>::from_data(teacher.clone(), &Device::flex());
                let teachers = [teacher.clone(), teacher.flip([1])];
                let value = assert_finite(&what, student.clone(), |student: Tensor<4>| {
                    let students = [student.clone(), student.flip([1])];
                    kdsvd(&students, &teachers, components, 8.0)
                })?;
                assert!(value >= 0.0, "{what}: {value}");
                if ["equal", "both of zeros"].contains(&input) {
                    assert!(value <= 1e-6, "{what}: {value}");
                }
            }
        }
    }
    Ok(())
}

fn map(shape: [usize; 4], phase: f64) -> Tensor<4> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

#[test]
fn kdsvd_sees_neither_scale_nor_sign_nor_the_order_of_positions() -> Outcome {
    let student = || [map([2, 3, 4, 3], 0.3), map([2, 5, 2, 3], 0.7)];
    let teacher = [map([2, 3, 4, 3], 2.1), map([2, 5, 2, 3], 1.4)];
    let loss = |student: [Tensor<4>; 2]| -> Result<f64> {
        Ok(kdsvd(&student, &teacher, 2, 1.0)?.into_scalar::<f64>())
    };
    let plain = loss(student())?;
    assert!(plain > 1e-3, "{plain}");
    for changed in [
        student().map(|map| map * 30.0),
        student().map(Tensor::neg),
        student().map(|map| map.flip([2, 3])),
    ] {
        let found = loss(changed)?;
        assert!((found - plain).abs() <= 1e-4 * plain, "{plain}, {found}");
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let shape = [2, 3, 2, 2];
    let student = Tensor::<4>::from_data(wave(shape, 0.3), &autodiff).require_grad();
    let leaf = Tensor::<4>::from_data(wave(shape, 2.1), &autodiff).require_grad();
    let teacher = [leaf.clone() * 2.0, leaf.clone().flip([1])];
    let students = [student.clone(), student.clone().square()];
    let loss = kdsvd(&students, &teacher, 1, 8.0)?;
    let gradients = loss.backward();
    assert!(student.grad(&gradients).is_some());
    assert!(leaf.grad(&gradients).is_none());
    let alone = kdsvd(&students.map(Tensor::inner), &teacher, 1, 8.0)?;
    assert!(!alone.is_autodiff());
    let loss = loss.into_scalar::<f32>().to_bits();
    assert_eq!(loss, alone.into_scalar::<f32>().to_bits());
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<KdsvdLoss>();
    send_and_sync::<KdsvdLossConfig>();
}
