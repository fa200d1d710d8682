//! Losses of feature maps and embeddings that train nothing: golden values and gradients, inputs that they must survive,
//! teachers that learn nothing, the words of their errors.

mod support;

use burn::tensor::{Device, Tensor};
use kd_losses::{
    CorrelationCongruenceLoss, CorrelationCongruenceLossConfig, CorrelationKernel, IckdLoss,
    IckdLossConfig, NstLoss, NstLossConfig, PkdLoss, PkdLossConfig, PktLoss, PktLossConfig, Result,
    SelectivityKernel, SimilarityPreservingLoss, SimilarityPreservingLossConfig,
    correlation_congruence, fsp, ickd, nst, pkd, pkt, rkd_angle, rkd_distance,
    similarity_preserving,
};
use support::{Golden, Outcome, assert_finite, hard_pairs, wave};

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

type Loss<const D: usize> = fn(Tensor<D>, Tensor<D>) -> Result<Tensor<1>>;

const OF_EMBEDDINGS: &[(&str, Loss<2>)] = &[
    ("rkd-distance", rkd_distance),
    ("rkd-angle", rkd_angle),
    ("pkt", |student, teacher| pkt(student, teacher, 1e-7)),
    ("cc", |student, teacher| {
        correlation_congruence(student, teacher, CorrelationKernel::Taylor, 0.4, 2, 1e-12)
    }),
    ("cc bilinear", |student, teacher| {
        let kernel = CorrelationKernel::Bilinear;
        correlation_congruence(student, teacher, kernel, 0.4, 2, 1e-12)
    }),
];

const OF_MAPS: &[(&str, Loss<4>)] = &[
    ("sp", |student, teacher| {
        similarity_preserving(student, teacher, 1e-12)
    }),
    ("pkd", |student, teacher| pkd(student, teacher, 1e-5)),
    ("nst", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Polynomial, 1e-12)
    }),
    ("nst linear", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Linear, 1e-12)
    }),
    ("nst gaussian", |student, teacher| {
        nst(student, teacher, SelectivityKernel::Gaussian, 1e-12)
    }),
    ("ickd", |student, teacher| ickd(student, teacher, 1e-12)),
    ("fsp", |student, teacher| {
        fsp([student.clone(), student], [teacher.clone(), teacher])
    }),
];

/// Finite on hard inputs, not negative, and 0 where both are equal.
fn survives<const D: usize>(name: &str, loss: Loss<D>, shape: [usize; D]) -> Outcome {
    for (input, student, teacher) in hard_pairs::<D>(shape) {
        let what = format!("{name} {shape:?} {input}");
        let teacher = Tensor::<D>::from_data(teacher, &Device::flex());
        let value = assert_finite(&what, student, |student| loss(student, teacher.clone()))?;
        assert!(value >= -1e-6, "{what}: {value}");
        if ["equal", "both of zeros"].contains(&input) {
            assert!(value <= 1e-6, "{what}: {value}");
        }
    }
    Ok(())
}

#[test]
fn every_loss_of_features_survives_hard_inputs() -> Outcome {
    for (name, loss) in OF_EMBEDDINGS {
        for shape in [[4, 5], [1, 5], [3, 2], [2, 1], [1, 1]] {
            survives(name, *loss, shape)?;
        }
    }
    for (name, loss) in OF_MAPS {
        for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [3, 2, 1, 1], [1, 1, 1, 1]] {
            survives(name, *loss, shape)?;
        }
    }
    Ok(())
}

#[test]
fn correlation_congruence_is_finite_for_any_gamma() -> Outcome {
    for gamma in [1e-9, 30.0, 1e4, 1e300] {
        for (input, student, teacher) in hard_pairs::<2>([4, 3]) {
            let what = format!("{gamma} {input}");
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            let kernel = CorrelationKernel::Taylor;
            let value = assert_finite(&what, student, |student| {
                correlation_congruence(student, teacher.clone(), kernel, gamma, 16, 1e-12)
            })?;
            assert!((0.0..=1.0 + 1e-6).contains(&value), "{what}: {value}");
        }
    }
    Ok(())
}

