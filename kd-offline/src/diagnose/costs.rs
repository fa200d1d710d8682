//! What the run will cost: estimates of time and memory.

use std::time::Instant;

use burn::tensor::{Device, Tensor};
use kd_core::{
    ImageClassifier, Names, OptimizerConfig, Phase, Result, StagedNetwork, StepContext,
    count_parameters, export,
};
use serde::Serialize;

use super::{ScheduleFacts, TeacherFacts};
use crate::kinds::Seen;
use crate::phase::Distill;

/// Bytes of a number.
const FLOAT: u64 = 4;
/// Maps that one convolution leaves for the backward pass: its own output, that of the norm and that of the activation.
const KEPT: u64 = 3;

/// Estimates, made from one step and one evaluation batch after a step to warm up.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CostFacts {
    /// Parameters of the student that are trained.
    pub student_parameters: u64,
    /// Parameters that are trained beside the student: those of regressors and of other parts of the losses.
    pub extra_parameters: u64,
    /// Seconds.
    pub time: TimeEstimate,
    /// Bytes.
    pub memory: MemoryEstimate,
}

/// Estimated seconds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TimeEstimate {
    /// One step, with everything in it.
    pub step: f64,
    /// The part of a step in which the teachers are asked.
    pub teachers: f64,
    /// One evaluation of the student on the held-out data.
    pub evaluation: f64,
    /// Asking the teachers about the held-out data, which is done once.
    pub teachers_on_held_out: f64,
    /// All steps and evaluations.
    pub total: f64,
}

/// Estimated bytes.
///
/// ```text
/// weights      4 * (numbers in the student and in what is trained beside it)
/// gradients    4 * (trained numbers)
/// moments      4 * (trained numbers) * (0 SGD, 1 SGD with momentum, 2 Adam)
/// activations  4 * batch_size * sum over the student's stages of 3 * convolutions * (numbers in the stage's map)
/// teachers     4 * (numbers in the teachers) + 4 * batch_size * (numbers in their maps)
/// data         bytes of the samples that lie on the device
/// ```
///
/// A convolution leaves three maps for the backward pass: its output, the norm's and the activation's. A stage whose layers work
/// at a larger size than its map, as before a pooling, needs more than that.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// Weights and running statistics of what is trained.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// What the optimizer remembers.
    pub moments: u64,
    /// What the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Weights and maps of the teachers; those that do not say how large they are count with their maps alone.
    pub teachers: u64,
    /// Samples on the device.
    pub data: u64,
}

impl MemoryEstimate {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.moments + self.activations + self.teachers + self.data
    }
}

/// Does two steps and a batch of an evaluation on `phase`, which is thrown away afterwards.
pub(super) fn time<S: ImageClassifier>(
    phase: &mut Distill<'_, S>,
    schedule: &ScheduleFacts,
    device: &Device,
) -> Result<TimeEstimate> {
    let at = |step: usize| StepContext {
        step,
        epoch: step / schedule.steps_per_epoch.max(1),
        step_in_epoch: step % schedule.steps_per_epoch.max(1),
        lr: schedule.lr[0],
    };
    phase.step(at(0))?;
    sync(device)?;
    let began = Instant::now();
    phase.step(at(1))?;
    sync(device)?;
    let step = began.elapsed().as_secs_f64();

    let batch = phase.train.batch(0, 0)?;
    let began = Instant::now();
    let answers = phase.ask(&batch)?;
    sync(device)?;
    let teachers = if answers.is_empty() {
        0.0
    } else {
        began.elapsed().as_secs_f64()
    };

    let student = phase.student.valid();
    let pixels = phase.held_out.batch(0, 0)?.pixels;
    let first = pixels.dims()[0] as f64;
    let began = Instant::now();
    let logits: Tensor<2> = student.forward(&phase.normalisation.apply(pixels)?);
    drop(logits.into_data());
    let samples = phase.held_out.subset().len() as f64;
    let evaluation = began.elapsed().as_secs_f64() * samples / first;
    let teachers_on_held_out = teachers * samples / batch.len() as f64;
    Ok(TimeEstimate {
        step,
        teachers,
        evaluation,
        teachers_on_held_out,
        total: step * schedule.total_steps as f64
            + evaluation * schedule.evaluations as f64
            + teachers_on_held_out,
    })
}

fn sync(device: &Device) -> Result<()> {
    device
        .clone()
        .inner()
        .sync()
        .map_err(|error| kd_core::Error::method("the device", error))
}

/// Counts bytes. `seen` and `looks` are what student and teachers show of one sample.
pub(super) fn memory<S: ImageClassifier>(
    phase: &Distill<'_, S>,
    seen: &Seen,
    looks: &[Seen],
    teachers: &[TeacherFacts],
) -> MemoryEstimate {
    let student = &phase.student;
    let numbers = |elements: usize| FLOAT * elements as u64;
    let extra = phase.terms.parameters();
    let trained = count_parameters(student) + extra;
    let all: usize = export(student, Names::Burn)
        .values()
        .map(|data| data.shape().num_elements())
        .sum();
    let moments = match phase.training.optimizer {
        OptimizerConfig::Sgd { momentum, .. } if momentum <= 0.0 => 0,
        OptimizerConfig::Sgd { .. } => 1,
        _ => 2,
    };
    let batch = phase.training.batch_size.min(phase.train.subset().len()) as u64;
    let kept: u64 = seen
        .maps
        .iter()
        .zip(convolutions(student))
        .map(|(map, convolutions)| KEPT * convolutions * numbers(map.dims().iter().product()))
        .sum();
    let shown: u64 = looks
        .iter()
        .flat_map(|look| &look.maps)
        .map(|map| numbers(map.dims().iter().product()))
        .sum();
    let weights: u64 = teachers.iter().filter_map(|facts| facts.parameters).sum();
    let data = [&phase.train, &phase.held_out].map(|loader| {
        let image = loader.subset().dataset().shape();
        let border = if loader.config().views.augments() {
            2 * loader.config().augment.crop_padding
        } else {
            0
        };
        let row = image.channels * (image.height + border) * (image.width + border);
        if loader.is_resident() {
            (row * loader.subset().len()) as u64
        } else {
            0
        }
    });
    MemoryEstimate {
        weights: numbers(all) + FLOAT * extra,
        gradients: FLOAT * trained,
        moments: moments * FLOAT * trained,
        activations: batch * kept,
        teachers: FLOAT * weights + batch * shown,
        data: data.iter().sum(),
    }
}

/// How many convolutions each stage has, at least 1: its tensors of four dimensions.
fn convolutions<S: StagedNetwork>(network: &S) -> Vec<u64> {
    let tensors = export(network, Names::Burn);
    let of_stage = |stage: usize| {
        let paths = network.stage_parameters(stage);
        let inside = |name: &str| {
            paths.iter().any(|path| {
                name.strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
            })
        };
        let found = tensors
            .iter()
            .filter(|(name, data)| inside(name) && data.shape().num_dims() == 4)
            .count();
        found.max(1) as u64
    };
    (0..network.stage_names().len()).map(of_stage).collect()
}

/// The steps that [`time`] does.
pub(super) const STEPS: usize = 2;
