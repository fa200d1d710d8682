//! Generator and student in one phase: DAFL, DFAD and ZSKT.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, ImageClassifier, LossTerms, Metrics, NamedGradients, Names, Optimizer, OptimizerConfig,
    Phase, PhaseState, Plan, Result, Schedule, StepContext, Tensors, Training, export, import,
};
use kd_losses::{AttentionDistance, attention_transfer, belief_matching, logit_l1, soft_target};
use serde::{Deserialize, Serialize};

use crate::bank::{self, LEFT};
use crate::generator::{Generator, GeneratorConfig, OutputKind};
use crate::learning::Test;
use crate::method::check_training;
use crate::noise::noise;
use crate::objective::{Objective, Terms};
use crate::synthesis::FrozenGenerator;
use crate::teacher::{ImageTeacher, stem};

/// Purpose of noise.
const NOISE: &str = "data-free joint noise";
/// Keeps the lengths of attention maps above 0.
const ATTENTION_EPSILON: f64 = 1e-12;

/// What generator and student learn for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Game {
    /// DAFL: the generator learns its objective through the teacher, the student the teacher's probabilities on the same images.
    Cooperative {
        /// What the generator learns for.
        objective: Objective,
        /// What both logits are divided by in the student's loss.
        temperature: f64,
    },
    /// DFAD: the student takes the mean absolute difference of the logits down, the generator up.
    LogitDifference,
    /// ZSKT: the student takes the divergence from the teacher's probabilities down, the generator up.
    Beliefs {
        /// The weight of the mean squared difference of attention maps in the student's loss, summed over all stages of one size.
        /// The divergence beside it is summed over classes.
        attention: f64,
    },
}

/// A generator and a student that learn in turns.
///
/// One step of the phase is a round: so many steps of the generator and so many of the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Joint {
    /// The shape of the generator.
    pub generator: GeneratorConfig,
    /// What both learn for.
    pub game: Game,
    /// Steps of the generator in a round.
    pub generator_steps: usize,
    /// Steps of the student in a round.
    pub student_steps: usize,
    /// Whether the student's steps come first.
    pub student_first: bool,
    /// Whether all steps of a round have the same noise.
    pub same_noise: bool,
    /// The generator's learning rate; it follows the schedule of the student's.
    pub generator_lr: f64,
    /// The generator's optimizer.
    pub generator_optimizer: OptimizerConfig,
    /// Rounds between two evaluations count as an epoch.
    pub rounds_per_epoch: usize,
    /// The student's training: batch size, rate, schedule, optimizer, and rounds as epochs or steps.
    pub training: Training,
}

impl Joint {
    /// DAFL by its public code for MNIST: one joint step a round, 120 rounds an epoch, 200 epochs of batches of 512, the generator by Adam at
    /// 0.2, the student by Adam at 2e-3.
    pub fn dafl() -> Self {
        let mut training = Training::for_epochs(200);
        training.batch_size = 512;
        training.lr = 2e-3;
        training.optimizer = OptimizerConfig::adam();
        Self {
            generator: GeneratorConfig::default(),
            game: Game::Cooperative {
                objective: Objective::dafl(),
                temperature: 1.0,
            },
            generator_steps: 1,
            student_steps: 1,
            student_first: false,
            same_noise: true,
            generator_lr: 0.2,
            generator_optimizer: OptimizerConfig::adam(),
            rounds_per_epoch: 120,
            training,
        }
    }

    /// RDSKD's objective and rates where generator and student learn together, in DAFL's rounds: an option of ours, to be compared with its
    /// two phases.
    pub fn rdskd() -> Self {
        Self {
            game: Game::Cooperative {
                objective: Objective::rdskd(),
                temperature: 10.0,
            },
            generator_lr: 1e-3,
            ..Self::dafl()
        }
    }

