//! Cross-entropy, soft targets, hints and attention transfer: zero at equality, never negative, which changes
//! of the input change nothing, and the gradient under the temperature.

use crate::{cases, failed, value};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, Axis, CrossEntropyLoss,
    CrossEntropyLossConfig, Error, MapSizes, Projection, Regressor, RegressorConfig,
    SoftTargetLoss, SoftTargetLossConfig, attention_transfer, cross_entropy, hint, soft_target,
};
use proptest::prelude::*;

/// Rounding may carry a value that is zero a little below it.
const ROUNDING: f64 = 1e-5;

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

/// The gradient of a loss with respect to the student.
fn gradient<const D: usize>(
    student: Tensor<D>,
    loss: impl Fn(Tensor<D>) -> Result<Tensor<1>, Error>,
) -> Result<Vec<f64>, TestCaseError> {
    let student = student.autodiff().require_grad();
    let gradients = loss(student.clone()).map_err(failed)?.backward();
    let gradient = student.grad(&gradients);
    Ok(gradient
        .ok_or_else(|| TestCaseError::fail("no gradient"))?
        .into_data()
        .iter::<f64>()
        .collect())
}

prop_compose! {
    /// A shape and two matrices of logits of that shape.
    fn logits()(shape in (1_usize..6, 2_usize..9))(
        student in prop::collection::vec(-8.0_f32..8.0, shape.0 * shape.1),
        teacher in prop::collection::vec(-8.0_f32..8.0, shape.0 * shape.1),
        shape in Just([shape.0, shape.1]),
    ) -> ([usize; 2], Vec<f32>, Vec<f32>) {
        (shape, student, teacher)
    }
}

