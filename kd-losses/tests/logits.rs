//! Losses of logits: golden values and gradients, inputs that they must survive.

mod support;

use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    VirtualTeacherSoftening, decoupled_kd, dist, logit_regression, logit_standardisation,
    multi_level, normalised_kd, standardised, virtual_teacher, weighted_soft_label,
};
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
fn dist_is_as_the_formula_says() -> Outcome {
    Golden::read("dist")?.check(9, |given| {
        Ok(dist(
            given.student("student")?,
            given.teacher("teacher")?,
            given.number("beta")?,
            given.number("gamma")?,
            given.number("temperature")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn normalised_kd_is_as_the_formula_says() -> Outcome {
    Golden::read("normalised_kd")?.check(8, |given| {
        Ok(normalised_kd(
            given.student("student")?,
            given.teacher("teacher")?,
            given.ints("targets")?,
            given.number("gamma")?,
            given.number("temperature")?,
        )?)
    })
}

#[test]
fn weighted_soft_label_is_as_the_formula_says() -> Outcome {
    Golden::read("weighted_soft_label")?.check(8, |given| {
        Ok(weighted_soft_label(
            given.student("student")?,
            given.teacher("teacher")?,
            given.ints("targets")?,
            given.number("temperature")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn standardised_is_as_the_formula_says() -> Outcome {
    Golden::read("standardised")?.check(7, |given| {
        let logits = standardised(given.student("student")?, given.number("epsilon")?)?;
        Ok((logits * given.constant_tensor("weights")?).sum())
    })
}

#[test]
fn logit_standardisation_is_as_the_formula_says() -> Outcome {
    Golden::read("logit_standardisation")?.check(7, |given| {
        Ok(logit_standardisation(
            given.student("student")?,
            given.teacher("teacher")?,
            given.number("temperature")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn multi_level_is_as_the_formula_says() -> Outcome {
    Golden::read("multi_level")?.check(9, |given| {
        Ok(multi_level(
            given.student("student")?,
            given.teacher("teacher")?,
            &given.choice::<Vec<f64>>("temperatures")?,
            given.number("instance_weight")?,
            given.number("batch_weight")?,
            given.number("class_weight")?,
        )?)
    })
}

#[test]
fn virtual_teacher_is_as_the_formula_says() -> Outcome {
    Golden::read("virtual_teacher")?.check(14, |given| {
        Ok(virtual_teacher(
            given.student("student")?,
            given.ints("targets")?,
            given.number("correct_probability")?,
            given.number("temperature")?,
            given.choice("softening")?,
        )?)
    })
}

#[test]
fn every_loss_of_two_logits_survives_hard_inputs() -> Outcome {
    type Loss = (
        &'static str,
        fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>>,
    );
    let losses: [Loss; 9] = [
        ("logit_regression", |s, t, _| logit_regression(s, t)),
        ("decoupled_kd", |s, t, y| {
            decoupled_kd(s, t, y, 1.0, 8.0, 4.0)
        }),
        ("dist", |s, t, _| dist(s, t, 1.0, 1.0, 1.0, 1e-8)),
        ("normalised_kd", |s, t, y| normalised_kd(s, t, y, 1.5, 1.0)),
        ("weighted_soft_label", |s, t, y| {
            weighted_soft_label(s, t, y, 2.0, 1e-7)
        }),
        ("logit_standardisation", |s, t, _| {
            logit_standardisation(s, t, 2.0, 1e-7)
        }),
        ("multi_level", |s, t, _| {
            multi_level(s, t, &[2.0, 6.0], 1.0, 1.0, 1.0)
        }),
        ("virtual_teacher", |s, _, y| {
            virtual_teacher(s, y, 0.99, 20.0, VirtualTeacherSoftening::Probabilities)
        }),
        ("virtual_teacher, logarithms", |s, _, y| {
            virtual_teacher(s, y, 0.99, 20.0, VirtualTeacherSoftening::Logarithms)
        }),
    ];
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        let labels: Vec<i64> = (0..shape[0])
            .map(|sample| i64::try_from(sample % shape[1]))
            .collect::<Result<_, _>>()?;
        for (name, student, teacher) in hard_pairs::<2>(shape) {
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            let targets = Tensor::<1, Int>::from_data(labels.as_slice(), &Device::flex());
            for (loss, function) in losses {
                assert_finite(&format!("{loss}, {name}"), student.clone(), |student| {
                    function(student, teacher.clone(), targets.clone())
                })?;
            }
        }
    }
    Ok(())
}
