//! The objective of a phase: a weighted sum of terms.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use kd_core::{Error, LossTerms, NetworkOutput, Result};

use crate::terms::{Term, TermInputs};

/// A weighted sum of terms: `L = sum of weight * term`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Objective {
    pub(crate) terms: Vec<(Term, f64)>,
}

impl Objective {
    pub(crate) fn one(term: Term) -> Self {
        Self {
            terms: vec![(term, 1.0)],
        }
    }

    /// The stages whose maps are compared.
    pub(crate) fn taps(&self) -> BTreeSet<usize> {
        let mut taps = BTreeSet::new();
        for (term, _) in &self.terms {
            match *term {
                Term::Labels | Term::SoftTargets(_) => {}
                Term::Map(stage) | Term::HalfSquare(stage) | Term::Attention(stage) => {
                    taps.insert(stage);
                }
                Term::Flow { stages, .. } => taps.extend(stages),
            }
        }
        taps
    }

    /// The stage whose map is learnt, if that is all.
    pub(crate) fn only_map(&self) -> Option<usize> {
        match self.terms.as_slice() {
            [(Term::Map(stage), _)] => Some(*stage),
            _ => None,
        }
    }

    /// Whether labels are used.
    pub(crate) fn reads_labels(&self) -> bool {
        self.terms.iter().any(|(term, _)| *term == Term::Labels)
    }

    /// Whether the student's output is used.
    pub(crate) fn reads_output(&self) -> bool {
        self.reads_labels() || self.reads_teacher_output()
    }

    /// Whether the teacher's output is used.
    pub(crate) fn reads_teacher_output(&self) -> bool {
        let soft = |term: &Term| matches!(term, Term::SoftTargets(_));
        self.terms.iter().any(|(term, _)| soft(term))
    }

    /// Whether the teacher is used at all.
    pub(crate) fn reads_teacher(&self) -> bool {
        self.reads_teacher_output() || !self.taps().is_empty()
    }

    /// The value of each term and the weighted sum, as `total`.
    pub(crate) fn value<O: NetworkOutput>(
        &self,
        inputs: &TermInputs<'_, O>,
    ) -> Result<(Tensor<1>, LossTerms)> {
        let mut report = LossTerms::new();
        let mut total: Option<Tensor<1>> = None;
        for (term, weight) in &self.terms {
            let (name, value) = inputs.term(term)?;
            report.push((name, value.clone().inner()));
            // A product with 1 changes no bit.
            let value = value * *weight;
            total = Some(match total {
                Some(sum) => sum + value,
                None => value,
            });
        }
        let none = || Error::config("stagewise.procedure", "has a phase without a term");
        let total = total.ok_or_else(none)?;
        report.push(("total".into(), total.clone().inner()));
        Ok((total, report))
    }
}
