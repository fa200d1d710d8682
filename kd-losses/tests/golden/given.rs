//! One golden case as the tests read it: its inputs, constants and parameters, and the gradients that are
//! expected of them.

use std::cell::RefCell;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::serde::de::DeserializeOwned;
use burn::tensor::{DType, Device, Gradients, Int, Tensor, TensorData};
use serde_json::Value;

use crate::cases::{Golden, Stored};
use crate::support::{Outcome, numbers};

/// In 32-bit floats: relative to the expected number, plus this times the largest number of the same tensor.
const RELATIVE: f64 = 1e-5;
/// In 64-bit floats.
const RELATIVE_64: f64 = 1e-9;
/// In 32-bit floats, where no case says otherwise.
const ABSOLUTE: f64 = 1e-6;

/// One case, in one float type, perhaps with an input moved a little.
pub(crate) struct Given<'a> {
    pub(crate) golden: &'a Golden,
    pub(crate) case: &'a Value,
    pub(crate) dtype: DType,
    /// Key, direction and distance of the input that is moved.
    pub(crate) moved: Option<(&'a str, &'a [f64], f64)>,
    pub(crate) leaves: RefCell<Vec<Leaf>>,
}

/// Finds the gradient of a leaf.
type ReadGradient = Box<dyn Fn(&Gradients) -> Option<Vec<f64>>>;

/// A tensor whose gradient is expected under `grad.KEY`.
pub(crate) struct Leaf {
    pub(crate) key: String,
    pub(crate) read: ReadGradient,
}

impl Given<'_> {
    pub(crate) fn stored(&self, key: &str) -> Outcome<&Stored> {
        let name = self.case["name"].as_str().unwrap_or_default();
        let stored = self.golden.tensors.get(&format!("{name}.{key}"));
        stored.ok_or_else(|| format!("there is no tensor {name}.{key}").into())
    }

    /// Whether the case has this tensor.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.stored(key).is_ok()
    }

    /// The values under `key`, moved where they are to be.
    fn data(&self, key: &str) -> Outcome<TensorData> {
        let stored = self.stored(key)?;
        let mut values = stored.floats.clone();
        if let Some((moved, direction, distance)) = self.moved
            && moved == key
        {
            for (value, direction) in values.iter_mut().zip(direction) {
                *value += direction * distance;
            }
        }
        Ok(TensorData::new(values, stored.shape.clone()).convert_dtype(self.dtype))
    }

    /// A constant tensor on the plain device.
    pub(crate) fn constant_tensor<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        Ok(Tensor::from_data(
            self.data(key)?,
            (&Device::flex(), self.dtype),
        ))
    }

    /// The teacher's side of a pair, `teacher` in most cases.
    pub(crate) fn teacher<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        self.constant_tensor(key)
    }

    /// An input that learns: its gradient must be the one under `grad.KEY`.
    pub(crate) fn student<const D: usize>(&self, key: &str) -> Outcome<Tensor<D>> {
        let device = Device::flex().autodiff();
        let tensor = Tensor::<D>::from_data(self.data(key)?, (&device, self.dtype)).require_grad();
        self.watch(key, tensor.clone());
        Ok(tensor)
    }

    /// Expects the gradient of `tensor` under `grad.KEY`.
    fn watch<const D: usize>(&self, key: &str, tensor: Tensor<D>) {
        self.leaves.borrow_mut().push(Leaf {
            key: key.to_owned(),
            read: Box::new(move |gradients| tensor.grad(gradients).map(numbers)),
        });
    }

    /// Labels or other integers.
    pub(crate) fn ints(&self, key: &str) -> Outcome<Tensor<1, Int>> {
        let stored = self.stored(key)?.ints.clone();
        let shape = [stored.len()];
        let data = TensorData::new(stored, shape);
        Ok(Tensor::from_data(data, &Device::flex()))
    }

    /// The module with every parameter replaced by the tensor `param.PATH` of the case; the gradient of each
    /// must be `grad.param.PATH`.
    pub(crate) fn module<M: Module>(&self, module: M) -> Outcome<M> {
        let mut filler = Filler {
            given: self,
            path: Vec::new(),
            problem: None,
        };
        let module = module.map(&mut filler);
        if let Some(problem) = filler.problem {
            return Err(problem.into());
        }
        let mut watcher = Watcher {
            given: self,
            path: Vec::new(),
        };
        module.visit(&mut watcher);
        Ok(module)
    }

    /// A constant of the case.
    pub(crate) fn number(&self, key: &str) -> Outcome<f64> {
        let value = self.case.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| format!("no constant {key}").into())
    }

    /// A constant of the case that is a count or a seed.
    pub(crate) fn count(&self, key: &str) -> Outcome<usize> {
        let value = self.case.get(key).and_then(Value::as_u64);
        Ok(usize::try_from(
            value.ok_or_else(|| format!("no constant {key}"))?,
        )?)
    }

    /// A constant of any type, such as the choice of a variant by its name in a recipe.
    pub(crate) fn choice<T: DeserializeOwned>(&self, key: &str) -> Outcome<T> {
        Ok(serde_json::from_value(
            self.case.get(key).cloned().unwrap_or_default(),
        )?)
    }

    pub(crate) fn compare(&self, what: &str, found: &[f64], expected: &[f64]) -> Outcome {
        if found.len() != expected.len() {
            let counts = format!("{} elements, expected {}", found.len(), expected.len());
            return Err(format!("{what} has {counts}").into());
        }
        let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let tolerance = |expected: f64| {
            // A case may say that it is badly conditioned, with the reason in the script.
            let own = |key: &str| self.case.get(key).and_then(Value::as_f64);
            if self.dtype == DType::F64 {
                let relative = own("relative_64").unwrap_or(RELATIVE_64);
                return relative * (expected.abs() + largest) + 1e-11;
            }
            let relative = own("relative").unwrap_or(RELATIVE);
            relative * (expected.abs() + largest) + own("absolute").unwrap_or(ABSOLUTE)
        };
        for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            // Not `>`, which a NaN would pass.
            let close = (found - expected).abs() <= tolerance(expected);
            if !close {
                let dtype = self.dtype;
                let what = format!("{what}[{index}] in {dtype:?}");
                return Err(format!("{what}: found {found}, expected {expected}").into());
            }
        }
        Ok(())
    }
}

struct Filler<'a> {
    given: &'a Given<'a>,
    path: Vec<String>,
    problem: Option<String>,
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if is_state(&self.path) {
            return param.map(|old| old.cast(self.given.dtype));
        }
        let key = format!("param.{}", self.path.join("."));
        match self.given.data(&key) {
            Ok(data) if data.shape().as_slice() == param.dims() => param.map(|old| {
                let options = (&old.device(), self.given.dtype);
                Tensor::<D>::from_data(data, options).require_grad()
            }),
            Ok(data) => {
                let shapes = format!("{:?}, expected {:?}", data.shape(), param.dims());
                self.problem = Some(format!("{key} of the case is {shapes}"));
                param
            }
            Err(error) => {
                self.problem = Some(error.to_string());
                param
            }
        }
    }
}

struct Watcher<'a> {
    given: &'a Given<'a>,
    path: Vec<String>,
}

impl ModuleVisitor for Watcher<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !is_state(&self.path) {
            let key = format!("param.{}", self.path.join("."));
            self.given.watch(&key, param.val());
        }
    }
}

/// Running statistics of a batch norm are no parameters.
fn is_state(path: &[String]) -> bool {
    path.last().is_some_and(|name| name.starts_with("running_"))
}
