//! Losses of dense prediction against `fixtures/dense.py`.

use crate::cases::Golden;
use crate::support::Outcome;
use kd_losses::{cwd, pair_wise_affinity, pixel_cross_entropy, pixel_wise};

#[test]
fn cwd_is_as_the_formula_says() -> Outcome {
    Golden::read("cwd")?.check(10, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(cwd(student, teacher, given.number("temperature")?)?)
    })
}

#[test]
fn pixel_wise_is_as_the_formula_says() -> Outcome {
    Golden::read("pixel_wise")?.check(10, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(pixel_wise(student, teacher, given.number("temperature")?)?)
    })
}

#[test]
fn pixel_cross_entropy_is_as_the_formula_says() -> Outcome {
    Golden::read("pixel_cross_entropy")?.check(11, |given| {
        let logits = given.student::<4>("logits")?;
        let [batch_size, _, height, width] = logits.dims();
        let masks = given.ints("masks")?.reshape([batch_size, height, width]);
        let ignore = given.number("ignore")?;
        let ignore = (-1..=255).find(|value| f64::from(*value).total_cmp(&ignore).is_eq());
        let ignore = ignore.map(i64::from);
        Ok(pixel_cross_entropy(logits, masks, ignore)?)
    })
}

#[test]
fn pair_wise_affinity_is_as_the_formula_says() -> Outcome {
    Golden::read("pair_wise_affinity")?.check(12, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let (scale, epsilon) = (given.number("scale")?, given.number("epsilon")?);
        Ok(pair_wise_affinity(student, teacher, scale, epsilon)?)
    })
}
