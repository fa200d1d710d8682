//! Optimizers with PyTorch's semantics, whose state is kept by the names of parameters.
//!
//! Burn has these optimizers too. Ours exist because a checkpoint must be complete and readable without them:
//! Burn keeps optimizer state by random parameter ids and restores it on the process's default device, clips
//! each parameter's norm by itself, and has other defaults (`dampening` 0.1, epsilon 1e-5) than the papers'
//! code.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::tensors::{Names, Place, Tensors};

/// Which optimizer, with PyTorch's names and default values. The learning rate is the schedule's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum OptimizerConfig {
    /// Stochastic gradient descent: `v = momentum * v + g + weight_decay * w`, `w = w - lr * v`.
    Sgd {
        /// Momentum in `[0, 1)`, without dampening.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        momentum: f64,
        /// Added to the gradient as `weight_decay * w`, for every parameter.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        weight_decay: f64,
        /// Nesterov's form of momentum.
        #[serde(default)]
        nesterov: bool,
    },
    /// Adam (Kingma and Ba, 1412.6980); weight decay is added to the gradient.
    Adam {
        /// Decay of the first moment.
        #[serde(default = "beta1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "beta2")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        epsilon: f64,
        /// Added to the gradient as `weight_decay * w`.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter, 1711.05101): `w = w - lr * weight_decay * w`
    /// beside the step.
    Adamw {
        /// Decay of the first moment.
        #[serde(default = "beta1")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        beta1: f64,
        /// Decay of the second moment.
        #[serde(default = "beta2")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        beta2: f64,
        /// Added to the root of the second moment.
        #[serde(default = "epsilon")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        epsilon: f64,
        /// Taken from the weight itself.
        #[serde(default = "decoupled_decay")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}

fn decoupled_decay() -> f64 {
    0.01
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd {
            momentum: 0.9,
            weight_decay: 5e-4,
            nesterov: false,
        }
    }
}

impl OptimizerConfig {
    /// Adam with PyTorch's defaults.
    pub fn adam() -> Self {
        Self::Adam {
            beta1: beta1(),
            beta2: beta2(),
            epsilon: epsilon(),
            weight_decay: 0.0,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        let unit = |name: &str, value: f64| {
            let fits = (0.0..1.0).contains(&value);
            let problem = format!("must be at least 0 and below 1, got {value}");
            if fits {
                Ok(())
            } else {
                Err(Error::config(format!("optimizer.{name}"), problem))
            }
        };
        let not_negative = |name: &str, value: f64| {
            let problem = format!("must be finite and not negative, got {value}");
            let fits = value.is_finite() && value >= 0.0;
            if fits {
                Ok(())
            } else {
                Err(Error::config(format!("optimizer.{name}"), problem))
            }
        };
        match *self {
            Self::Sgd {
                momentum,
                weight_decay,
                nesterov,
            } => {
                unit("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)?;
                if nesterov && momentum == 0.0 {
                    let problem = "needs a momentum above 0; set `optimizer.momentum`";
                    return Err(Error::config("optimizer.nesterov", problem));
                }
                Ok(())
            }
            Self::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            }
            | Self::Adamw {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                unit("beta1", beta1)?;
                unit("beta2", beta2)?;
                not_negative("weight_decay", weight_decay)?;
                if epsilon.is_finite() && epsilon > 0.0 {
                    Ok(())
                } else {
                    let problem = format!("must be finite and above 0, got {epsilon}");
                    Err(Error::config("optimizer.epsilon", problem))
                }
            }
        }
    }
}

/// The gradients of one step, by the paths of their parameters, flattened.
#[derive(Clone, Debug, Default)]
pub struct NamedGradients {
    by_path: BTreeMap<String, Tensor<1>>,
}

impl NamedGradients {
    /// No gradients yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the gradients of `module`'s parameters out of `gradients`, under paths that begin with `prefix`.
    pub fn collect<M: Module>(&mut self, prefix: &str, module: &M, gradients: &mut Gradients) {
        let mut collector = Collector {
            at: rooted(prefix),
            gradients,
            into: &mut self.by_path,
        };
        module.visit(&mut collector);
    }

    /// The flattened gradient of the parameter at `path`.
    pub fn get(&self, path: &str) -> Option<&Tensor<1>> {
        self.by_path.get(path)
    }

    /// The paths that have a gradient, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }

    /// Takes out the gradients of the parameters whose paths `is_other` picks: one step may drive several
    /// optimizers.
    #[must_use]
    pub fn split_off(&mut self, mut is_other: impl FnMut(&str) -> bool) -> Self {
        let all = std::mem::take(&mut self.by_path);
        let (other, own) = all.into_iter().partition(|(path, _)| is_other(path));
        self.by_path = own;
        Self { by_path: other }
    }

    /// Adds those of another step; a parameter that has none yet gets them.
    pub fn add(&mut self, more: Self) {
        for (path, gradient) in more.by_path {
            let sum = match self.by_path.remove(&path) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.by_path.insert(path, sum);
        }
    }

    /// Scales all gradients together so that their joint Euclidean norm is at most `max_norm`, as PyTorch's
    /// `clip_grad_norm_` does.
    pub fn clip_norm(&mut self, max_norm: f64) {
        let squares: Vec<Tensor<1>> = self
            .by_path
            .values()
            .map(|grad| grad.clone().square().sum())
            .collect();
        if squares.is_empty() {
            return;
        }
        let norm = Tensor::cat(squares, 0).sum().sqrt();
        let scale = norm
            .add_scalar(1e-6)
            .recip()
            .mul_scalar(max_norm)
            .clamp_max(1.0);
        for grad in self.by_path.values_mut() {
            *grad = grad.clone() * scale.clone();
        }
    }

    /// Limits each element to `[-limit, limit]`.
    pub fn clip_value(&mut self, limit: f64) {
        for grad in self.by_path.values_mut() {
            *grad = grad.clone().clamp(-limit, limit);
        }
    }
}

/// What an optimizer remembers of one parameter, flattened.
#[derive(Clone, Debug, Default)]
struct Slot {
    steps: u64,
    first: Option<Tensor<1>>,
    second: Option<Tensor<1>>,
}

/// An optimizer for any number of modules.
///
/// Each module is stepped under a prefix of its own (`student`, `regressor`), so that one optimizer and one
/// learning rate can drive a student and what is trained beside it.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// In place of the config's momentum or `beta1`.
    momentum: Option<f64>,
    slots: BTreeMap<String, Slot>,
}

impl Optimizer {
    /// A fresh optimizer.
    ///
    /// # Errors
    ///
    /// As [`OptimizerConfig::check`].
    pub fn new(config: OptimizerConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            config,
            momentum: None,
            slots: BTreeMap::new(),
        })
    }

    /// The momentum of the steps that follow: that of SGD, `beta1` of Adam. The config's own for `None`.
    ///
    /// A schedule that has one gives it before each step; see
    /// [`LearningRate::momentum`](crate::LearningRate::momentum).
    pub fn set_momentum(&mut self, momentum: Option<f64>) {
        self.momentum = momentum;
    }

    /// Moves the parameters of `module` one step down their gradients.
    ///
    /// Parameters without a gradient, frozen ones among them, stay as they are, weight decay or not.
    #[must_use]
    pub fn step<M: Module>(
        &mut self,
        prefix: &str,
        module: M,
        lr: f64,
        gradients: &NamedGradients,
    ) -> M {
        let mut stepper = Stepper {
            at: rooted(prefix),
            lr,
            gradients,
            optimizer: self,
        };
        module.map(&mut stepper)
    }

    /// Everything that must be kept to go on: moments as tensors, and the number of steps of each parameter.
    pub fn state(&self) -> (Tensors, BTreeMap<String, u64>) {
        let mut tensors = Tensors::new();
        let mut steps = BTreeMap::new();
        for (path, slot) in &self.slots {
            steps.insert(path.clone(), slot.steps);
            for (moment, value) in [("first", &slot.first), ("second", &slot.second)] {
                if let Some(value) = value {
                    tensors.insert(format!("{path}#{moment}"), value.clone().into_data());
                }
            }
        }
        (tensors, steps)
    }

    /// Takes back what [`state`](Self::state) gave.
    pub fn restore(&mut self, tensors: &Tensors, steps: &BTreeMap<String, u64>, device: &Device) {
        let device = device.clone().inner();
        let moment = |path: &str, which: &str| {
            let data = tensors.get(&format!("{path}#{which}"))?;
            Some(Tensor::<1>::from_data(data.clone(), &device))
        };
        self.slots = steps
            .iter()
            .map(|(path, &steps)| {
                let (first, second) = (moment(path, "first"), moment(path, "second"));
                (
                    path.clone(),
                    Slot {
                        steps,
                        first,
                        second,
                    },
                )
            })
            .collect();
    }

    /// The new value of one flattened parameter.
    fn update(&mut self, path: &str, weight: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
        let mut slot = self.slots.remove(path).unwrap_or_default();
        slot.steps += 1;
        let set = self.momentum;
        let new = match self.config {
            OptimizerConfig::Sgd {
                momentum,
                weight_decay,
                nesterov,
            } => {
                let momentum = set.unwrap_or(momentum);
                let grad = decayed(grad, &weight, weight_decay);
                let direction = if momentum == 0.0 {
                    grad
                } else {
                    let velocity = match slot.first.take() {
                        Some(velocity) => velocity.mul_scalar(momentum) + grad.clone(),
                        None => grad.clone(),
                    };
                    slot.first = Some(velocity.clone());
                    if nesterov {
                        grad + velocity.mul_scalar(momentum)
                    } else {
                        velocity
                    }
                };
                weight - direction.mul_scalar(lr)
            }
            OptimizerConfig::Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                let beta1 = set.unwrap_or(beta1);
                let grad = decayed(grad, &weight, weight_decay);
                weight - adam_direction(&mut slot, grad, [beta1, beta2], epsilon, lr)
            }
            OptimizerConfig::Adamw {
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                let beta1 = set.unwrap_or(beta1);
                let kept = weight.mul_scalar(1.0 - lr * weight_decay);
                kept - adam_direction(&mut slot, grad, [beta1, beta2], epsilon, lr)
            }
        };
        self.slots.insert(path.to_owned(), slot);
        new
    }
}

