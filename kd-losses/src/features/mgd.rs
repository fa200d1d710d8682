//! Masked generative distillation: the teacher's whole map from a part of the student's.

use crate::adapters::MapSizes;
use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::widths;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::seeded::{self, Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};

const NAME: &str = "mgd";

/// The unit of the mask: the elements that are masked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MaskedUnit {
    /// A position with all its channels: the authors' code for detection and segmentation.
    Position,
    /// A channel with all its positions: the authors' code for classification.
    Channel,
}

/// The constants of [`MgdLoss`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct MgdLossConfig {
    /// The probability that a unit is masked, at least 0 and below 1, the paper's lambda.
    ///
    /// 0.5, the value that the authors' code for classification documents; its configs use 0.15, with
    /// channels as units, and 0.45 to 0.75 for detection and segmentation.
    #[config(default = 0.5)]
    pub mask_ratio: f64,
    /// The unit of the mask: the elements that are masked together.
    ///
    /// A position by default, as in the paper.
    #[config(default = "MaskedUnit::Position")]
    pub unit: MaskedUnit,
    /// The treatment of maps of different height or width.
    ///
    /// An error by default, as in the authors' code.
    #[config(default = "MapSizes::MustMatch")]
    pub map_sizes: MapSizes,
}

impl MgdLossConfig {
    /// Checks the constants and makes the loss with initial weights, and masks, that depend on `seed` only.
    ///
    /// Weights and biases are uniform in `[-b, b)` with `b = 1 / sqrt(fan_in)`. Two losses of one run should
    /// have different seeds. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; `mask_ratio` outside its range.
    pub fn init(
        &self,
        student_channels: usize,
        teacher_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<MgdLoss> {
        widths::channels(student_channels, teacher_channels)?;
        let (ratio, range) = (self.mask_ratio, "at least 0 and below 1");
        let advice = "the authors use 0.15 for channels and 0.45 to 0.75 for positions";
        let ok = (0.0..1.0).contains(&ratio);
        check::constant("mask_ratio", ratio, ok, range, advice)?;

        let mut layers = Layers::new(seed, device);
        let mut conv = |from, kernel: Kernel| {
            ConvNorm::plain(&mut layers, from, teacher_channels, kernel.with_bias())
        };
        let generation = vec![
            conv(teacher_channels, Kernel::SQUARE),
            conv(teacher_channels, Kernel::SQUARE),
        ];
        let differ = student_channels != teacher_channels;
        Ok(MgdLoss {
            align: differ.then(|| conv(student_channels, Kernel::POINT)),
            generation,
            student_channels,
            teacher_channels,
            mask_ratio: self.mask_ratio,
            unit: self.unit,
            map_sizes: self.map_sizes,
            seed,
        })
    }
}

/// Squared distance between the teacher's map and one generated from the student's masked map; made by
/// [`MgdLossConfig`].
///
/// ```text
/// M    = 0 with probability mask_ratio, else 1, for each sample and position (or channel)
/// g    = W2 relu(W1 (M align(s)))
/// loss = mean over samples of  sum over channels and positions of  (g - t)^2
///
/// s = student_features     W1, W2 = 3x3 convolutions with bias that keep the size
/// t = teacher_features     align = a 1x1 convolution with bias, or nothing where the widths are equal
/// ```
///
/// A student from whose part the whole of the teacher can be generated must know the context of each
/// position. What is kept is not made larger to make up for what is masked.
///
/// # Shapes
///
/// - `student_features`: `[batch_size, student_channels, height, width]`
/// - `teacher_features`: `[batch_size, teacher_channels, height, width]`
/// - result: `[1]`
///
/// The result has the unit of a squared feature and is never negative. It is a *sum* over the map, so a
/// weight depends on the size of the map: see [`MgdLoss::USUAL_WEIGHT`].
///
/// The mask is a function of the seed given to `init` and of `draw`, made on the host and independent of the
/// device's generator: give the number of the step, so that each step has a mask of its own and a resumed run
/// the same ones. A mask has `batch_size * height * width` (or `batch_size * teacher_channels`) numbers.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. This is a Burn module of its own: give it to the optimizer beside the student,
/// save it in checkpoints, and leave it out of the finished student.
///
/// # References
///
/// Yang, Li, Shao, Shi, Yuan, Yuan, "Masked Generative Distillation", ECCV 2022, arXiv 2205.01529, section 3,
/// and the authors' code, from which the mean over samples comes. Its weight, the paper's alpha, is not part
/// of the loss here.
#[derive(Module, Debug)]
pub struct MgdLoss {
    align: Option<ConvNorm>,
    generation: Vec<ConvNorm>,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
    #[module(skip)]
    mask_ratio: f64,
    #[module(skip)]
    unit: MaskedUnit,
    #[module(skip)]
    map_sizes: MapSizes,
    #[module(skip)]
    seed: u64,
}

impl MgdLoss {
    /// The weight usual beside the task's own loss for positions as units: 2e-5, the authors' alpha for
    /// one-stage detectors and segmentation. For two-stage detectors they use 5e-7, for classification, with
    /// channels as units, 7e-5.
    pub const USUAL_WEIGHT: f64 = 2e-5;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` it is `18 * t * t + 2 * t`, and `s * t + t` more where they differ.
    pub fn extra_parameters(&self) -> usize {
        self.num_params()
    }

    /// The loss of two maps at step `draw`.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; other channels than given to `init`; unequal heights or widths
    /// under [`MapSizes::MustMatch`]; tensors of different dtypes or on different devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::MgdLossConfig;
    ///
    /// let device = Device::flex();
    /// let loss = MgdLossConfig::new().init(3, 4, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 18 * 4 * 4 + 2 * 4 + 3 * 4 + 4);
    /// let student = Tensor::<4>::ones([2, 3, 6, 6], &device);
    /// let teacher = Tensor::<4>::zeros([2, 4, 6, 6], &device);
    /// let at = |step| loss.forward(student.clone(), teacher.clone(), step);
    /// let value = at(7)?.into_scalar::<f32>();
    /// assert_eq!(value.to_bits(), at(7)?.into_scalar::<f32>().to_bits());
    /// assert_ne!(value.to_bits(), at(8)?.into_scalar::<f32>().to_bits());
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
        draw: u64,
    ) -> Result<Tensor<1>> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.teacher_channels);
        let (student, teacher) = self.map_sizes.pair(NAME, student, teacher)?;
        let mut generated = match &self.align {
            Some(align) => align.forward(student),
            None => student,
        };
        generated = generated * self.mask(&teacher, draw);
        for (index, conv) in self.generation.iter().enumerate() {
            if index > 0 {
                generated = relu(generated);
            }
            generated = conv.forward(generated);
        }
        let [batch_size, ..] = teacher.dims();
        // Not `/ batch_size`: the derivative of Burn's division by a number has the precision of 32-bit
        // floats.
        Ok((generated - teacher).square().sum() * (1.0 / batch_size as f64))
    }

    /// `[batch_size, 1, height, width]` or `[batch_size, channels, 1, 1]`, like the teacher's map in dtype
    /// and place.
    fn mask(&self, teacher: &Tensor<4>, draw: u64) -> Tensor<4> {
        let [batch_size, channels, height, width] = teacher.dims();
        let shape = match self.unit {
            MaskedUnit::Position => [batch_size, 1, height, width],
            MaskedUnit::Channel => [batch_size, channels, 1, 1],
        };
        let count = shape.iter().product();
        let data = TensorData::new(seeded::mask(self.seed, draw, self.mask_ratio, count), shape);
        let dtype = teacher.dtype();
        Tensor::from_data(data.convert_dtype(dtype), (&teacher.device(), dtype))
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "mgd",
    title: "Masked generative distillation",
    family: Family::Features,
    about: "the teacher's map against one generated from a masked map of the student",
    paper: Paper {
        authors: "Yang et al.",
        year: 2022,
        arxiv: "2205.01529",
        place: "section 3",
    },
    inputs: "two maps `[batch, channels, height, width]`, channels may differ; the number of the step",
    constants: &[
        Constant {
            name: "mask_ratio",
            source: "documented in the authors' code for classification; their configs use 0.15 to 0.75",
        },
        Constant {
            name: "unit",
            source: "the paper; the authors' code masks channels for classification",
        },
        Constant {
            name: "map_sizes",
            source: "the authors' code",
        },
    ],
    defaults: Some(|| MgdLossConfig::new().to_string()),
    extra_parameters: "`18 t t + 2 t` for `t` channels of the teacher, and `s t + t` where the student has \
        another number `s`",
    usual_weight: Some(UsualWeight {
        value: MgdLoss::USUAL_WEIGHT,
        source: "the authors' alpha for one-stage detectors and segmentation; 5e-7 for two-stage ones, 7e-5 \
            for classification",
    }),
    cost: "two 3x3 convolutions of the teacher's width",
    disagreements: "the paper masks positions, the authors' code for classification masks channels; here \
        positions, channels as `unit`; the mask from a device's generator, here from seed and step",
};
