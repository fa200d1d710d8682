//! The memory of contrastive distillation: the embeddings of all samples, as they were when last seen.

use super::NAME;
use super::nce::crd_log_z;
use super::negatives::Sampler;
use crate::check;
use crate::error::{Error, Result};
use crate::features::relation::unit_rows;
use crate::seeded;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use core::mem;
use std::collections::BTreeSet;

// What the banks and the negatives draw from: the last draws of the seed, as layers take the first.
const STUDENT: u64 = u64::MAX;
const TEACHER: u64 = u64::MAX - 1;
const NEGATIVES: u64 = u64::MAX - 2;

/// The memory of [`CrdEmbeddings`](crate::CrdEmbeddings) of all samples: a bank of embeddings of the
/// student, one of the teacher, and two normalisation constants.
///
/// It belongs to the state of a run, not to its parameters: it lives on the plain device, holds no graph, and
/// [`CrdMemory::state`] and [`CrdMemory::restore`] read and set back all that changes, bit for bit. Make it
/// with [`CrdLossConfig::init_memory`](crate::CrdLossConfig::init_memory). It takes `2 * num_samples * dim`
/// numbers: 51 MB for 50000 samples.
#[derive(Clone, Debug)]
pub struct CrdMemory {
    pub(super) sampler: Sampler,
    student: Side,
    teacher: Side,
}

/// A bank and the constant of the embeddings that are compared with it.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) bank: Tensor<2>,
    log_z: Option<Tensor<1>>,
}

impl CrdMemory {
    pub(super) fn new(sampler: Sampler, shape: [usize; 2], seed: u64, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let side = |stream| {
            let bound = (shape[1] as f32 / 3.0).sqrt().recip();
            let values = seeded::uniform(seeded::splitmix64(seed, stream), bound);
            let values: Vec<f32> = values.take(shape[0] * shape[1]).collect();
            Side {
                bank: Tensor::from_data(TensorData::new(values, shape), &device),
                log_z: None,
            }
        };
        Self {
            sampler,
            student: side(STUDENT),
            teacher: side(TEACHER),
        }
    }

    /// The seed of the negatives among what a seed gives.
    pub(super) fn seed_of_negatives(seed: u64) -> u64 {
        seeded::splitmix64(seed, NEGATIVES)
    }

    /// The number of samples that it has rows for.
    pub fn num_samples(&self) -> usize {
        self.student.bank.dims()[0]
    }

    /// The student's embeddings of all samples, `[num_samples, dim]`.
    pub fn student_bank(&self) -> Tensor<2> {
        self.student.bank.clone()
    }

    /// The teacher's embeddings of all samples, `[num_samples, dim]`.
    pub fn teacher_bank(&self) -> Tensor<2> {
        self.teacher.bank.clone()
    }

    /// All that changes, under names: `student-bank`, `teacher-bank`, and from the first batch on
    /// `student-log-z` and `teacher-log-z`, the constants of the student's embeddings (compared with the
    /// teacher's bank) and of the teacher's.
    ///
    /// This waits for the device.
    pub fn state(&self) -> Vec<(String, TensorData)> {
        let mut state = Vec::new();
        for (name, side) in [("student", &self.student), ("teacher", &self.teacher)] {
            state.push((format!("{name}-bank"), side.bank.to_data()));
            if let Some(log_z) = &side.log_z {
                state.push((format!("{name}-log-z"), log_z.to_data()));
            }
        }
        state
    }

