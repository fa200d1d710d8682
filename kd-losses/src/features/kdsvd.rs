//! Self-supervised distillation by singular value decomposition: the main patterns of layers, and how they
//! relate.

use super::eigen::{Eigen, eigen};
use super::relation::{flat_channels, gram, resolution};
use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::{Axis, Result};
use burn::config::Config;
use burn::tensor::{Tensor, TensorData};

const NAME: &str = "kdsvd";
/// The student's singular vectors that are compared beside the `components` first ones, as in Tian et al.'s
/// implementation.
const SPARE: usize = 3;
/// Share of the largest eigenvalue below which a difference of two gives no more slope.
const DAMPING: f64 = 1e-6;
/// A squared singular value that counts as 0, so that slopes do not overflow in 32-bit floats.
const NOTHING: f64 = 1e-30;

/// Squared difference of the relations between the singular vectors of consecutive layers.
///
/// ```text
/// F[l]       = features of layer l as a matrix, height * width rows and a column for each channel
/// V[l][k, c] = entry c of the right singular vector k of F[l] in the order of singular values, k = 1 .. K
/// R[l][k, c, d] = exp(-(w[l][k] V[l][k, c] - w[l-1][k] V[l-1][k, d])^2 / g)
/// loss       = mean over samples of  sum over l > 1, k, c and d of
///              (R(student)[l][k, c, d] - R(teacher)[l][k, c, d])^2
///
/// K = components     g = width     c, d = channels
/// w[l][k] = the teacher's singular values of layer l over the root of the sum of the squares of the first K,
///           for both
/// ```
///
/// A singular vector has no sign, while `R` depends on it: the teacher's are turned so that their entries
/// have a positive sum. The student's order may be another. For each of the teacher's vectors the loss takes
/// that of the student's first `K + 3` whose cosine with it is largest in size, turned to make the cosine
/// positive; where this choice changes the loss jumps. A vector whose squared singular value is 0, as far as
/// the float type can tell, or below 1e-30, is 0 and gets no gradient.
///
/// # Shapes
///
/// - `student`: maps of two layers or more, from the first to the last,
///   `[batch_size, channels, height, width]`; all but the batch size may differ between layers
/// - `teacher`: as many, of the same batch size and channels; heights and widths may differ
/// - result: `[1]`
///
/// The result has no unit, is never negative, and does not change when the features of a sample and layer are
/// multiplied by a number other than 0. `components` is at least 1, `width` above 0. The gradient is that of
/// the singular vectors, by first-order perturbation; two squared singular values closer than 1e-6 of the
/// largest have no vectors of their own, and the slope is damped there.
///
/// **This loss waits for the device**: Burn has no decomposition on devices, so that each call reads the
/// `channels x channels` products of every layer and sample, of student and teacher, and decomposes them on
/// the host, one after another, in about `50 * channels^3` operations each: some 20 ms for 64 channels, 8
/// times that for 128. Memory is `channels * channels` of the next layer, times `components`.
///
/// The teacher is a constant: no gradient reaches it, and it may live on the plain device while the student
/// is on the autodiff one.
///
/// # Errors
///
/// A constant outside its range; fewer than two layers, or other than the student's; an empty batch; unequal
/// batch sizes or channels; tensors of different dtypes or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::kdsvd;
///
/// let device = Device::flex();
/// let first = Tensor::<4>::from_data([[[[3.0]], [[4.0]]]], &device);
/// let second = Tensor::<4>::from_data([[[[1.0]], [[0.0]]]], &device);
/// let layers = [first.clone(), second.clone()];
/// // The student's first layer is ten times as active and of the other sign: the same singular vector.
/// let loss = kdsvd(&[first * -10.0, second], &layers, 1, 8.0)?.into_scalar::<f32>();
/// assert!(loss < 1e-10);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Lee, Kim, Song, "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018,
/// arXiv 1807.06819, for the maps of each two consecutive layers. The selection, the weights `w` and the
/// constants are those of Tian et al.'s implementation (arXiv 1910.10699), which replaces entries of a
/// decomposition that are not finite by 0, but not gradients. The authors' code selects among `K + 1`
/// vectors, sums over the batch, takes half of that times `sqrt(K)`, and drops gradients that are not finite.
/// Both leave the sign to the decomposition, so that their value depends on the library; the sign above is
/// ours.
pub fn kdsvd(
    student: &[Tensor<4>],
    teacher: &[Tensor<4>],
    components: usize,
    width: f64,
) -> Result<Tensor<1>> {
    check_constants(components, width)?;
    let advice = "tap two layers or more";
    check::at_least(NAME, "student", student.len(), 2, advice)?;
    check::count(NAME, "teacher", teacher.len(), student.len())?;
    for (student_map, teacher_map) in student.iter().zip(teacher) {
        let names = ["student", "teacher"];
        let axes = [(Axis::Batch, 0..1), (Axis::Channels, 1..2)];
        check::pair(NAME, names, student_map, teacher_map, axes)?;
        let batch = [(Axis::Batch, 0..1)];
        let names = ["student[0]", "student"];
        check::pair(NAME, names, &student[0], student_map, batch)?;
    }
    let sides: Vec<[Tensor<3>; 2]> = student
        .iter()
        .zip(teacher)
        .map(|(student, teacher)| vectors(student.clone(), teacher.clone(), components))
        .collect();
    let relation = |before: &Tensor<3>, here: &Tensor<3>| {
        // [batch_size, components, channels here, channels before]
        let difference = here.clone().unsqueeze_dim::<4>(3) - before.clone().unsqueeze_dim(2);
        (difference.square() * -width.recip()).exp()
    };
    let losses: Vec<Tensor<1>> = sides
        .windows(2)
        .map(|pair| {
            let student = relation(&pair[0][0], &pair[1][0]);
            let teacher = relation(&pair[0][1], &pair[1][1]);
            let [batch_size, ..] = student.dims();
            (student - teacher).square().sum() * (batch_size as f64).recip()
        })
        .collect();
    Ok(Tensor::cat(losses, 0).sum())
}

