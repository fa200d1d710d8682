//! Contrastive losses against `fixtures/contrastive.py`, and CRD against a plain gather of its rows.

use crate::cases::Golden;
use crate::given::Given;
use crate::support::{Outcome, numbers};
use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{
    CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples, Error, crd_log_z, crd_nce, info_nce,
};

#[test]
fn crd_nce_is_as_the_formula_says() -> Outcome {
    Golden::read("crd_nce")?.check(8, |given| {
        let candidates = given.ints("candidates")?;
        let embedding = given.student::<2>("embedding")?;
        let bank = given.teacher("bank")?;
        let [batch_size, _] = embedding.dims();
        let width = candidates.dims()[0] / batch_size;
        let candidates = candidates.reshape([batch_size, width]);
        let (log_z, temperature) = (given.teacher("log_z")?, given.number("temperature")?);
        Ok(crd_nce(embedding, bank, candidates, log_z, temperature)?)
    })
}

/// A memory whose state is that of the case.
fn memory_of(given: &Given<'_>, config: &CrdLossConfig) -> Outcome<CrdMemory> {
    let bank = given.teacher::<2>("student_bank")?;
    let labels: Option<Vec<usize>> = given.choice("labels")?;
    let samples = match &labels {
        Some(labels) => CrdSamples::Labels(labels),
        None => CrdSamples::Count(bank.dims()[0]),
    };
    let seed = u64::try_from(given.count("seed")?)?;
    let mut memory = config.init_memory(samples, seed, &Device::flex())?;
    let mut state = vec![
        ("student-bank".to_owned(), bank.into_data()),
        (
            "teacher-bank".to_owned(),
            given.teacher::<2>("teacher_bank")?.into_data(),
        ),
    ];
    for (name, key) in [
        ("student-log-z", "student_log_z"),
        ("teacher-log-z", "teacher_log_z"),
    ] {
        if given.has(key) {
            state.push((name.to_owned(), given.teacher::<1>(key)?.into_data()));
        }
    }
    memory.restore(state)?;
    Ok(memory)
}

#[test]
fn crd_is_as_the_formula_says_step_by_step() -> Outcome {
    Golden::read("crd")?.check(6, |given| {
        let labels: Option<Vec<usize>> = given.choice("labels")?;
        let negatives = match labels {
            Some(_) => CrdNegatives::OtherClasses,
            None => CrdNegatives::OtherSamples,
        };
        let config = CrdLossConfig::new()
            .with_dim(given.count("dim")?)
            .with_num_negatives(given.count("num_negatives")?)
            .with_temperature(given.number("temperature")?)
            .with_momentum(given.number("momentum")?)
            .with_negatives(negatives);
        let embeddings = config.init(5, 3, 0, &Device::flex().autodiff())?;
        let embeddings = given.module(embeddings)?;
        let mut memory = memory_of(given, &config)?;
        let steps: Vec<(u64, Vec<usize>)> = given.choice("steps")?;
        let mut total = None;
        for (index, (draw, ids)) in steps.iter().enumerate() {
            let student = given.student(&format!("student{index}"))?;
            let teacher = given.teacher(&format!("teacher{index}"))?;
            let loss = embeddings.forward(student, teacher, ids, *draw, &mut memory)?;
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
        Ok(total.ok_or("no steps")?)
    })
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// The loss with every row gathered and differentiated by the framework, written from the formula.
fn plain_nce(
    embedding: Tensor<2>,
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    log_z: Tensor<1>,
    temperature: f64,
) -> Tensor<1> {
    let [batch_size, dim] = embedding.dims();
    let [num_samples, _] = bank.dims();
    let [_, width] = candidates.dims();
    let rows = bank.select(0, candidates.reshape([batch_size * width]));
    let rows = rows.reshape([batch_size, width, dim]);
    let scores = (rows * embedding.unsqueeze_dim::<3>(1))
        .sum_dim(2)
        .squeeze_dim::<2>(2);
    let x = (scores / temperature).exp() / log_z.exp().reshape([1, 1]);
    let noise = (width - 1) as f64 / num_samples as f64;
    let total = x.clone() + noise;
    let positive = (x / total.clone()).log().narrow(1, 0, 1).sum();
    let negative = (total.recip() * noise).log().narrow(1, 1, width - 1).sum();
    (positive + negative).neg() / batch_size as f64
}

#[test]
fn value_and_gradient_are_those_of_the_naive_gather() -> Outcome {
    let device = Device::flex();
    // A bank that is multiplied as a whole, and one whose rows are picked.
    for [batch_size, dim, num_samples, num_negatives] in [[5, 8, 20, 7], [5, 8, 300, 7]] {
        let unit = |rows: Tensor<2>| {
            let length = rows.clone().square().sum_dim(1).sqrt();
            rows / length
        };
        let bank = unit(random([num_samples, dim], &device));
        let places = Distribution::Uniform(0.0, num_samples as f64 - 0.5);
        let candidates = Tensor::<2>::random([batch_size, num_negatives + 1], places, &device);
        let candidates = candidates.int();
        let start = unit(random([batch_size, dim], &device));
        let log_z = crd_log_z(start.clone(), bank.clone(), candidates.clone(), 0.2)?;

        let [ours, theirs] = [crd_nce_of as Nce, plain_of as Nce].map(|nce| {
            let embedding = start.clone().autodiff().require_grad();
            let (bank, candidates) = (bank.clone(), candidates.clone());
            nce(embedding.clone(), bank, candidates, log_z.clone()).map(|loss| {
                let gradient = embedding.grad(&loss.clone().backward()).map(numbers);
                (numbers(loss), gradient.unwrap_or_default())
            })
        });
        let ((value, gradient), (expected, slope)) = (ours?, theirs?);
        assert!(
            (value[0] / expected[0] - 1.0).abs() < 1e-5,
            "{value:?} {expected:?}"
        );
        assert_eq!(gradient.len(), batch_size * dim);
        let largest = slope.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        for (found, expected) in gradient.iter().zip(&slope) {
            assert!(
                (found - expected).abs() < 1e-5 * largest,
                "{found} {expected}"
            );
        }
    }
    Ok(())
}

type Nce = fn(Tensor<2>, Tensor<2>, Tensor<2, Int>, Tensor<1>) -> Result<Tensor<1>, Error>;

fn crd_nce_of(
    embedding: Tensor<2>,
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    log_z: Tensor<1>,
) -> Result<Tensor<1>, Error> {
    crd_nce(embedding, bank, candidates, log_z, 0.2)
}

#[expect(clippy::unnecessary_wraps, reason = "of the same type as the other")]
fn plain_of(
    embedding: Tensor<2>,
    bank: Tensor<2>,
    candidates: Tensor<2, Int>,
    log_z: Tensor<1>,
) -> Result<Tensor<1>, Error> {
    Ok(plain_nce(embedding, bank, candidates, log_z, 0.2))
}

#[test]
fn info_nce_is_as_the_formula_says() -> Outcome {
    Golden::read("info_nce")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(info_nce(student, teacher, given.number("temperature")?)?)
    })
}
