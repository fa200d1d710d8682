//! The division of a dense vector: which units, or which directions, the students learn, and how the head
//! takes that up.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Error, Result, Tensors};
use serde::{Deserialize, Serialize};

use super::eigen::eigen;
use super::statistics::DenseStatistics;
use super::{Chunk, split_by_index};
use crate::output::ChunkOutput;
use crate::teacher_head::TeacherHead;

/// The most units of a dense vector that is rotated: the eigenvectors take the cube of it.
const MOST_ROTATED: usize = 512;

/// The ways of dividing a dense vector among students. The paper's code has the first; the others are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SplitKind {
    /// Neighbouring units, in the order of the teacher.
    #[default]
    Index,
    /// Units sorted by variance and dealt out one by one, so that each student has as much to learn.
    Balanced,
    /// Units that are correlated stay together: a group is begun by the unit with most variance that is left,
    /// and takes in the unit with the highest mean correlation with it, in absolute value, until it is full.
    /// After the idea of `NoNN` (Bhardwaj et al., arXiv:1907.11804), whose grouping is another one.
    Correlation,
    /// Principal directions of the dense vector in place of units, dealt out by variance as in `balanced`.
    Rotated,
}

impl SplitKind {
    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Balanced => "balanced",
            Self::Correlation => "correlation",
            Self::Rotated => "rotated",
        }
    }

    /// Whether it keeps units as they are, in another order.
    pub fn keeps_units(self) -> bool {
        self != Self::Rotated
    }
}

/// A division of a dense vector of so many units into chunks of targets.
///
/// ```text
/// index                    t = d
/// balanced, correlation    t_j = d_order(j)           W'_j = W_order(j)
/// rotated                  t = (d - mean) U           W' = U^T W,  b' = b + mean W
/// ```
///
/// `d` is the dense vector, `t` what the students learn side by side, `U` has orthogonal columns. The head of
/// the class takes the division up, so that students without error give the teacher's logits and the class
/// costs nothing more.
#[derive(Clone, Debug)]
pub struct Division {
    kind: SplitKind,
    chunks: Vec<Chunk>,
    form: Form,
    /// The share of the variance of each chunk; none where no statistics were taken.
    shares: Vec<f64>,
}

#[derive(Clone, Debug)]
enum Form {
    Same,
    Order(Vec<usize>),
    Rotation(Box<Rotation>),
}

/// Principal directions, and the mean that they are about.
#[derive(Clone, Debug)]
struct Rotation {
    /// `[features, features]`, a direction a column.
    matrix: Tensor<2>,
    /// `[features]`.
    mean: Tensor<1>,
}

impl Division {
    /// By index.
    ///
    /// # Errors
    ///
    /// As [`split_by_index`].
    pub fn by_index(features: usize, students: usize) -> Result<Self> {
        Ok(Self {
            kind: SplitKind::Index,
            chunks: split_by_index(features, students)?,
            form: Form::Same,
            shares: Vec::new(),
        })
    }

    /// By what is known of the dense vectors of some samples.
    ///
    /// # Errors
    ///
    /// As [`split_by_index`], and [`Error::Config`] for more units than can be rotated.
    pub fn of(
        kind: SplitKind,
        statistics: &DenseStatistics,
        students: usize,
        device: &Device,
    ) -> Result<Self> {
        let features = statistics.features();
        let chunks = split_by_index(features, students)?;
        let variances = statistics.variances();
        let (form, targets) = match kind {
            SplitKind::Index => (Form::Same, variances),
            SplitKind::Balanced => order(dealt(&variances, students), &variances),
            SplitKind::Correlation => order(grouped(statistics, &chunks), &variances),
            SplitKind::Rotated => rotation(statistics, students, device)?,
        };
        let all: f64 = targets.iter().sum();
        let share = |chunk: &Chunk| {
            let of_chunk = &targets[chunk.start..chunk.start + chunk.length];
            of_chunk.iter().sum::<f64>() / all.max(f64::MIN_POSITIVE)
        };
        Ok(Self {
            kind,
            shares: chunks.iter().map(share).collect(),
            chunks,
            form,
        })
    }

    /// Which one it is.
    pub fn kind(&self) -> SplitKind {
        self.kind
    }

    /// The chunks of the targets, one for each student.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The share of the variance that each student learns, 0 to 1; empty where no statistics were taken.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The targets of dense vectors, both `[batch_size, features]`.
    pub fn targets(&self, dense: Tensor<2>) -> Tensor<2> {
        match &self.form {
            Form::Same => dense,
            Form::Order(order) => dense.clone().select(1, indices(order, &dense.device())),
            Form::Rotation(rotation) => {
                let Rotation { matrix, mean } = rotation.as_ref();
                (dense - mean.clone().unsqueeze()).matmul(matrix.clone())
            }
        }
    }

