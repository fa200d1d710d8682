//! The inputs of the losses, and how a case is made of them.

use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Draws, Names, Tensors, export};
use kd_losses::Result;

use super::case::{Case, Input, Inputs, in_place_of_parameters};

/// Collects the inputs of one case.
pub(super) struct Data {
    pub(super) device: Device,
    learns: Vec<(&'static str, Input)>,
    given: Tensors,
}

impl Data {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            learns: Vec::new(),
            given: Tensors::new(),
        }
    }

    /// Normal numbers that depend on `name` and the shape alone.
    pub(super) fn normal<const D: usize>(&self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let mut draws = Draws::new(0, name, 0, 0);
        let count = shape.iter().product();
        let values: Vec<f64> = (0..count).map(|_| draws.normal()).collect();
        let data = TensorData::new(values, shape).convert::<f32>();
        Tensor::from_data(data, &self.device)
    }

    /// Normal numbers that the loss takes as constants.
    pub(super) fn given<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        let tensor = self.normal(name, shape);
        self.give(name, tensor.to_data());
        tensor
    }

    pub(super) fn give(&mut self, name: &str, data: TensorData) {
        self.given.insert(name.to_owned(), data);
    }

    /// Classes, one for each sample.
    pub(super) fn targets(&mut self, batch_size: usize, classes: usize) -> Tensor<1, Int> {
        let mut draws = Draws::new(0, "targets", 0, 0);
        let targets = (0..batch_size).map(|_| draws.below(classes as u64).cast_signed());
        let data = TensorData::new(targets.collect::<Vec<i64>>(), [batch_size]);
        self.give("targets", data.clone());
        Tensor::from_data(data, &self.device)
    }

    /// Adds inputs that learn; the loss sees them in the order in which they are added.
    pub(super) fn learns_one(&mut self, name: &'static str, tensor: Tensor<1>) {
        self.learns.push((name, Input::One(tensor)));
    }

    pub(super) fn learns_rows(&mut self, name: &'static str, tensor: Tensor<2>) {
        self.learns.push((name, Input::Rows(tensor)));
    }

    pub(super) fn learns_map(&mut self, name: &'static str, tensor: Tensor<4>) {
        self.learns.push((name, Input::Map(tensor)));
    }

    /// A loss without trained parameters.
    pub(super) fn case(self, loss: impl Fn(&Inputs) -> Result<Tensor<1>> + 'static) -> Case {
        Case {
            learns: self.learns,
            given: self.given,
            loss: Box::new(loss),
            slopes: Box::new(|_| Tensors::new()),
        }
    }

    /// A loss of a module: one on the plain device for the value, an equal one on the autodiff device that
    /// learns.
    pub(super) fn trained<M: Module + 'static>(
        mut self,
        init: impl Fn(&Device) -> Result<M>,
        loss: impl Fn(&M, &Inputs) -> Result<Tensor<1>> + 'static,
    ) -> Result<Case> {
        let plain = init(&self.device)?;
        let learning = Rc::new(init(&self.device.clone().autodiff())?);
        for (name, data) in export(&plain, Names::PyTorch) {
            self.give(&format!("weight.{name}"), data);
        }
        let module = Rc::clone(&learning);
        let slopes = Box::new(move |gradients: &_| {
            let slopes = in_place_of_parameters(M::clone(&module), gradients);
            export(&slopes, Names::PyTorch)
        });
        let case = self.case(move |inputs| {
            let module = if inputs.learn() { &learning } else { &plain };
            loss(module, inputs)
        });
        Ok(Case { slopes, ..case })
    }
}
