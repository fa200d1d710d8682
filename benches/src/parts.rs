//! The step of kd-offline written out, so that each part of it can be timed.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, FrozenTeacher, Loader, NamedGradients, Preprocessing, Requested, Result, StagedNetwork,
    StepContext, Teacher, Tensors, Trained, detached_copy,
};
use kd_models::Network;

use crate::{CE_WEIGHT, KD_WEIGHT, Setup, TEMPERATURE};

/// The parts of a step, in order.
pub const PARTS: [&str; 6] = [
    "loader",
    "teacher forward",
    "student forward",
    "losses",
    "backward",
    "optimizer",
];

/// What the parts of one step took, in the order of [`PARTS`].
pub type StepTimes = [Duration; PARTS.len()];

/// One step of distilling after the other, each part timed by itself.
///
/// It does what the phase of kd-offline does, by the same public functions in the same order, and so gives
/// the same weights; a test sees to that. What the phase does beside these parts (naming the losses, clipping
/// that is off) is not measured here.
#[derive(Debug)]
pub struct StepInParts {
    student: Trained<Network>,
    preprocessing: Preprocessing,
    teacher: FrozenTeacher<Network>,
    loader: Loader,
    device: Device,
}

impl StepInParts {
    /// Before the first step.
    ///
    /// # Errors
    ///
    /// If the loader or the optimizer cannot be made.
    pub fn new(setup: &Setup) -> Result<Self> {
        use burn::module::Module;
        let student = detached_copy(&setup.student).train();
        let optimizer = setup.training.optimizer.clone();
        Ok(Self {
            student: Trained::new("student", student, optimizer)?,
            preprocessing: setup.student_normalisation.clone().into(),
            teacher: setup.frozen_teacher(),
            loader: setup.loader()?,
            device: setup.device.clone(),
        })
    }

    /// Does one step.
    ///
    /// # Errors
    ///
    /// As the parts.
    pub fn step(&mut self, at: StepContext) -> Result<StepTimes> {
        let mut clock = Clock::start(&self.device);

        let batch = self.loader.batch(at.epoch, at.step_in_epoch)?;
        clock.lap()?;

        let teacher = self.teacher.answer(&batch, &Requested::output())?;
        clock.lap()?;

        let input = Tensor::from_inner(self.preprocessing.input::<Tensor<4>>(&batch)?);
        let student = self.student.network().forward_traced(&input);
        clock.lap()?;

        let targets = Tensor::from_inner(batch.targets);
        let failed = |error| Error::method("loss", error);
        let hard = kd_losses::cross_entropy(student.output.clone(), targets, 0.0);
        let soft = kd_losses::soft_target(student.output, teacher.logits()?, TEMPERATURE);
        let total = Tensor::zeros([1], &self.device.clone().autodiff())
            + hard.map_err(failed)?.mul_scalar(CE_WEIGHT)
            + soft.map_err(failed)?.mul_scalar(KD_WEIGHT);
        clock.lap()?;

        let mut raw = total.backward();
        clock.lap()?;

        let mut gradients = NamedGradients::new();
        self.student.collect(&mut gradients, &mut raw);
        self.student.step(at, &gradients);
        clock.lap()?;

        Ok(clock.laps)
    }

    /// The student's tensors, in PyTorch's names.
    pub fn student(&self) -> Tensors {
        self.student.result()
    }
}

struct Clock {
    device: Device,
    last: Instant,
    laps: StepTimes,
    next: usize,
}

impl Clock {
    fn start(device: &Device) -> Self {
        Self {
            device: device.clone(),
            last: Instant::now(),
            laps: StepTimes::default(),
            next: 0,
        }
    }

    /// Ends a part, once the device is done with it.
    fn lap(&mut self) -> Result<()> {
        self.device
            .sync()
            .map_err(|error| Error::method("device", error))?;
        let now = Instant::now();
        self.laps[self.next] = now - self.last;
        self.next += 1;
        self.last = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kd_core::{Method, Names, RunFolder, export};

    use super::*;
    use crate::{PAIRS, step_at};

    #[test]
    fn the_parts_together_are_the_step_of_the_method() {
        let device = Device::flex();
        for pair in PAIRS {
            let setup = pair.setup(4, &device).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let folder = RunFolder::create(folder.path()).unwrap();
            let method = setup.method();
            let mut phase = method.start(0, &folder).unwrap();
            let mut parts = StepInParts::new(&setup).unwrap();
            for step in 0..2 {
                let at = step_at(step, setup.steps_per_epoch());
                phase.step(at).unwrap();
                parts.step(at).unwrap();
            }
            assert_eq!(phase.result(), parts.student(), "{}", pair.name);
            assert_ne!(export(&setup.student, Names::PyTorch), parts.student());
        }
    }
}