    /// The same of dense representations of whatever kind: those of pixels are divided pixel by pixel.
    pub(crate) fn targets_of<O: ChunkOutput>(&self, dense: O) -> O {
        if matches!(self.form, Form::Same) {
            return dense;
        }
        let shape = dense.sample_shape();
        O::from_vectors(self.targets(dense.vectors()), &shape)
    }

    /// The dense vectors of targets, both `[batch_size, features]`.
    pub fn undo(&self, targets: Tensor<2>) -> Tensor<2> {
        match &self.form {
            Form::Same => targets,
            Form::Order(order) => {
                let mut back = vec![0; order.len()];
                for (place, &unit) in order.iter().enumerate() {
                    back[unit] = place;
                }
                targets.clone().select(1, indices(&back, &targets.device()))
            }
            Form::Rotation(rotation) => {
                let Rotation { matrix, mean } = rotation.as_ref();
                targets.matmul(matrix.clone().transpose()) + mean.clone().unsqueeze()
            }
        }
    }

    /// The head for targets that gives the logits of `head` for dense vectors.
    #[must_use]
    pub fn head(&self, head: &TeacherHead) -> TeacherHead {
        match &self.form {
            Form::Same => head.clone(),
            Form::Order(order) => TeacherHead {
                weight: head
                    .weight
                    .clone()
                    .select(0, indices(order, &head.weight.device())),
                bias: head.bias.clone(),
            },
            Form::Rotation(rotation) => {
                let Rotation { matrix, mean } = rotation.as_ref();
                let mean = mean.clone().unsqueeze::<2>().matmul(head.weight.clone());
                TeacherHead {
                    weight: matrix.clone().transpose().matmul(head.weight.clone()),
                    bias: head.bias.clone() + mean.flatten(0, 1),
                }
            }
        }
    }

    /// The order, or the directions and the mean, as they are kept in a run folder; nothing by index.
    pub fn tensors(&self) -> Tensors {
        match &self.form {
            Form::Same => Tensors::new(),
            Form::Order(order) => Tensors::from([("order".into(), whole_numbers(order))]),
            Form::Rotation(rotation) => Tensors::from([
                ("directions".into(), rotation.matrix.clone().into_data()),
                ("mean".into(), rotation.mean.clone().into_data()),
            ]),
        }
    }
}

fn indices(order: &[usize], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(whole_numbers(order), device)
}

fn whole_numbers(order: &[usize]) -> TensorData {
    let numbers = order
        .iter()
        .map(|&unit| i64::try_from(unit).unwrap_or(i64::MAX));
    TensorData::new(numbers.collect::<Vec<i64>>(), [order.len()])
}

/// An order as a form, with the variance of each target.
fn order(order: Vec<usize>, variances: &[f64]) -> (Form, Vec<f64>) {
    let of_targets = order.iter().map(|&unit| variances[unit]).collect();
    (Form::Order(order), of_targets)
}

/// Places sorted by their size, the largest first; of equal ones the first.
fn sorted(sizes: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..sizes.len()).collect();
    places.sort_by(|&one, &other| sizes[other].total_cmp(&sizes[one]));
    places
}

/// Units by variance, dealt out to students one by one; those of a student by index, student after student.
fn dealt(variances: &[f64], students: usize) -> Vec<usize> {
    let sorted = sorted(variances);
    let mut order = Vec::with_capacity(sorted.len());
    for student in 0..students {
        let mut units: Vec<usize> = sorted
            .iter()
            .copied()
            .skip(student)
            .step_by(students)
            .collect();
        units.sort_unstable();
        order.extend(units);
    }
    order
}

/// Units in groups of those that are correlated, as long as the chunks.
fn grouped(statistics: &DenseStatistics, chunks: &[Chunk]) -> Vec<usize> {
    let mut left = sorted(&statistics.variances());
    let mut order = Vec::with_capacity(left.len());
    for chunk in chunks {
        // The sum of the correlations of each unit that is left with the group.
        let mut bonds = vec![0.0; statistics.features()];
        let mut group = Vec::with_capacity(chunk.length);
        while group.len() < chunk.length && !left.is_empty() {
            let mut best = 0;
            for (place, &unit) in left.iter().enumerate() {
                if bonds[unit] > bonds[left[best]] {
                    best = place;
                }
            }
            let taken = left.remove(best);
            group.push(taken);
            for &unit in &left {
                bonds[unit] += statistics.correlation(taken, unit).abs();
            }
        }
        group.sort_unstable();
        order.extend(group);
    }
    order
}

