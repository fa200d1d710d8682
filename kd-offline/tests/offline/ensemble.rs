//! Several teachers averaged, against the same in plain float64 arithmetic; teachers and students with a
//! normalisation of their own, against doing it by hand.

use burn::tensor::{Device, Tensor};
use kd_core::{
    Answer, Batch, Names, Normalisation, Output, Requested, Result, Rows, StagedNetwork, Teacher,
    export, import,
};
use kd_offline::{Ensemble, Offline};

use crate::support::{
    Small, boxed, evaluation, first_step, kd, noise, normalisation, offline, pixels, result_file,
    shared, steps, teacher, term,
};

/// One row a sample.
type Table = Vec<Vec<f64>>;

fn rows(logits: Tensor<2>) -> Table {
    let [_, classes] = logits.dims();
    let values: Vec<f64> = logits.into_data().iter::<f64>().collect();
    values.chunks_exact(classes).map(<[f64]>::to_vec).collect()
}

fn softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = row.iter().map(|x| (x / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn mean(parts: &[Vec<f64>]) -> Vec<f64> {
    (0..parts[0].len())
        .map(|at| parts.iter().map(|part| part[at]).sum::<f64>() / parts.len() as f64)
        .collect()
}

/// The mean over samples of `KL(averaged teachers || student)` at `temperature`.
fn divergence(student: &Table, teachers: &[Table], ensemble: Ensemble, temperature: f64) -> f64 {
    let of_sample = |sample: usize| {
        let soft: Vec<f64> = match ensemble {
            Ensemble::Logits => {
                let logits: Table = teachers.iter().map(|rows| rows[sample].clone()).collect();
                softmax(&mean(&logits), temperature)
            }
            Ensemble::Probabilities => {
                let soft: Table = teachers
                    .iter()
                    .map(|rows| softmax(&rows[sample], temperature))
                    .collect();
                mean(&soft)
            }
        };
        let own = softmax(&student[sample], temperature);
        soft.iter()
            .zip(own)
            .map(|(p, q)| p * (p / q).ln())
            .sum::<f64>()
    };
    (0..student.len()).map(of_sample).sum::<f64>() / student.len() as f64
}

fn near(what: &str, found: f64, expected: f64) {
    near_within(what, found, expected, 0.0);
}

fn near_within(what: &str, found: f64, expected: f64, absolute: f64) {
    assert!(
        (found - expected).abs() <= 1e-5 * expected.abs() + absolute,
        "{what}: {found}, by hand {expected}"
    );
}

/// Networks whose logits are far apart, so that the two spaces differ.
fn sharp(seed: u64) -> Small {
    let network = Small::new([4, 6], 3, seed);
    let mut tensors = export(&network, Names::PyTorch);
    let weight = tensors.get_mut("fc.weight").unwrap();
    let values: Vec<f32> = weight.iter::<f32>().map(|x| 12.0 * x).collect();
    *weight = burn::tensor::TensorData::new(values, weight.shape().clone());
    import(&network, &tensors, Names::PyTorch, "sharp").unwrap()
}

#[test]
fn two_teachers_are_averaged_as_plain_arithmetic_does_it() {
    let data = noise();
    let (pixels, _) = pixels(&data.train);
    let student = Small::new([3, 4], 3, 1);
    let networks = [sharp(2), sharp(3)];
    let own = rows(student.forward(&pixels));
    let said: Vec<Table> = networks
        .iter()
        .map(|network| rows(network.forward(&pixels)))
        .collect();
    let mut seen = Vec::new();
    for ensemble in [Ensemble::Logits, Ensemble::Probabilities] {
        for temperature in [1.0, 2.5, 4.0, 20.0] {
            let teachers = networks.iter().map(teacher).collect();
            let losses = vec![kd(temperature)];
            let method = offline(&student, data.clone(), steps(1), Vec::new(), losses)
                .with_teachers(teachers, ensemble);
            let value = term(&first_step(&method), "kd");
            let by_hand = divergence(&own, &said, ensemble, temperature);
            let what = format!("{ensemble:?} at {temperature}");
            // The factor `temperature^2` enlarges what 32 bits round off the divergence.
            let factor = temperature * temperature;
            near_within(&what, value, factor * by_hand, 1e-7 * factor);
            seen.push(value);

            // The evaluation compares at temperature 1, whatever that of the loss.
            let metrics = evaluation(&method);
            let by_hand = divergence(&own, &said, ensemble, 1.0);
            near(&what, metrics["teacher_kl"], by_hand);
        }
    }
    // The two spaces are far apart at temperature 1, so that mixing them up would have been seen.
    assert!((seen[0] - seen[4]).abs() > 0.05 * seen[0], "{seen:?}");
}

#[test]
fn a_third_teacher_counts_as_much_as_the_others() {
    let data = noise();
    let (pixels, _) = pixels(&data.train);
    let student = Small::new([3, 4], 3, 1);
    let networks = [sharp(2), sharp(3), sharp(4)];
    let said: Vec<Table> = networks
        .iter()
        .map(|network| rows(network.forward(&pixels)))
        .collect();
    for ensemble in [Ensemble::Logits, Ensemble::Probabilities] {
        let teachers = networks.iter().map(teacher).collect();
        let method = offline(&student, data.clone(), steps(1), Vec::new(), vec![kd(1.0)])
            .with_teachers(teachers, ensemble);
        let by_hand = divergence(&rows(student.forward(&pixels)), &said, ensemble, 1.0);
        near(
            &format!("{ensemble:?}"),
            term(&first_step(&method), "kd"),
            by_hand,
        );
    }
}

#[test]
fn with_one_teacher_the_space_changes_nothing() {
    let student = Small::new([3, 4], 3, 1);
    let result = |ensemble| {
        let method = offline(&student, noise(), steps(5), Vec::new(), vec![kd(3.0)])
            .with_teachers(vec![teacher(&sharp(2))], ensemble);
        result_file(&method)
    };
    assert_eq!(result(Ensemble::Logits), result(Ensemble::Probabilities));
}

/// Two halves of one opinion are that opinion.
#[test]
fn the_same_teacher_twice_is_one_teacher() {
    let student = Small::new([3, 4], 3, 1);
    let value = |count: usize, ensemble| {
        let teachers = (0..count).map(|_| teacher(&sharp(2))).collect();
        let method = offline(&student, noise(), steps(1), Vec::new(), vec![kd(3.0)])
            .with_teachers(teachers, ensemble);
        term(&first_step(&method), "kd")
    };
    let alone = value(1, Ensemble::Logits);
    near("logits", value(2, Ensemble::Logits), alone);
    near("probabilities", value(2, Ensemble::Probabilities), alone);
}

/// Logits of +-1e4 have probabilities that 32 bits cannot hold; the loss stays finite.
#[test]
fn opinions_that_exclude_each_other_are_averaged_without_underflow() {
    #[derive(Debug)]
    struct Certain(usize);
    impl Teacher for Certain {
        fn stage_names(&self) -> Vec<String> {
            Vec::new()
        }
        fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
            let mut row = [-1e4_f32; 3];
            row[self.0] = 1e4;
            let output = Tensor::<1>::from_floats(row, &batch.device())
                .unsqueeze::<2>()
                .repeat_dim(0, batch.len());
            let dense = requested.taps().iter().map(|_| output.clone().into_map());
            Ok(Answer::new(
                Some(Output::Classes(output.clone())),
                dense.collect(),
            ))
        }
        fn hash(&self) -> String {
            String::new()
        }
    }
    let student = Small::new([3, 4], 3, 1);
    let data = noise();
    let (pixels, _) = pixels(&data.train);
    let own = rows(student.forward(&pixels));
    let method = offline(&student, data, steps(1), Vec::new(), vec![kd(1.0)]).with_teachers(
        vec![Box::new(Certain(0)), Box::new(Certain(2))],
        Ensemble::Probabilities,
    );
    // Half of the first and half of the last class.
    let by_hand = own.iter().map(|row| {
        let q = softmax(row, 1.0);
        0.5 * (0.5 / q[0]).ln() + 0.5 * (0.5 / q[2]).ln()
    });
    let by_hand = by_hand.sum::<f64>() / own.len() as f64;
    near("certain", term(&first_step(&method), "kd"), by_hand);
}

#[test]
fn each_teacher_and_the_student_normalise_for_themselves() {
    let data = noise();
    let (pixels, labels) = pixels(&data.train);
    let student = Small::new([3, 4], 3, 1);
    let networks = [sharp(2), sharp(3)];
    let moments = [(0.3, 0.4), (0.6, 0.2), (0.5, 0.25)];
    let by_hand = |network: &Small, (mean, std): (f64, f64)| {
        rows(network.forward(&pixels.clone().sub_scalar(mean).div_scalar(std)))
    };
    let said: Vec<Table> = networks
        .iter()
        .zip(moments)
        .map(|(network, moments)| by_hand(network, moments))
        .collect();
    let own = by_hand(&student, moments[2]);

    let teachers = networks
        .iter()
        .zip(moments)
        .map(|(network, (mean, std))| boxed(&shared(network, normalisation(mean, std))))
        .collect();
    let (mean, std) = moments[2];
    let seen = normalisation(mean, std);
    let method = Offline::new(&student, seen, data.clone(), steps(1), &Device::flex())
        .with_teachers(teachers, Ensemble::Logits)
        .with_losses(vec![kd(2.0), kd_offline::LossConfig::cross_entropy(1.0)]);
    let terms = first_step(&method);
    let expected = 4.0 * divergence(&own, &said, Ensemble::Logits, 2.0);
    near("kd", term(&terms, "kd"), expected);
    let cross_entropy = own
        .iter()
        .zip(&labels)
        .map(|(row, &label)| -softmax(row, 1.0)[label].ln());
    let cross_entropy = cross_entropy.sum::<f64>() / own.len() as f64;
    near(
        "cross_entropy",
        term(&terms, "cross_entropy"),
        cross_entropy,
    );
    near("loss", evaluation(&method)["loss"], cross_entropy);

    // Were they all shown the same, the loss would be another.
    let same = Normalisation::identity(1);
    let teachers = networks
        .iter()
        .map(|network| boxed(&shared(network, same.clone())))
        .collect();
    let method = offline(&student, data, steps(1), teachers, vec![kd(2.0)]);
    let other = term(&first_step(&method), "kd");
    assert!((other - expected).abs() > 0.01 * expected, "{other}");
}
