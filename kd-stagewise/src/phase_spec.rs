//! The specification of a phase: the stages that it trains, and its objective.

use std::ops::Range;

use crate::objective::Objective;
use crate::terms::Term;

/// One phase of a procedure: the stages that it trains, and what they learn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhaseSpec {
    pub(crate) name: String,
    /// The stages that are trained; all before them are frozen, those behind are run only if the objective
    /// reads them.
    pub(crate) stages: Range<usize>,
    /// Whether the head is trained.
    pub(crate) head: bool,
    pub(crate) objective: Objective,
}

impl PhaseSpec {
    /// All `count` stages learn, and the head where the objective reads the output.
    pub(crate) fn all(name: &str, count: usize, objective: Objective) -> Self {
        Self {
            name: name.into(),
            stages: 0..count,
            head: objective.reads_output(),
            objective,
        }
    }

    /// The teacher's map at the last of `stages` trains them.
    pub(crate) fn hint(names: &[String], stages: Range<usize>, objective: Objective) -> Self {
        let last = stages.end.saturating_sub(1);
        Self {
            name: format!("hint-{}", names[last]),
            stages,
            head: false,
            objective,
        }
    }

    /// The labels train `stages`, which end with the last one, and the head.
    pub(crate) fn rest(name: &str, stages: Range<usize>) -> Self {
        Self {
            name: name.into(),
            stages,
            head: true,
            objective: Objective::one(Term::Labels),
        }
    }

    /// The last stage that is run, plus one.
    pub(crate) fn end(&self, count: usize) -> usize {
        if self.objective.reads_output() {
            return count;
        }
        self.objective.taps().last().map_or(count, |last| last + 1)
    }

    /// Whether settings under `name` are for it: its name, or that of its stage.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.short() == name
    }

    /// Its name as settings have it: `layer2` for `stage-layer2`.
    pub(crate) fn short(&self) -> &str {
        self.name.strip_prefix("stage-").unwrap_or(&self.name)
    }
}
