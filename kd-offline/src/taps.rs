//! The taps of student and teachers with the shapes of their maps, learnt from one sample.

use burn::tensor::Tensor;
use kd_core::{Answer, Batch, DENSE_TAP, Error, Requested, Result, Teacher, Trace};

/// Maps, dense representation and logits of the student for a batch.
pub(crate) type StudentTrace = Trace<Tensor<4>, Tensor<2>, Tensor<2>>;

/// The taps of a network with the shapes of their maps, and its number of classes.
#[derive(Clone, Debug)]
pub(crate) struct TapShapes {
    /// The stages first to last, then the dense representation; shapes are channels, height and width.
    taps: Vec<(String, [usize; 3])>,
    pub(crate) stages: usize,
    pub(crate) classes: usize,
}

impl TapShapes {
    /// Those of a student whose stages are called `stages`.
    pub(crate) fn of_student(stages: Vec<String>, trace: &StudentTrace) -> Self {
        let count = stages.len();
        let maps = stages.into_iter().zip(trace.maps.iter().map(sample_shape));
        let dense = (DENSE_TAP.to_owned(), [trace.dense.dims()[1], 1, 1]);
        Self {
            taps: maps.chain([dense]).collect(),
            stages: count,
            classes: trace.output.dims()[1],
        }
    }

    /// The position of a tap, which is that of its stage or behind them all, and the shape of its map.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    pub(crate) fn find(&self, name: &str) -> Result<(usize, [usize; 3])> {
        let mut taps = self.taps.iter().enumerate();
        let found = taps.find(|(_, (tap, _))| tap == name);
        found
            .map(|(position, (_, shape))| (position, *shape))
            .ok_or_else(|| {
                let known = self.taps.iter().map(|(tap, _)| tap.as_str());
                Error::unknown_name("tap", name, known)
            })
    }

    /// The shape of the map at a tap, if there is such a tap.
    pub(crate) fn shape(&self, name: &str) -> Option<[usize; 3]> {
        self.find(name).ok().map(|(_, shape)| shape)
    }

    /// The numbers in the map of each stage.
    pub(crate) fn stage_sizes(&self) -> impl Iterator<Item = usize> {
        let stages = self.taps.iter().take(self.stages);
        stages.map(|(_, shape)| shape.iter().product())
    }
}

/// Channels, height and width of a map `[batch_size, channels, height, width]`.
fn sample_shape(map: &Tensor<4>) -> [usize; 3] {
    let [_, channels, height, width] = map.dims();
    [channels, height, width]
}

/// The answer of a teacher for one sample to all that it can be asked for.
#[derive(Debug)]
pub(crate) struct FullAnswer {
    requested: Requested,
    answer: Answer,
    pub(crate) shapes: TapShapes,
}

impl FullAnswer {
    /// Queries `teacher`.
    ///
    /// # Errors
    ///
    /// If the sample does not fit the teacher, or it is no classifier.
    pub(crate) fn of(teacher: &dyn Teacher, sample: &Batch) -> Result<Self> {
        let stages = teacher.stage_names();
        let count = stages.len();
        let requested = Requested::at_taps(stages).with_tap(DENSE_TAP).with_output();
        let answer = teacher.answer(sample, &requested)?;
        let names = requested.taps().iter().cloned();
        let shapes = TapShapes {
            taps: names.zip(answer.maps.iter().map(sample_shape)).collect(),
            stages: count,
            classes: answer.logits()?.dims()[1],
        };
        Ok(Self {
            requested,
            answer,
            shapes,
        })
    }

    /// The part of it that answers `requested`.
    pub(crate) fn part(&self, requested: &Requested) -> Answer {
        let output = self.answer.output.clone();
        let all = self.requested.taps();
        let map = |tap: &String| {
            let position = all.iter().position(|known| known == tap)?;
            self.answer.maps.get(position).cloned()
        };
        Answer::new(
            output.filter(|_| requested.has_output()),
            requested.taps().iter().filter_map(map).collect(),
        )
    }
}
