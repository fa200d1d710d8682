//! Contrastive representation distillation: golden values and gradients, inputs that it must survive, its constants.

mod support;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{
    CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples, Error, crd_log_z, crd_nce,
};
use support::{Given, Golden, Outcome, assert_finite, hard_pairs, numbers};

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

fn small() -> CrdLossConfig {
    CrdLossConfig::new().with_dim(6).with_num_negatives(10)
}

#[test]
fn crd_survives_hard_inputs() -> Outcome {
    let device = Device::flex();
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        let config = small();
        for temperature in [0.07, 0.01, 10.0] {
            let config = config.clone().with_temperature(temperature);
            let embeddings = config.init(shape[1], shape[1], 2, &device.clone().autodiff())?;
            for (name, student, teacher) in hard_pairs::<2>(shape) {
                let teacher = Tensor::<2>::from_data(teacher, &device);
                let ids: Vec<usize> = (0..shape[0]).collect();
                let value = assert_finite(name, student, |student| {
                    let mut memory = config.init_memory(CrdSamples::Count(9), 2, &device)?;
                    embeddings.forward(student, teacher.clone(), &ids, 0, &mut memory)
                })?;
                assert!(value >= 0.0, "{name}: {value}");
            }
        }
    }
    // Embeddings of zeros and the smallest memory, one step after the other.
    let config = small().with_momentum(0.0);
    let embeddings = config.init(3, 3, 2, &device.clone().autodiff())?;
    let record = embeddings.clone().map(&mut Zeros);
    let mut memory = config.init_memory(CrdSamples::Count(2), 2, &device)?;
    for draw in 0..3 {
        let zeros = Tensor::<2>::zeros([2, 3], &device);
        let (student, teacher) = (zeros.clone().autodiff(), zeros);
        let loss = record.forward(student, teacher, &[0, 1], draw, &mut memory)?;
        assert!(numbers(loss).iter().all(|value| value.is_finite()));
    }
    assert!(
        numbers(memory.student_bank())
            .iter()
            .all(|value| *value == 0.0)
    );
    Ok(())
}

struct Zeros;

impl ModuleMapper for Zeros {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.zeros_like().require_grad())
    }
}

#[test]
fn the_constant_of_a_student_that_learns_has_no_graph() -> Outcome {
    let device = Device::flex();
    let bank = random([9, 4], &device);
    let embedding = random([2, 4], &device.clone().autodiff()).require_grad();
    let candidates = Tensor::<2, Int>::from_data([[0, 3], [5, 1]], &device);
    assert!(!crd_log_z(embedding, bank, candidates, 0.1)?.is_autodiff());
    Ok(())
}

#[test]
fn extra_parameters_are_as_declared() -> Outcome {
    let embeddings = CrdLossConfig::new().init(64, 256, 0, &Device::flex())?;
    assert_eq!(embeddings.extra_parameters(), (64 + 256 + 2) * 128);
    Ok(())
}

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn constants_and_samples_are_checked() {
    let device = Device::flex();
    let made = |config: CrdLossConfig| text(config.init(2, 2, 0, &device));
    assert_eq!(
        made(small().with_temperature(0.0)),
        "`temperature` must be finite and above 0, got 0; the authors' code uses 0.07"
    );
    assert_eq!(
        made(small().with_momentum(1.0)),
        "`momentum` must be at least 0 and below 1, got 1; the authors' code uses 0.5"
    );
    assert_eq!(
        made(small().with_dim(0)),
        "`dim` must be at least 1, got 0; the authors' code uses 128"
    );
    assert_eq!(
        made(small().with_num_negatives(0)),
        "`num_negatives` must be at least 1, got 0; the authors' code uses 16384"
    );
    let memory = |negatives, samples| {
        text(
            small()
                .with_negatives(negatives)
                .init_memory(samples, 0, &device),
        )
    };
    let none = "`crd`: there are no negatives: ";
    assert_eq!(
        memory(CrdNegatives::OtherSamples, CrdSamples::Count(1)),
        format!("{none}a memory needs at least 2 samples")
    );
    assert_eq!(
        memory(CrdNegatives::OtherClasses, CrdSamples::Count(5)),
        format!("{none}negatives of other classes need the labels of all samples")
    );
    assert_eq!(
        memory(CrdNegatives::OtherClasses, CrdSamples::Labels(&[3, 3, 3])),
        format!("{none}all samples are of one class")
    );
}

#[test]
fn a_config_survives_its_file() -> Outcome {
    let config = small().with_negatives(CrdNegatives::OtherClasses);
    let text = serde_json::to_string(&config)?;
    assert!(text.contains("other-classes"), "{text}");
    assert_eq!(serde_json::from_str::<CrdLossConfig>(&text)?, config);
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<CrdEmbeddings>();
    send_and_sync::<CrdLossConfig>();
    send_and_sync::<CrdMemory>();
    send_and_sync::<CrdNegatives>();
    send_and_sync::<CrdSamples<'static>>();
}
