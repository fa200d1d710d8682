//! The class: several students, whose outputs are joined, and one head; itself an ordinary network.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{Costs, CountCosts, Error, LayerCost, Result, Rows, StagedNetwork};

use crate::output::{ChunkOutput, ClassHead};
use crate::student::Student;
use crate::teacher_head::TeacherHead;

/// The head of a class of students `S`: a linear layer, or a 1x1 convolution where they output a chunk for
/// each pixel.
pub(crate) type HeadOf<S> = <<S as StagedNetwork>::Output as ChunkOutput>::Head;

/// Several students, whose outputs side by side are the dense representation, and a linear head.
///
/// ```text
/// dense = relu(S_0(x), S_1(x), ..., S_(n-1)(x))      logits = dense W + b
/// ```
///
/// The ReLU is left out where the teacher's dense vector may be negative. Of networks for segmentation all
/// this is so for each pixel, and the head is a 1x1 convolution.
///
/// * **Stages**: `student-0`, `student-1`, ..., each a whole student, which takes the input and not what is
///   before it. Their maps are the chunks before the ReLU, `[batch_size, chunk_length, 1, 1]`, of pixels
///   `[batch_size, chunk_length, height, width]`.
/// * **Dense**: the joined chunks after the ReLU, `[batch_size, features]`, of pixels `[batch_size, features,
///   height, width]`.
/// * **Names** in files: `students.0...`, `students.1...`, `head`.
#[derive(Module, Debug)]
pub struct Class<S: Student> {
    students: Vec<S>,
    head: HeadOf<S>,
    relu: bool,
}

impl<S: Student> Class<S> {
    /// A class of `students` with this head.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for no students.
    pub fn new(students: Vec<S>, head: HeadOf<S>, relu: bool) -> Result<Self> {
        if students.is_empty() {
            return Err(Error::config("students", "must be at least one"));
        }
        Ok(Self {
            students,
            head,
            relu,
        })
    }

    /// A class of `students` with the head of the teacher.
    ///
    /// # Errors
    ///
    /// As [`Class::new`].
    pub fn with_teacher_head(students: Vec<S>, head: &TeacherHead, relu: bool) -> Result<Self> {
        let device = head.weight.device();
        Self::new(students, HeadOf::<S>::of(head, &device), relu)
    }

    /// A class that was taken apart.
    #[cfg(feature = "recipe")]
    pub(crate) fn of_parts(students: Vec<S>, head: HeadOf<S>, relu: bool) -> Self {
        Self {
            students,
            head,
            relu,
        }
    }

    /// The students, which are handed over.
    pub fn into_students(self) -> Vec<S> {
        self.students
    }

    /// The students.
    pub fn students(&self) -> &[S] {
        &self.students
    }

    /// The head.
    pub fn head(&self) -> &HeadOf<S> {
        &self.head
    }

    /// Whether the joined chunks pass through a ReLU.
    pub fn has_relu(&self) -> bool {
        self.relu
    }

    /// The same students with another head.
    #[must_use]
    pub fn with_head(mut self, head: HeadOf<S>) -> Self {
        self.head = head;
        self
    }

    /// The chunks of all students before the ReLU, each `[batch_size, chunk_length]`, or `[batch_size,
    /// chunk_length, height, width]`.
    pub fn chunks(&self, input: &S::Input) -> Vec<S::Output> {
        let outputs = self.students.iter().map(|student| student.forward(input));
        outputs.collect()
    }

    /// The dense representation of chunks, `[batch_size, features]`, or `[batch_size, features, height,
    /// width]`.
    pub fn join(&self, chunks: Vec<S::Output>) -> S::Output {
        let dense = S::Output::side_by_side(chunks);
        if self.relu { dense.rectified() } else { dense }
    }
}

impl<S: Student> StagedNetwork for Class<S> {
    type Input = S::Input;
    type Map = Tensor<4>;
    type Dense = S::Output;
    type Output = S::Output;

    fn stage_names(&self) -> Vec<String> {
        (0..self.students.len()).map(stage_name).collect()
    }

    fn forward_stage(&self, stage: usize, input: &S::Input, _earlier: &[Tensor<4>]) -> Tensor<4> {
        self.students[stage].forward(input).into_map()
    }

    fn forward_dense(&self, _input: &S::Input, maps: &[Tensor<4>]) -> S::Output {
        let chunks = maps.iter().cloned().map(S::Output::from_map);
        self.join(chunks.collect())
    }

    fn forward_head(&self, dense: S::Output) -> S::Output {
        self.head.apply(dense)
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        vec![format!("students.{stage}")]
    }

    fn fold_norms(&self) -> Self {
        let plain = self.valid();
        let students = self.students.iter().map(StagedNetwork::fold_norms);
        Self {
            students: students.collect(),
            ..plain
        }
    }
}

/// The name of the stage, and of the phase, of a student.
pub(crate) fn stage_name(student: usize) -> String {
    format!("student-{student}")
}

impl<S: Student + CountCosts> CountCosts for Class<S> {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let mut costs = Costs::new();
        for (index, student) in self.students.iter().enumerate() {
            for layer in student.costs(input)?.layers() {
                costs.push(LayerCost {
                    stage: stage_name(index),
                    layer: format!("students.{index}.{}", layer.layer),
                    ..layer.clone()
                });
            }
        }
        self.head.count(&mut costs, input)?;
        Ok(costs)
    }
}
