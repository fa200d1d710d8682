//! Cross-layer distillation with semantic calibration.

use crate::adapters::conv_norm::norm_parameters;
use crate::adapters::map_sizes::pool_to;
use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::{Axis, Error, Result};
use crate::features::relation::unit_rows;
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};

const NAME: &str = "semckd";
const NAMES: [&str; 2] = ["student_features", "teacher_features"];

/// The constant of [`SemCkd`].
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemCkdLossConfig {
    /// The batch size over the width of the embeddings of the similarities, from 1 to the batch
    /// size.
    ///
    /// 4, the authors' code (`factor`).
    #[config(default = 4)]
    pub reduction: usize,
}

impl SemCkdLossConfig {
    /// Checks the constant and makes the trained parts, whose initial weights depend on `seed` only.
    ///
    /// The lists hold the channels of the taps; they may differ in length. `batch_size` is the size of every
    /// batch: a sample is described by its similarities to all samples of its batch, so that layers have one
    /// input for each. For training pass a device with `.autodiff()`: batch norms normalise by the batch
    /// there, and by running averages elsewhere.
    ///
    /// # Errors
    ///
    /// `reduction` outside its range; an empty list; a width of 0.
    pub fn init(
        &self,
        student_channels: &[usize],
        teacher_channels: &[usize],
        batch_size: usize,
        seed: u64,
        device: &Device,
    ) -> Result<SemCkd> {
        let (reduction, range) = (self.reduction, "from 1 to the batch size");
        let ok = (1..=batch_size).contains(&reduction);
        let advice = "the authors' code uses 4 with batches of 64";
        check::constant("reduction", reduction as f64, ok, range, advice)?;
        for (name, channels) in [
            ("student_channels", student_channels),
            ("teacher_channels", teacher_channels),
        ] {
            check::count(NAME, name, channels.len(), channels.len().max(1))?;
            for &width in channels {
                let advice = "give the number of channels of the tapped layer";
                check::constant(name, width as f64, width > 0, "at least 1", advice)?;
            }
        }
        let mut layers = Layers::new(seed, device);
        let width = batch_size / reduction;
        let mut embed = |_: &usize| SimilarityEmbed {
            hidden: layers.linear(batch_size, 2 * width),
            output: layers.linear(2 * width, width),
        };
        let queries = student_channels.iter().map(&mut embed).collect();
        let keys = teacher_channels.iter().map(&mut embed).collect();
        let mut projections = Vec::new();
        for &student in student_channels {
            for &teacher in teacher_channels {
                projections.push(LayerProjection::new(student, teacher, &mut layers));
            }
        }
        Ok(SemCkd {
            queries,
            keys,
            projections,
            batch_size,
        })
    }
}

/// Semantic calibration: each student's layer learns from all teacher's layers, by weights that say how alike
/// they see the batch.
///
/// ```text
/// G(f)[i, j] = <f[i], f[j]>                         of the samples of a batch, all features of a layer
/// q[s] = unit(mlp_s(rows of G(student[s])))         k[t] = unit(mlp_t(rows of G(teacher[t])))
/// a[i, s, t] = softmax over t of <q[s][i], k[t][i]>
/// d[i, s, t] = mean over features of (projection_st(student[s])[i] - teacher[t][i])^2
/// loss = mean over samples i and student's layers s of  sum over t of a[i, s, t] d[i, s, t]
///
/// mlp = linear, ReLU, linear
/// projection = 1x1, 3x3 and 1x1 convolution with batch norm and ReLU between them
/// ```
///
/// Of two maps of different sizes the larger is pooled by averages, along each axis. The scores are cosines:
/// of two teacher's layers one never weighs more than `exp(2)` times the other.
///
/// `mlp` and `projection` are trained beside the student and left out of it afterwards; a gradient reaches
/// the student through both.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::SemCkdLossConfig;
///
/// let device = Device::flex();
/// // Two student's layers, one teacher's, batches of 4.
/// let loss = SemCkdLossConfig::new().init(&[3, 5], &[6], 4, 0, &device.clone().autodiff())?;
/// let map = |channels, size| Tensor::<4>::ones([4, channels, size, size], &device);
/// let students = vec![map(3, 8).autodiff().require_grad(), map(5, 4).autodiff()];
///
/// let value = loss.forward(&students, &[map(6, 4)])?;
/// assert!(students[0].grad(&value.backward()).is_some());
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Chen et al., "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, arXiv 2012.03236, and the
/// authors' code, whose layers, attention and mean over features are these. There the last, smaller batch of
/// an epoch stops the program with unequal shapes; here it is an [`Error::UnexpectedBatch`]. A description of
/// length 0 is NaN there and zeros here.
#[derive(Module, Debug)]
pub struct SemCkd {
    queries: Vec<SimilarityEmbed>,
    keys: Vec<SimilarityEmbed>,
    /// Of each student's layer to each teacher's, the latter varying faster.
    projections: Vec<LayerProjection>,
    #[module(skip)]
    batch_size: usize,
}

