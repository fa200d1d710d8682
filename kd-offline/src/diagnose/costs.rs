//! The costs of a run: estimates of time and memory.

use std::time::Instant;

use burn::tensor::Device;
use kd_core::{
    Names, OptimizerConfig, Phase, Result, Rows, SampleKind, StagedNetwork, StepContext,
    TaskNetwork, count_parameters, export,
};
use serde::Serialize;

use super::{Parts, ScheduleFacts, TeacherFacts};
use crate::phase::Distill;
use crate::prepared::Prepared;

/// Bytes of a number.
const FLOAT: u64 = 4;
/// Maps that one convolution leaves for the backward pass: its own output, that of the norm and that of the
/// activation.
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
    /// The part of a step in which the teachers are queried.
    pub teachers: f64,
    /// One evaluation of the student on the held-out data.
    pub evaluation: f64,
    /// The teachers' answers for the held-out data, which are computed once.
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
/// activations  4 * batch_size * sum over the student's stages of 3 * convolutions * (numbers in its map)
/// teachers     4 * (numbers in the teachers) + 4 * batch_size * (numbers in their maps)
/// data         bytes of the samples that lie on the device
/// ```
///
/// A convolution leaves three maps for the backward pass: its output, the norm's and the activation's. A
/// stage whose layers work at a larger size than its map, as before a pooling, needs more than that.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// Weights and running statistics of what is trained.
    pub weights: u64,
    /// Their gradients.
    pub gradients: u64,
    /// The moments of the optimizer.
    pub moments: u64,
    /// The maps that the forward pass keeps for the backward pass.
    pub activations: u64,
    /// Weights and maps of the teachers; those whose size is not known count with their maps alone.
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
pub(super) fn time<S: TaskNetwork>(
    phase: &mut Distill<'_, S>,
    schedule: &ScheduleFacts,
    parts: &mut Parts,
    device: &Device,
) -> Result<TimeEstimate> {
    let momentum = |step: usize| phase.plan.lr.momentum(step);
    let momentum = [momentum(0), momentum(1)];
    let at = |step: usize| StepContext {
        step,
        epoch: step / schedule.steps_per_epoch.max(1),
        step_in_epoch: step % schedule.steps_per_epoch.max(1),
        lr: schedule.lr[0],
        momentum: momentum[step],
    };
    phase.step(at(0))?;
    sync(device)?;
    parts.done();
    let began = Instant::now();
    phase.step(at(1))?;
    sync(device)?;
    let step = began.elapsed().as_secs_f64();

    let batch = phase.train.batch(0, 0)?;
    let began = Instant::now();
    let answers = phase.query(&batch)?;
    sync(device)?;
    let teachers = if answers.is_empty() {
        0.0
    } else {
        began.elapsed().as_secs_f64()
    };

    let student = phase.student.valid();
    let held_out = phase.held_out.batch(0, 0)?;
    let first = held_out.len() as f64;
    let began = Instant::now();
    let logits = student.forward(&phase.preprocessing.input(&held_out)?);
    drop(logits.into_rows().into_data());
    parts.done();
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

/// Counts bytes.
pub(super) fn memory<S: TaskNetwork>(
    phase: &Distill<'_, S>,
    prepared: &Prepared,
    teachers: &[TeacherFacts],
) -> MemoryEstimate {
    let student = phase.student.network();
    let numbers = |elements: usize| FLOAT * elements as u64;
    let extra = phase.losses.parameters();
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
    let stages = prepared.student.stage_sizes().zip(convolutions(student));
    let kept: u64 = stages
        .map(|(size, convolutions)| KEPT * convolutions * numbers(size))
        .sum();
    let theirs = prepared.teachers.iter();
    let theirs = theirs.flat_map(|answer| answer.shapes.stage_sizes());
    let shown: u64 = theirs.map(numbers).sum();
    let weights: u64 = teachers.iter().filter_map(|facts| facts.parameters).sum();
    let data = [phase.train, phase.held_out].map(|loader| {
        let dataset = loader.subset().dataset();
        let image = dataset.shape();
        let border = if loader.config().views.augments() {
            2 * loader.config().augment.crop_padding
        } else {
            0
        };
        let row = match dataset.kind() {
            // Ids of 32 bits.
            SampleKind::Texts => 4 * image.width,
            _ => image.channels * (image.height + border) * (image.width + border),
        };
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

/// The number of convolutions of each stage, at least 1: its tensors of four dimensions.
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

/// The number of steps that [`time`] does.
pub(super) const STEPS: usize = 2;
