//! The reused classifier: the student learns to make the features that the teacher's classifier reads.

use crate::adapters::MapSizes;
use crate::adapters::conv_norm::ConvNorm;
use crate::adapters::widths;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::features::hint::mean_squared_difference;
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

const NAME: &str = "simkd";

/// The constant of [`SimKdLoss`].
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimKdLossConfig {
    /// By how much the projector is narrower inside than the teacher, from 1 to the teacher's number of
    /// channels, the paper's r.
    ///
    /// 2, the default of the authors' code.
    #[config(default = 2)]
    pub factor: usize,
}

impl SimKdLossConfig {
    /// Checks the constant and makes the loss with initial weights that depend on `seed` only.
    ///
    /// Weights are uniform in `[-b, b)` with `b = 1 / sqrt(fan_in)`; batch norms start with scale 1 and
    /// shift 0. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0; `factor` outside its range.
    pub fn init(
        &self,
        student_channels: usize,
        teacher_channels: usize,
        seed: u64,
        device: &Device,
    ) -> Result<SimKdLoss> {
        widths::channels(student_channels, teacher_channels)?;
        let ok = (1..=teacher_channels).contains(&self.factor);
        let range = "from 1 to the teacher's number of channels";
        check::constant("factor", self.factor as f64, ok, range, "the authors use 2")?;
        let hidden = teacher_channels / self.factor;
        let mut layers = Layers::new(seed, device);
        let mut block = |from, to, kernel| ConvNorm::normed(&mut layers, from, to, kernel);
        Ok(SimKdLoss {
            projector: vec![
                block(student_channels, hidden, Kernel::POINT),
                block(hidden, hidden, Kernel::SQUARE),
                block(hidden, teacher_channels, Kernel::POINT),
            ],
            student_channels,
            teacher_channels,
        })
    }
}

/// Mean squared difference between the projected last map of the student and that of the teacher; made by
/// [`SimKdLossConfig`].
///
/// ```text
/// P(s) = relu(bn(W3 relu(bn(W2 relu(bn(W1 s))))))
/// loss = mean over samples, channels and positions of (P(s) - t)^2
///
/// s, t = the maps before the global average pooling
/// W1, W3 = 1x1 convolutions      W2 = a 3x3 convolution
/// ```
///
/// The larger map is pooled to the size of the smaller first. The last ReLU means that the teacher's map has
/// to be one behind a ReLU too.
///
/// The finished student consists of its own layers, of the projector and of the *teacher's* classifier, so
/// the projector stays: see [`SimKdLoss::project`]. The student's own classifier is not trained, and there is
/// no other loss: the authors give labels and softened targets a weight of 0.
///
/// # Shapes
///
/// - `student_features`: `[batch_size, student_channels, height, width]`
/// - `teacher_features`: `[batch_size, teacher_channels, height, width]`, where height and width may differ
///   from the student's
/// - result: `[1]`
///
/// The result has the unit of a squared feature and is never negative. In training, that is on the autodiff
/// device, the batch norms use the statistics of the batch and update their running ones; elsewhere they use
/// the running ones.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one. This is a Burn module of its own: give it to the optimizer beside the student and
/// save it with it.
///
/// # References
///
/// Chen, Mei, Zhang, Wang, Feng, Chen, "Knowledge Distillation with the Reused Teacher Classifier", CVPR
/// 2022, arXiv 2203.14001, section 3. The paper prints the squared l2 norm; the authors' code takes the mean
/// over all elements, as here. Their code pools by the height alone and to a square; ours takes each axis by
/// itself.
#[derive(Module, Debug)]
pub struct SimKdLoss {
    projector: Vec<ConvNorm>,
    #[module(skip)]
    student_channels: usize,
    #[module(skip)]
    teacher_channels: usize,
}

impl SimKdLoss {
    /// The authors' weight, with no other loss beside it: 1.
    pub const USUAL_WEIGHT: f64 = 1.0;

    /// The number of trained parameters beside the student's: with student's and teacher's channels `s` and
    /// `t` and `h = t / factor` it is `s * h + 9 * h * h + h * t + 4 * h + 2 * t`.
    pub fn extra_parameters(&self) -> usize {
        self.projector.iter().map(ConvNorm::extra_parameters).sum()
    }

    /// The student's last map `[batch_size, student_channels, height, width]` as the teacher's classifier
    /// expects it, `[batch_size, teacher_channels, height, width]`: average it over the positions and give it
    /// to the classifier.
    ///
    /// In [`SimKdLoss::forward`] a student's map that is larger than the teacher's is pooled before the
    /// projector. Such a map must be pooled to that size by the caller here too.
    ///
    /// # Errors
    ///
    /// A map without elements; other channels than given to `init`.
    pub fn project(&self, student_features: Tensor<4>) -> Result<Tensor<4>> {
        check::filled(NAME, "student_features", &student_features)?;
        let expected = self.student_channels;
        check::width(NAME, "student_features", &student_features, expected)?;
        let blocks = self.projector.iter();
        Ok(blocks.fold(student_features, |map, block| relu(block.forward(map))))
    }

    /// The loss of the last maps of student and teacher.
    ///
    /// # Errors
    ///
    /// An empty batch; unequal batch sizes; other channels than given to `init`; tensors of different dtypes
    /// or on different devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::SimKdLossConfig;
    ///
    /// let device = Device::flex();
    /// let loss = SimKdLossConfig::new().init(3, 4, 0, &device)?;
    /// assert_eq!(loss.extra_parameters(), 3 * 2 + 9 * 2 * 2 + 2 * 4 + 4 * 2 + 2 * 4);
    /// let student = Tensor::<4>::ones([2, 3, 8, 8], &device);
    /// let teacher = Tensor::<4>::ones([2, 4, 4, 4], &device);
    /// assert!(loss.forward(student.clone(), teacher)?.into_scalar::<f32>() >= 0.0);
    ///
    /// // What the finished student gives to the teacher's classifier, [2, 4].
    /// let features: Tensor<2> = loss.project(student)?.mean_dims(&[2, 3]).squeeze_dims(&[2, 3]);
    /// assert_eq!(features.dims(), [2, 4]);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(
        &self,
        student_features: Tensor<4>,
        teacher_features: Tensor<4>,
    ) -> Result<Tensor<1>> {
        let student = (student_features, self.student_channels);
        let teacher = (teacher_features, self.teacher_channels);
        let (student, teacher) = MapSizes::PoolLarger.pair(NAME, student, teacher)?;
        Ok(mean_squared_difference(self.project(student)?, teacher))
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "simkd",
    title: "Reused teacher classifier",
    family: Family::Features,
    about: "the teacher's last map, whose classifier the student takes over",
    paper: Paper {
        authors: "Chen et al.",
        year: 2022,
        arxiv: "2203.14001",
        place: "section 3",
    },
    inputs: "two last maps `[batch, channels, height, width]`, channels and sizes may differ; the larger is \
        pooled",
    constants: &[Constant {
        name: "factor",
        source: "the authors' code",
    }],
    defaults: Some(|| SimKdLossConfig::new().to_string()),
    extra_parameters: "`s h + 9 h h + h t + 4 h + 2 t` for `s` and `t` channels of student and teacher and \
        `h = t / factor`; they stay in the finished student",
    usual_weight: Some(UsualWeight {
        value: SimKdLoss::USUAL_WEIGHT,
        source: "the authors' code, with no other loss beside it",
    }),
    cost: "",
    disagreements: "the squared norm (the paper) or the mean over all elements (the authors' code); here the \
        mean",
};