impl SemCkd {
    /// The weight usual beside a cross-entropy of weight 1: 400, the authors' commands.
    pub const USUAL_WEIGHT: f64 = 400.0;

    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        let projections = self.projections.iter().map(LayerProjection::trained);
        self.queries.num_params() + self.keys.num_params() + projections.sum::<usize>()
    }

    /// The loss of two lists of maps.
    ///
    /// # Shapes
    ///
    /// - `student_features`, `teacher_features`: for each tap `[batch_size, channels, height, width]`, batch
    ///   size and channels those of `init`
    /// - result: `[1]`, the mean over samples and the student's layers
    ///
    /// The result has the unit of a squared feature of the teacher and is never negative. The teacher is a
    /// constant: no gradient reaches it. Similarities of features of up to 1e4 in size are finite in 32-bit
    /// floats.
    ///
    /// # Errors
    ///
    /// Lists of other lengths than those of `init`; another batch size or width; maps without positions;
    /// tensors of different dtypes or on different devices.
    pub fn forward(
        &self,
        student_features: &[Tensor<4>],
        teacher_features: &[Tensor<4>],
    ) -> Result<Tensor<1>> {
        self.check(student_features, teacher_features)?;
        let teachers: Vec<Tensor<4>> = teacher_features
            .iter()
            .map(|teacher| teacher.clone().without_autodiff())
            .collect();

        let attention = self.attend(student_features, &teachers); // [batch_size, students, teachers]
        let mut differences = Vec::new();
        for (index, projection) in self.projections.iter().enumerate() {
            let student = student_features[index / teachers.len()].clone();
            let teacher = teachers[index % teachers.len()].clone();
            let (student, teacher) = at_one_size(student, teacher);
            let difference = (projection.forward(student) - teacher).square();
            let difference: Tensor<2> = difference.flatten(1, 3);
            differences.push(difference.mean_dim(1)); // [batch_size, 1]
        }
        let differences = Tensor::cat(differences, 1).reshape(attention.dims());
        let count = self.batch_size * student_features.len();
        // Not divided: Burn rounds the slope of a division by a number to 32 bits.
        Ok((attention * differences).sum() * (count as f64).recip())
    }

    /// The weights of the teacher's layers for each sample and student's layer,
    /// `[batch_size, students, teachers]`.
    fn attend(&self, students: &[Tensor<4>], teachers: &[Tensor<4>]) -> Tensor<3> {
        let describe = |embeds: &[SimilarityEmbed], maps: &[Tensor<4>]| {
            let rows = embeds.iter().zip(maps);
            let rows = rows.map(|(embed, map)| embed.forward(similarities(map.clone())));
            Tensor::stack::<3>(rows.collect(), 1) // [batch_size, layers, width]
        };
        let queries = describe(&self.queries, students);
        let keys = describe(&self.keys, teachers);
        softmax(queries.matmul(keys.swap_dims(1, 2)), 2)
    }

    fn check(&self, students: &[Tensor<4>], teachers: &[Tensor<4>]) -> Result<()> {
        check::count(NAME, NAMES[0], students.len(), self.queries.len())?;
        check::count(NAME, NAMES[1], teachers.len(), self.keys.len())?;
        for (index, projection) in self.projections.iter().enumerate() {
            let student = &students[index / teachers.len()];
            let teacher = &teachers[index % teachers.len()];
            check::pair(NAME, NAMES, student, teacher, [(Axis::Batch, 0..1)])?;
            let [of_student, of_teacher] = projection.widths();
            check::width(NAME, NAMES[0], student, of_student)?;
            check::width(NAME, NAMES[1], teacher, of_teacher)?;
            let found = student.dims()[0];
            if found != self.batch_size {
                return Err(Error::UnexpectedBatch {
                    loss: NAME,
                    found,
                    expected: self.batch_size,
                });
            }
        }
        Ok(())
    }
}

