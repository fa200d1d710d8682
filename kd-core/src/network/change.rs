//! Changing the parameters of a network by their paths.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::network::tensors::{Names, Place};

/// `module` with those of its float tensors replaced for which `change` has something else: it is given the
/// path in Burn's names and the values, flattened and without a graph, running statistics included.
///
/// What requires a gradient goes on to do so.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let layer = LinearConfig::new(2, 2).init(&device);
/// let ones = |path: &str, values: Tensor<1>| (path == "bias").then(|| values.ones_like());
/// let layer = kd_core::change_parameters(layer, ones);
/// assert_eq!(layer.bias.as_ref().map(|bias| bias.val().sum().into_scalar::<f32>()), Some(2.0));
/// ```
///
/// # Panics
///
/// If `change` gives another number of values.
#[must_use]
pub fn change_parameters<M: Module>(
    module: M,
    change: impl FnMut(&str, Tensor<1>) -> Option<Tensor<1>>,
) -> M {
    module.map(&mut Changer {
        at: Place::new(Names::Burn),
        change,
    })
}

struct Changer<F> {
    at: Place,
    change: F,
}

impl<F: FnMut(&str, Tensor<1>) -> Option<Tensor<1>>> ModuleMapper for Changer<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.at.path();
        param.map(|old| {
            let (dims, on_graph) = (old.dims(), old.is_autodiff());
            let requires_gradient = old.is_require_grad();
            let plain = if on_graph {
                old.clone().inner()
            } else {
                old.clone()
            };
            let Some(new) = (self.change)(&path, plain.reshape([-1])) else {
                return old;
            };
            let new = new.reshape(dims);
            let new = if on_graph {
                Tensor::from_inner(new)
            } else {
                new
            };
            if requires_gradient {
                new.require_grad()
            } else {
                new
            }
        })
    }
}
