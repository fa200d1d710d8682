//! The objective: the weighted sum of a recipe's losses, bound to taps and modules.

use burn::tensor::{Gradients, Int, Tensor};
use kd_core::{
    Answer, Error, NamedGradients, Optimizer, Output, PhaseState, Requested, Result, Teacher,
};
use kd_losses::{Combined, Schedule, WeightedSum};

use crate::LossConfig;
use crate::kinds::{Binder, BoundLoss, PixelTargets, Problem, TermInputs, check_for_masks};
use crate::taps::{StudentTrace, answer_as_read};

/// A bound loss with its name in logs and its weight.
#[derive(Debug)]
pub(crate) struct NamedLoss {
    pub(crate) name: String,
    pub(crate) weight: Schedule,
    bound: Box<dyn BoundLoss>,
}

impl NamedLoss {
    /// The number of parameters that are trained for it beside the student.
    pub(crate) fn parameters(&self) -> u64 {
        self.bound.parameters()
    }

    /// Takes the gradients of its modules, under the names that the optimizer knows.
    pub(crate) fn collect(&self, index: usize, into: &mut NamedGradients, raw: &mut Gradients) {
        self.bound.collect(&prefix(index), into, raw);
    }
}

/// The losses of a recipe, bound, with all that is trained beside the student.
#[derive(Debug)]
pub(crate) struct BoundLosses {
    pub(crate) list: Vec<NamedLoss>,
    /// The request to each teacher in every step.
    pub(crate) requested: Vec<Requested>,
    /// The index of the first in the recipe.
    first: usize,
}

/// The name under which the optimizer and checkpoints keep the modules of loss `index`.
fn prefix(index: usize) -> String {
    format!("loss{index}")
}

impl BoundLosses {
    /// Binds losses of a recipe, the first at the index that the binder says.
    pub(crate) fn bind(losses: &[LossConfig], mut binder: Binder<'_>) -> Result<Self> {
        let mut list: Vec<NamedLoss> = Vec::new();
        let first = binder.index;
        for (index, loss) in (first..).zip(losses) {
            loss.check(index, binder.teachers.len())?;
            if binder.student.is_of_pixels {
                check_for_masks(loss).map_err(|error| error.within(&format!("losses.{index}")))?;
            }
            binder.index = index;
            let bound = loss
                .bind(&mut binder)
                .map_err(|error| error.within(&format!("losses.{index}")))?;
            list.push(NamedLoss {
                name: unique(loss.name(), &list),
                weight: *loss.weight(),
                bound,
            });
        }
        Ok(Self {
            list,
            requested: binder.requested,
            first,
        })
    }

    /// Computes each term once for maps and logits of one sample, so that whatever does not fit is known
    /// before a run begins. Batch norms of modules beside the student take the sample into their running
    /// statistics.
    pub(crate) fn try_on(
        &self,
        student: &StudentTrace,
        answers: &[Answer],
        teachers: &[Box<dyn Teacher>],
        ids: &[u32],
        is_of_pixels: bool,
        advice: &dyn Fn(usize) -> Option<String>,
    ) -> Result<()> {
        for (index, term) in (self.first..).zip(&self.list) {
            let samples = term.bound.trial_batch();
            let student = repeated_trace(student, samples);
            let answers = answers.iter().map(|answer| repeated(answer, samples));
            let answers: Vec<Answer> = answers.collect();
            let targets = Tensor::<1, Int>::zeros([samples], &student.output.device());
            let masks = is_of_pixels.then(|| first_class(&student));
            let inputs = TermInputs {
                student: &student,
                answers: &answers,
                teachers,
                targets: &targets,
                masks: masks.as_ref(),
                ids: ids.get(..samples).unwrap_or(ids),
                step: 0,
                epoch: 0.0,
                trial: true,
            };
            let tried = term.bound.value(&inputs).and_then(|value| {
                term.bound.auxiliary_loss(&inputs)?;
                Ok(value)
            });
            tried.map_err(|error| {
                let advice = advice(index - self.first).map(|advice| format!("; {advice}"));
                let problem = format!("cannot be computed: {error}{}", advice.unwrap_or_default());
                Error::config(format!("losses.{index}"), problem)
            })?;
        }
        Ok(())
    }