/// Describes each sample by what it is similar to.
#[derive(Module, Debug)]
struct SimilarityEmbed {
    hidden: Linear,
    output: Linear,
}

impl SimilarityEmbed {
    fn forward(&self, similarities: Tensor<2>) -> Tensor<2> {
        unit_rows(self.output.forward(relu(self.hidden.forward(similarities))))
    }
}

/// A student's layer in the width of a teacher's.
#[derive(Module, Debug)]
struct LayerProjection {
    widen: Conv2d,
    widen_norm: BatchNorm,
    mix: Conv2d,
    mix_norm: BatchNorm,
    narrow: Conv2d,
}

impl LayerProjection {
    fn new(student_channels: usize, teacher_channels: usize, layers: &mut Layers<'_>) -> Self {
        let mid = 2 * teacher_channels;
        Self {
            widen: layers.conv(student_channels, mid, Kernel::POINT),
            widen_norm: layers.batch_norm(mid),
            mix: layers.conv(mid, mid, Kernel::SQUARE),
            mix_norm: layers.batch_norm(mid),
            narrow: layers.conv(mid, teacher_channels, Kernel::POINT),
        }
    }

    fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        let map = relu(self.widen_norm.forward(self.widen.forward(map)));
        let map = relu(self.mix_norm.forward(self.mix.forward(map)));
        self.narrow.forward(map)
    }

    fn widths(&self) -> [usize; 2] {
        [self.widen.weight.dims()[1], self.narrow.weight.dims()[0]]
    }

    fn trained(&self) -> usize {
        let convolutions = [&self.widen, &self.mix, &self.narrow].map(Module::num_params);
        let norms = [&self.widen_norm, &self.mix_norm].map(|norm| norm_parameters(Some(norm)));
        convolutions.iter().sum::<usize>() + norms.iter().sum::<usize>()
    }
}

/// The products of all pairs of samples, `[batch_size, batch_size]`.
fn similarities(map: Tensor<4>) -> Tensor<2> {
    let rows: Tensor<2> = map.flatten(1, 3);
    rows.clone().matmul(rows.transpose())
}

/// Both maps at the smaller height and the smaller width of the two.
fn at_one_size(student: Tensor<4>, teacher: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let ([_, _, height, width], [_, _, other_height, other_width]) =
        (student.dims(), teacher.dims());
    let size = [height.min(other_height), width.min(other_width)];
    (pool_to(student, size), pool_to(teacher, size))
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: NAME,
    title: "Semantic calibration",
    family: Family::Features,
    about: "each student's layer against all teacher's layers, by attention",
    paper: Paper {
        authors: "Chen et al.",
        year: 2020,
        arxiv: "2012.03236",
        place: "the semantic calibration loss",
    },
    inputs: "two lists of maps `[batch, channels, height, width]`, of any lengths; all batches of one size",
    constants: &[Constant {
        name: "reduction",
        source: "the authors' code",
    }],
    defaults: Some(|| SemCkdLossConfig::new().to_string()),
    extra_parameters: "for each layer `2 b w + 2 w + 2 w^2 + w` with batch size `b` and `w = b / reduction`; \
        for each pair of layers with channels `s` and `t` `2 s t + 38 t^2 + 8 t`",
    usual_weight: Some(UsualWeight {
        value: SemCkd::USUAL_WEIGHT,
        source: "the authors' commands",
    }),
    cost: "three convolutions for each pair of a student's and a teacher's layer; `batch^2` similarities for \
        each layer",
    disagreements: "a smaller last batch stops the authors' code with unequal shapes, here it is an error in \
        words; maps are compared at the smaller height (the code) or at the smaller of both axes (here; the \
        same for square maps)",
};