/// `w V` of the student and of the teacher, both `[batch_size, components, channels]`.
fn vectors(student: Tensor<4>, teacher: Tensor<4>, components: usize) -> [Tensor<3>; 2] {
    let resolution = resolution(&student);
    let student = gram(flat_channels(student));
    let teacher = gram(flat_channels(teacher.without_autodiff()));
    let [batch_size, channels, _] = student.dims();
    let sides = [student.clone().without_autodiff(), teacher].map(|matrix| host(matrix, channels));
    let mut chosen = Chosen::default();
    for (student, teacher) in sides[0].iter().zip(&sides[1]) {
        chosen.add(student, teacher, components, resolution * channels as f64);
    }
    let tensor = |values: Vec<f64>, rows: usize| {
        let data = TensorData::new(values, [batch_size, rows, channels]);
        Tensor::<3>::from_data(data, (&student.device(), student.dtype()))
    };
    let teacher = tensor(chosen.teacher, components);
    let value = tensor(chosen.student, components);
    let basis = tensor(chosen.basis, channels);
    let slopes = tensor(chosen.slopes, components);
    // How far the matrix takes each vector towards each eigenvector: of value 0, since only its gradient is
    // wanted.
    let towards = value
        .clone()
        .matmul(student)
        .matmul(basis.clone().transpose());
    let change = (towards.clone() - towards.detach()) * slopes; // [batch_size, components, channels]
    [value + change.matmul(basis), teacher.without_autodiff()]
}

/// The eigenvectors of each matrix of `[batch_size, channels, channels]`; waits for the device.
fn host(matrices: Tensor<3>, channels: usize) -> Vec<Eigen> {
    let entries: Vec<f64> = matrices.into_data().iter::<f64>().collect();
    let matrices = entries.chunks(channels * channels);
    matrices.map(|one| eigen(one.to_vec(), channels)).collect()
}

/// The results of the decompositions, sample after sample.
#[derive(Default)]
struct Chosen {
    /// `w V` of the teacher, `[components, channels]` a sample.
    teacher: Vec<f64>,
    /// The student's, of the teacher's order and sign.
    student: Vec<f64>,
    /// All eigenvectors of the student, `[channels, channels]` a sample.
    basis: Vec<f64>,
    /// `1 / (eigenvalue of the vector - eigenvalue of the basis)`, `[components, channels]` a sample.
    slopes: Vec<f64>,
}

