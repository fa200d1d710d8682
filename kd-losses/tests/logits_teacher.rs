//! The teacher is a constant in the losses of logits, except in those that make images.

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{
    Result, decoupled_kd, dist, logit_standardisation, multi_level, normalised_kd,
    weighted_soft_label,
};

fn random(shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Runs the loss with the teacher on the autodiff device, on the plain one, and all on the plain one.
fn check_places(loss: impl Fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>>) -> Result<()> {
    let autodiff = Device::flex().autodiff();
    let student = random([4, 7], &autodiff).require_grad();
    // The teacher is the output of something that wants gradients itself.
    let leaf = random([4, 7], &autodiff).require_grad();
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
        "nothing is to be differentiated"
    );

    let value = with_autodiff.into_scalar::<f32>();
    for other in [lifted, evaluated, teacher_only] {
        assert_eq!(value.to_bits(), other.into_scalar::<f32>().to_bits());
    }
    Ok(())
}

fn targets(device: &Device) -> Tensor<1, Int> {
    Tensor::from_data([0, 6, 3, 1], device)
}

#[test]
fn no_gradient_reaches_the_teacher() -> Result<()> {
    // The labels may live on either device.
    for device in [Device::flex(), Device::flex().autodiff()] {
        let targets = targets(&device);
        check_places(|s, t| decoupled_kd(s, t, targets.clone(), 1.0, 8.0, 4.0))?;
        check_places(|s, t| dist(s, t, 1.0, 1.0, 1.0, 1e-8))?;
        check_places(|s, t| logit_standardisation(s, t, 2.0, 1e-7))?;
        check_places(|s, t| multi_level(s, t, &[2.0, 6.0], 1.0, 1.0, 1.0))?;
        check_places(|s, t| normalised_kd(s, t, targets.clone(), 1.5, 1.0))?;
        check_places(|s, t| weighted_soft_label(s, t, targets.clone(), 2.0, 1e-7))?;
    }
    Ok(())
}

#[test]
fn no_gradient_flows_through_the_weight_of_soft_labels() -> Result<()> {
    // The gradient is the weight times that of the divergence; both are known in closed form for two classes.
    let device = Device::flex().autodiff();
    let student = Tensor::<2>::from_data([[0.0, 0.0]], &device).require_grad();
    let teacher = Tensor::<2>::from_data([[1.0, 0.0]], &device);
    let loss = weighted_soft_label(
        student.clone(),
        teacher,
        Tensor::from_data([0], &device),
        1.0,
        1e-7,
    )?;
    let p = 1.0 / (1.0 + (-1.0_f64).exp());
    let weight = 1.0 - (-(2.0_f64.ln()) / -p.ln()).exp();
    let gradients: Vec<f64> = student
        .grad(&loss.backward())
        .map(|gradient| gradient.into_data().iter::<f64>().collect())
        .unwrap_or_default();
    let expected = weight * (0.5 - p);
    assert!(
        gradients.len() == 2 && (gradients[0] - expected).abs() < 1e-6,
        "{gradients:?}, expected {expected}"
    );
    Ok(())
}
