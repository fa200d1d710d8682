//! The settings of a run in two phases: a generator, then a student.

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{Error, ImageShape, OptimizerConfig, Result, Training};
use serde::{Deserialize, Serialize};

use super::training::{check_positive, check_training};
use crate::bank::BankConfig;
use crate::generator::{Generator, GeneratorConfig, OutputKind};
use crate::objective::GeneratorObjective;
use crate::teacher::ImageTeacher;

/// The origin of the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Synthetic {
    /// A generator that learns first, and is then done.
    Generator {
        /// Its shape.
        #[serde(default)]
        generator: GeneratorConfig,
        /// Its objective.
        #[serde(default)]
        objective: GeneratorObjective,
    },
    /// Standard normal noise, pixel by pixel.
    Noise,
    /// Real images of something else; see [`DataFree::with_images`](crate::DataFree::with_images).
    Images,
}

/// A generator learns, is done, and a student learns from its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TwoPhases {
    /// The origin of the images.
    pub synthetic: Synthetic,
    /// The generator's training; its batches are of noise, 120 steps are an epoch.
    pub generator_training: Training,
    /// The images that the student learns from.
    pub bank: BankConfig,
    /// The divisor of both logits in the student's loss.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
    /// The student's training.
    pub training: Training,
}

/// Steps of the generator that make an epoch: at the second of each RDSKD remembers its losses.
pub(crate) const GENERATOR_EPOCH: usize = 120;

/// The training of RDSKD's generator by its public code: 20 epochs of 120 batches of 512, Adam at 1e-3.
pub fn generator_training() -> Training {
    let mut training = Training::for_epochs(20);
    training.batch_size = 512;
    training.lr = 1e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

/// The training of RDSKD's student by its public code for MNIST, but for its length: batches of 512, Adam at
/// 2e-3. The code takes 120,000 batches of images that are made for them; here it is 20 epochs of a bank.
pub fn student_training() -> Training {
    let mut training = Training::for_epochs(20);
    training.batch_size = 512;
    training.lr = 2e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

impl Default for TwoPhases {
    fn default() -> Self {
        Self {
            synthetic: Synthetic::Generator {
                generator: GeneratorConfig::default(),
                objective: GeneratorObjective::default(),
            },
            generator_training: generator_training(),
            bank: BankConfig::default(),
            temperature: 10.0,
            training: student_training(),
        }
    }
}

/// The same error with a field of `train` as one of `generator_training`.
fn of_generator(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => {
            let name = field.strip_prefix("train.").unwrap_or(&field);
            Error::config(format!("generator_training.{name}"), problem)
        }
        other => other,
    }
}

impl TwoPhases {
    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// The first setting out of range.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        if let Synthetic::Generator {
            generator,
            objective,
        } = &self.synthetic
        {
            let below = |error: Error| error.within("synthetic");
            generator.check(teacher.image()).map_err(below)?;
            objective.check(teacher).map_err(below)?;
            check_training(&self.generator_training).map_err(of_generator)?;
            let batch = self.generator_training.batch_size;
            objective.check_batch("generator_training.batch_size", batch)?;
        }
        self.bank.check()?;
        check_training(&self.training)?;
        let (batch, images) = (self.training.batch_size, self.bank.rounded());
        if batch > images {
            let problem =
                format!("must be at most {images}, as many images as the bank has; got {batch}");
            return Err(Error::config("train.batch_size", problem));
        }
        check_positive("temperature", self.temperature)
    }

    /// The generator before its first step, and its last layer, if there is one.
    pub(crate) fn blank(
        &self,
        image: ImageShape,
        seed: u64,
        device: &Device,
    ) -> Result<Option<(Generator, OutputKind)>> {
        let Synthetic::Generator { generator, .. } = &self.synthetic else {
            return Ok(None);
        };
        let made = generator.init(image, seed, device)?;
        Ok(Some((made.train(), generator.output)))
    }
}
