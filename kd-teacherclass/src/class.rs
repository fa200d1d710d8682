//! The class: several students, whose outputs are joined, and one head; itself an ordinary network.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, LayerCost, Result, Rows, StagedNetwork};

use crate::student::Student;
use crate::teacher_head::TeacherHead;

/// Several students, whose outputs side by side are the dense vector, and a linear head.
///
/// ```text
/// dense = relu(S_0(x), S_1(x), ..., S_(n-1)(x))      logits = dense W + b
/// ```
///
/// The ReLU is left out where the teacher's dense vector may be negative.
///
/// * **Stages**: `student-0`, `student-1`, ..., each a whole student, which takes the input and not what is
///   before it. Their maps are the chunks before the ReLU, `[batch_size, chunk_length, 1, 1]`.
/// * **Dense**: the joined chunks after the ReLU, `[batch_size, features]`.
/// * **Names** in files: `students.0...`, `students.1...`, `head`.
#[derive(Module, Debug)]
pub struct Class<S: Module> {
    students: Vec<S>,
    head: Linear,
    relu: bool,
}

impl<S: Student> Class<S> {
    /// A class of `students` with this head.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for no students.
    pub fn new(students: Vec<S>, head: Linear, relu: bool) -> Result<Self> {
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
        Self::new(students, linear(head, &device), relu)
    }

    /// A class that was taken apart.
    #[cfg(feature = "recipe")]
    pub(crate) fn of_parts(students: Vec<S>, head: Linear, relu: bool) -> Self {
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
    pub fn head(&self) -> &Linear {
        &self.head
    }

    /// Whether the joined chunks pass through a ReLU.
    pub fn has_relu(&self) -> bool {
        self.relu
    }

    /// The same students with another head.
    #[must_use]
    pub fn with_head(mut self, head: Linear) -> Self {
        self.head = head;
        self
    }

    /// The chunks of all students before the ReLU, each `[batch_size, chunk_length]`.
    pub fn chunks(&self, input: &S::Input) -> Vec<Tensor<2>> {
        let outputs = self.students.iter().map(|student| student.forward(input));
        outputs.collect()
    }

    /// The dense vector of chunks, `[batch_size, features]`.
    pub fn join(&self, chunks: Vec<Tensor<2>>) -> Tensor<2> {
        let dense = Tensor::cat(chunks, 1);
        if self.relu { relu(dense) } else { dense }
    }
}

/// The head of a teacher as a layer.
pub(crate) fn linear(head: &TeacherHead, device: &Device) -> Linear {
    let [features, classes] = head.weight.dims();
    let mut layer = LinearConfig::new(features, classes).init(device);
    layer.weight = Param::from_tensor(head.weight.clone());
    layer.bias = Some(Param::from_tensor(head.bias.clone()));
    layer
}

impl<S: Student> StagedNetwork for Class<S> {
    type Input = S::Input;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        (0..self.students.len()).map(stage_name).collect()
    }

    fn forward_stage(&self, stage: usize, input: &S::Input, _earlier: &[Tensor<4>]) -> Tensor<4> {
        self.students[stage].forward(input).into_map()
    }

    fn forward_dense(&self, _input: &S::Input, maps: &[Tensor<4>]) -> Tensor<2> {
        self.join(maps.iter().map(|map| map.clone().into_rows()).collect())
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.head.forward(dense)
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
        costs.linear("head", "head", &self.head, 1);
        Ok(costs)
    }
}
