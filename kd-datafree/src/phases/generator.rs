//! The generator phase: a generator learns through the frozen teacher, without an image to learn from.

use burn::tensor::Tensor;
use kd_core::{
    Error, LossTerms, Metrics, Names, Phase, PhaseState, Plan, Result, StepContext, Tensors,
    Trained, Training, import,
};

use super::inputs::PhaseInputs;
use super::step::step_down;
use crate::bank::FrozenGenerator;
use crate::generator::{Generator, OutputKind};
use crate::noise::noise;
use crate::objective::{GeneratorLoss, GeneratorObjective};

/// The name of the phase; its result is the generator.
pub const GENERATOR_PHASE: &str = "generator";

/// Purpose of noise.
const TRAINING: &str = "data-free training noise";

/// The phase in which a generator learns alone.
pub(crate) struct GeneratorPhase<'a> {
    generator: Trained<Generator>,
    output: OutputKind,
    loss: GeneratorLoss,
    plan: Plan,
    training: &'a Training,
    inputs: PhaseInputs<'a>,
}

impl<'a> GeneratorPhase<'a> {
    /// The phase before its first step; `generator` is on the autodiff form of the device.
    pub(crate) fn new(
        (generator, output): (Generator, OutputKind),
        objective: &GeneratorObjective,
        training: &'a Training,
        steps_per_epoch: usize,
        inputs: PhaseInputs<'a>,
    ) -> Result<Self> {
        Ok(Self {
            generator: Trained::new("generator", generator, training.optimizer.clone())?,
            output,
            loss: GeneratorLoss::new(objective)?,
            plan: training.plan(steps_per_epoch, None)?,
            training,
            inputs,
        })
    }
}

impl Phase for GeneratorPhase<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &self.inputs;
        let generator = self.generator.network();
        let shape = [self.training.batch_size, generator.noise()];
        let noise = noise((*seed, TRAINING, at.step as u64), 0, shape, device);
        let noise = Tensor::from_inner(noise);
        let images = generator.forward(noise.clone());
        let images = self.output.as_taken(images, teacher.normalisation()?)?;
        let inspected = teacher.inspect(images.clone());
        let (report, total) = self
            .loss
            .forward(&images, &noise, &inspected, at.step_in_epoch)?;
        step_down(&mut self.generator, &total, self.training, at);
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let PhaseInputs {
            teacher,
            seed,
            device,
        } = &self.inputs;
        let frozen = FrozenGenerator {
            generator: self.generator.valid(),
            output: self.output,
            normalisation: teacher.normalisation()?.clone(),
            seed: *seed,
            device: device.clone(),
        };
        frozen.measure(*teacher)
    }

    fn result(&self) -> Tensors {
        self.generator.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.generator.put(&mut state);
        self.loss.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.generator.restore(state)?;
        self.loss.restore(state, &self.inputs.device)
    }
}

/// The generator that phase [`GENERATOR_PHASE`] left in a run folder.
pub(crate) fn trained_generator(blank: &Generator, tensors: &Tensors) -> Result<Generator> {
    import(blank, tensors, Names::PyTorch, "the generator of the run")
        .map_err(|error| Error::method("the generator of the run", error))
}
