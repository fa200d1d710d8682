//! A loss with its inputs.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use kd_core::Tensors;
use kd_losses::Result;

/// An input that learns. Losses have no other ranks.
#[derive(Clone, Debug)]
pub(super) enum Input {
    One(Tensor<1>),
    Rows(Tensor<2>),
    Map(Tensor<4>),
}

/// The learning inputs of one call, in the order in which the case names them.
#[derive(Debug)]
pub(super) struct Inputs(Vec<Input>);

#[expect(
    clippy::panic,
    reason = "a case that asks for what it does not have is a mistake in this crate"
)]
impl Inputs {
    pub(super) fn one(&self) -> Tensor<1> {
        match &self.0[0] {
            Input::One(tensor) => tensor.clone(),
            other => panic!("{other:?} is not one number"),
        }
    }

    pub(super) fn rows(&self, index: usize) -> Tensor<2> {
        match &self.0[index] {
            Input::Rows(tensor) => tensor.clone(),
            other => panic!("{other:?} has no rows"),
        }
    }

    pub(super) fn map(&self, index: usize) -> Tensor<4> {
        match &self.0[index] {
            Input::Map(tensor) => tensor.clone(),
            other => panic!("{other:?} is no map"),
        }
    }

    pub(super) fn all_rows(&self) -> Vec<Tensor<2>> {
        (0..self.0.len()).map(|index| self.rows(index)).collect()
    }

    pub(super) fn maps(&self) -> Vec<Tensor<4>> {
        (0..self.0.len()).map(|index| self.map(index)).collect()
    }

    /// Whether they are on the autodiff device, where trained modules learn.
    pub(super) fn learn(&self) -> bool {
        match &self.0[0] {
            Input::One(tensor) => tensor.is_autodiff(),
            Input::Rows(tensor) => tensor.is_autodiff(),
            Input::Map(tensor) => tensor.is_autodiff(),
        }
    }
}

impl Input {
    fn learning(&self) -> Self {
        match self {
            Self::One(tensor) => Self::One(Tensor::from_inner(tensor.clone()).require_grad()),
            Self::Rows(tensor) => Self::Rows(Tensor::from_inner(tensor.clone()).require_grad()),
            Self::Map(tensor) => Self::Map(Tensor::from_inner(tensor.clone()).require_grad()),
        }
    }

    fn gradient(&self, gradients: &Gradients) -> Option<TensorData> {
        match self {
            Self::One(tensor) => tensor.grad(gradients).map(Tensor::into_data),
            Self::Rows(tensor) => tensor.grad(gradients).map(Tensor::into_data),
            Self::Map(tensor) => tensor.grad(gradients).map(Tensor::into_data),
        }
    }

    fn data(&self) -> TensorData {
        match self {
            Self::One(tensor) => tensor.to_data(),
            Self::Rows(tensor) => tensor.to_data(),
            Self::Map(tensor) => tensor.to_data(),
        }
    }
}

pub(super) type Loss = dyn Fn(&Inputs) -> Result<Tensor<1>>;
/// The gradients of a module's parameters, by their names in PyTorch.
pub(super) type Slopes = dyn Fn(&Gradients) -> Tensors;

/// A loss with its inputs and, where it has some, the modules that are trained beside the student.
pub struct Case {
    pub(super) learns: Vec<(&'static str, Input)>,
    /// What the loss is given beside: the teacher's tensors, targets, weights.
    pub(super) given: Tensors,
    pub(super) loss: Box<Loss>,
    pub(super) slopes: Box<Slopes>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.learns.iter().map(|(name, _)| name);
        formatter.debug_list().entries(names).finish()
    }
}

/// What a call with gradients gave.
pub struct Outcome {
    /// The loss.
    pub value: Tensor<1>,
    /// The gradients of all that learns.
    pub gradients: Gradients,
    inputs: Inputs,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(formatter)
    }
}

impl Case {
    /// The value, on the plain device.
    ///
    /// # Errors
    ///
    /// Those of the loss.
    pub fn value(&self) -> Result<Tensor<1>> {
        let inputs = self.learns.iter().map(|(_, input)| input.clone());
        (self.loss)(&Inputs(inputs.collect()))
    }

    /// The value, and the gradients of the inputs that learn and of all trained parameters.
    ///
    /// # Errors
    ///
    /// Those of the loss.
    pub fn value_and_gradients(&self) -> Result<Outcome> {
        let inputs = self.learns.iter().map(|(_, input)| input.learning());
        let inputs = Inputs(inputs.collect());
        let value = (self.loss)(&inputs)?;
        let gradients = value.backward();
        Ok(Outcome {
            value,
            gradients,
            inputs,
        })
    }

    /// All that another program needs to compute the same, and what came of it here: `learns.NAME`,
    /// `given.NAME`, `value`, `gradient.NAME` and, of trained parameters, `given.weight.NAME` and
    /// `gradient.weight.NAME`.
    ///
    /// # Errors
    ///
    /// Those of the loss.
    pub fn record(&self) -> Result<Tensors> {
        let mut record = Tensors::new();
        for (name, input) in &self.learns {
            record.insert(format!("learns.{name}"), input.data());
        }
        for (name, data) in &self.given {
            record.insert(format!("given.{name}"), data.clone());
        }
        let outcome = self.value_and_gradients()?;
        for ((name, _), input) in self.learns.iter().zip(&outcome.inputs.0) {
            if let Some(gradient) = input.gradient(&outcome.gradients) {
                record.insert(format!("gradient.{name}"), gradient);
            }
        }
        for (name, data) in (self.slopes)(&outcome.gradients) {
            record.insert(format!("gradient.weight.{name}"), data);
        }
        record.insert("value".to_owned(), outcome.value.into_data());
        Ok(record)
    }
}

/// Puts each parameter's gradient in its place, 0 where it has none.
pub(super) fn in_place_of_parameters<M: Module>(module: M, gradients: &Gradients) -> M {
    module.map(&mut InPlace(gradients))
}

struct InPlace<'a>(&'a Gradients);

impl ModuleMapper for InPlace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = param.val().grad(self.0);
        param.map(|old| match gradient {
            Some(gradient) => Tensor::from_inner(gradient),
            None => old.zeros_like(),
        })
    }
}
