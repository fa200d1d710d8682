//! Losses of logits: golden values and gradients, inputs that they must survive.

mod support;

use burn::tensor::{Device, Int, Tensor};
use kd_losses::{decoupled_kd, logit_regression};
use support::{Golden, Outcome, assert_finite, hard_pairs};

#[test]
fn logit_regression_is_as_the_formula_says() -> Outcome {
    Golden::read("logit_regression")?.check(5, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(logit_regression(student, teacher)?)
    })
}

#[test]
fn decoupled_kd_is_as_the_formula_says() -> Outcome {
    Golden::read("decoupled_kd")?.check(9, |given| {
        Ok(decoupled_kd(
            given.student("student")?,
            given.teacher("teacher")?,
            given.ints("targets")?,
            given.number("alpha")?,
            given.number("beta")?,
            given.number("temperature")?,
        )?)
    })
}

#[test]
fn every_loss_of_two_logits_survives_hard_inputs() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        for (name, student, teacher) in hard_pairs::<2>(shape) {
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            let targets: Vec<i64> = (0..shape[0])
                .map(|sample| i64::try_from(sample % shape[1]))
                .collect::<Result<_, _>>()?;
            let targets = Tensor::<1, Int>::from_data(targets.as_slice(), &Device::flex());
            assert_finite(name, student.clone(), |student| {
                logit_regression(student, teacher.clone())
            })?;
            assert_finite(name, student, |student| {
                decoupled_kd(student, teacher.clone(), targets.clone(), 1.0, 8.0, 4.0)
            })?;
        }
    }
    Ok(())
}