    /// Sets back what [`CrdMemory::state`] read. The seed and the labels are those that this memory was made
    /// with.
    ///
    /// # Errors
    ///
    /// A name that is missing or unknown; another number of samples or width. Nothing is changed then.
    pub fn restore(&mut self, state: Vec<(String, TensorData)>) -> Result<()> {
        let shape = self.student.bank.dims();
        let device = self.student.bank.device();
        let (mut student, mut teacher) = ((None, None), (None, None));
        for (name, data) in state {
            let wrong = |expected: &[usize]| Error::WrongState {
                loss: NAME,
                name: name.clone(),
                problem: format!(
                    "has shape {:?}, expected {expected:?}",
                    data.shape().as_slice()
                ),
            };
            let options = (&device, data.dtype());
            let (place, bank) = match name.as_str() {
                "student-bank" => (&mut student, true),
                "teacher-bank" => (&mut teacher, true),
                "student-log-z" => (&mut student, false),
                "teacher-log-z" => (&mut teacher, false),
                _ => return Err(problem(name, "is not known")),
            };
            let expected: &[usize] = if bank { &shape } else { &[1] };
            if data.shape().as_slice() != expected {
                return Err(wrong(expected));
            }
            if bank {
                place.0 = Some(Tensor::<2>::from_data(data, options));
            } else {
                place.1 = Some(Tensor::<1>::from_data(data, options));
            }
        }
        let missing = |name: &str| problem(name.to_owned(), "is missing");
        if student.1.is_some() != teacher.1.is_some() {
            let name = if student.1.is_some() {
                "teacher-log-z"
            } else {
                "student-log-z"
            };
            return Err(missing(name));
        }
        let student = Side {
            bank: student.0.ok_or_else(|| missing("student-bank"))?,
            log_z: student.1,
        };
        let teacher = Side {
            bank: teacher.0.ok_or_else(|| missing("teacher-bank"))?,
            log_z: teacher.1,
        };
        (self.student, self.teacher) = (student, teacher);
        Ok(())
    }

    /// Every sample must have a row, and the banks must go with the embeddings.
    pub(super) fn check(&self, ids: &[usize], embedding: &Tensor<2>, dim: usize) -> Result<()> {
        let num_samples = self.num_samples();
        if let Some(&id) = ids.iter().find(|&&id| id >= num_samples) {
            return Err(Error::UnknownSample {
                loss: NAME,
                id,
                num_samples,
            });
        }
        let [_, width] = self.student.bank.dims();
        if width != dim {
            return Err(Error::Unlike {
                loss: NAME,
                what: "width",
                left: format!("`memory` ({width})"),
                right: format!("the embeddings ({dim})"),
                advice: "make both with one `CrdLossConfig`",
            });
        }
        let names = ["student_embedding", "memory"];
        check::pair(NAME, names, embedding, &self.student.bank, [])
    }

    /// The constants of both sides, estimated if this is the first batch.
    pub(super) fn log_z(
        &mut self,
        [student, teacher]: [&Tensor<2>; 2],
        candidates: &Tensor<2, Int>,
        temperature: f64,
    ) -> Result<[Tensor<1>; 2]> {
        let estimate = |embedding: &Tensor<2>, bank: &Tensor<2>| {
            let (embedding, bank) = (embedding.clone(), bank.clone());
            crd_log_z(embedding, bank, candidates.clone(), temperature)
        };
        let of_student = match &self.student.log_z {
            Some(known) => known.clone(),
            None => estimate(student, &self.teacher.bank)?,
        };
        let of_teacher = match &self.teacher.log_z {
            Some(known) => known.clone(),
            None => estimate(teacher, &self.student.bank)?,
        };
        self.student.log_z = Some(of_student.clone());
        self.teacher.log_z = Some(of_teacher.clone());
        Ok([of_student, of_teacher])
    }

    /// Moves the rows of the batch towards its embeddings; of a sample that is there twice the last counts.
    pub(super) fn update(&mut self, ids: &[usize], embeddings: [Tensor<2>; 2], momentum: f64) {
        let mut seen = BTreeSet::new();
        let mut last: Vec<usize> = (0..ids.len())
            .rev()
            .filter(|&i| seen.insert(ids[i]))
            .collect();
        last.reverse();
        let device = self.student.bank.device();
        let ids = indices(last.iter().map(|&index| ids[index]), &device);
        let last =
            (last.len() < embeddings[0].dims()[0]).then(|| indices(last.iter().copied(), &device));
        for (side, embedding) in [&mut self.student, &mut self.teacher]
            .into_iter()
            .zip(embeddings)
        {
            let embedding = embedding.without_autodiff();
            let embedding = match &last {
                Some(last) => embedding.select(0, last.clone()),
                None => embedding,
            };
            let old = side.bank.clone().select(0, ids.clone());
            let new = unit_rows(old.clone() * momentum + embedding * (1.0 - momentum));
            // Taken out of its place, so that it is changed where it is and not copied.
            let bank = mem::replace(&mut side.bank, old);
            side.bank = bank.select_assign(0, ids.clone(), new, IndexingUpdateOp::Assign);
        }
    }
}

fn problem(name: String, problem: &str) -> Error {
    Error::WrongState {
        loss: NAME,
        name,
        problem: problem.to_owned(),
    }
}

fn indices(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.map(|value| (value as u64).cast_signed()).collect();
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}
