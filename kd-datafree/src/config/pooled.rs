//! The settings of a run with a pool of images that grows: DeepInversion, CMI, Fast-DFKD.

use burn::tensor::Device;
use kd_core::{Error, OptimizerConfig, Result, Schedule, Training};
use serde::{Deserialize, Serialize};

use super::training::{check_positive, check_training};
use crate::augment::CropFlip;
use crate::search::{GeneratorSearch, PixelSearch};
use crate::teacher::ImageTeacher;

/// The search for a batch of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Search {
    /// By descent on pixels: DeepInversion, and Adaptive DeepInversion where it competes with the student.
    Pixels(PixelSearch),
    /// By descent on a generator and its noise: CMI, Fast-DFKD.
    Generator(GeneratorSearch),
}

/// A student that learns from a pool of images, to which a batch is added before each epoch.
///
/// The images are kept as bytes, in a file for each batch. A step of the student is a batch of views of
/// images of the whole pool, the teacher's logits for those views, and
/// [`soft_target`](kd_losses::soft_target).
///
/// An evaluation also measures the last batch: `synthetic_on_target` is the share of it that the teacher
/// takes for the class that was drawn for it, `synthetic_bn_statistics` the distance of its statistics from
/// those of the teacher's batch norms ([`bn_statistics`](kd_losses::bn_statistics)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pooled {
    /// The search for a batch.
    pub search: Search,
    /// Images of a batch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub batch: usize,
    /// Batches that are found before the student's first step, without regard to it.
    pub warm_up: usize,
    /// Steps of the student between two batches: an epoch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub student_steps: usize,
    /// The view of an image that the student takes.
    pub views: CropFlip,
    /// The divisor of both logits in the student's loss.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
    /// The student's training.
    pub training: Training,
}

impl Pooled {
    /// Adaptive DeepInversion with the student's training of the CMI benchmark for CIFAR-10: batches of 256,
    /// 400 steps of SGD at 0.1 along a cosine for each of 200, a temperature of 20.
    pub fn adaptive_inversion() -> Self {
        let mut training = Training::for_epochs(200);
        training.batch_size = 256;
        training.lr = 0.1;
        training.optimizer = OptimizerConfig::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
        };
        training.schedule = Schedule::Cosine { final_lr: 0.0 };
        Self {
            search: Search::Pixels(PixelSearch::default()),
            batch: 256,
            warm_up: 0,
            student_steps: 400,
            views: CropFlip::default(),
            temperature: 20.0,
            training,
        }
    }

    /// DeepInversion: the same without the competition.
    pub fn deep_inversion() -> Self {
        Self {
            search: Search::Pixels(PixelSearch {
                competition: 0.0,
                ..PixelSearch::default()
            }),
            ..Self::adaptive_inversion()
        }
    }

    /// CMI by its public code for CIFAR-10.
    pub fn cmi() -> Self {
        Self {
            search: Search::Generator(GeneratorSearch::cmi()),
            ..Self::adaptive_inversion()
        }
    }

    /// Fast-DFKD with five steps a batch by its public code for CIFAR-10: 20 batches first, then 200 epochs
    /// of SGD at 0.2 along a cosine to 2e-4. The code counts those 20 as epochs, too, 220 in all.
    pub fn fast() -> Self {
        let mut made = Self {
            search: Search::Generator(GeneratorSearch::fast()),
            warm_up: 20,
            ..Self::adaptive_inversion()
        };
        made.training.lr = 0.2;
        made.training.schedule = Schedule::Cosine { final_lr: 2e-4 };
        made
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        match &self.search {
            Search::Pixels(search) => search.check(teacher),
            Search::Generator(search) => search.check(teacher),
        }
        .map_err(|error| error.within("search"))?;
        check_training(&self.training)?;
        for (name, count) in [("batch", self.batch), ("student_steps", self.student_steps)] {
            if count == 0 {
                return Err(Error::config(name, "must be above 0"));
            }
        }
        let first = self.batch.saturating_mul(self.warm_up.max(1));
        if self.training.batch_size > first {
            let problem = format!(
                "must be at most {first}, as many images as there are at the first step; got {}",
                self.training.batch_size
            );
            return Err(Error::config("train.batch_size", problem));
        }
        check_positive("temperature", self.temperature)?;
        self.views.augment().check_for(teacher.image())
    }

    /// The number of batches when epoch `epoch` begins.
    pub(crate) fn batches(&self, epoch: usize) -> usize {
        // In the first epoch those of the warm-up stand for its own.
        self.warm_up.max(1) + epoch
    }

    /// The number of parameters that learn beside the student.
    pub(crate) fn extra_parameters(&self, teacher: &dyn ImageTeacher, device: &Device) -> u64 {
        match &self.search {
            Search::Pixels(_) => 0,
            Search::Generator(search) => search.parameters(teacher, device),
        }
    }
}
