//! Losses between several layers of both networks, against `fixtures/across_layers.py`.

use crate::cases::Golden;
use crate::support::Outcome;
use burn::tensor::Device;
use kd_losses::{ReviewKdLossConfig, SemCkdLossConfig, hierarchical_context};

#[test]
fn hierarchical_context_is_as_the_formula_says() -> Outcome {
    Golden::read("hierarchical_context")?.check(10, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(hierarchical_context(student, teacher)?)
    })
}

#[test]
fn reviewkd_is_as_the_formula_says() -> Outcome {
    Golden::read("reviewkd")?.check(7, |given| {
        let students: Vec<usize> = given.choice("student_channels")?;
        let teachers: Vec<usize> = given.choice("teacher_channels")?;
        let most = given.count("max_mid_channels")?;
        let config = ReviewKdLossConfig::new().with_max_mid_channels(most);
        let review = config.init(&students, &teachers, 0, &Device::flex().autodiff())?;
        let review = given.module(review)?;
        let taps = 0..students.len();
        let students = taps
            .clone()
            .map(|tap| given.student(&format!("student{tap}")));
        let teachers = taps.map(|tap| given.teacher(&format!("teacher{tap}")));
        let students = students.collect::<Outcome<Vec<_>>>()?;
        Ok(review.forward(&students, &teachers.collect::<Outcome<Vec<_>>>()?)?)
    })
}

#[test]
fn semckd_is_as_the_formula_says() -> Outcome {
    Golden::read("semckd")?.check(6, |given| {
        let students: Vec<usize> = given.choice("student_channels")?;
        let teachers: Vec<usize> = given.choice("teacher_channels")?;
        let config = SemCkdLossConfig::new().with_reduction(given.count("reduction")?);
        let (batch_size, device) = (given.count("batch_size")?, Device::flex().autodiff());
        let loss = given.module(config.init(&students, &teachers, batch_size, 0, &device)?)?;
        let of_students = (0..students.len()).map(|tap| given.student(&format!("student{tap}")));
        let of_teachers = (0..teachers.len()).map(|tap| given.teacher(&format!("teacher{tap}")));
        let of_students = of_students.collect::<Outcome<Vec<_>>>()?;
        Ok(loss.forward(&of_students, &of_teachers.collect::<Outcome<Vec<_>>>()?)?)
    })
}