prop_compose! {
    /// A shape and two feature maps of that shape.
    fn features()(shape in (1_usize..4, 1_usize..4, 1_usize..5, 1_usize..5))(
        student in prop::collection::vec(-4.0_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        teacher in prop::collection::vec(-4.0_f32..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        shape in Just([shape.0, shape.1, shape.2, shape.3]),
    ) -> ([usize; 4], Vec<f32>, Vec<f32>) {
        (shape, student, teacher)
    }
}

/// The last class first, all others one up.
fn rotated(logits: Tensor<2>) -> Tensor<2> {
    let [_, num_classes] = logits.dims();
    let last = logits.clone().narrow(1, num_classes - 1, 1);
    Tensor::cat(vec![last, logits.narrow(1, 0, num_classes - 1)], 1)
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn soft_target_is_zero_at_equality_and_never_negative(
        (shape, student, teacher) in logits(),
        temperature in 0.5_f64..20.0,
    ) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let equal = value(soft_target(teacher.clone(), teacher.clone(), temperature))?;
        prop_assert!(equal.abs() <= ROUNDING, "{equal} at equality");
        let other = value(soft_target(student, teacher, temperature))?;
        prop_assert!(other >= -ROUNDING * (1.0 + temperature.powi(2)), "{other}");
    }

    #[test]
    fn soft_target_sees_neither_a_shift_nor_the_order_of_classes(
        (shape, student, teacher) in logits(),
        temperature in 0.5_f64..8.0,
        shift in -50.0_f32..50.0,
    ) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let plain = value(soft_target(student.clone(), teacher.clone(), temperature))?;
        // The shift costs the logits their last digits, and T squared multiplies that.
        let tolerance = 1e-4 * (1.0 + plain) + ROUNDING * temperature.powi(2);
        let shifted = value(soft_target(student.clone() + shift, teacher.clone(), temperature))?;
        prop_assert!((plain - shifted).abs() <= tolerance, "{plain}, shifted {shifted}");
        let turned = value(soft_target(rotated(student), rotated(teacher), temperature))?;
        prop_assert!((plain - turned).abs() <= tolerance, "{plain}, rotated {turned}");
    }

    #[test]
    fn soft_target_gradient_at_a_large_temperature_is_that_of_matched_logits(
        (shape, student, teacher) in logits(),
    ) {
        // Equation (4) of the paper times T squared: the difference of the centred logits over K,
        // whatever the temperature. Without T squared it would be nearly nothing.
        let centred = |logits: &[f32]| {
            let logits: Tensor<2> = tensor(logits, shape);
            logits.clone() - logits.mean_dim(1)
        };
        let limit = (centred(&student) - centred(&teacher)) / (shape[0] * shape[1]) as f64;
        let limit: Vec<f64> = limit.into_data().iter::<f64>().collect();
        let size = limit.iter().map(|value| value * value).sum::<f64>().sqrt();
        for temperature in [200.0, 400.0] {
            let teacher = tensor(&teacher, shape);
            let found = gradient(tensor(&student, shape), |student| {
                soft_target(student, teacher.clone(), temperature)
            })?;
            for (found, limit) in found.into_iter().zip(&limit) {
                // Of the order of a logit over the temperature, 8 / 200, and rounding times T.
                let tolerance = 0.15 * size + 1e-3;
                prop_assert!((found - limit).abs() <= tolerance, "found {found}, limit {limit}");
            }
        }
    }

    #[test]
    fn soft_target_gradient_raises_the_classes_the_teacher_prefers(
        (shape, _, teacher) in logits(),
        temperature in 0.5_f64..20.0,
    ) {
        // An undecided student: every q is 1 / K.
        let student = Tensor::zeros(shape, &Device::flex());
        let target = tensor(&teacher, shape);
        let found = gradient(student, |student| soft_target(student, target.clone(), temperature))?;
        let p: Vec<f64> = burn::tensor::activation::softmax(target.clone() / temperature, 1)
            .into_data()
            .iter::<f64>()
            .collect();
        let even = 1.0 / shape[1] as f64;
        for (gradient, p) in found.iter().zip(p) {
            if (p - even).abs() > 1e-4 {
                prop_assert!((p > even) == (*gradient < 0.0), "p {p}, gradient {gradient}");
            }
        }
        for row in found.chunks(shape[1]) {
            let sum: f64 = row.iter().sum();
            prop_assert!(sum.abs() <= ROUNDING * temperature, "a row sums to {sum}");
        }
    }

    #[test]
    fn cross_entropy_is_not_negative_and_sees_no_shift(
        (shape, logits, _) in logits(),
        class in 0_usize..9,
        smoothing in 0.0_f64..0.99,
        shift in -50.0_f32..50.0,
    ) {
        let wide = |count: usize| i64::try_from(count).unwrap_or_default();
        let (class, classes) = (wide(class % shape[1]), wide(shape[1]));
        let targets = Tensor::<1, Int>::full([shape[0]], class, &Device::flex());
        let logits = tensor(&logits, shape);
        let plain = value(cross_entropy(logits.clone(), targets.clone(), smoothing))?;
        prop_assert!(plain >= 0.0, "{plain}");
        let shifted = value(cross_entropy(logits.clone() + shift, targets.clone(), smoothing))?;
        prop_assert!((plain - shifted).abs() <= 1e-4, "{plain}, shifted {shifted}");

        let next = if class + 1 == classes { 0 } else { class + 1 };
        let last = Tensor::full([shape[0]], next, &Device::flex());
        let turned = value(cross_entropy(rotated(logits.clone()), last, smoothing))?;
        prop_assert!((plain - turned).abs() <= 1e-4, "{plain}, rotated {turned}");

        let found = gradient(logits, |logits| cross_entropy(logits, targets.clone(), 0.0))?;
        for (index, gradient) in found.into_iter().enumerate() {
            let is_target = wide(index % shape[1]) == class;
            let raises = gradient <= 0.0;
            prop_assert!(raises == is_target || gradient == 0.0, "class {index}: {gradient}");
        }
    }

    #[test]
    fn feature_losses_are_zero_at_equality_and_never_negative(
        (shape, student, teacher) in features(),
    ) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        prop_assert!(value(hint(teacher.clone(), teacher.clone()))?.abs() <= 0.0);
        prop_assert!(value(hint(student.clone(), teacher.clone()))? >= 0.0);
        for distance in [AttentionDistance::MeanSquare, AttentionDistance::SquaredNorm] {
            let loss = |student| value(attention_transfer(student, teacher.clone(), distance, 1e-12));
            prop_assert!(loss(teacher.clone())?.abs() <= 0.0);
            prop_assert!(loss(student.clone())? >= 0.0);
        }
    }

    #[test]
    fn hint_gradient_points_to_the_teacher((shape, student, teacher) in features()) {
        let goal = tensor(&teacher, shape);
        let found = gradient(tensor(&student, shape), |student| hint(student, goal.clone()))?;
        for ((gradient, student), teacher) in found.iter().zip(student).zip(teacher) {
            prop_assert!(gradient * f64::from(student - teacher) >= 0.0);
        }
    }

    #[test]
    fn attention_sees_neither_scale_nor_sign_nor_the_order_of_channels(
        (shape, student, teacher) in features(),
        scale in 0.1_f32..10.0,
    ) {
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let loss = |student| {
            let distance = AttentionDistance::MeanSquare;
            value(attention_transfer(student, teacher.clone(), distance, 1e-12))
        };
        let plain = loss(student.clone())?;
        prop_assert!((loss(student.clone() * -scale)? - plain).abs() <= ROUNDING);
        prop_assert!((loss(student.flip([1]))? - plain).abs() <= ROUNDING);
    }

    #[test]
    fn the_three_attention_distances_are_related_as_documented(
        (shape, student, teacher) in features(),
    ) {
        // A single sample, so that the mean over samples does not come between.
        let student = tensor(&student, shape).narrow(0, 0, 1);
        let teacher = tensor(&teacher, shape).narrow(0, 0, 1);
        let loss = |distance| {
            value(attention_transfer(student.clone(), teacher.clone(), distance, 1e-12))
        };
        let square = loss(AttentionDistance::SquaredNorm)?;
        let positions = (shape[2] * shape[3]) as f64;
        prop_assert!((loss(AttentionDistance::MeanSquare)? * positions - square).abs() <= ROUNDING);
        prop_assert!((loss(AttentionDistance::Norm)?.powi(2) - square).abs() <= ROUNDING);
    }
}

fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_are_send_and_sync() {
    send_and_sync::<AttentionDistance>();
    send_and_sync::<AttentionTransferLoss>();
    send_and_sync::<AttentionTransferLossConfig>();
    send_and_sync::<Axis>();
    send_and_sync::<CrossEntropyLoss>();
    send_and_sync::<CrossEntropyLossConfig>();
    send_and_sync::<Error>();
    send_and_sync::<MapSizes>();
    send_and_sync::<Projection>();
    send_and_sync::<RegressorConfig>();
    send_and_sync::<SoftTargetLoss>();
    send_and_sync::<SoftTargetLossConfig>();
    send_and_sync::<Regressor>();
}