impl Chosen {
    fn add(&mut self, student: &Eigen, teacher: &Eigen, components: usize, smallest: f64) {
        let channels = student.values.len();
        let largest = student.values[0];
        let known = |side: &Eigen, most: usize| {
            let bound = (side.values[0] * smallest).max(NOTHING);
            let count = side.values.iter().filter(|value| **value > bound).count();
            count.min(most)
        };
        let teachers = known(teacher, components);
        let students = known(student, components + SPARE);
        let weight: f64 = teacher.values[..teachers].iter().sum();
        let mut put_teacher = |k: usize| {
            let known = k < teachers;
            let size = if known {
                (teacher.values[k] / weight).sqrt()
            } else {
                0.0
            };
            let vector = &teacher.vectors[k.min(channels - 1)];
            let factor = if vector.iter().sum::<f64>() < 0.0 {
                -size
            } else {
                size
            };
            self.teacher
                .extend(vector.iter().map(|entry| entry * factor));
            factor
        };
        for k in 0..components {
            let factor = put_teacher(k);
            let partner = (k < teachers).then(|| closest(student, students, &teacher.vectors[k]));
            if let Some(Some((place, sign))) = partner {
                let vector = student.vectors[place].iter();
                self.student
                    .extend(vector.map(|entry| entry * sign * factor));
                self.slopes.extend((0..channels).map(|other| {
                    let gap = student.values[place] - student.values[other];
                    gap / (gap * gap + (DAMPING * largest).powi(2))
                }));
            } else {
                // One side has no such vector.
                self.student.extend(std::iter::repeat_n(0.0, channels));
                self.slopes.extend(std::iter::repeat_n(0.0, channels));
            }
        }
        self.basis.extend(student.vectors.iter().flatten());
    }
}

/// The index of that of the first `count` vectors whose cosine with `vector` is largest in size, and its
/// sign.
fn closest(student: &Eigen, count: usize, vector: &[f64]) -> Option<(usize, f64)> {
    let cosine = |k: usize| -> f64 {
        student.vectors[k]
            .iter()
            .zip(vector)
            .map(|(a, b)| a * b)
            .sum()
    };
    let best = (0..count).max_by(|&a, &b| cosine(a).abs().total_cmp(&cosine(b).abs()))?;
    Some((best, cosine(best).signum()))
}

fn check_constants(components: usize, width: f64) -> Result<()> {
    let (ok, advice) = (components > 0, "public code uses 1");
    check::constant("components", components as f64, ok, "at least 1", advice)?;
    check::positive("width", width, "public code uses 8")
}

/// The constants of [`kdsvd`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct KdsvdLossConfig {
    /// Singular vectors of each layer, at least 1.
    ///
    /// 1, from Tian et al.'s implementation (arXiv 1910.10699).
    #[config(default = 1)]
    pub components: usize,
    /// The divisor of the squared distance of two entries, above 0.
    ///
    /// 8, from Tian et al.'s implementation (arXiv 1910.10699).
    #[config(default = 8.0)]
    pub width: f64,
}

impl KdsvdLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// A constant outside its range.
    pub fn init(&self) -> Result<KdsvdLoss> {
        check_constants(self.components, self.width)?;
        Ok(KdsvdLoss {
            components: self.components,
            width: self.width,
        })
    }
}

/// [`kdsvd`] with its constants, made by [`KdsvdLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KdsvdLoss {
    components: usize,
    width: f64,
}

impl KdsvdLoss {
    /// [`kdsvd`] of the maps of two layers or more of each network.
    ///
    /// # Errors
    ///
    /// Those of [`kdsvd`] on shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::KdsvdLossConfig;
    ///
    /// let device = Device::flex();
    /// let maps = [Tensor::<4>::ones([2, 3, 4, 4], &device), Tensor::ones([2, 5, 2, 2], &device)];
    /// let loss = KdsvdLossConfig::new().init()?;
    /// assert!(loss.forward(&maps, &maps)?.into_scalar::<f32>() < 1e-10);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, student: &[Tensor<4>], teacher: &[Tensor<4>]) -> Result<Tensor<1>> {
        kdsvd(student, teacher, self.components, self.width)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "kdsvd",
    title: "KD by singular value decomposition",
    family: Family::Features,
    about: "difference of the relations between consecutive layers' singular vectors",
    paper: Paper {
        authors: "Lee et al.",
        year: 2018,
        arxiv: "1807.06819",
        place: "section 3",
    },
    inputs: "maps `[batch, channels, height, width]` of two layers or more of each network",
    constants: &[
        Constant {
            name: "components",
            source: "the code of 1910.10699",
        },
        Constant {
            name: "width",
            source: "the code of 1910.10699",
        },
    ],
    defaults: Some(|| KdsvdLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "waits for the device; about 10 channels^3 operations a sample and layer on the host",
    disagreements: "half the sum over the batch times sqrt(components), the vector chosen among one more \
        (the authors' code), or the mean over the batch, chosen among three more (1910.10699, here); \
        gradients that are not finite, where singular values nearly coincide, dropped (the authors' code), \
        left as they are (1910.10699), or damped (here); the sign of the teacher's vectors left to the \
        library, on which the value depends (both), or turned to a positive sum (here)",
};
