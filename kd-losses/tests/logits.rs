//! Losses of logits: golden values and gradients, inputs that they must survive.

mod support;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_losses::{
    SoftCrossEntropyLossConfig, VirtualTeacherSoftening, adversarial_kl, belief_matching,
    decoupled_kd, dist, jensen_shannon, logit_l1, logit_regression, logit_standardisation,
    multi_level, normalised_kd, reverse_kl, soft_cross_entropy, standardised, virtual_teacher,
    weighted_soft_label,
};
use support::{Golden, Outcome, assert_finite, hard_pairs, numbers};

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

#[test]
fn every_loss_of_two_logits_survives_hard_inputs() -> Outcome {
    type Loss = (
        &'static str,
        fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> kd_losses::Result<Tensor<1>>,
    );
    let losses: [Loss; 16] = [
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
        ("reverse_kl", |s, t, _| reverse_kl(s, t, 1.0)),
        ("jensen_shannon", |s, t, _| jensen_shannon(s, t, 0.5, 1.0)),
        ("soft_cross_entropy", |s, t, _| {
            soft_cross_entropy(s, softmax(t, 1))
        }),
        ("adversarial_kl", |s, t, _| adversarial_kl(s, t, 1.0)),
        ("belief_matching", |s, t, _| belief_matching(s, t, 1.0)),
        // The gradient with respect to the teacher's logits.
        ("belief_matching, teacher", |s, t, _| {
            belief_matching(t, s, 1.0)
        }),
        ("logit_l1", |s, t, _| logit_l1(s, t)),
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

#[test]
fn a_virtual_teacher_that_is_hardly_softened_is_one_hot() -> Outcome {
    // The exponential of the lead of one class, divided by so small a temperature, is too large for any float.
    for (probability, target) in [(0.99, 0), (1e-3, 1)] {
        let targets = Tensor::<1, Int>::from_data([target], &Device::flex());
        for softening in [
            VirtualTeacherSoftening::Probabilities,
            VirtualTeacherSoftening::Logarithms,
        ] {
            let what = format!("{softening:?}, {probability}");
            let logits = TensorData::from([[0.0_f32, 0.0]]);
            let value = assert_finite(&what, logits, |logits| {
                virtual_teacher(logits, targets.clone(), probability, 1e-4, softening)
            })?;
            let factor = match softening {
                VirtualTeacherSoftening::Logarithms => 1e-8,
                _ => 1.0,
            };
            let expected = 2.0_f64.ln() * factor;
            assert!(
                (value - expected).abs() <= 1e-5 * expected,
                "{what}: {value}"
            );
        }
    }
    Ok(())
}

#[test]
fn equal_logits_become_zeros_however_large() -> Outcome {
    // Numbers whose mean, in 32-bit floats, is another number.
    for (logit, num_classes) in [(3333.3_f32, 7), (-7777.7, 100), (1e4 / 3.0, 1000)] {
        let logits = Tensor::<2>::full([2, num_classes], logit, &Device::flex());
        let zeros = numbers(standardised(logits, 1e-7)?);
        assert!(
            zeros.iter().all(|z| z.abs() < 1e-12),
            "{logit}: {}",
            zeros[0]
        );
    }
    Ok(())
}
