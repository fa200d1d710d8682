//! Losses of feature maps and embeddings that train nothing, against `fixtures/features.py`.

use crate::cases::Golden;
use crate::support::Outcome;
use kd_losses::{
    correlation_congruence, fsp, ickd, kdsvd, nst, pkd, pkt, rkd_angle, rkd_distance,
    similarity_preserving,
};

#[test]
fn similarity_preserving_is_as_the_formula_says() -> Outcome {
    Golden::read("similarity_preserving")?.check(8, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let epsilon = given.number("epsilon")?;
        Ok(similarity_preserving(student, teacher, epsilon)?)
    })
}

#[test]
fn rkd_distance_is_as_the_formula_says() -> Outcome {
    Golden::read("rkd_distance")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(rkd_distance(student, teacher)?)
    })
}

#[test]
fn rkd_angle_is_as_the_formula_says() -> Outcome {
    Golden::read("rkd_angle")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(rkd_angle(student, teacher)?)
    })
}

#[test]
fn pkt_is_as_the_formula_says() -> Outcome {
    Golden::read("pkt")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(pkt(student, teacher, given.number("epsilon")?)?)
    })
}

#[test]
fn correlation_congruence_is_as_the_formula_says() -> Outcome {
    Golden::read("correlation_congruence")?.check(13, |given| {
        Ok(correlation_congruence(
            given.student("student")?,
            given.teacher("teacher")?,
            given.choice("kernel")?,
            given.number("gamma")?,
            given.count("order")?,
            given.number("epsilon")?,
        )?)
    })
}

#[test]
fn pkd_is_as_the_formula_says() -> Outcome {
    Golden::read("pkd")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(pkd(student, teacher, given.number("epsilon")?)?)
    })
}

#[test]
fn nst_is_as_the_formula_says() -> Outcome {
    Golden::read("nst")?.check(12, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let (kernel, epsilon) = (given.choice("kernel")?, given.number("epsilon")?);
        Ok(nst(student, teacher, kernel, epsilon)?)
    })
}

#[test]
fn fsp_is_as_the_formula_says() -> Outcome {
    Golden::read("fsp")?.check(8, |given| {
        let student = [given.student("student0")?, given.student("student1")?];
        let teacher = [given.teacher("teacher0")?, given.teacher("teacher1")?];
        Ok(fsp(student, teacher)?)
    })
}

#[test]
fn ickd_is_as_the_formula_says() -> Outcome {
    Golden::read("ickd")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(ickd(student, teacher, given.number("epsilon")?)?)
    })
}

#[test]
fn kdsvd_is_as_the_formula_says() -> Outcome {
    Golden::read("kdsvd")?.check(9, |given| {
        let (mut student, mut teacher) = (Vec::new(), Vec::new());
        for stage in 0..given.count("stages")? {
            student.push(given.student::<4>(&format!("student{stage}"))?);
            teacher.push(given.teacher::<4>(&format!("teacher{stage}"))?);
        }
        let (components, width) = (given.count("components")?, given.number("width")?);
        Ok(kdsvd(&student, &teacher, components, width)?)
    })
}
