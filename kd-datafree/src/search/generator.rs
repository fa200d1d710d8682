//! The settings of the search by descent on the weights and the noise of a generator: CMI and Fast-DFKD.

use burn::tensor::Device;
use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::weights::check_weights;
use crate::augment::CropFlip;
use crate::contrast::ContrastConfig;
use crate::generator::{GeneratorConfig, OutputKind};
use crate::teacher::ImageTeacher;

/// The beginning of the generator of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Start {
    /// Weights drawn anew for each batch: CMI.
    Fresh,
    /// A generator that learns, from each batch, to be a better beginning: Fast-DFKD. The gradients of all
    /// steps of a batch are added up, as first-order meta-learning has it, and it takes one step of Adam down
    /// the sum, at the rate times the number of steps.
    Learnt,
}

/// The search for a batch of images by a generator of its own.
///
/// ```text
/// loss = one_hot CE(T(x'), y) + bn_statistics R_BN(x') + adversarial L_adv(x') + contrast L_cr
/// ```
///
/// `x'` is a view of the generator's images, `y` are classes drawn at random, `R_BN` compares with the
/// teacher's batch norms ([`bn_statistics`](kd_losses::bn_statistics)), `L_adv` is
/// [`adversarial_kl`](kd_losses::adversarial_kl) against the student as at inference, and `L_cr` is
/// [`ContrastConfig`]'s. Weights and noise go down it together by Adam with betas of 0.5 and 0.999; the
/// images of the lowest loss are the batch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GeneratorSearch {
    /// The shape of the generator.
    pub generator: GeneratorConfig,
    /// Its beginning.
    pub start: Start,
    /// Steps of descent for a batch.
    #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
    pub steps: usize,
    /// The rate for the generator's weights.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub generator_lr: f64,
    /// The rate for the noise.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub noise_lr: f64,
    /// The weight of the cross-entropy with the drawn classes.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub one_hot: f64,
    /// The weight of the statistics of the teacher's batch norms; 0 for a teacher without.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub bn_statistics: f64,
    /// The weight of the disagreement with the student where both see the same class.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub adversarial: f64,
    /// The share of earlier batches in the statistics that are compared, in `[0, 1)`.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
    pub average: f64,
    /// The batch, counted from 0, before which the generator's linear layer and the norm behind it are drawn
    /// anew, if any. Only a learnt beginning has something to lose by it; with a fresh one it has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_at: Option<u64>,
    /// The view of an image that teacher and student take.
    pub views: CropFlip,
    /// The term that keeps the images of all batches apart, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrast: Option<ContrastConfig>,
}

impl GeneratorSearch {
    /// CMI by its public code for CIFAR-10: 200 steps at 1e-3, weights 1, 1 and 0.8, 0.5 for the
    /// disagreement.
    pub fn cmi() -> Self {
        Self {
            generator: GeneratorConfig {
                noise: 256,
                widths: [128, 64],
                epsilon: 1e-5,
                conv_bias: false,
                output: OutputKind::Sigmoid,
                ..GeneratorConfig::default()
            },
            start: Start::Fresh,
            steps: 200,
            generator_lr: 1e-3,
            noise_lr: 1e-3,
            one_hot: 1.0,
            bn_statistics: 1.0,
            adversarial: 0.5,
            average: 0.0,
            reset_at: None,
            views: CropFlip::default(),
            contrast: Some(ContrastConfig::default()),
        }
    }

    /// Fast-DFKD with five steps a batch, by its public code for CIFAR-10: rates of 3e-3 and 0.01, statistics
    /// at 10, of which nine tenths are those of earlier batches. Its scripts weigh the targets by 0.4 to 0.5
    /// and the disagreement by 1 to 1.33; here by 0.4 and 1.1.
    pub fn fast() -> Self {
        Self {
            start: Start::Learnt,
            steps: 5,
            generator_lr: 3e-3,
            noise_lr: 0.01,
            one_hot: 0.4,
            bn_statistics: 10.0,
            adversarial: 1.1,
            average: 0.9,
            reset_at: Some(139),
            contrast: None,
            ..Self::cmi()
        }
    }

    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range, and for statistics of batch norms that the teacher
    /// does not have.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        self.generator.check(teacher.image())?;
        if self.generator.output != OutputKind::Sigmoid {
            let problem = "must be `sigmoid`, as the images are kept as pixels";
            return Err(Error::config("generator.output", problem));
        }
        if self.steps == 0 {
            return Err(Error::config("steps", "must be above 0"));
        }
        for (name, rate) in [
            ("generator_lr", self.generator_lr),
            ("noise_lr", self.noise_lr),
        ] {
            if !(rate.is_finite() && rate > 0.0) {
                let problem = format!("must be finite and above 0, got {rate}");
                return Err(Error::config(name, problem));
            }
        }
        let weights = [
            ("one_hot", self.one_hot),
            ("bn_statistics", self.bn_statistics),
            ("adversarial", self.adversarial),
        ];
        check_weights(&weights, teacher)?;
        if !(0.0..1.0).contains(&self.average) {
            let problem = format!("must be at least 0 and below 1, got {}", self.average);
            return Err(Error::config("average", problem));
        }
        self.views.augment().check_for(teacher.image())?;
        self.contrast
            .as_ref()
            .map_or(Ok(()), |contrast| contrast.check(teacher))
    }

    /// The number of parameters that learn beside the student.
    pub(crate) fn parameters(&self, teacher: &dyn ImageTeacher, device: &Device) -> u64 {
        let generator = self.generator.init(teacher.image(), 0, device);
        let generator = generator.map_or(0, |generator| generator.parameters());
        let contrast = self.contrast();
        generator + contrast.map_or(0, |contrast| contrast.parameters(teacher, device))
    }

    /// The contrastive term, if it weighs anything.
    pub(super) fn contrast(&self) -> Option<&ContrastConfig> {
        self.contrast.as_ref().filter(|term| term.weight != 0.0)
    }
}