    /// DFAD by its public code for MNIST: five steps of the student, then one of the generator; 50 rounds an epoch, 40 epochs of batches of
    /// 512, the student by SGD at 0.01 with momentum 0.9 and weight decay 1e-4, the generator by Adam at 1e-3.
    pub fn dfad() -> Self {
        let mut training = Training::for_epochs(40);
        training.batch_size = 512;
        training.lr = 0.01;
        training.optimizer = OptimizerConfig::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
        };
        Self {
            generator: GeneratorConfig {
                epsilon: 1e-5,
                ..GeneratorConfig::default()
            },
            game: Game::LogitDifference,
            student_steps: 5,
            student_first: true,
            same_noise: false,
            generator_lr: 1e-3,
            rounds_per_epoch: 50,
            training,
            ..Self::dafl()
        }
    }

    /// ZSKT by its public code: one step of the generator and ten of the student on the same noise, batches of 128, gradients clipped by
    /// their norm, both by Adam along a cosine, the generator at 1e-3, the student at 2e-3; 80,000 rounds.
    /// The code takes the mean of its divergence over classes, too. The loss here is as many times larger as there are classes: for ten the
    /// code's weight of 250 for attention is 2500, and its norm of 5 is 50. For another number of classes both scale with it.
    pub fn zskt() -> Self {
        let mut training = Training::for_epochs(800);
        training.batch_size = 128;
        training.lr = 2e-3;
        training.clip_norm = Some(50.0);
        training.optimizer = OptimizerConfig::adam();
        training.schedule = Schedule::Cosine { final_lr: 0.0 };
        Self {
            generator: GeneratorConfig {
                epsilon: 1e-5,
                output: OutputKind::Norm,
                ..GeneratorConfig::default()
            },
            game: Game::Beliefs { attention: 2500.0 },
            student_steps: 10,
            generator_lr: 1e-3,
            rounds_per_epoch: 100,
            training,
            ..Self::dafl()
        }
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        self.generator.check(teacher.image())?;
        check_training(&self.training)?;
        let counts = [
            ("generator_steps", self.generator_steps),
            ("student_steps", self.student_steps),
            ("rounds_per_epoch", self.rounds_per_epoch),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(Error::config(name, "must be above 0"));
            }
        }
        let once = self.generator_steps == 1 && self.student_steps == 1;
        if matches!(self.game, Game::Cooperative { .. }) && !once {
            let problem =
                "must be 1, as must `generator_steps`, where both learn from the same images";
            return Err(Error::config("student_steps", problem));
        }
        let positive = |name: &str, value: f64| {
            let problem = format!("must be finite and above 0, got {value}");
            let is_positive = value.is_finite() && value > 0.0;
            is_positive
                .then_some(())
                .ok_or_else(|| Error::config(name, problem))
        };
        positive("generator_lr", self.generator_lr)?;
        match &self.game {
            Game::Cooperative {
                objective,
                temperature,
            } => {
                let batch = self.training.batch_size;
                objective
                    .check(teacher)
                    .map_err(|error| error.within("game"))?;
                objective.check_batch("train.batch_size", batch)?;
                positive("game.temperature", *temperature)
            }
            Game::Beliefs { attention } if !(attention.is_finite() && *attention >= 0.0) => {
                let problem = format!("must be finite and not negative, got {attention}");
                Err(Error::config("game.attention", problem))
            }
            _ => Ok(()),
        }
    }
}

/// The phase of a [`Joint`] run; its result is the student.
pub(crate) struct Rounds<'a, S> {
    pub(crate) student: S,
    pub(crate) generator: Generator,
    pub(crate) terms: Option<Terms>,
    pub(crate) optimizer: Optimizer,
    pub(crate) generator_optimizer: Optimizer,
    pub(crate) plan: Plan,
    pub(crate) config: &'a Joint,
    pub(crate) teacher: &'a dyn ImageTeacher,
    pub(crate) test: Test,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl<S: ImageClassifier> Rounds<'_, S> {
    /// The generator as it is now.
    fn frozen(&self) -> FrozenGenerator {
        FrozenGenerator {
            generator: self.generator.valid(),
            output: self.config.generator.output,
            normalisation: self.teacher.normalisation().clone(),
            seed: self.seed,
            device: self.device.clone(),
        }
    }

    /// Noise for step `place` of a round.
    fn noise(&self, at: StepContext, place: usize) -> Tensor<2> {
        let size = self.config.training.batch_size;
        let place = if self.config.same_noise { 0 } else { place };
        let key = (self.seed, NOISE, at.step as u64);
        let shape = [size, self.generator.noise()];
        Tensor::from_inner(noise(key, (place * size) as u64, shape, &self.device))
    }

    /// Images as the teacher takes them.
    fn images(&self, noise: Tensor<2>) -> Result<Tensor<4>> {
        let images = self.generator.forward(noise);
        let output = self.config.generator.output;
        output.as_taken(images, self.teacher.normalisation())
    }

    fn step_generator(
        &mut self,
        at: StepContext,
        noise: Tensor<2>,
        images: Tensor<4>,
    ) -> Result<LossTerms> {
        let seen = self.teacher.look(images.clone());
        let (report, loss) = match (&self.config.game, &mut self.terms) {
            (Game::Cooperative { .. }, Some(terms)) => {
                terms.forward(&images, &noise, seen, at.step_in_epoch)?
            }
            (game, _) => {
                let student = self.student.forward(&images);
                let apart = match game {
                    Game::Beliefs { .. } => belief_matching(student, seen.logits, 1.0),
                    _ => logit_l1(student, seen.logits),
                };
                let loss = apart.map_err(wrong)?.neg();
                (Vec::new(), loss)
            }
        };
        let mut report: LossTerms = report
            .into_iter()
            .filter(|(name, _)| name != "total")
            .collect();
        report.push(("generator".into(), loss.clone().inner()));
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("generator", &self.generator, &mut raw);
        self.config.training.clip(&mut gradients);
        let lr = self.config.generator_lr * at.lr / self.plan.lr.base;
        self.generator =
            self.generator_optimizer
                .step("generator", self.generator.clone(), lr, &gradients);
        Ok(report)
    }

    fn step_student(&mut self, at: StepContext, images: Tensor<4>) -> Result<Tensor<1>> {
        // The student learns from images that do not learn from it here.
        let plain = images.inner();
        let seen = self.teacher.look(plain.clone());
        let constant = |tensor: Tensor<2>| Tensor::from_inner(tensor);
        let trace = self.student.forward_traced(&Tensor::from_inner(plain));
        let teacher = constant(seen.logits);
        let loss = match &self.config.game {
            Game::Cooperative { temperature, .. } => {
                soft_target(trace.output, teacher, *temperature).map_err(wrong)?
            }
            Game::LogitDifference => logit_l1(trace.output, teacher).map_err(wrong)?,
            Game::Beliefs { attention } => {
                let mut loss = belief_matching(trace.output, teacher, 1.0).map_err(wrong)?;
                if *attention > 0.0 {
                    let of_student = trace.maps.into_iter().skip(stem(&self.student));
                    let of_teacher = seen.maps.into_iter().skip(self.teacher.stem());
                    for (student, teacher) in of_student.zip(of_teacher) {
                        if student.dims()[2..] == teacher.dims()[2..] {
                            let apart = attention_transfer(
                                student,
                                Tensor::from_inner(teacher),
                                AttentionDistance::MeanSquare,
                                ATTENTION_EPSILON,
                            );
                            loss = loss + apart.map_err(wrong)?.mul_scalar(*attention);
                        }
                    }
                }
                loss
            }
        };
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &self.student, &mut raw);
        self.config.training.clip(&mut gradients);
        self.student = self
            .optimizer
            .step("student", self.student.clone(), at.lr, &gradients);
        Ok(loss.inner())
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
            last = self.step_generator(at, noise, images)?;
        }
        Ok(last)
    }
}