fn decayed(grad: Tensor<1>, weight: &Tensor<1>, weight_decay: f64) -> Tensor<1> {
    if weight_decay == 0.0 {
        grad
    } else {
        grad + weight.clone().mul_scalar(weight_decay)
    }
}

/// `lr * m_hat / (sqrt(v_hat) + epsilon)`, in the order of operations of PyTorch.
fn adam_direction(
    slot: &mut Slot,
    grad: Tensor<1>,
    [beta1, beta2]: [f64; 2],
    epsilon: f64,
    lr: f64,
) -> Tensor<1> {
    let first = grad.clone().mul_scalar(1.0 - beta1);
    let second = grad.square().mul_scalar(1.0 - beta2);
    let first = match slot.first.take() {
        Some(old) => old.mul_scalar(beta1) + first,
        None => first,
    };
    let second = match slot.second.take() {
        Some(old) => old.mul_scalar(beta2) + second,
        None => second,
    };
    slot.first = Some(first.clone());
    slot.second = Some(second.clone());
    let steps = slot.steps as f64;
    let (correct1, correct2) = (1.0 - beta1.powf(steps), 1.0 - beta2.powf(steps));
    let root = second
        .sqrt()
        .div_scalar(correct2.sqrt())
        .add_scalar(epsilon);
    first.div(root).mul_scalar(lr / correct1)
}

/// A place whose paths begin with `prefix`.
fn rooted(prefix: &str) -> Place {
    let mut place = Place::new(Names::Burn);
    if !prefix.is_empty() {
        place.enter(prefix, "prefix");
    }
    place
}

struct Collector<'a> {
    at: Place,
    gradients: &'a mut Gradients,
    into: &'a mut BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        if let Some(grad) = value.grad_remove(self.gradients) {
            self.into.insert(self.at.path(), grad.reshape([-1]));
        }
    }
}

struct Stepper<'a> {
    at: Place,
    lr: f64,
    gradients: &'a NamedGradients,
    optimizer: &'a mut Optimizer,
}

impl ModuleMapper for Stepper<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.at.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.at.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.at.path();
        let Some(grad) = self.gradients.get(&path).cloned() else {
            return param;
        };
        param.map(|old| {
            let dims = old.dims();
            let strategy = old.gradient_checkpointing_strategy();
            let new = self
                .optimizer
                .update(&path, old.inner().reshape([-1]), grad, self.lr);
            let new = Tensor::<D>::from_inner(new.reshape(dims));
            let new = match strategy {
                Some(strategy) => new.with_gradient_checkpointing_strategy(strategy),
                None => new,
            };
            new.require_grad()
        })
    }
}
