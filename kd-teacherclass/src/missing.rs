//! The head as a sum over students, and what it answers where some of them are missing.

use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use kd_core::{Error, Result};

/// What stands in place of the chunk of a missing student. The paper says nothing about it; these are ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingChunk {
    /// Nothing: a missing student is an error.
    #[default]
    Fail,
    /// Zeros.
    Zero,
    /// The mean of the chunk over the training samples, after the ReLU if there is one.
    Mean,
    /// A head for the students that are there: see [`RefittedHeads`](crate::RefittedHeads), which takes their
    /// features and not their parts of the logits.
    Head,
}

/// The head of a class by students: what each adds to the logits, so that a student on another machine sends
/// `num_classes` numbers and not its chunk.
///
/// ```text
/// logits = b + sum over k of relu(S_k(x)) W_k      W_k: the rows of chunk k
/// ```
///
/// The sum is taken in the order of the students, whatever order their answers come in.
#[derive(Clone, Debug)]
pub struct AdditiveHead {
    /// `[chunk_length, num_classes]` of each student.
    weights: Vec<Tensor<2>>,
    /// `[num_classes]`.
    bias: Tensor<1>,
    relu: bool,
    /// What each student adds on average, `[1, num_classes]`.
    means: Option<Vec<Tensor<2>>>,
}

impl AdditiveHead {
    /// The head of a class whose chunks have these lengths.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the lengths do not add up to the features of the head.
    pub fn new(head: &Linear, lengths: &[usize], relu: bool) -> Result<Self> {
        let weight = head.weight.val();
        let [features, classes] = weight.dims();
        let sum: usize = lengths.iter().sum();
        if sum != features {
            let problem = format!("must add up to the {features} features of the head, got {sum}");
            return Err(Error::config("lengths", problem));
        }
        let mut start = 0;
        let rows = |&length: &usize| {
            start += length;
            weight.clone().narrow(0, start - length, length)
        };
        let bias = head.bias.as_ref().map(burn::module::Param::val);
        Ok(Self {
            weights: lengths.iter().map(rows).collect(),
            bias: bias.unwrap_or_else(|| Tensor::zeros([classes], &weight.device())),
            relu,
            means: None,
        })
    }

    /// With the means of the features over the training samples, one number for each, for
    /// [`MissingChunk::Mean`].
    #[must_use]
    pub fn with_means(mut self, means: &[f32]) -> Self {
        let mut start = 0;
        let filled = |weight: &Tensor<2>| {
            let length = weight.dims()[0];
            let here: Vec<f32> = means.iter().skip(start).take(length).copied().collect();
            start += length;
            let here = TensorData::new(here, [1, length]);
            Tensor::<2>::from_data(here, &weight.device()).matmul(weight.clone())
        };
        self.means = Some(self.weights.iter().map(filled).collect());
        self
    }

    /// What student `student` adds to the logits, `[batch_size, num_classes]`, by its output
    /// `[batch_size, chunk_length]`.
    pub fn part(&self, student: usize, chunk: Tensor<2>) -> Tensor<2> {
        let features = if self.relu { relu(chunk) } else { chunk };
        features.matmul(self.weights[student].clone())
    }

    /// The logits, `[batch_size, num_classes]`, of the parts of all students, those that are missing filled
    /// by `policy`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a missing student under [`MissingChunk::Fail`], for [`MissingChunk::Mean`]
    /// without means, and if no student is present.
    pub fn logits(&self, parts: &[Option<Tensor<2>>], policy: MissingChunk) -> Result<Tensor<2>> {
        let present = parts.iter().flatten().next();
        let none = || Error::config("students", "are all missing; at least one must answer");
        let mut sum = present.ok_or_else(none)?.zeros_like() + self.bias.clone().unsqueeze();
        for student in 0..self.weights.len() {
            match parts.get(student).and_then(Option::as_ref) {
                Some(part) => sum = sum + part.clone(),
                None => {
                    if let Some(filled) = self.filled(student, policy)? {
                        sum = sum + filled;
                    }
                }
            }
        }
        Ok(sum)
    }

    /// The number of students.
    pub fn students(&self) -> usize {
        self.weights.len()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.bias.dims()[0]
    }

    /// The length of the chunk of each student.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.weights.iter().map(|weight| weight.dims()[0])
    }

    /// The bias, `[num_classes]`.
    pub(crate) fn bias(&self) -> Tensor<1> {
        self.bias.clone()
    }

    /// What stands in place of a missing student's part; none for nothing.
    pub(crate) fn filled(&self, student: usize, policy: MissingChunk) -> Result<Option<Tensor<2>>> {
        match policy {
            MissingChunk::Zero => Ok(None),
            MissingChunk::Mean => {
                let means = self.means.as_ref().and_then(|means| means.get(student));
                let unknown = || {
                    Error::config(
                        "missing",
                        "is `mean`, and the means are not known; give them",
                    )
                };
                means.cloned().map(Some).ok_or_else(unknown)
            }
            MissingChunk::Head => {
                let problem = "is `head`, and a head for a set of students needs their features: use \
                               `RefittedHeads`";
                Err(Error::config("missing", problem))
            }
            MissingChunk::Fail => {
                let problem = format!(
                    "{student} is missing; wait for it, or say what stands in its place with `zero` or \
                     `mean`"
                );
                Err(Error::config("student", problem))
            }
        }
    }
}

/// The accuracy with so many students missing, over all sets of that size; of masks the mean intersection
/// over union.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MissingAccuracy {
    /// How many are missing.
    pub missing: usize,
    /// The mean over the sets, 0 to 1.
    pub mean: f64,
    /// That of the worst set.
    pub worst: f64,
}
