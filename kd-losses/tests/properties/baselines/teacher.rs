//! The teacher of the baselines is a constant, wherever it lives.

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{
    AttentionDistance, RegressorConfig, Result, attention_transfer, cross_entropy, hint,
    soft_target,
};

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Runs the loss with the teacher on the autodiff device, on the plain one, and all on the plain one.
fn check_places<const D: usize>(
    shape: [usize; D],
    loss: impl Fn(Tensor<D>, Tensor<D>) -> Result<Tensor<1>>,
) -> Result<()> {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let student = random(shape, &autodiff).require_grad();
    // The teacher is the output of something that wants gradients itself.
    let leaf = random(shape, &autodiff).require_grad();
    let teacher = leaf.clone() * 1.5;

    let with_autodiff = loss(student.clone(), teacher.clone())?;
    let gradients = with_autodiff.backward();
    assert!(student.grad(&gradients).is_some(), "the student learns");
    assert!(leaf.grad(&gradients).is_none(), "the teacher does not");

    let lifted = loss(student.clone(), teacher.clone().inner())?;
    assert!(student.grad(&lifted.backward()).is_some());
    let evaluated = loss(student.clone().inner(), teacher.clone().inner())?;
    assert!(!evaluated.is_autodiff());
    let teacher_only = loss(student.inner(), teacher)?;
    assert!(
        !teacher_only.is_autodiff(),
        "nothing here is to be differentiated"
    );

    let value = with_autodiff.into_scalar::<f32>();
    assert_eq!(value.to_bits(), lifted.into_scalar::<f32>().to_bits());
    assert_eq!(value.to_bits(), evaluated.into_scalar::<f32>().to_bits());
    assert_eq!(value.to_bits(), teacher_only.into_scalar::<f32>().to_bits());
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Result<()> {
    check_places([4, 7], |student, teacher| {
        soft_target(student, teacher, 4.0)
    })?;
    check_places([2, 3, 4, 5], hint)?;
    check_places([2, 3, 4, 5], |student, teacher| {
        attention_transfer(student, teacher, AttentionDistance::MeanSquare, 1e-12)
    })
}

#[test]
fn a_teacher_with_another_checkpointing_strategy_is_welcome() -> Result<()> {
    // Burn panics when it combines autodiff tensors of two strategies.
    let plain = Device::flex();
    let student_device = plain.clone().autodiff().gradient_checkpointing();
    let student = random([3, 5], &student_device).require_grad();
    let teacher = random([3, 5], &plain.autodiff());
    let loss = soft_target(student.clone(), teacher, 2.0)?;
    assert!(student.grad(&loss.backward()).is_some());
    Ok(())
}

#[test]
fn targets_may_live_on_either_device() -> Result<()> {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    for (logits_on, targets_on) in [
        (&plain, &plain),
        (&plain, &autodiff),
        (&autodiff, &plain),
        (&autodiff, &autodiff),
    ] {
        let logits = Tensor::<2>::from_data([[0.0, 3.0], [1.0, 1.0]], logits_on);
        let logits = logits.set_require_grad(logits_on.is_autodiff());
        let targets = Tensor::<1, Int>::from_data([1, 0], targets_on);
        let loss = cross_entropy(logits.clone(), targets, 0.1)?;
        assert_eq!(loss.is_autodiff(), logits_on.is_autodiff());
        if logits_on.is_autodiff() {
            assert!(logits.grad(&loss.backward()).is_some());
        }
    }
    Ok(())
}

#[test]
fn the_regressor_learns_and_the_teacher_does_not() -> Result<()> {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let regressor = RegressorConfig::new(3, 6).init(7, &autodiff)?;
    let student = random([2, 3, 4, 4], &autodiff).require_grad();
    let leaf = random([2, 6, 4, 4], &autodiff).require_grad();

    for teacher in [leaf.clone() * 2.0, (leaf.clone() * 2.0).inner()] {
        let gradients = regressor.hint(student.clone(), teacher)?.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());
        let weight = regressor.conv().map(|conv| conv.weight.val());
        assert!(weight.is_some_and(|weight| weight.grad(&gradients).is_some()));
    }
    Ok(())
}
