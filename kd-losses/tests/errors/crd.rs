//! Errors of contrastive representation distillation and of its memory.

use crate::support::{Outcome, text};
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples};

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

fn small() -> CrdLossConfig {
    CrdLossConfig::new().with_dim(6).with_num_negatives(10)
}

fn made(seed: u64) -> Outcome<(CrdEmbeddings, CrdMemory)> {
    let device = Device::flex();
    let embeddings = small().init(4, 7, seed, &device.clone().autodiff())?;
    let memory = small().init_memory(CrdSamples::Count(20), seed, &device)?;
    Ok((embeddings, memory))
}

#[test]
fn what_is_wrong_is_said_in_words() -> Outcome {
    let device = Device::flex();
    let (embeddings, mut memory) = made(0)?;
    let (student, teacher) = (
        Tensor::<2>::ones([2, 4], &device),
        Tensor::<2>::ones([2, 7], &device),
    );
    let before = memory.state();
    let mut call = |student: &Tensor<2>, teacher: &Tensor<2>, ids: &[usize]| {
        text(embeddings.forward(student.clone(), teacher.clone(), ids, 0, &mut memory))
    };
    assert_eq!(
        call(&student, &teacher, &[3, 20]),
        "`crd`: there is no sample 20 in a memory of 20; give the positions of the samples in the training \
         set, from 0"
    );
    assert_eq!(
        call(&student, &teacher, &[3]),
        "`crd`: `student_embedding` [2, 4] and `ids` [1] differ in batch size; take both from the same batch"
    );
    assert_eq!(
        call(&teacher, &teacher, &[3, 4]),
        "`crd`: `student_embedding` [2, 7] has a width of 7, but the module was made for 4; make it with the \
         widths of the taps"
    );
    assert_eq!(
        call(&student, &student, &[3, 4]),
        "`crd`: `teacher_embedding` [2, 4] has a width of 4, but the module was made for 7; make it with the \
         widths of the taps"
    );
    assert_eq!(memory.state(), before, "a call that fails changes nothing");

    let wide = small().with_dim(8).init(4, 7, 0, &device)?;
    assert_eq!(
        text(wide.forward(student, teacher, &[0, 1], 0, &mut memory)),
        "`crd`: `memory` (6) and the embeddings (8) differ in width; make both with one `CrdLossConfig`"
    );

    let bank = |shape: [usize; 2]| {
        (
            "student-bank".to_owned(),
            TensorData::zeros::<f32, _>(shape),
        )
    };
    for (state, expected) in [
        (vec![bank([20, 6])], "`teacher-bank` is missing"),
        (
            vec![bank([19, 6])],
            "`student-bank` has shape [19, 6], expected [20, 6]",
        ),
        (
            vec![("bank".to_owned(), bank([20, 6]).1)],
            "`bank` is not known",
        ),
    ] {
        let expected = format!(
            "`crd`: {expected}; restore the state of a loss that was made with the same config and data"
        );
        assert_eq!(text(memory.restore(state)), expected);
    }
    assert_eq!(memory.state(), before);
    Ok(())
}
