//! Binding a loss: its taps found, its requests to the teachers noted, its seeds drawn.

use burn::tensor::{Device, Tensor};
use kd_core::{Draws, Requested, Result};

use super::{StudentTap, TermInputs};
use crate::taps::{OUTPUT_TAP, TapShapes};
use crate::{Ensemble, LossConfig};

/// A map of the student and one in the answer of a teacher.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) student: StudentTap,
    pub(super) teacher: usize,
    pub(super) map: TeacherMap,
    /// The shapes of one sample's maps: channels, height, width.
    student_shape: [usize; 3],
    teacher_shape: [usize; 3],
}

/// A map in the answer of a teacher.
#[derive(Clone, Copy, Debug)]
pub(super) enum TeacherMap {
    /// The one at this position of the request.
    Tap(usize),
    /// The logits of each pixel, behind all others.
    Output,
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

/// Everything that a loss is bound with, and the requests to the teachers that gather meanwhile.
pub(crate) struct Binder<'a> {
    pub(crate) student: &'a TapShapes,
    pub(crate) teachers: Vec<&'a TapShapes>,
    pub(crate) requested: Vec<Requested>,
    pub(crate) ensemble: Ensemble,
    /// The seed of the run.
    pub(crate) seed: u64,
    /// The index of the loss in the recipe.
    pub(crate) index: usize,
    /// The autodiff device.
    pub(crate) device: &'a Device,
    pub(crate) batch_size: usize,
    /// Ids of the samples in their data set, and the labels of all its samples.
    pub(crate) ids: &'a [u32],
    pub(crate) labels: &'a [u16],
    /// The weights of the classes in the cross-entropy, if they have any.
    pub(crate) class_weights: Option<&'a [f64]>,
}

impl Binder<'_> {
    /// Requests the logits of all teachers.
    pub(super) fn request_logits(&mut self) {
        let all = std::mem::take(&mut self.requested).into_iter();
        self.requested = all.map(Requested::with_output).collect();
    }

    /// The pairs of taps of a loss; requests the teacher's.
    pub(super) fn pairs(&mut self, loss: &LossConfig) -> Result<Vec<Pair>> {
        let teacher = loss.which_teacher();
        loss.taps()
            .map(|(ours, theirs)| {
                let (student, student_shape) = self.student_tap(ours)?;
                let (map, teacher_shape) = self.request_map(teacher, theirs)?;
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

    /// The taps of both sides of a loss, which may have different numbers of them; requests the teacher's.
    pub(super) fn sides(&mut self, loss: &LossConfig) -> Result<Sides> {
        let teacher = loss.which_teacher();
        let (ours, theirs) = loss.each_taps();
        let ours = ours.iter().map(|tap| self.student_tap(tap));
        let ours: Vec<(StudentTap, [usize; 3])> = ours.collect::<Result<_>>()?;
        let mut maps = Vec::new();
        for tap in theirs {
            maps.push(self.request_map(teacher, tap)?);
        }
        Ok(Sides {
            student: ours,
            teacher,
            maps,
        })
    }

    fn student_tap(&self, name: &str) -> Result<(StudentTap, [usize; 3])> {
        let (position, shape) = self.student.find(name)?;
        let tap = if position < self.student.stages {
            StudentTap::Stage(position)
        } else {
            StudentTap::Dense
        };
        Ok((tap, shape))
    }

    /// Requests a map of a teacher; gives its position in the answer, and its shape.
    fn request_map(&mut self, teacher: usize, tap: &str) -> Result<(TeacherMap, [usize; 3])> {
        let (_, shape) = self.teachers[teacher].find(tap)?;
        let requested = &mut self.requested[teacher];
        if tap == OUTPUT_TAP && self.teachers[teacher].is_of_pixels {
            *requested = std::mem::take(requested).with_output();
            return Ok((TeacherMap::Output, shape));
        }
        Ok((TeacherMap::Tap(requested.add_tap(tap)), shape))
    }

    /// The seed of module `number` of this loss.
    pub(super) fn module_seed(&self, number: usize) -> u64 {
        Draws::new(self.seed, "regressor", self.index as u64, number as u64).bits()
    }

    /// The seed of the draws of this loss in its steps.
    pub(super) fn draw_seed(&self) -> u64 {
        Draws::new(self.seed, "loss", self.index as u64, 0).bits()
    }
}

/// The taps of both sides.
#[derive(Debug)]
pub(super) struct Sides {
    student: Vec<(StudentTap, [usize; 3])>,
    teacher: usize,
    maps: Vec<(TeacherMap, [usize; 3])>,
}

impl Sides {
    /// The maps of the student and those of the teacher.
    pub(super) fn maps(&self, inputs: &TermInputs<'_>) -> (Vec<Tensor<4>>, Vec<Tensor<4>>) {
        let ours = self.student.iter();
        let ours = ours.map(|(tap, _)| inputs.student_map(*tap)).collect();
        let theirs = self.maps.iter();
        let theirs = theirs.map(|(map, _)| inputs.teacher_map(self.teacher, *map));
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
