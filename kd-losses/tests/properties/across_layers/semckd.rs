//! Semantic calibration: its attention, hard inputs, the teacher, its modules.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use burn::tensor::{Device, Tensor};
use kd_losses::{SemCkd, SemCkdLossConfig};

fn map(shape: [usize; 4], phase: f64) -> Tensor<4> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

/// Two student's and two teacher's layers, the first of `shape`, reduced as little as the batch allows.
fn made(shape: [usize; 4]) -> Outcome<(SemCkd, [Tensor<4>; 2])> {
    let [batch_size, channels, ..] = shape;
    let autodiff = Device::flex().autodiff();
    let config = SemCkdLossConfig::new().with_reduction(batch_size.min(2));
    let loss = config.init(&[channels, 2], &[channels, 3], batch_size, 1, &autodiff)?;
    Ok((
        loss,
        [
            map([batch_size, 2, 2, 2], 0.4),
            map([batch_size, 3, 3, 3], 1.4),
        ],
    ))
}

#[test]
fn semckd_survives_hard_inputs() -> Outcome {
    for shape in [
        [4, 5, 6, 6],
        [1, 2, 4, 4],
        [2, 3, 1, 1],
        [1, 2, 1, 1],
        [3, 2, 5, 3],
    ] {
        let (loss, [student_2, teacher_2]) = made(shape)?;
        for (name, student, teacher) in hard_pairs::<4>(shape) {
            let teacher = Tensor::<4>::from_data(teacher, &Device::flex());
            let found = assert_finite(name, student, |student| {
                let students = [student, student_2.clone().autodiff()];
                loss.forward(&students, &[teacher.clone(), teacher_2.clone()])
            })?;
            assert!(found >= 0.0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn beside_one_teachers_layer_the_order_of_samples_changes_nothing() -> Outcome {
    // With one teacher's layer the attention is 1 whatever the similarities: order and similarities no longer
    // matter.
    let loss = SemCkdLossConfig::new().init(&[3], &[2], 4, 1, &Device::flex().autodiff())?;
    let (student, teacher) = (map([4, 3, 5, 5], 0.3).autodiff(), map([4, 2, 5, 5], 1.3));
    let turned = [student.clone().flip([0])];
    let turned = numbers(loss.forward(&turned, &[teacher.clone().flip([0])])?);
    let found = numbers(loss.forward(&[student], &[teacher])?);
    assert!(
        (found[0] / turned[0] - 1.0).abs() < 1e-5,
        "{found:?} {turned:?}"
    );
    Ok(())
}

#[test]
fn equal_teachers_layers_are_as_good_as_one() -> Outcome {
    // Attention sums to 1 over the teacher's layers: with the same layer and the same projection twice the
    // value is that of one. Batch norms with a scale of 1 make the projections of the two pairs differ by
    // their initial weights alone, so they are compared through zeros, where each projects to zeros.
    let device = Device::flex().autodiff();
    let config = SemCkdLossConfig::new();
    let (one, two) = (
        config.init(&[3], &[2], 4, 1, &device)?,
        config.init(&[3], &[2, 2], 4, 1, &device)?,
    );
    let (student, teacher) = (
        Tensor::<4>::zeros([4, 3, 5, 5], &device),
        map([4, 2, 5, 5], 1.3),
    );
    let (students, teachers) = ([student], [teacher.clone(), teacher.clone()]);
    let single = numbers(one.forward(&students, &teachers[..1])?);
    let double = numbers(two.forward(&students, &teachers)?);
    assert!(
        (single[0] / double[0] - 1.0).abs() < 1e-5,
        "{single:?} {double:?}"
    );
    let mean = numbers(teacher.square().mean());
    assert!(
        (single[0] / mean[0] - 1.0).abs() < 1e-5,
        "{single:?} {mean:?}"
    );
    Ok(())
}

#[test]
fn the_teacher_is_a_constant_wherever_it_is() -> Outcome {
    let (loss, [student_2, teacher_2]) = made([4, 3, 4, 4])?;
    let student = map([4, 3, 4, 4], 0.1).autodiff().require_grad();
    let student_2 = student_2.autodiff().require_grad();
    let leaf = map([4, 3, 4, 4], 0.9).autodiff().require_grad();
    let students = [student.clone(), student_2.clone()];
    let mut values = Vec::new();
    for teacher in [leaf.clone() * 1.5, (leaf.clone() * 1.5).inner()] {
        let value = loss.forward(&students, &[teacher, teacher_2.clone()])?;
        values.push(numbers(value.clone()));
        let gradients = value.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(student_2.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());
    }
    assert_eq!(values[0], values[1]);
    Ok(())
}

#[test]
fn extra_parameters_are_as_the_catalogue_says() -> Outcome {
    let loss = SemCkdLossConfig::new().init(&[3, 5], &[7], 8, 0, &Device::flex())?;
    let layer = 2 * 8 * 2 + 2 * 2 + 2 * 2 * 2 + 2;
    let pair = |s: usize, t: usize| 2 * s * t + 38 * t * t + 8 * t;
    assert_eq!(loss.extra_parameters(), 3 * layer + pair(3, 7) + pair(5, 7));
    Ok(())
}

#[test]
fn initial_weights_depend_on_the_seed_and_on_nothing_else() -> Outcome {
    let value = |seed| -> Outcome<Vec<f64>> {
        let device = Device::flex().autodiff();
        let loss = SemCkdLossConfig::new().init(&[3], &[2, 4], 4, seed, &device)?;
        let teachers = [map([4, 2, 3, 3], 0.5), map([4, 4, 3, 3], 1.5)];
        Ok(numbers(loss.forward(
            &[map([4, 3, 3, 3], 0.1).autodiff()],
            &teachers,
        )?))
    };
    assert_eq!(value(3)?, value(3)?);
    assert_ne!(value(3)?, value(4)?);
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<SemCkd>();
    send_and_sync::<SemCkdLossConfig>();
}
