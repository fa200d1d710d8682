//! The taps of student and teachers with the shapes of their maps, learnt from one sample.

use burn::tensor::Tensor;
use kd_core::{
    Answer, Batch, DENSE_TAP, Error, NetworkOutput, Output, Requested, Result, Rows, Task,
    TaskNetwork, Teacher, Trace,
};

/// The tap of the logits of each pixel, where the data have masks.
pub(crate) const OUTPUT_TAP: &str = "logits";

/// Maps, dense representation and logits of the student for a batch. Of a network with an output for each
/// pixel the last two are maps, which stand behind those of its stages; nothing is in their own places.
pub(crate) type StudentTrace = Trace<Tensor<4>, Tensor<2>, Tensor<2>>;

/// Whether networks of this type have an output for each pixel.
pub(crate) fn is_of_pixels<S: TaskNetwork>() -> bool {
    <S::Output as NetworkOutput>::TASK == Task::Segmentation
}

/// A trace as losses read it.
pub(crate) fn as_read<S: TaskNetwork>(
    trace: Trace<Tensor<4>, S::Dense, S::Output>,
) -> StudentTrace {
    let Trace {
        mut maps,
        dense,
        output,
    } = trace;
    if !is_of_pixels::<S>() {
        return StudentTrace {
            maps,
            dense: dense.into_rows(),
            output: output.into_rows(),
        };
    }
    maps.extend([dense.into_map(), output.into_map()]);
    let [batch_size, ..] = maps[0].dims();
    let nothing = Tensor::zeros([batch_size, 1], &maps[0].device());
    StudentTrace {
        maps,
        dense: nothing.clone(),
        output: nothing,
    }
}

/// An answer as losses read it: logits of each pixel stand behind the other maps.
pub(crate) fn answer_as_read(mut answer: Answer) -> Answer {
    if let Some(Output::Pixels(logits)) = &answer.output {
        answer.maps.push(logits.clone());
    }
    answer
}

/// The taps of a network with the shapes of their maps, and its number of classes.
#[derive(Clone, Debug)]
pub(crate) struct TapShapes {
    /// The stages first to last, then the dense representation; shapes are channels, height and width.
    taps: Vec<(String, [usize; 3])>,
    pub(crate) stages: usize,
    pub(crate) classes: usize,
    /// Whether it has an output for each pixel.
    pub(crate) is_of_pixels: bool,
}

impl TapShapes {
    /// Those of a student whose stages are called `stages`.
    pub(crate) fn of_student(stages: Vec<String>, trace: &StudentTrace) -> Self {
        let count = stages.len();
        if trace.maps.len() > count {
            let behind = [DENSE_TAP, OUTPUT_TAP].map(str::to_owned);
            let names = stages.into_iter().chain(behind);
            let taps: Vec<_> = names.zip(trace.maps.iter().map(sample_shape)).collect();
            return Self {
                classes: taps.last().map_or(0, |(_, shape)| shape[0]),
                stages: taps.len(),
                taps,
                is_of_pixels: true,
            };
        }
        let maps = stages.into_iter().zip(trace.maps.iter().map(sample_shape));
        let dense = (DENSE_TAP.to_owned(), [trace.dense.dims()[1], 1, 1]);
        Self {
            taps: maps.chain([dense]).collect(),
            stages: count,
            classes: trace.output.dims()[1],
            is_of_pixels: false,
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

    /// Which of its maps are as high and as wide as which of another network, in words, where a loss
    /// compares maps at `taps`, the other's second, that are not. None if those are of one size.
    pub(crate) fn of_one_size<'a>(
        &self,
        other: &Self,
        mut taps: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<String> {
        const SHOWN: usize = 4;
        let size = |[_, height, width]: [usize; 3]| [height, width];
        let differ = |(ours, theirs): (&str, &str)| {
            let (ours, theirs) = (self.shape(ours), other.shape(theirs));
            ours.zip(theirs)
                .is_some_and(|(ours, theirs)| size(ours) != size(theirs))
        };
        if !taps.any(differ) {
            return None;
        }
        let mut pairs = Vec::new();
        for (ours, shape) in &self.taps {
            for (theirs, _) in other
                .taps
                .iter()
                .filter(|(_, other)| size(*other) == size(*shape))
            {
                let [height, width] = size(*shape);
                pairs.push(format!("`{ours}` with `{theirs}` ({height}x{width})"));
            }
        }
        pairs.retain(|pair| !pair.ends_with("(1x1)"));
        // The last ones tell the most.
        let pairs = &pairs[pairs.len().saturating_sub(SHOWN)..];
        if pairs.is_empty() {
            let text = "no map of the student is as large as one of the teacher; `hint` with `map_sizes = \
                        \"pool-larger\"` takes maps of different size";
            return Some(text.to_owned());
        }
        Some(format!("maps of one size are {}", pairs.join(", ")))
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
    /// If the sample does not fit the teacher.
    pub(crate) fn of(teacher: &dyn Teacher, sample: &Batch) -> Result<Self> {
        let stages = teacher.stage_names();
        let count = stages.len();
        let requested = Requested::at_taps(stages).with_tap(DENSE_TAP).with_output();
        let answer = teacher.answer(sample, &requested)?;
        let names = requested.taps().iter().cloned();
        let mut taps: Vec<_> = names.zip(answer.maps.iter().map(sample_shape)).collect();
        let output = answer.output.as_ref();
        if let Some(Output::Pixels(logits)) = output {
            taps.push((OUTPUT_TAP.to_owned(), sample_shape(logits)));
        }
        let shapes = TapShapes {
            is_of_pixels: output.is_some_and(|output| output.task() == Task::Segmentation),
            classes: output.map_or(0, Output::classes),
            stages: count,
            taps,
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
