//! The joint phase: generator and student learn in turns, as in DAFL, DFAD and ZSKT.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, ImageClassifier, LossTerms, Metrics, Phase, PhaseState, Plan, Result, StepContext,
    Tensors, Trace, Trained,
};
use kd_losses::{AttentionDistance, attention_transfer, belief_matching, logit_l1, soft_target};

use super::inputs::PhaseInputs;
use super::step::step_down;
use super::test_images::TestImages;
use crate::bank::{ARTIFACT_IMAGES, FrozenGenerator, bank_artifact};
use crate::config::{Game, Joint};
use crate::generator::Generator;
use crate::noise::noise;
use crate::objective::GeneratorLoss;
use crate::teacher::{TeacherBatch, stem};

/// Purpose of noise.
const NOISE: &str = "data-free joint noise";
/// A constant that keeps the lengths of attention maps above 0.
const ATTENTION_EPSILON: f64 = 1e-12;

/// The phase of a [`Joint`] run; its result is the student.
pub(crate) struct JointPhase<'a, S> {
    student: Trained<S>,
    generator: Trained<Generator>,
    /// The generator's loss, where it has an objective of its own.
    loss: Option<GeneratorLoss>,
    plan: Plan,
    config: &'a Joint,
    test: TestImages,
    inputs: PhaseInputs<'a>,
}

impl<'a, S: ImageClassifier> JointPhase<'a, S> {
    /// The phase before its first step; `student` is on the autodiff form of the device.
    pub(crate) fn new(
        config: &'a Joint,
        student: S,
        test: TestImages,
        inputs: PhaseInputs<'a>,
    ) -> Result<Self> {
        let image = inputs.teacher.image();
        let generator = config.generator.init(image, inputs.seed, &inputs.device)?;
        let loss = match &config.game {
            Game::Cooperative { objective, .. } => Some(GeneratorLoss::new(objective)?),
            _ => None,
        };
        let of_student = config.training.optimizer.clone();
        let of_generator = config.generator_optimizer.clone();
        Ok(Self {
            student: Trained::new("student", student, of_student)?,
            generator: Trained::new("generator", generator.train(), of_generator)?,
            loss,
            plan: config.training.plan(config.rounds_per_epoch, None)?,
            config,
            test,
            inputs,
        })
    }

    /// The generator as it is now.
    fn frozen(&self) -> Result<FrozenGenerator> {
        Ok(FrozenGenerator {
            generator: self.generator.valid(),
            output: self.config.generator.output,
            normalisation: self.inputs.teacher.normalisation()?.clone(),
            seed: self.inputs.seed,
            device: self.inputs.device.clone(),
        })
    }

    /// Noise for step `place` of a round.
    fn noise(&self, at: StepContext, place: usize) -> Tensor<2> {
        let PhaseInputs { seed, device, .. } = &self.inputs;
        let size = self.config.training.batch_size;
        let place = if self.config.same_noise { 0 } else { place };
        let key = (*seed, NOISE, at.step as u64);
        let shape = [size, self.generator.network().noise()];
        Tensor::from_inner(noise(key, (place * size) as u64, shape, device))
    }

    /// Images as the teacher takes them.
    fn images(&self, noise: Tensor<2>) -> Result<Tensor<4>> {
        let images = self.generator.network().forward(noise);
        let output = self.config.generator.output;
        output.as_taken(images, self.inputs.teacher.normalisation()?)
    }

    fn step_generator(
        &mut self,
        at: StepContext,
        noise: &Tensor<2>,
        images: &Tensor<4>,
    ) -> Result<LossTerms> {
        let inspected = self.inputs.teacher.inspect(images.clone());
        let (mut report, loss) = match (&self.config.game, &mut self.loss) {
            (Game::Cooperative { .. }, Some(loss)) => {
                loss.forward(images, noise, &inspected, at.step_in_epoch)?
            }
            (game, _) => (
                LossTerms::new(),
                self.rivalry(game, images, inspected)?.neg(),
            ),
        };
        report.retain(|(name, _)| name != "total");
        report.push(("generator".into(), loss.clone().inner()));
        // The momentum of a schedule is the student's.
        let at = StepContext {
            lr: self.config.generator_lr * at.lr / self.plan.lr.base,
            momentum: None,
            ..at
        };
        step_down(&mut self.generator, &loss, &self.config.training, at);
        Ok(report)
    }

    /// The difference of student and teacher, which the generator takes up.
    fn rivalry(
        &self,
        game: &Game,
        images: &Tensor<4>,
        inspected: TeacherBatch,
    ) -> Result<Tensor<1>> {
        let student = self.student.network().forward(images);
        let apart = match game {
            Game::Beliefs { .. } => belief_matching(student, inspected.logits, 1.0),
            _ => logit_l1(student, inspected.logits),
        };
        apart.map_err(wrong)
    }

