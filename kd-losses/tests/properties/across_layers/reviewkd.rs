//! Knowledge review: the hierarchical context, hard inputs, the teacher, its modules.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use crate::{cases, value};
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{
    AttentionFusion, AttentionFusionConfig, FusionDepth, ReviewKd, ReviewKdLossConfig,
    hierarchical_context,
};
use proptest::prelude::*;

fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

prop_compose! {
    /// A shape and two maps of that shape.
    fn maps()(shape in (1_usize..4, 1_usize..4, 1_usize..8, 1_usize..8))(
        student in prop::collection::vec(-4.0_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        teacher in prop::collection::vec(-4.0_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        shape in Just([shape.0, shape.1, shape.2, shape.3]),
    ) -> ([usize; 4], Vec<f32>, Vec<f32>) {
        (shape, student, teacher)
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn the_context_is_a_mean_square_that_only_the_difference_matters_to((shape, student, teacher) in maps()) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let found = value(hierarchical_context(student.clone(), teacher.clone()))?;
        prop_assert!(value(hierarchical_context(student.clone(), student.clone()))? == 0.0);
        // An average is smaller than what it averages.
        let square = (student.clone() - teacher.clone()).square();
        let [mean, most] = [square.clone().mean(), square.max()].map(|x| x.into_scalar::<f64>());
        prop_assert!(found >= mean * 8.0 / 15.0 - 1e-5, "{} {}", found, mean);
        prop_assert!(found <= most + 1e-5);
        let swapped = value(hierarchical_context(teacher.clone(), student.clone()))?;
        prop_assert!((found - swapped).abs() < 1e-5 * (1.0 + found));
        let shifted = value(hierarchical_context(student.clone() + 1.0, teacher.clone() + 1.0))?;
        prop_assert!((found - shifted).abs() < 1e-4 * (1.0 + found));
        let doubled = value(hierarchical_context(student * 2.0, teacher * 2.0))?;
        prop_assert!((4.0 * found - doubled).abs() < 1e-5 * (1.0 + doubled));
    }

    #[test]
    fn a_shift_of_all_features_counts_with_its_square((shape, student, _) in maps(), shift in -3.0_f64..3.0) {
        let student = tensor(&student, shape);
        let found = value(hierarchical_context(student.clone() + shift, student))?;
        prop_assert!((found - shift * shift).abs() < 1e-4);
    }
}

/// Two taps with maps of `shape` and of half its size.
fn review(shape: [usize; 4]) -> Outcome<(ReviewKd, Tensor<4>, Tensor<4>)> {
    let autodiff = Device::flex().autodiff();
    let review = ReviewKdLossConfig::new().init(&[shape[1], 3], &[shape[1], 2], 1, &autodiff)?;
    let [batch_size, _, height, width] = shape;
    let half = [height.div_ceil(2), width.div_ceil(2)];
    let deep = |channels, phase| {
        let data = wave([batch_size, channels, half[0], half[1]], phase);
        Tensor::<4>::from_data(data, &Device::flex())
    };
    Ok((review, deep(3, 0.7), deep(2, 1.9)))
}

#[test]
fn both_losses_survive_hard_inputs() -> Outcome {
    for shape in [
        [4, 5, 6, 6],
        [1, 2, 4, 4],
        [2, 3, 1, 1],
        [1, 2, 1, 1],
        [3, 2, 5, 3],
    ] {
        let (review, deep_student, deep_teacher) = review(shape)?;
        for (name, student, teacher) in hard_pairs::<4>(shape) {
            let teacher = Tensor::<4>::from_data(teacher, &Device::flex());
            let found = assert_finite(name, student.clone(), |student| {
                hierarchical_context(student, teacher.clone())
            })?;
            assert!(found >= 0.0, "{name}");
            let found = assert_finite(name, student, |student| {
                let students = [student, deep_student.clone().autodiff()];
                review.forward(&students, &[teacher.clone(), deep_teacher.clone()])
            })?;
            assert!(found >= 0.0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_teacher_is_a_constant_wherever_it_is() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let (review, deep_student, deep_teacher) = review([2, 3, 4, 4])?;
    let student = Tensor::<4>::from_data(wave([2, 3, 4, 4], 0.1), &autodiff).require_grad();
    let deep_student = deep_student.autodiff().require_grad();
    let leaf = Tensor::<4>::from_data(wave([2, 3, 4, 4], 0.9), &autodiff).require_grad();
    let mut values = Vec::new();
    for teacher in [leaf.clone() * 1.5, (leaf.clone() * 1.5).inner()] {
        let students = [student.clone(), deep_student.clone()];
        let loss = review.forward(&students, &[teacher.clone(), deep_teacher.clone()])?;
        values.push(numbers(loss.clone()));
        let gradients = loss.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(deep_student.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());

        let loss = hierarchical_context(student.clone(), teacher)?;
        let gradients = loss.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());
    }
    assert_eq!(values[0], values[1]);
    Ok(())
}

#[test]
fn a_deep_layer_learns_from_the_shallow_teacher_too() -> Outcome {
    let (review, deep_student, deep_teacher) = review([2, 3, 4, 4])?;
    let deep_student = deep_student.autodiff().require_grad();
    let gradient = |phase: f64| -> Outcome<Vec<f64>> {
        let student = Tensor::<4>::from_data(wave([2, 3, 4, 4], 0.1), &Device::flex()).autodiff();
        let teacher = Tensor::<4>::from_data(wave([2, 3, 4, 4], phase), &Device::flex());
        let students = [student, deep_student.clone()];
        let loss = review.forward(&students, &[teacher, deep_teacher.clone()])?;
        let gradient = deep_student.grad(&loss.backward());
        Ok(numbers(gradient.ok_or("the deep layer learns")?))
    };
    assert_ne!(gradient(0.5)?, gradient(2.5)?);
    Ok(())
}

#[test]
fn a_fusion_gives_the_asked_size_and_what_the_next_needs() -> Outcome {
    let device = Device::flex().autodiff();
    let config = AttentionFusionConfig::new(3, 4, 5);
    let fusion = config.init(0, &device)?;
    let map = |channels, height, width| Tensor::<4>::ones([2, channels, height, width], &device);
    let (output, fused) = fusion.forward(map(3, 4, 6), Some(map(4, 2, 2)), [8, 5])?;
    assert_eq!(output.dims(), [2, 5, 8, 5]);
    assert_eq!(fused.dims(), [2, 4, 8, 5]);

    let deepest = config.with_depth(FusionDepth::Deepest).init(0, &device)?;
    let (output, fused) = deepest.forward(map(3, 4, 6), None, [4, 6])?;
    assert_eq!(output.dims(), [2, 5, 4, 6]);
    assert_eq!(fused.dims(), [2, 4, 4, 6]);
    Ok(())
}

#[test]
fn extra_parameters_are_declared_before_and_after_it_is_made() -> Outcome {
    let device = Device::flex();
    let config = AttentionFusionConfig::new(3, 4, 5);
    let deepest = AttentionFusionConfig::new(6, 4, 7).with_depth(FusionDepth::Deepest);
    assert_eq!(config.extra_parameters(), 12 + 8 + 180 + 10 + 18);
    let mut sum = 0;
    for config in [config, deepest] {
        let fusion = config.init(0, &device)?;
        assert_eq!(fusion.extra_parameters(), config.extra_parameters());
        sum += fusion.extra_parameters();
    }
    let review = ReviewKdLossConfig::new().with_max_mid_channels(4);
    assert_eq!(
        review
            .init(&[3, 6], &[5, 7], 0, &device)?
            .extra_parameters(),
        sum
    );
    Ok(())
}

#[test]
fn initial_weights_depend_on_the_seed_and_on_nothing_else() -> Outcome {
    let values = |seed| -> Outcome<Vec<f64>> {
        let autodiff = Device::flex().autodiff();
        let review = ReviewKdLossConfig::new().init(&[3, 4], &[3, 4], seed, &autodiff)?;
        let map = |channels| Tensor::<4>::from_data(wave([2, channels, 4, 4], 0.4), &autodiff);
        Ok(numbers(review.forward(
            &[map(3), map(4)],
            &[map(3) * 2.0, map(4) + 1.0],
        )?))
    };
    assert_eq!(values(3)?, values(3)?);
    assert_ne!(values(3)?, values(4)?);
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<AttentionFusion>();
    send_and_sync::<AttentionFusionConfig>();
    send_and_sync::<FusionDepth>();
    send_and_sync::<ReviewKd>();
    send_and_sync::<ReviewKdLossConfig>();
}
