//! A loss bound to its taps, with the modules that are trained for it beside the student.

use std::fmt;

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use kd_core::{
    NamedGradients, Names, Optimizer, Result, Tensors, count_parameters, export, import,
};

use super::{Problem, TermInputs};
use crate::LossConfig;

/// A loss bound to its taps, with the modules that are trained for it beside the student.
pub(crate) trait BoundLoss: fmt::Debug {
    /// The unweighted value.
    fn value(&self, inputs: &TermInputs<'_>) -> Result<Tensor<1>, Problem>;

    /// A further term of weight 1 that trains only the modules beside the student, and its name.
    fn auxiliary_loss(
        &self,
        _inputs: &TermInputs<'_>,
    ) -> Result<Option<(&'static str, Tensor<1>)>, Problem> {
        Ok(None)
    }

    /// The smallest batch on which it can be tried.
    fn trial_batch(&self) -> usize {
        1
    }

    /// The number of trained parameters.
    fn parameters(&self) -> u64 {
        0
    }

    /// Takes the gradients of its modules, under names that begin with `prefix`.
    fn collect(&self, _prefix: &str, _into: &mut NamedGradients, _raw: &mut Gradients) {}

    /// Does a step of the student's optimizer, whose momentum is set.
    fn step(&mut self, _: &str, _: &mut Optimizer, _lr: f64, _: &NamedGradients) {}

    /// Weights and memories, for a checkpoint.
    fn state(&self) -> Tensors {
        Tensors::new()
    }

    /// Takes back what [`BoundLoss::state`] gave.
    fn restore(&mut self, _state: &Tensors) -> Result<()> {
        Ok(())
    }
}

/// The value of a term without modules.
pub(super) type Formula = Box<dyn Fn(&TermInputs<'_>) -> Result<Tensor<1>, Problem>>;

/// A term without modules.
pub(super) struct Plain {
    name: &'static str,
    formula: Formula,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl BoundLoss for Plain {
    fn value(&self, inputs: &TermInputs<'_>) -> Result<Tensor<1>, Problem> {
        (self.formula)(inputs)
    }
}

/// A term from a formula.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the last line of functions that bind a loss"
)]
pub(super) fn plain(
    loss: &LossConfig,
    formula: impl Fn(&TermInputs<'_>) -> Result<Tensor<1>, Problem> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    Ok(Box::new(Plain {
        name: loss.kind(),
        formula: Box::new(formula),
    }))
}

/// The value of a term with modules.
pub(super) type ModuleFormula<M> = Box<dyn Fn(&[M], &TermInputs<'_>) -> Result<Tensor<1>, Problem>>;
/// A further term from which its modules learn, and its name.
pub(super) type ModuleAuxiliary<M> =
    Box<dyn Fn(&[M], &TermInputs<'_>) -> Result<(&'static str, Tensor<1>), Problem>>;

/// A term with modules that are trained beside the student.
pub(super) struct WithModules<M> {
    name: &'static str,
    modules: Vec<M>,
    pub(super) trial_batch: usize,
    formula: ModuleFormula<M>,
    pub(super) auxiliary: Option<ModuleAuxiliary<M>>,
}

impl<M: Module> fmt::Debug for WithModules<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} parameters", self.name, self.parameters())
    }
}

impl<M: Module> WithModules<M> {
    pub(super) fn new(
        loss: &LossConfig,
        modules: Vec<M>,
        formula: impl Fn(&[M], &TermInputs<'_>) -> Result<Tensor<1>, Problem> + 'static,
    ) -> Self {
        Self {
            name: loss.kind(),
            modules,
            trial_batch: 1,
            formula: Box::new(formula),
            auxiliary: None,
        }
    }

    /// The name of module `number` under `prefix`.
    fn path(prefix: &str, number: usize) -> String {
        match number {
            0 => prefix.to_owned(),
            _ => format!("{prefix}.{number}"),
        }
    }
}

impl<M: Module> BoundLoss for WithModules<M> {
    fn value(&self, inputs: &TermInputs<'_>) -> Result<Tensor<1>, Problem> {
        (self.formula)(&self.modules, inputs)
    }

    fn auxiliary_loss(
        &self,
        inputs: &TermInputs<'_>,
    ) -> Result<Option<(&'static str, Tensor<1>)>, Problem> {
        let auxiliary = self.auxiliary.as_ref();
        auxiliary
            .map(|auxiliary| auxiliary(&self.modules, inputs))
            .transpose()
    }

    fn trial_batch(&self) -> usize {
        self.trial_batch
    }

    fn parameters(&self) -> u64 {
        self.modules.iter().map(count_parameters).sum()
    }

    fn collect(&self, prefix: &str, into: &mut NamedGradients, raw: &mut Gradients) {
        for (number, module) in self.modules.iter().enumerate() {
            into.collect(&Self::path(prefix, number), module, raw);
        }
    }

    fn step(
        &mut self,
        prefix: &str,
        optimizer: &mut Optimizer,
        lr: f64,
        gradients: &NamedGradients,
    ) {
        for (number, module) in self.modules.iter_mut().enumerate() {
            let path = Self::path(prefix, number);
            *module = optimizer.step(&path, module.clone(), lr, gradients);
        }
    }

    fn state(&self) -> Tensors {
        let mut all = Tensors::new();
        for (number, module) in self.modules.iter().enumerate() {
            let tensors = export(module, Names::Burn).into_iter();
            all.extend(tensors.map(|(name, data)| (format!("{number}/{name}"), data)));
        }
        all
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        for (number, module) in self.modules.iter_mut().enumerate() {
            let part = below(state, &format!("{number}/"));
            *module = import(module, &part, Names::Burn, "checkpoint")?;
        }
        Ok(())
    }
}

/// The tensors whose names begin with `prefix`, without it.
pub(super) fn below(tensors: &Tensors, prefix: &str) -> Tensors {
    let inside = tensors.iter().filter_map(|(name, data)| {
        let name = name.strip_prefix(prefix)?;
        Some((name.to_owned(), data.clone()))
    });
    inside.collect()
}

/// The sum of a formula over pairs of taps.
pub(super) fn sum(
    values: impl Iterator<Item = Result<Tensor<1>, Problem>>,
) -> Result<Tensor<1>, Problem> {
    let mut sum: Option<Tensor<1>> = None;
    for value in values {
        let value = value?;
        sum = Some(match sum {
            Some(sum) => sum + value,
            None => value,
        });
    }
    sum.ok_or_else(|| "there are no taps to compare".into())
}
