//! Distillation with knowledge review.

mod hierarchical_context;

pub use hierarchical_context::hierarchical_context;

use crate::adapters::{AttentionFusion, AttentionFusionConfig, FusionDepth};
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Result};
use crate::seeded::Layers;
use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

const NAME: &str = "reviewkd";

/// The constant of [`ReviewKd`].
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReviewKdLossConfig {
    /// Most channels that are handed from the deep layers to the shallow ones, at least 1; the deepest
    /// student's channels if fewer.
    ///
    /// 512, the authors' code for CIFAR-100 and for `ResNet` 18 on `ImageNet`; 256 for its `MobileNet` there.
    #[config(default = 512)]
    pub max_mid_channels: usize,
}

impl ReviewKdLossConfig {
    /// Checks the constant and makes the fusions, whose initial weights depend on `seed` only.
    ///
    /// The lists hold the channels of the taps, shallow to deep, one entry for each pair. For training pass a
    /// device with `.autodiff()`: batch norms normalise by the batch there, and by running averages
    /// elsewhere.
    ///
    /// # Errors
    ///
    /// A constant or a width of 0; empty lists or lists of unequal lengths.
    pub fn init(
        &self,
        student_channels: &[usize],
        teacher_channels: &[usize],
        seed: u64,
        device: &Device,
    ) -> Result<ReviewKd> {
        let most = self.max_mid_channels;
        let advice = "the authors' code uses 512";
        check::constant(
            "max_mid_channels",
            most as f64,
            most > 0,
            "at least 1",
            advice,
        )?;
        let taps = student_channels.len();
        check::count(NAME, "student_channels", taps, taps.max(1))?;
        check::count(NAME, "teacher_channels", teacher_channels.len(), taps)?;
        let deepest = student_channels.last().copied().unwrap_or(most);
        let mut layers = Layers::new(seed, device);
        let pairs = student_channels.iter().zip(teacher_channels).enumerate();
        let stages = pairs.map(|(index, (&student, &teacher))| {
            let depth = if index + 1 == taps {
                FusionDepth::Deepest
            } else {
                FusionDepth::BelowAnother
            };
            let config = AttentionFusionConfig::new(student, deepest.min(most), teacher);
            config.with_depth(depth).with_layers(&mut layers)
        });
        Ok(ReviewKd {
            stages: stages.collect::<Result<_>>()?,
        })
    }
}

/// Knowledge review: each layer of the teacher teaches the student's layer of the same depth and, through it,
/// all that are deeper.
///
/// ```text
/// output[L], fused[L] = fusion[L](student[L])
/// output[l], fused[l] = fusion[l](student[l], fused[l + 1])       l from L - 1 to 1, deep to shallow
/// loss = sum over l of hierarchical_context(output[l], teacher[l])
/// ```
///
/// The fusions, [`AttentionFusion`], are trained beside the student and left out of it afterwards. The loss
/// is [`hierarchical_context`]. The authors let its weight grow from 0 to its full value over the first 20
/// epochs; that is the caller's.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::ReviewKdLossConfig;
///
/// let device = Device::flex();
/// let review = ReviewKdLossConfig::new().init(&[4, 8], &[6, 12], 0, &device.clone().autodiff())?;
/// let map = |channels, size| Tensor::<4>::ones([2, channels, size, size], &device);
/// let students = [map(4, 8).autodiff().require_grad(), map(8, 4).autodiff()];
///
/// let loss = review.forward(&students, &[map(6, 8), map(12, 4)])?;
/// assert!(students[0].grad(&loss.backward()).is_some());
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen, Liu, Zhao, Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044. The
/// authors tap feature maps before the nonlinearity and, as the deepest, the pooled features, as a map of one
/// position. Sizes that are fixed numbers in their code come from the maps here.
#[derive(Module, Debug)]
pub struct ReviewKd {
    stages: Vec<AttentionFusion>,
}

impl ReviewKd {
    /// The weight that is the default of the authors' code beside a cross-entropy of weight 1, after the
    /// warm-up.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        self.stages
            .iter()
            .map(AttentionFusion::extra_parameters)
            .sum()
    }

    /// The loss of two lists of maps, shallow to deep.
    ///
    /// # Shapes
    ///
    /// - `student_features`: for each tap `[batch_size, channels, height, width]`, the channels those of
    ///   `init`
    /// - `teacher_features`: the same; heights and widths may differ from the student's
    /// - result: `[1]`, the sum over the taps, the mean over the batch
    ///
    /// The result has the unit of a squared feature of the teacher and is never negative. The teacher is a
    /// constant: no gradient reaches it. In a batch of one a map of one position is normalised to the shift
    /// of the batch norm, whatever it holds.
    ///
    /// # Errors
    ///
    /// Lists of other lengths than those of `init`; an empty batch; unequal batch sizes; other widths;
    /// tensors of different dtypes or on different devices.
    pub fn forward(
        &self,
        student_features: &[Tensor<4>],
        teacher_features: &[Tensor<4>],
    ) -> Result<Tensor<1>> {
        let taps = self.stages.len();
        let names = ["student_features", "teacher_features"];
        check::count(NAME, names[0], student_features.len(), taps)?;
        check::count(NAME, names[1], teacher_features.len(), taps)?;
        let pairs = student_features.iter().zip(teacher_features);
        for (stage, (student, teacher)) in self.stages.iter().zip(pairs.clone()) {
            let [expected_student, expected_teacher] = stage.widths();
            check::pair(NAME, names, student, teacher, [(Axis::Batch, 0..1)])?;
            check::width(NAME, names[0], student, expected_student)?;
            check::width(NAME, names[1], teacher, expected_teacher)?;
        }
        let mut deeper = None;
        let mut losses = Vec::new();
        for (stage, (student, teacher)) in self.stages.iter().zip(pairs).rev() {
            let [_, _, height, width] = teacher.dims();
            let (output, fused) = stage.forward(student.clone(), deeper, [height, width])?;
            deeper = Some(fused);
            losses.push(hierarchical_context(output, teacher.clone())?);
        }
        Ok(Tensor::cat(losses, 0).sum())
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: NAME,
    title: "Knowledge review",
    family: Family::Features,
    about: "maps fused from deep to shallow, compared at several scales",
    paper: Paper {
        authors: "Chen et al.",
        year: 2021,
        arxiv: "2104.09044",
        place: "attention based fusion and hierarchical context loss",
    },
    inputs: "two lists of maps `[batch, channels, height, width]`, shallow to deep; channels and sizes may \
        differ",
    constants: &[Constant {
        name: "max_mid_channels",
        source: "the authors' code; 256 for its MobileNet",
    }],
    defaults: Some(|| ReviewKdLossConfig::new().to_string()),
    extra_parameters: "for each pair `s m + 2 m + 9 m t + 2 t`, all but the deepest `4 m + 2` more, for \
        channels `s` and `t` and `m = min(max_mid_channels, deepest s)`",
    usual_weight: Some(UsualWeight {
        value: ReviewKd::USUAL_WEIGHT,
        source: "the default of the authors' code, after a warm-up of 20 epochs",
    }),
    cost: "a 3x3 convolution with `m` channels at the size of each teacher's map",
    disagreements: "the levels of the context loss are chosen by the height alone (the code) or by both axes \
        (here; the same for square maps); map sizes as constants (the code) or from the maps (here)",
};
