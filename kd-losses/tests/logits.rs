//! Losses of logits: golden values and gradients, what their formulas imply, inputs that they must survive.

mod support;

use burn::tensor::{Device, Tensor};
use kd_losses::logit_regression;
use support::{Golden, Outcome, assert_finite, hard_pairs};

#[test]
fn logit_regression_is_as_the_formula_says() -> Outcome {
    Golden::read("logit_regression")?.check(5, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(logit_regression(student, teacher)?)
    })
}

#[test]
fn every_loss_of_two_logits_survives_hard_inputs() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        for (name, student, teacher) in hard_pairs::<2>(shape) {
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            assert_finite(name, student, |student| {
                logit_regression(student, teacher.clone())
            })?;
        }
    }
    Ok(())
}