/// Principal directions, dealt out by variance, with the variance of each target.
#[expect(
    clippy::cast_possible_truncation,
    reason = "targets of single precision"
)]
fn rotation(
    statistics: &DenseStatistics,
    students: usize,
    device: &Device,
) -> Result<(Form, Vec<f64>)> {
    let features = statistics.features();
    if features > MOST_ROTATED {
        let problem = format!(
            "is `rotated`, and the teacher's dense vector has {features} units; at most {MOST_ROTATED} can \
             be rotated. Use `balanced` or `correlation`"
        );
        return Err(Error::config("teacher-class.split", problem));
    }
    let row = |one| {
        (0..features)
            .map(|other| statistics.covariance(one, other))
            .collect()
    };
    let found = eigen((0..features).map(row).collect());
    let values: Vec<f64> = found.iter().map(|(value, _)| value.max(0.0)).collect();
    let order = dealt(&values, students);
    let mut matrix = vec![0.0_f32; features * features];
    for (column, &direction) in order.iter().enumerate() {
        for (row, number) in found[direction].1.iter().enumerate() {
            matrix[row * features + column] = *number as f32;
        }
    }
    let means: Vec<f32> = statistics
        .means()
        .into_iter()
        .map(|mean| mean as f32)
        .collect();
    let form = Form::Rotation(Box::new(Rotation {
        matrix: Tensor::from_data(TensorData::new(matrix, [features, features]), device),
        mean: Tensor::from_data(TensorData::new(means, [features]), device),
    }));
    Ok((
        form,
        order.iter().map(|&direction| values[direction]).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(device: &Device) -> Tensor<2> {
        let mut draws = kd_core::Draws::new(4, "dense vectors", 0, 0);
        let mut numbers = Vec::new();
        for _ in 0..40 {
            let (common, other) = (draws.normal(), draws.normal());
            // Units 0, 3 and 5 go together, as do 1 and 4; unit 2 is dead, unit 6 on its own.
            numbers.extend([
                common,
                2.0 * other,
                1.0,
                common + 0.1 * draws.normal(),
                other,
                -3.0 * common,
                0.5 * draws.normal(),
            ]);
        }
        let data = TensorData::new(numbers, [40, 7]).convert::<f32>();
        Tensor::from_data(data, device)
    }

    fn division(kind: SplitKind, students: usize) -> Division {
        let device = Device::flex();
        let mut statistics = DenseStatistics::new(7);
        statistics.add(&dense(&device));
        Division::of(kind, &statistics, students, &device).unwrap()
    }

    fn order_of(division: &Division) -> Vec<i64> {
        division.tensors()["order"].iter::<i64>().collect()
    }

    #[test]
    fn every_division_is_undone_and_its_head_gives_the_same_logits() {
        let device = Device::flex();
        let head = TeacherHead {
            weight: dense(&device).narrow(0, 0, 7),
            bias: Tensor::from_data([0.5, -1.0, 2.0, 0.0, 1.0, 3.0, -2.0], &device),
        };
        let logits = |head: &TeacherHead, of: Tensor<2>| {
            of.matmul(head.weight.clone()) + head.bias.clone().unsqueeze()
        };
        let off = |one: Tensor<2>, other: Tensor<2>| (one - other).abs().max().into_scalar::<f32>();
        for kind in [
            SplitKind::Index,
            SplitKind::Balanced,
            SplitKind::Correlation,
            SplitKind::Rotated,
        ] {
            let division = division(kind, 3);
            let dense = dense(&device);
            let targets = division.targets(dense.clone());
            let bound = if kind.keeps_units() { 0.0 } else { 1e-5 };
            assert!(
                off(division.undo(targets.clone()), dense.clone()) <= bound,
                "{kind:?}"
            );
            let found = logits(&division.head(&head), targets);
            assert!(off(found, logits(&head, dense)) < 1e-4, "{kind:?}");
            assert!(
                (division.shares().iter().sum::<f64>() - 1.0).abs() < 1e-9,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn balanced_students_have_as_much_variance_and_groups_are_correlated() {
        // By variance: 5, 1, 0 or 3, 4, 6, 2.
        let balanced = division(SplitKind::Balanced, 3);
        let order = order_of(&balanced);
        let first_of_each: Vec<bool> = [5, 1]
            .iter()
            .map(|unit| order[..3].contains(unit))
            .collect();
        assert_eq!(first_of_each, [true, false]);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..7).collect::<Vec<i64>>());

        let grouped = order_of(&division(SplitKind::Correlation, 3));
        assert_eq!(grouped, [0, 3, 5, 1, 4, 2, 6]);
    }

    #[test]
    fn rotated_targets_are_not_correlated_and_have_no_mean() {
        let device = Device::flex();
        let division = division(SplitKind::Rotated, 2);
        let targets = division.targets(dense(&device));
        let mut statistics = DenseStatistics::new(7);
        statistics.add(&targets);
        assert!(statistics.means().iter().all(|mean| mean.abs() < 1e-5));
        for one in 0..7 {
            for other in 0..one {
                assert!(
                    statistics.covariance(one, other).abs() < 1e-4,
                    "{one} {other}"
                );
            }
        }
    }
}
