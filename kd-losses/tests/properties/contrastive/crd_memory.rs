//! The memory of contrastive representation distillation: which rows a step changes, and that it is read out
//! and set back bit for bit.

use crate::support::{Outcome, numbers, wave};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use kd_losses::{CrdEmbeddings, CrdLossConfig, CrdMemory, CrdSamples};

fn small() -> CrdLossConfig {
    CrdLossConfig::new().with_dim(6).with_num_negatives(10)
}

fn made(seed: u64) -> Outcome<(CrdEmbeddings, CrdMemory)> {
    let device = Device::flex();
    let embeddings = small().init(4, 7, seed, &device.clone().autodiff())?;
    let memory = small().init_memory(CrdSamples::Count(20), seed, &device)?;
    Ok((embeddings, memory))
}

fn batch(step: usize, autodiff: &Device) -> (Tensor<2>, Tensor<2>, [usize; 3]) {
    let phase = step as f64;
    let student = Tensor::<2>::from_data(wave([3, 4], phase), autodiff).require_grad();
    let teacher = Tensor::<2>::from_data(wave([3, 7], phase + 0.5), &Device::flex());
    (student, teacher, [step, step + 7, step + 13])
}

/// Values and student's gradients of some steps.
fn run(
    embeddings: &CrdEmbeddings,
    memory: &mut CrdMemory,
    steps: core::ops::Range<usize>,
) -> Outcome<Vec<f64>> {
    let autodiff = Device::flex().autodiff();
    let mut found = Vec::new();
    for step in steps {
        let (student, teacher, ids) = batch(step, &autodiff);
        let loss = embeddings.forward(student.clone(), teacher, &ids, step as u64, memory)?;
        found.extend(numbers(loss.clone()));
        let gradient = student.grad(&loss.backward());
        found.extend(numbers(gradient.ok_or("the student learns")?));
    }
    Ok(found)
}

#[test]
fn two_runs_with_one_seed_are_equal_bit_for_bit() -> Outcome {
    let (embeddings, mut memory) = made(5)?;
    let first = run(&embeddings, &mut memory, 0..4)?;
    let (embeddings, mut again) = made(5)?;
    assert_eq!(first, run(&embeddings, &mut again, 0..4)?);
    assert_eq!(memory.state(), again.state());
    let (embeddings, mut other) = made(6)?;
    assert_ne!(first, run(&embeddings, &mut other, 0..4)?);
    Ok(())
}

#[test]
fn a_restored_memory_continues_bit_for_bit() -> Outcome {
    let (embeddings, mut memory) = made(5)?;
    let fresh = memory.state();
    assert_eq!(
        fresh.len(),
        2,
        "the constants are not known before the first batch"
    );
    run(&embeddings, &mut memory, 0..3)?;
    let state = memory.state();
    let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "student-bank",
            "student-log-z",
            "teacher-bank",
            "teacher-log-z"
        ]
    );
    let rest = run(&embeddings, &mut memory, 3..6)?;

    let mut other = small().init_memory(CrdSamples::Count(20), 5, &Device::flex())?;
    other.restore(state)?;
    assert_eq!(rest, run(&embeddings, &mut other, 3..6)?);
    assert_eq!(memory.state(), other.state());
    // Back to the beginning: the constants are estimated anew.
    other.restore(fresh)?;
    assert_eq!(other.state().len(), 2);
    Ok(())
}

#[test]
fn the_memory_changes_for_the_batch_and_for_nothing_else() -> Outcome {
    let (embeddings, mut memory) = made(1)?;
    let before = numbers(memory.student_bank());
    run(&embeddings, &mut memory, 0..1)?;
    let after = numbers(memory.student_bank());
    for sample in 0..20 {
        let row = sample * 6..sample * 6 + 6;
        let changed = before[row.clone()] != after[row.clone()];
        assert_eq!(changed, [0, 7, 13].contains(&sample), "sample {sample}");
        if changed {
            let length: f64 = after[row].iter().map(|x| x * x).sum();
            assert!((length - 1.0).abs() < 1e-6, "{length}");
        }
    }
    let log_z = |memory: &CrdMemory| memory.state()[1].clone();
    let first = log_z(&memory);
    run(&embeddings, &mut memory, 1..3)?;
    assert_eq!(
        log_z(&memory),
        first,
        "the constant stays that of the first batch"
    );
    Ok(())
}

#[test]
fn the_memory_is_on_the_plain_device_and_holds_no_graph() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let embeddings = small().init(4, 7, 0, &autodiff)?;
    let mut memory = small().init_memory(CrdSamples::Count(20), 0, &autodiff)?;
    for steps in [0..0, 0..2] {
        run(&embeddings, &mut memory, steps)?;
        assert!(!memory.student_bank().is_autodiff());
        assert!(!memory.teacher_bank().is_autodiff());
    }
    Ok(())
}

#[test]
fn gradients_reach_both_embeddings_and_not_the_teacher() -> Outcome {
    let autodiff = Device::flex().autodiff();
    let (embeddings, memory) = made(3)?;
    let (student, _, ids) = batch(0, &autodiff);
    let leaf = Tensor::<2>::from_data(wave([3, 7], 0.5), &autodiff).require_grad();
    let mut values = Vec::new();
    for teacher in [leaf.clone() * 1.5, (leaf.clone() * 1.5).inner()] {
        let loss = embeddings.forward(student.clone(), teacher, &ids, 0, &mut memory.clone())?;
        values.push(numbers(loss.clone()));
        let gradients = loss.backward();
        assert!(student.grad(&gradients).is_some());
        assert!(leaf.grad(&gradients).is_none());
        let mut watcher = Slopes {
            gradients,
            found: 0,
        };
        embeddings.visit(&mut watcher);
        assert_eq!(
            watcher.found, 4,
            "weights and biases of both embeddings learn"
        );
    }
    assert_eq!(values[0], values[1]);
    Ok(())
}

struct Slopes {
    gradients: Gradients,
    found: usize,
}

impl ModuleVisitor for Slopes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(&self.gradients).map(numbers);
        let slopes = gradient.is_some_and(|values| values.iter().any(|value| *value != 0.0));
        self.found += usize::from(slopes);
    }
}

#[test]
fn initial_rows_have_a_length_near_1_and_depend_on_the_seed() -> Outcome {
    let device = Device::flex();
    let config = CrdLossConfig::new();
    let make = |seed| config.init_memory(CrdSamples::Count(50), seed, &device);
    let memory = make(1)?;
    for bank in [memory.student_bank(), memory.teacher_bank()] {
        let lengths = numbers(bank.square().sum_dim(1).sqrt());
        assert!(lengths.iter().all(|length| (0.8..1.2).contains(length)));
        let mean = lengths.iter().sum::<f64>() / 50.0;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
    }
    assert_eq!(memory.state(), make(1)?.state());
    assert_ne!(memory.state()[0], make(2)?.state()[0]);
    assert_ne!(memory.state()[0].1, memory.state()[1].1, "the banks differ");
    assert_eq!(memory.num_samples(), 50);
    Ok(())
}