fn check_teacher<const D: usize>(name: &str, loss: Loss<D>, shape: [usize; D]) -> Outcome {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let student = Tensor::<D>::from_data(wave(shape, 0.3), &autodiff).require_grad();
    let leaf = Tensor::<D>::from_data(wave(shape, 2.1), &autodiff).require_grad();
    let teacher = leaf.clone() * 1.5;
    let value = loss(student.clone(), teacher.clone())?;
    let gradients = value.backward();
    assert!(student.grad(&gradients).is_some(), "{name}: no gradient");
    assert!(
        leaf.grad(&gradients).is_none(),
        "{name}: the teacher learns"
    );
    let lifted = loss(student.clone(), teacher.clone().inner())?;
    let alone = loss(student.inner(), teacher)?;
    assert!(
        !alone.is_autodiff(),
        "{name}: nothing is to be differentiated"
    );
    let value = value.into_scalar::<f32>().to_bits();
    assert_eq!(value, lifted.into_scalar::<f32>().to_bits(), "{name}");
    assert_eq!(value, alone.into_scalar::<f32>().to_bits(), "{name}");
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher() -> Outcome {
    for (name, loss) in OF_EMBEDDINGS {
        check_teacher(name, *loss, [4, 3])?;
    }
    for (name, loss) in OF_MAPS {
        check_teacher(name, *loss, [3, 2, 3, 4])?;
    }
    Ok(())
}

fn text<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn other_batch_sizes_are_errors() {
    let device = Device::flex();
    let rows = |batch_size| Tensor::<2>::ones([batch_size, 3], &device);
    let maps = |batch_size| Tensor::<4>::ones([batch_size, 2, 2, 2], &device);
    for (name, loss) in OF_EMBEDDINGS {
        let text_of = |student, teacher| text(loss(rows(student), rows(teacher)));
        let found = text_of(1, 2);
        let expected = "`student_embedding` [1, 3] and `teacher_embedding` [2, 3] differ in batch size; take both from the same batch";
        assert!(found.ends_with(expected), "{name}: {found}");
        let found = text_of(0, 0);
        assert!(
            found.ends_with("has no elements; skip empty batches"),
            "{name}: {found}"
        );
    }
    for (name, loss) in OF_MAPS {
        let found = text(loss(maps(1), maps(2)));
        let expected = "[2, 2, 2, 2] differ in batch size; take both from the same batch";
        assert!(found.ends_with(expected), "{name}: {found}");
        let found = text(loss(maps(0), maps(0)));
        assert!(
            found.ends_with("has no elements; skip empty batches"),
            "{name}: {found}"
        );
    }
}

#[test]
fn shapes_that_do_not_belong_together_are_errors() {
    let map = |shape: [usize; 4]| Tensor::<4>::ones(shape, &Device::flex());
    let small = || map([2, 3, 2, 2]);
    assert_eq!(
        text(fsp([small(), map([2, 3, 3, 2])], [small(), small()])),
        "`fsp`: `student[0]` [2, 3, 2, 2] and `student[1]` [2, 3, 3, 2] differ in height or width; \
         tap layers of one map size, or pool the larger map first"
    );
    let found = text(fsp([small(), small()], [small(), map([2, 4, 2, 2])]));
    let expected =
        "`fsp`: `student[1]` [2, 3, 2, 2] and `teacher[1]` [2, 4, 2, 2] differ in channels";
    assert!(found.starts_with(expected), "{found}");
    let found = text(fsp(
        [small(), map([1, 3, 2, 2])],
        [small(), map([1, 3, 2, 2])],
    ));
    let expected =
        "`fsp`: `student[0]` [2, 3, 2, 2] and `student[1]` [1, 3, 2, 2] differ in batch size";
    assert!(found.starts_with(expected), "{found}");
    let found = text(nst(
        small(),
        map([2, 3, 2, 1]),
        SelectivityKernel::Linear,
        1e-12,
    ));
    assert!(found.contains("differ in height or width"), "{found}");
    let found = text(ickd(small(), map([2, 4, 2, 2]), 1e-12));
    assert!(found.contains("differ in channels"), "{found}");
    let found = text(pkd(small(), map([2, 4, 2, 2]), 1e-5));
    assert!(found.contains("differ in channels"), "{found}");
}

#[test]
fn constants_outside_their_range_are_errors() {
    let epsilon =
        "`epsilon` must be from 1e-15 to 1, got 0; 1e-12 suits 32-bit floats, 1e-3 16-bit ones";
    let made = SimilarityPreservingLossConfig::new()
        .with_epsilon(0.0)
        .init();
    assert_eq!(text(made), epsilon);
    assert_eq!(text(PkdLossConfig::new().with_epsilon(0.0).init()), epsilon);
    assert_eq!(text(NstLossConfig::new().with_epsilon(0.0).init()), epsilon);
    assert_eq!(
        text(IckdLossConfig::new().with_epsilon(0.0).init()),
        epsilon
    );
    let cc = CorrelationCongruenceLossConfig::new;
    assert_eq!(text(cc().with_epsilon(0.0).init()), epsilon);
    assert_eq!(
        text(PktLossConfig::new().with_epsilon(0.5).init()),
        "`epsilon` must be from 1e-15 to 0.01, got 0.5; the authors' code uses 1e-7"
    );
    assert_eq!(
        text(cc().with_gamma(0.0).init()),
        "`gamma` must be finite and above 0, got 0; the paper uses 0.4"
    );
    for order in [0, 17] {
        let expected = format!("`order` must be from 1 to 16, got {order}; the paper uses 2");
        assert_eq!(text(cc().with_order(order).init()), expected);
    }
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<CorrelationCongruenceLoss>();
    send_and_sync::<CorrelationCongruenceLossConfig>();
    send_and_sync::<CorrelationKernel>();
    send_and_sync::<PkdLoss>();
    send_and_sync::<PkdLossConfig>();
    send_and_sync::<IckdLoss>();
    send_and_sync::<IckdLossConfig>();
    send_and_sync::<NstLoss>();
    send_and_sync::<NstLossConfig>();
    send_and_sync::<SelectivityKernel>();
    send_and_sync::<PktLoss>();
    send_and_sync::<PktLossConfig>();
    send_and_sync::<SimilarityPreservingLoss>();
    send_and_sync::<SimilarityPreservingLossConfig>();
}
