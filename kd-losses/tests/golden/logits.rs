//! Losses of logits against `fixtures/logits.py`.

use crate::cases::Golden;
use crate::support::Outcome;
use kd_losses::{
    SoftCrossEntropyLossConfig, adversarial_kl, belief_matching, decoupled_kd, dist,
    jensen_shannon, logit_l1, logit_regression, logit_standardisation, multi_level, normalised_kd,
    reverse_kl, soft_cross_entropy, standardised, virtual_teacher, weighted_soft_label,
};

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
fn reverse_kl_is_as_the_formula_says() -> Outcome {
    Golden::read("reverse_kl")?.check(6, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(reverse_kl(student, teacher, given.number("temperature")?)?)
    })
}

#[test]
fn jensen_shannon_is_as_the_formula_says() -> Outcome {
    Golden::read("jensen_shannon")?.check(8, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let (beta, temperature) = (given.number("beta")?, given.number("temperature")?);
        Ok(jensen_shannon(student, teacher, beta, temperature)?)
    })
}

#[test]
fn soft_cross_entropy_is_as_the_formula_says() -> Outcome {
    Golden::read("soft_cross_entropy")?.check(5, |given| {
        let targets = given.constant_tensor("soft_targets")?;
        Ok(soft_cross_entropy(given.student("student")?, targets)?)
    })?;
    Golden::read("soft_cross_entropy_of_teacher")?.check(6, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let config = SoftCrossEntropyLossConfig::new();
        let config = config.with_temperature(given.number("temperature")?);
        Ok(config.init()?.forward(student, teacher)?)
    })
}

#[test]
fn adversarial_kl_is_as_the_formula_says_on_both_sides() -> Outcome {
    Golden::read("adversarial_kl")?.check(6, |given| {
        let (student, teacher) = (given.student("student")?, given.student("teacher")?);
        Ok(adversarial_kl(
            student,
            teacher,
            given.number("temperature")?,
        )?)
    })
}

#[test]
fn belief_matching_is_as_the_formula_says_on_both_sides() -> Outcome {
    Golden::read("belief_matching")?.check(6, |given| {
        let (student, teacher) = (given.student("student")?, given.student("teacher")?);
        Ok(belief_matching(
            student,
            teacher,
            given.number("temperature")?,
        )?)
    })
}

#[test]
fn logit_l1_is_as_the_formula_says_on_both_sides() -> Outcome {
    Golden::read("logit_l1")?.check(5, |given| {
        let (student, teacher) = (given.student("student")?, given.student("teacher")?);
        Ok(logit_l1(student, teacher)?)
    })
}
