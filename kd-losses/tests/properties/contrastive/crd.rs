//! Contrastive representation distillation: hard inputs, the constant of its estimate, its config.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Int, Tensor};
use kd_losses::{CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples, crd_log_z};

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
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
