//! The settings of a run of generator and student in turns: DAFL, DFAD and ZSKT.

use kd_core::{Error, OptimizerConfig, Result, Schedule, Training};
use serde::{Deserialize, Serialize};

use super::training::{check_positive, check_training};
use crate::generator::{GeneratorConfig, OutputKind};
use crate::objective::GeneratorObjective;
use crate::teacher::ImageTeacher;

/// The aims of generator and student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Game {
    /// DAFL: the generator learns its objective through the teacher, the student the teacher's probabilities
    /// on the same images.
    Cooperative {
        /// The objective of the generator.
        objective: GeneratorObjective,
        /// The divisor of both logits in the student's loss.
        #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
        temperature: f64,
    },
    /// DFAD: the student takes the mean absolute difference of the logits down, the generator up.
    LogitDifference,
    /// ZSKT: the student takes the divergence from the teacher's probabilities down, the generator up.
    Beliefs {
        /// The weight of the mean squared difference of attention maps in the student's loss, summed over all
        /// stages of one size. The divergence beside it is summed over classes.
        #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
        attention: f64,
    },
}

/// A generator and a student that learn in turns.
///
/// One step of the phase is a round: so many steps of the generator and so many of the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Joint {
    /// The shape of the generator.
    pub generator: GeneratorConfig,
    /// The aims of both.
    pub game: Game,
    /// Steps of the generator in a round.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub generator_steps: usize,
    /// Steps of the student in a round.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub student_steps: usize,
    /// Whether the student's steps come first.
    pub student_first: bool,
    /// Whether all steps of a round have the same noise.
    pub same_noise: bool,
    /// The generator's learning rate; it follows the schedule of the student's.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub generator_lr: f64,
    /// The generator's optimizer.
    pub generator_optimizer: OptimizerConfig,
    /// Rounds between two evaluations count as an epoch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub rounds_per_epoch: usize,
    /// The student's training: batch size, rate, schedule, optimizer, and rounds as epochs or steps.
    pub training: Training,
}

/// An error of an optimizer as one of the generator's.
fn of_generator(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => Error::config(format!("generator_{field}"), problem),
        other => other,
    }
}

impl Joint {
    /// DAFL by its public code for MNIST: one joint step a round, 120 rounds an epoch, 200 epochs of batches
    /// of 512, the generator by Adam at 0.2, the student by Adam at 2e-3.
    pub fn dafl() -> Self {
        let mut training = Training::for_epochs(200);
        training.batch_size = 512;
        training.lr = 2e-3;
        training.optimizer = OptimizerConfig::adam();
        Self {
            generator: GeneratorConfig::default(),
            game: Game::Cooperative {
                objective: GeneratorObjective::dafl(),
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

    /// RDSKD's objective and rates where generator and student learn together, in DAFL's rounds: an option of
    /// ours, to be compared with its two phases.
    pub fn rdskd() -> Self {
        Self {
            game: Game::Cooperative {
                objective: GeneratorObjective::rdskd(),
                temperature: 10.0,
            },
            generator_lr: 1e-3,
            ..Self::dafl()
        }
    }

    /// DFAD by its public code for MNIST: five steps of the student, then one of the generator; 50 rounds an
    /// epoch, 40 epochs of batches of 512, the student by SGD at 0.01 with momentum 0.9 and weight decay
    /// 1e-4, the generator by Adam at 1e-3.
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

    /// ZSKT by its public code: one step of the generator and ten of the student on the same noise, batches
    /// of 128, gradients clipped by their norm, both by Adam along a cosine, the generator at 1e-3, the
    /// student at 2e-3; 80,000 rounds. The code takes the mean of its divergence over classes, too. The loss
    /// here is as many times larger as there are classes: for ten the code's weight of 250 for attention is
    /// 2500, and its norm of 5 is 50. For another number of classes both scale with it.
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
        check_positive("generator_lr", self.generator_lr)?;
        self.generator_optimizer.check().map_err(of_generator)?;
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
                check_positive("game.temperature", *temperature)
            }
            Game::Beliefs { attention } if !(attention.is_finite() && *attention >= 0.0) => {
                let problem = format!("must be finite and not negative, got {attention}");
                Err(Error::config("game.attention", problem))
            }
            _ => Ok(()),
        }
    }
}