    fn step_student(&mut self, at: StepContext, images: Tensor<4>) -> Result<Tensor<1>> {
        // The student learns from images that do not learn from it here.
        let plain = images.inner();
        let inspected = self.inputs.teacher.inspect(plain.clone());
        let student = self.student.network();
        let trace = student.forward_traced(&Tensor::from_inner(plain));
        let loss = self.student_loss(trace, inspected)?;
        step_down(&mut self.student, &loss, &self.config.training, at);
        Ok(loss.inner())
    }

    fn student_loss(
        &self,
        trace: Trace<Tensor<4>, Tensor<2>, Tensor<2>>,
        inspected: TeacherBatch,
    ) -> Result<Tensor<1>> {
        let teacher = Tensor::from_inner(inspected.logits);
        match &self.config.game {
            Game::Cooperative { temperature, .. } => {
                soft_target(trace.output, teacher, *temperature).map_err(wrong)
            }
            Game::LogitDifference => logit_l1(trace.output, teacher).map_err(wrong),
            Game::Beliefs { attention } => {
                let loss = belief_matching(trace.output, teacher, 1.0).map_err(wrong)?;
                self.with_attention(loss, *attention, trace.maps, inspected.maps)
            }
        }
    }

    /// A loss with the attention transfer of all stages of one size added to it.
    fn with_attention(
        &self,
        mut loss: Tensor<1>,
        weight: f64,
        of_student: Vec<Tensor<4>>,
        of_teacher: Vec<Tensor<4>>,
    ) -> Result<Tensor<1>> {
        if weight == 0.0 {
            return Ok(loss);
        }
        let skipped = stem(&self.student.network().stage_names());
        let of_student = of_student.into_iter().skip(skipped);
        let of_teacher = of_teacher.into_iter().skip(self.inputs.teacher.stem());
        for (student, teacher) in of_student.zip(of_teacher) {
            if student.dims()[2..] == teacher.dims()[2..] {
                let teacher = Tensor::from_inner(teacher);
                let how = AttentionDistance::MeanSquare;
                let apart = attention_transfer(student, teacher, how, ATTENTION_EPSILON);
                loss = loss + apart.map_err(wrong)?.mul_scalar(weight);
            }
        }
        Ok(loss)
    }

    fn student_steps(&mut self, at: StepContext) -> Result<Tensor<1>> {
        let mut last = None;
        for place in 0..self.config.student_steps {
            let images = self.images(self.noise(at, place))?;
            last = Some(self.step_student(at, images)?);
        }
        last.ok_or_else(|| Error::config("student_steps", "must be above 0"))
    }

    fn generator_steps(&mut self, at: StepContext) -> Result<LossTerms> {
        let mut last = LossTerms::new();
        for place in 0..self.config.generator_steps {
            let noise = self.noise(at, self.config.student_steps + place);
            let images = self.images(noise.clone())?;
            last = self.step_generator(at, &noise, &images)?;
        }
        Ok(last)
    }
}

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the losses of generator and student", error)
}

impl<S: ImageClassifier> Phase for JointPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        Some((self.inputs.device.clone(), self.inputs.seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let (mut report, student) = match self.config.game {
            // Both learn from the same images, which are made once.
            Game::Cooperative { .. } => {
                let noise = self.noise(at, 0);
                let images = self.images(noise.clone())?;
                let student = self.step_student(at, images.clone())?;
                (self.step_generator(at, &noise, &images)?, student)
            }
            _ if self.config.student_first => {
                let student = self.student_steps(at)?;
                (self.generator_steps(at)?, student)
            }
            _ => {
                let report = self.generator_steps(at)?;
                (report, self.student_steps(at)?)
            }
        };
        report.push(("total".into(), student));
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let teacher = self.inputs.teacher;
        let mut metrics = self.test.metrics(teacher, &self.student.valid())?;
        metrics.extend(self.frozen()?.measure(teacher)?);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        self.student.result()
    }

    /// Some images of the generator as it is at the end, to be shown.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        bank_artifact(&self.frozen()?, self.inputs.teacher, ARTIFACT_IMAGES)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        self.generator.put(&mut state);
        if let Some(loss) = &self.loss {
            loss.put(&mut state);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)?;
        self.generator.restore(state)?;
        match &mut self.loss {
            Some(loss) => loss.restore(state, &self.inputs.device),
            None => Ok(()),
        }
    }
}
