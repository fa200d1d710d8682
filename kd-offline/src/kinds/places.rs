//! Where a loss looks: places in the student and in what a teacher was asked for.

use burn::tensor::{Device, Int, Tensor};
use kd_core::{Draws, Error, Result};

use super::{DENSE, Seen};
use crate::{Answer, Ensemble, LossConfig, Taps, Teacher};

/// Everything a term may look at in one step.
pub(crate) struct Scene<'a> {
    pub(crate) student: &'a Seen,
    pub(crate) answers: &'a [Answer],
    pub(crate) teachers: &'a [Box<dyn Teacher>],
    /// On the autodiff device.
    pub(crate) targets: &'a Tensor<1, Int>,
    /// Of the samples, in their data set.
    pub(crate) ids: &'a [u32],
    /// The step, for what is drawn at random.
    pub(crate) step: u64,
    /// Whether this is only a trial, which must leave nothing behind.
    pub(crate) trial: bool,
}

impl Scene<'_> {
    fn at(&self, place: At) -> Tensor<4> {
        match place {
            At::Map(index) => self.student.maps[index].clone(),
            At::Dense => as_map(self.student.dense.clone()),
        }
    }

    /// The two maps of a pair.
    pub(super) fn pair(&self, pair: &Pair) -> (Tensor<4>, Tensor<4>) {
        let theirs = self.answers[pair.teacher].maps[pair.map].clone();
        (self.at(pair.student), theirs)
    }

    /// The two maps of a pair as vectors `[batch_size, features]`.
    pub(super) fn vectors(&self, pair: &Pair) -> (Tensor<2>, Tensor<2>) {
        let (ours, theirs) = self.pair(pair);
        (ours.flatten(1, 3), theirs.flatten(1, 3))
    }
}

/// `[batch_size, features]` as `[batch_size, features, 1, 1]`.
pub(crate) fn as_map(dense: Tensor<2>) -> Tensor<4> {
    let [batch_size, features] = dense.dims();
    dense.reshape([batch_size, features, 1, 1])
}

/// A place in the student.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    Map(usize),
    Dense,
}

/// A place in the student and one in what a teacher was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    student: At,
    pub(super) teacher: usize,
    /// In the answer.
    map: usize,
    /// Of the map of one sample: channels, height, width.
    student_shape: [usize; 3],
    teacher_shape: [usize; 3],
}

impl Pair {
    /// The widths, student first.
    pub(super) fn channels(&self) -> [usize; 2] {
        [self.student_shape[0], self.teacher_shape[0]]
    }

    /// The number of features of the flattened maps, student first.
    pub(super) fn features(&self) -> [usize; 2] {
        [
            self.student_shape.iter().product(),
            self.teacher_shape.iter().product(),
        ]
    }
}

/// What a loss is bound with.
pub(crate) struct Binder<'a> {
    pub(crate) stages: Vec<String>,
    pub(crate) student: &'a Seen,
    pub(crate) teachers: &'a [(&'a dyn Teacher, &'a Seen)],
    pub(crate) asked: Vec<Taps>,
    pub(crate) ensemble: Ensemble,
    /// The seed of the run.
    pub(crate) seed: u64,
    /// The place of the loss in the recipe.
    pub(crate) index: usize,
    /// The autodiff device.
    pub(crate) device: &'a Device,
    pub(crate) batch_size: usize,
    /// Ids of the samples in their data set, and the labels of all its samples.
    pub(crate) ids: &'a [u32],
    pub(crate) labels: &'a [u16],
}

impl Binder<'_> {
    /// The pairs of taps of a loss. Adds what the teacher is to be asked for.
    pub(super) fn pairs(&mut self, loss: &LossConfig) -> Result<Vec<Pair>> {
        let teacher = loss.which_teacher();
        loss.taps()
            .map(|(ours, theirs)| {
                let (student, student_shape) = self.ours(ours)?;
                let (map, teacher_shape) = self.theirs(teacher, theirs)?;
                Ok(Pair {
                    student,
                    teacher,
                    map,
                    student_shape,
                    teacher_shape,
                })
            })
            .collect()
    }

    /// The places of one side each, where the sides may have different numbers of taps.
    pub(super) fn sides(&mut self, loss: &LossConfig) -> Result<Sides> {
        let teacher = loss.which_teacher();
        let (ours, theirs) = loss.each_taps();
        let ours = ours.iter().map(|tap| self.ours(tap));
        let ours: Vec<(At, [usize; 3])> = ours.collect::<Result<_>>()?;
        let mut maps = Vec::new();
        for tap in theirs {
            maps.push(self.theirs(teacher, tap)?);
        }
        Ok(Sides {
            student: ours,
            teacher,
            maps,
        })
    }

    fn ours(&self, tap: &str) -> Result<(At, [usize; 3])> {
        let shape = |map: &Tensor<4>| {
            let [_, channels, height, width] = map.dims();
            [channels, height, width]
        };
        if let Some(stage) = self.stages.iter().position(|known| known == tap) {
            return Ok((At::Map(stage), shape(&self.student.maps[stage])));
        }
        if tap == DENSE {
            return Ok((At::Dense, [self.student.dense.dims()[1], 1, 1]));
        }
        let known = self.stages.iter().map(String::as_str);
        Err(Error::unknown_name("tap", tap, known.chain([DENSE])))
    }

    /// The place of the map in the teacher's answer, and its shape.
    fn theirs(&mut self, teacher: usize, tap: &str) -> Result<(usize, [usize; 3])> {
        let (of, seen) = self.teachers[teacher];
        let shape = match of.tap(tap) {
            Ok(stage) => {
                let [_, channels, height, width] = seen.maps[stage].dims();
                [channels, height, width]
            }
            Err(_) if tap == DENSE => [seen.dense.dims()[1], 1, 1],
            Err(error) => return Err(error),
        };
        let asked = &mut self.asked[teacher];
        let place = asked.iter().position(|known| known == tap);
        let place = place.unwrap_or_else(|| {
            asked.push(tap.to_owned());
            asked.len() - 1
        });
        Ok((place, shape))
    }

    /// The seed of module `number` of this loss.
    pub(super) fn module_seed(&self, number: usize) -> u64 {
        Draws::new(self.seed, "regressor", self.index as u64, number as u64).bits()
    }

    /// The seed of what this loss draws in its steps.
    pub(super) fn draw_seed(&self) -> u64 {
        Draws::new(self.seed, "loss", self.index as u64, 0).bits()
    }
}

/// The taps of both sides.
#[derive(Debug)]
pub(super) struct Sides {
    student: Vec<(At, [usize; 3])>,
    teacher: usize,
    maps: Vec<(usize, [usize; 3])>,
}

impl Sides {
    pub(super) fn maps(&self, scene: &Scene<'_>) -> (Vec<Tensor<4>>, Vec<Tensor<4>>) {
        let ours = self.student.iter().map(|(at, _)| scene.at(*at)).collect();
        let answer = &scene.answers[self.teacher];
        let theirs = self.maps.iter().map(|(map, _)| answer.maps[*map].clone());
        (ours, theirs.collect())
    }

    /// The widths of the student's maps and of the teacher's.
    pub(super) fn channels(&self) -> [Vec<usize>; 2] {
        [
            self.student.iter().map(|(_, shape)| shape[0]).collect(),
            self.maps.iter().map(|(_, shape)| shape[0]).collect(),
        ]
    }
}
