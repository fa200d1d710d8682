//! The teacher is a constant in the losses of logits, except in those that make images.

use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{
    Result, adversarial_kl, belief_matching, decoupled_kd, dist, jensen_shannon, logit_l1,
    logit_standardisation, multi_level, normalised_kd, reverse_kl, soft_cross_entropy,
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
        check_places(|s, t| reverse_kl(s, t, 1.0))?;
        check_places(|s, t| jensen_shannon(s, t, 0.3, 2.0))?;
        check_places(soft_cross_entropy)?;
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

/// A gradient flows into each side that is on the autodiff device, wherever the other one lives.
fn check_both_learn(loss: impl Fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>>) -> Result<()> {
    let device = Device::flex().autodiff();
    let start = [[2.0, 0.1, -1.0], [0.3, 1.0, 0.0]];
    let student = Tensor::<2>::from_data(start, &device).require_grad();
    let teacher = Tensor::<2>::from_data([[3.0, 1.0, -2.0], [0.1, 2.0, 0.4]], &device);
    let teacher = teacher.require_grad();

    let both = loss(student.clone(), teacher.clone() * 1.5)?;
    let value = both.clone().into_scalar::<f32>();
    let gradients = both.backward();
    let of_student = student
        .grad(&gradients)
        .map(|gradient| gradient.into_data());
    let of_teacher = teacher
        .grad(&gradients)
        .map(|gradient| gradient.into_data());
    assert!(of_student.is_some(), "through the student");
    assert!(of_teacher.is_some(), "through the teacher");

    let fixed = teacher.clone().inner() * 1.5;
    let student_only = loss(student.clone(), fixed.clone())?;
    assert_eq!(
        value.to_bits(),
        student_only.clone().into_scalar::<f32>().to_bits()
    );
    let gradients = student_only.backward();
    assert_eq!(
        student
            .grad(&gradients)
            .map(|gradient| gradient.into_data()),
        of_student
    );

    let teacher_only = loss(student.clone().inner(), teacher.clone() * 1.5)?;
    assert_eq!(
        value.to_bits(),
        teacher_only.clone().into_scalar::<f32>().to_bits()
    );
    let gradients = teacher_only.backward();
    assert_eq!(
        teacher
            .grad(&gradients)
            .map(|gradient| gradient.into_data()),
        of_teacher
    );

    assert!(!loss(student.inner(), fixed)?.is_autodiff());
    Ok(())
}

#[test]
fn gradients_reach_images_through_student_and_teacher() -> Result<()> {
    check_both_learn(|s, t| adversarial_kl(s, t, 1.0))?;
    check_both_learn(|s, t| belief_matching(s, t, 1.0))?;
    check_both_learn(logit_l1)
}

/// The sum of the sizes of the student's gradient in DIST.
fn slope(student: [[f32; 3]; 2], teacher: [[f32; 3]; 2]) -> Result<f64> {
    let device = Device::flex().autodiff();
    let student = Tensor::<2>::from_data(student, &device).require_grad();
    let teacher = Tensor::<2>::from_data(teacher, &device);
    let loss = dist(student.clone(), teacher, 1.0, 1.0, 1.0, 1e-8)?;
    let gradient = student.grad(&loss.backward());
    let sum = gradient.map(|gradient| gradient.abs().sum().into_scalar::<f64>());
    Ok(sum.unwrap_or_default())
}

#[test]
fn dist_pulls_at_a_student_without_an_opinion_but_not_for_a_teacher_without() -> Result<()> {
    let (plain, zeros) = ([[2.0, 0.1, -1.0], [0.3, 1.0, 0.0]], [[0.0; 3]; 2]);
    assert!(slope(plain, zeros)? < 1e-6, "{}", slope(plain, zeros)?);
    let steep = slope(zeros, plain)?;
    assert!((1e6..1e9).contains(&steep), "{steep}");
    Ok(())
}
