//! The tensors of a module in the order in which Burn visits them.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};

use crate::network::tensors::{Names, Place};

/// A tensor of a module by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedTensor {
    /// The name, in the words asked for.
    pub name: String,
    /// Whether these words store it transposed.
    pub transposed: bool,
    /// The shape as the module has it, before it is transposed.
    pub shape: Vec<usize>,
}

/// The tensors of `module`, in the words of `names` and in the order in which a visitor sees them: for one
/// that reads something of them for which [`export`](crate::export) has no place.
pub fn tensor_order<M: Module>(module: &M, names: Names) -> Vec<NamedTensor> {
    let mut reader = OrderReader {
        at: Place::new(names),
        order: Vec::new(),
    };
    module.visit(&mut reader);
    reader.order
}

struct OrderReader {
    at: Place,
    order: Vec<NamedTensor>,
}

impl OrderReader {
    fn add(&mut self, shape: &[usize]) {
        self.order.push(NamedTensor {
            name: self.at.path(),
            transposed: self.at.transposed(),
            shape: shape.to_vec(),
        });
    }
}

impl ModuleVisitor for OrderReader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.lazy_shape().as_slice());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.lazy_shape().as_slice());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.lazy_shape().as_slice());
    }
}