fn wrong(error: kd_losses::Error) -> Error {
    Error::method("the losses of generator and student", error)
}

impl<S: ImageClassifier> Phase for Rounds<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        let (mut report, student) = match self.config.game {
            // Both learn from the same images, which are made once.
            Game::Cooperative { .. } => {
                let noise = self.noise(at, 0);
                let images = self.images(noise.clone())?;
                let student = self.step_student(at, images.clone())?;
                (self.step_generator(at, noise, images)?, student)
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
        let student = self.student.valid();
        let mut metrics = self
            .test
            .metrics(self.teacher, |input| student.forward(&input))?;
        metrics.extend(self.frozen().look(self.teacher)?);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    /// Some images of the generator as it is at the end, to be looked at.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        bank::left(&self.frozen(), self.teacher, LEFT)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        state.put("generator", export(&self.generator, Names::Burn));
        let (moments, steps) = self.generator_optimizer.state();
        state.put("generator_optimizer", moments);
        state
            .values
            .insert("generator_optimizer_steps".into(), serde_json::json!(steps));
        if let Some(terms) = &self.terms {
            terms.put(&mut state);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let part = |name: &str| state.part(name);
        self.student = import(&self.student, &part("student"), Names::Burn, "checkpoint")?;
        self.generator = import(
            &self.generator,
            &part("generator"),
            Names::Burn,
            "checkpoint",
        )?;
        if let Some(terms) = &mut self.terms {
            terms.restore(state, &self.device)?;
        }
        let steps = state.values.get("generator_optimizer_steps").cloned();
        let steps = serde_json::from_value(steps.unwrap_or_default())
            .map_err(|error| Error::method("the generator's steps in the checkpoint", error))?;
        self.generator_optimizer
            .restore(&part("generator_optimizer"), &steps, &self.device);
        state.restore_optimizer(&mut self.optimizer, &self.device)
    }
}

/// The phase before its first step.
pub(crate) fn start<'a, S: ImageClassifier>(
    config: &'a Joint,
    student: S,
    teacher: &'a dyn ImageTeacher,
    test: Test,
    seed: u64,
    device: &Device,
) -> Result<Rounds<'a, S>> {
    let generator = config.generator.init(teacher.image(), seed, device)?;
    let terms = match &config.game {
        Game::Cooperative { objective, .. } => Some(Terms::new(objective)?),
        _ => None,
    };
    Ok(Rounds {
        student,
        generator: generator.train(),
        terms,
        optimizer: Optimizer::new(config.training.optimizer.clone())?,
        generator_optimizer: Optimizer::new(config.generator_optimizer.clone())?,
        plan: config.training.plan(config.rounds_per_epoch, None)?,
        config,
        teacher,
        test,
        seed,
        device: device.clone(),
    })
}