    /// The weighted sum at the epoch of the inputs.
    pub(crate) fn combine(&self, inputs: &TermInputs<'_>) -> Result<Combined> {
        let mut sum = WeightedSum::new();
        for (term, value) in self.list.iter().zip(self.values(inputs)?) {
            sum = sum.add(term.name.clone(), term.weight.at(inputs.epoch), value);
        }
        for (name, value) in self.auxiliary_losses(inputs)? {
            sum = sum.add(name, 1.0, value);
        }
        sum.finish()
            .map_err(|error| Error::method("the sum of the losses", error))
    }

    /// The unweighted value of each term, in order.
    pub(crate) fn values(&self, inputs: &TermInputs<'_>) -> Result<Vec<Tensor<1>>> {
        let value = |term: &NamedLoss| {
            let value = term.bound.value(inputs);
            value.map_err(|error| wrong(term, error))
        };
        self.list.iter().map(value).collect()
    }

    /// The terms of weight 1 that train only modules beside the student.
    fn auxiliary_losses(&self, inputs: &TermInputs<'_>) -> Result<Vec<(String, Tensor<1>)>> {
        let mut all = Vec::new();
        for term in &self.list {
            let auxiliary = term.bound.auxiliary_loss(inputs);
            if let Some((what, value)) = auxiliary.map_err(|error| wrong(term, error))? {
                all.push((format!("{}_{what}", term.name), value));
            }
        }
        Ok(all)
    }

    /// The number of parameters that are trained beside the student.
    pub(crate) fn parameters(&self) -> u64 {
        self.list.iter().map(NamedLoss::parameters).sum()
    }

    /// Takes the gradients of all that is trained beside the student.
    pub(crate) fn collect(&self, into: &mut NamedGradients, raw: &mut Gradients) {
        for (index, term) in self.list.iter().enumerate() {
            term.collect(index, into, raw);
        }
    }

    /// Does a step of the student's optimizer with all that is trained beside the student.
    pub(crate) fn step(&mut self, optimizer: &mut Optimizer, lr: f64, gradients: &NamedGradients) {
        for (index, term) in self.list.iter_mut().enumerate() {
            term.bound.step(&prefix(index), optimizer, lr, gradients);
        }
    }

    /// Puts modules and memories into a state, those of each term under its prefix.
    pub(crate) fn put(&self, state: &mut PhaseState) {
        for (index, term) in self.list.iter().enumerate() {
            state.put(&prefix(index), term.bound.state());
        }
    }

    /// Takes back what [`BoundLosses::put`] put there.
    pub(crate) fn restore(&mut self, state: &PhaseState) -> Result<()> {
        for (index, term) in self.list.iter_mut().enumerate() {
            term.bound.restore(&state.part(&prefix(index)))?;
        }
        Ok(())
    }
}

fn wrong(term: &NamedLoss, error: Problem) -> Error {
    Error::Method {
        what: format!("loss `{}`", term.name),
        source: error,
    }
}

/// Masks in which each pixel has the first class, as large as the logits of a student.
fn first_class(student: &StudentTrace) -> PixelTargets {
    let [batch_size, _, height, width] = student.maps[student.maps.len() - 1].dims();
    PixelTargets {
        masks: Tensor::zeros([batch_size, height, width], &student.output.device()),
        void: None,
    }
}

fn repeated_trace(trace: &StudentTrace, samples: usize) -> StudentTrace {
    StudentTrace {
        maps: repeated_maps(&trace.maps, samples),
        dense: trace.dense.clone().repeat_dim(0, samples),
        output: trace.output.clone().repeat_dim(0, samples),
    }
}

fn repeated(answer: &Answer, samples: usize) -> Answer {
    let output = answer.output.clone().map(|output| match output {
        Output::Classes(logits) => Output::Classes(logits.repeat_dim(0, samples)),
        Output::Pixels(logits) => Output::Pixels(logits.repeat_dim(0, samples)),
        other => other,
    });
    answer_as_read(Answer::new(output, repeated_maps(&answer.maps, samples)))
}

fn repeated_maps(maps: &[Tensor<4>], samples: usize) -> Vec<Tensor<4>> {
    let maps = maps.iter().cloned();
    maps.map(|map| map.repeat_dim(0, samples)).collect()
}

/// `name`, or `name_2`, `name_3`, ... if it is taken.
fn unique(name: String, taken: &[NamedLoss]) -> String {
    let is_taken = |name: &str| taken.iter().any(|term| term.name == name);
    if !is_taken(&name) {
        return name;
    }
    (2..=taken.len() + 1)
        .map(|n| format!("{name}_{n}"))
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}
