//! The losses of a recipe, bound to taps and modules.

use burn::tensor::{Gradients, Int, Tensor};
use kd_core::{Error, NamedGradients, Optimizer, Result, Tensors};
use kd_losses::{Combined, Schedule, WeightedSum};

use crate::kinds::{Binder, Bound, Scene, Seen};
use crate::{Answer, LossConfig, Taps, Teacher};

/// A loss that knows where to look.
#[derive(Debug)]
pub(crate) struct Term {
    pub(crate) name: String,
    pub(crate) weight: Schedule,
    bound: Box<dyn Bound>,
}

impl Term {
    /// Parameters that are trained for it beside the student.
    pub(crate) fn parameters(&self) -> u64 {
        self.bound.parameters()
    }

    /// Takes the gradients of what is trained for it, under the names that the optimizer knows.
    pub(crate) fn collect(&self, index: usize, into: &mut NamedGradients, raw: &mut Gradients) {
        self.bound.collect(&prefix(index), into, raw);
    }
}

/// The terms, with all that is trained beside the student.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) list: Vec<Term>,
    /// What each teacher is asked for.
    pub(crate) asked: Vec<Taps>,
    /// The place of the first in the recipe.
    first: usize,
}

/// The name under which the optimizer and checkpoints keep what belongs to term `index`.
fn prefix(index: usize) -> String {
    format!("loss{index}")
}

impl Terms {
    /// Binds losses of a recipe, the first at the place that the binder says, having looked once at what student and teachers
    /// give.
    pub(crate) fn bind(losses: &[LossConfig], mut binder: Binder<'_>) -> Result<Self> {
        let mut list: Vec<Term> = Vec::new();
        let first = binder.index;
        for (index, loss) in (first..).zip(losses) {
            loss.check(index, binder.teachers.len())?;
            binder.index = index;
            let bound = loss
                .bind(&mut binder)
                .map_err(|error| error.within(&format!("losses.{index}")))?;
            list.push(Term {
                name: unique(loss.name(), &list),
                weight: *loss.weight(),
                bound,
            });
        }
        Ok(Self {
            list,
            asked: binder.asked,
            first,
        })
    }

    /// Computes each term once for maps and logits of one sample, so that what does not fit is known before a run begins.
    pub(crate) fn try_on(
        &self,
        student: &Seen,
        answers: &[Answer],
        teachers: &[Box<dyn Teacher>],
        ids: &[u32],
    ) -> Result<()> {
        for (index, term) in (self.first..).zip(&self.list) {
            let samples = term.bound.trial_batch();
            let student = repeated(student, samples);
            let answers: Vec<Answer> = answers
                .iter()
                .map(|answer| Answer {
                    logits: answer.logits.clone().repeat_dim(0, samples),
                    maps: each_repeated(&answer.maps, samples),
                })
                .collect();
            let targets = Tensor::<1, Int>::zeros([samples], &student.output.device());
            let scene = Scene {
                student: &student,
                answers: &answers,
                teachers,
                targets: &targets,
                ids: ids.get(..samples).unwrap_or(ids),
                step: 0,
                trial: true,
            };
            let tried = term.bound.value(&scene).and_then(|value| {
                term.bound.beside(&scene)?;
                Ok(value)
            });
            tried.map_err(|error| {
                let problem = format!("cannot be computed: {error}");
                Error::config(format!("losses.{index}"), problem)
            })?;
        }
        Ok(())
    }

    /// The weighted sum at `epoch`, which may be a fraction.
    pub(crate) fn combine(&self, scene: &Scene<'_>, epoch: f64) -> Result<Combined> {
        let mut sum = WeightedSum::new();
        for (term, value) in self.list.iter().zip(self.values(scene)?) {
            sum = sum.add(term.name.clone(), term.weight.at(epoch), value);
        }
        for (name, value) in self.beside(scene)? {
            sum = sum.add(name, 1.0, value);
        }
        sum.finish()
            .map_err(|error| Error::method("the sum of the losses", error))
    }

    /// The unweighted value of each term, in order.
    pub(crate) fn values(&self, scene: &Scene<'_>) -> Result<Vec<Tensor<1>>> {
        self.list
            .iter()
            .map(|term| term.bound.value(scene).map_err(|error| wrong(term, error)))
            .collect()
    }

    /// What is to be differentiated beside the weighted terms: it trains only what stands beside the student.
    pub(crate) fn beside(&self, scene: &Scene<'_>) -> Result<Vec<(String, Tensor<1>)>> {
        let mut all = Vec::new();
        for term in &self.list {
            let beside = term
                .bound
                .beside(scene)
                .map_err(|error| wrong(term, error))?;
            if let Some((what, value)) = beside {
                all.push((format!("{}_{what}", term.name), value));
            }
        }
        Ok(all)
    }

    /// Parameters that are trained beside the student.
    pub(crate) fn parameters(&self) -> u64 {
        self.list.iter().map(Term::parameters).sum()
    }

    /// Does a step of the optimizer with what is trained beside the student.
    pub(crate) fn step(&mut self, optimizer: &mut Optimizer, lr: f64, gradients: &NamedGradients) {
        for (index, term) in self.list.iter_mut().enumerate() {
            term.bound.step(&prefix(index), optimizer, lr, gradients);
        }
    }

    /// Modules and memories, each name beginning with that of its term.
    pub(crate) fn state(&self) -> Tensors {
        let of = |(index, term): (usize, &Term)| {
            let tensors = term.bound.state().into_iter();
            tensors.map(move |(name, data)| (format!("{}/{name}", prefix(index)), data))
        };
        self.list.iter().enumerate().flat_map(of).collect()
    }

    /// Takes back what [`Terms::state`] gave.
    pub(crate) fn restore(&mut self, state: &Tensors) -> Result<()> {
        for (index, term) in self.list.iter_mut().enumerate() {
            let prefix = format!("{}/", prefix(index));
            let part = state.iter().filter_map(|(name, data)| {
                let name = name.strip_prefix(&prefix)?;
                Some((name.to_owned(), data.clone()))
            });
            term.bound.restore(&part.collect())?;
        }
        Ok(())
    }
}

fn wrong(term: &Term, error: crate::kinds::Problem) -> Error {
    Error::Method {
        what: format!("loss `{}`", term.name),
        source: error,
    }
}

fn repeated(seen: &Seen, samples: usize) -> Seen {
    Seen {
        maps: each_repeated(&seen.maps, samples),
        dense: seen.dense.clone().repeat_dim(0, samples),
        output: seen.output.clone().repeat_dim(0, samples),
    }
}

fn each_repeated(maps: &[Tensor<4>], samples: usize) -> Vec<Tensor<4>> {
    let maps = maps.iter().cloned();
    maps.map(|map| map.repeat_dim(0, samples)).collect()
}

/// `name`, or `name_2`, `name_3`, ... if it is taken.
fn unique(name: String, taken: &[Term]) -> String {
    let is_taken = |name: &str| taken.iter().any(|term| term.name == name);
    if !is_taken(&name) {
        return name;
    }
    (2..=taken.len() + 1)
        .map(|n| format!("{name}_{n}"))
        .find(|name| !is_taken(name))
        .unwrap_or(name)
}
