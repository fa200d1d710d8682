//! The losses on one batch: value and gradient of each, their shares and conflicts.

use burn::tensor::Tensor;
use kd_core::{
    Finding, NamedGradients, Names, NetworkInput, Result, TaskNetwork, Teacher, Topic,
    detached_copy, export,
};
use serde::Serialize;

use super::words::{percent, short_number};
use crate::LossConfig;
use crate::kinds::TermInputs;
use crate::objective::BoundLosses;
use crate::phase::AnsweredBatch;
use crate::taps::as_read;

/// A weighted gradient that is so many times all others together is a warning.
const DROWNS: f64 = 1000.0;
/// ... and a note.
const DOMINATES: f64 = 100.0;
/// A cosine below this is a conflict.
const CONFLICT: f64 = -0.5;
/// The prefix of the student's paths.
const STUDENT: &str = "student";

/// One term of the weighted sum, on one batch of the training data with the initial student.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TermFacts {
    /// The name under which it is logged.
    pub name: String,
    /// Its weight, the largest where it changes with time.
    pub weight: f64,
    /// Its value, without the weight.
    pub value: f64,
    /// Euclidean norm of its gradient with respect to the student's parameters, without the weight.
    pub gradient: f64,
    /// Its share of the sum of all weighted norms, 0 to 1.
    pub share: f64,
}

impl TermFacts {
    /// Weight times value.
    pub fn weighted_value(&self) -> f64 {
        self.weight * self.value
    }

    /// Weight times the norm of the gradient.
    pub fn weighted_gradient(&self) -> f64 {
        self.weight * self.gradient
    }
}

/// All terms together.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LossFacts {
    /// Samples in the batch.
    pub batch_size: usize,
    /// The terms in the order of the recipe.
    pub terms: Vec<TermFacts>,
    /// The weighted sum.
    pub total: f64,
    /// Euclidean norm of the gradient of the weighted sum, with respect to all that is trained: `clip_norm`
    /// limits it.
    pub gradient: f64,
    /// The cosine between the gradients of each two terms, where both have one: how far they pull the same
    /// way.
    pub cosines: Vec<Cosine>,
    /// Parameters of the student that no term reaches.
    pub untouched: Vec<String>,
}

/// Two terms and the cosine of the angle between their gradients.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Cosine {
    /// The names of the terms.
    pub terms: [String; 2],
    /// -1 to 1.
    pub cosine: f64,
}

/// Computes each term by itself, forward and backward. Every pass has its own copy of the student.
pub(super) fn measure<S: TaskNetwork>(
    student: &S,
    terms: &BoundLosses,
    teachers: &[Box<dyn Teacher + '_>],
    batch: &AnsweredBatch<S::Input>,
) -> Result<LossFacts> {
    let count = terms.list.len();
    let mut values = Vec::with_capacity(count);
    let mut ours = Vec::with_capacity(count);
    let mut modules = Vec::with_capacity(count);
    for index in 0..count {
        let copy = detached_copy(student);
        let trace = as_read::<S>(copy.forward_traced(&batch.input));
        let all = terms.values(&TermInputs {
            student: &trace,
            answers: &batch.answers,
            teachers,
            targets: &batch.targets,
            masks: batch.masks.as_ref(),
            ids: &batch.ids,
            step: 0,
            epoch: 0.0,
            trial: true,
        })?;
        let Some(value) = all.into_iter().nth(index) else {
            break;
        };
        values.push(number(&value.clone().inner()));
        let mut raw = value.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect(STUDENT, &copy, &mut raw);
        let mut beside = NamedGradients::new();
        terms.collect(&mut beside, &mut raw);
        modules.push(dot(&beside, &beside));
        ours.push(gradients);
    }

    let weights: Vec<f64> = terms
        .list
        .iter()
        .map(|term| term.weight.largest())
        .collect();
    let products: Vec<Vec<f64>> = ours
        .iter()
        .map(|a| ours.iter().map(|b| dot(a, b)).collect())
        .collect();
    let norms: Vec<f64> = (0..ours.len()).map(|i| products[i][i].sqrt()).collect();
    let sum: f64 = weights
        .iter()
        .zip(&norms)
        .map(|(weight, norm)| weight * norm)
        .sum();
    let facts = terms.list.iter().zip(&values).zip(&norms);
    let facts = facts.map(|((term, &value), &gradient)| TermFacts {
        name: term.name.clone(),
        weight: term.weight.largest(),
        value,
        gradient,
        share: if sum > 0.0 {
            term.weight.largest() * gradient / sum
        } else {
            0.0
        },
    });
    let mut cosines = Vec::new();
    let mut square = 0.0;
    for i in 0..ours.len() {
        // A module belongs to one term, so that those of different terms have no product.
        square += weights[i] * weights[i] * modules[i];
        for j in 0..ours.len() {
            square += weights[i] * weights[j] * products[i][j];
            if i < j && norms[i] > 0.0 && norms[j] > 0.0 {
                cosines.push(Cosine {
                    terms: [i, j].map(|at| terms.list[at].name.clone()),
                    cosine: products[i][j] / norms[i] / norms[j],
                });
            }
        }
    }
    Ok(LossFacts {
        batch_size: batch.input.samples(),
        total: weights
            .iter()
            .zip(&values)
            .map(|(weight, value)| weight * value)
            .sum(),
        gradient: square.max(0.0).sqrt(),
        terms: facts.collect(),
        cosines,
        untouched: untouched(student, &ours),
    })
}

/// The scalar product of two sets of gradients. A gradient that only one of them has counts nothing.
fn dot(first: &NamedGradients, second: &NamedGradients) -> f64 {
    let products: Vec<Tensor<1>> = first
        .paths()
        .filter_map(|path| Some(first.get(path)?.clone() * second.get(path)?.clone()))
        .map(Tensor::sum)
        .collect();
    if products.is_empty() {
        return 0.0;
    }
    Tensor::cat(products, 0).into_data().iter::<f64>().sum()
}

fn number(value: &Tensor<1>) -> f64 {
    value
        .clone()
        .into_data()
        .iter::<f64>()
        .next()
        .unwrap_or(f64::NAN)
}

/// The parameters of `student` that have no gradient in any of `gradients`.
fn untouched<S: TaskNetwork>(student: &S, gradients: &[NamedGradients]) -> Vec<String> {
    let is_state = |name: &str| name.ends_with("running_mean") || name.ends_with("running_var");
    let reached = |name: &str| {
        let path = format!("{STUDENT}.{name}");
        gradients
            .iter()
            .any(|gradients| gradients.get(&path).is_some())
    };
    let names = export(student, Names::Burn).into_keys();
    names
        .filter(|name| !is_state(name) && !reached(name))
        .collect()
}

/// The findings about these numbers.
pub(super) fn judge(
    facts: &LossFacts,
    losses: &[LossConfig],
    clip_norm: Option<f64>,
    findings: &mut Vec<Finding>,
) {
    let mut say = |finding| findings.push(finding);
    let mut all_well = true;
    for term in &facts.terms {
        let name = &term.name;
        let number = if term.value.is_finite() {
            "gradient"
        } else {
            "value"
        };
        if !term.value.is_finite() || !term.gradient.is_finite() {
            say(Finding::error(
                Topic::Losses,
                format!(
                    "loss `{name}`: its {number} is not finite on the first batch with the initial student; \
                     the run would stop at its first step"
                ),
            ));
            all_well = false;
        } else if term.weight == 0.0 {
            let text =
                format!("loss `{name}`: its weight is 0, so that it is logged and trains nothing");
            say(Finding::note(Topic::Losses, text));
        } else if term.gradient == 0.0 {
            let text = format!(
                "loss `{name}`: no gradient of it reaches the student; its value {} will not be learnt from",
                short_number(term.value)
            );
            say(Finding::warning(Topic::Losses, text));
            all_well = false;
        }
    }
    if all_well {
        compare(facts, losses, &mut say);
    }
    for pair in facts.cosines.iter().filter(|pair| pair.cosine < CONFLICT) {
        let [first, second] = &pair.terms;
        let text = format!(
            "losses `{first}` and `{second}` pull the initial student in opposite directions (cosine of \
             their gradients {:.2})",
            pair.cosine
        );
        say(Finding::note(Topic::Losses, text));
    }
    if !facts.untouched.is_empty() {
        let names: Vec<String> = facts
            .untouched
            .iter()
            .take(4)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = if facts.untouched.len() > 4 {
            ", ..."
        } else {
            ""
        };
        let text = format!(
            "no loss reaches {} of the student's parameter tensors ({}{more}): they stay as they are at the \
             start; add a loss that reads the student's logits, such as `cross-entropy` or `kd`",
            facts.untouched.len(),
            names.join(", ")
        );
        say(Finding::warning(Topic::Losses, text));
    }
    if let Some(limit) = clip_norm.filter(|limit| facts.gradient > *limit) {
        let text = format!(
            "the first gradient has the norm {}; `train.clip_norm` = {limit} scales it down to {} of that",
            short_number(facts.gradient),
            percent(limit / facts.gradient)
        );
        say(Finding::note(Topic::Losses, text));
    }
}

/// Compares the terms with each other.
fn compare(facts: &LossFacts, losses: &[LossConfig], say: &mut impl FnMut(Finding)) {
    let terms: Vec<(&TermFacts, Option<&LossConfig>)> = facts
        .terms
        .iter()
        .enumerate()
        .map(|(place, term)| (term, losses.get(place)))
        .filter(|(term, _)| term.weight > 0.0)
        .collect();
    let times = |of: &dyn Fn(&TermFacts) -> f64, term: &TermFacts| {
        let others: f64 = terms
            .iter()
            .filter(|(other, _)| other.name != term.name)
            .map(|(other, _)| of(other))
            .sum();
        if others > 0.0 { of(term) / others } else { 0.0 }
    };
    let mut leader = None;
    for (term, loss) in &terms {
        let gradient = times(&TermFacts::weighted_gradient, term);
        let value = times(&TermFacts::weighted_value, term);
        if gradient >= DOMINATES {
            let usual = match loss {
                Some(loss) => match kd_losses::find_loss(loss.kind())
                    .and_then(|loss| loss.usual_weight)
                {
                    Some(usual) => format!("; around {} is usual ({})", usual.value, usual.source),
                    None => String::new(),
                },
                None => String::new(),
            };
            let text = format!(
                "loss `{}`: its weighted gradient is {} times that of all other losses together, which will \
                 have hardly any say; its weight is {}{usual}",
                term.name,
                short_number(gradient),
                term.weight
            );
            say(if gradient >= DROWNS {
                Finding::warning(Topic::Losses, text)
            } else {
                Finding::note(Topic::Losses, text)
            });
            leader = Some(&term.name);
        } else if value >= DROWNS {
            let text = format!(
                "loss `{}`: weight times value is {} times that of all others together, so that `total` in \
                 the logs shows hardly anything else; its gradient is only {} times theirs",
                term.name,
                short_number(value),
                short_number(gradient)
            );
            say(Finding::note(Topic::Losses, text));
        }
    }
    if leader.is_some() {
        return;
    }
    for (term, _) in terms.iter().filter(|(term, _)| term.share < DROWNS.recip()) {
        let text = format!(
            "loss `{}`: its weighted gradient is {} of all; it has hardly any say",
            term.name,
            percent(term.share)
        );
        say(Finding::note(Topic::Losses, text));
    }
    let shares: Vec<String> = terms
        .iter()
        .map(|(term, _)| format!("`{}` {}", term.name, percent(term.share)))
        .collect();
    let text = format!(
        "every loss is finite on the first batch; shares of the gradient: {}",
        shares.join(", ")
    );
    say(Finding::ok(Topic::Losses, text));
}

#[cfg(test)]
mod tests {
    use kd_core::Grade;

    use super::*;

    fn facts(terms: &[(&str, f64, f64, f64)]) -> LossFacts {
        let sum: f64 = terms
            .iter()
            .map(|(_, weight, _, gradient)| weight * gradient)
            .sum();
        let terms = terms
            .iter()
            .map(|&(name, weight, value, gradient)| TermFacts {
                name: name.into(),
                weight,
                value,
                gradient,
                share: weight * gradient / sum,
            });
        LossFacts {
            batch_size: 8,
            terms: terms.collect(),
            total: 1.0,
            gradient: 2.0,
            cosines: Vec::new(),
            untouched: Vec::new(),
        }
    }

    fn judged(facts: &LossFacts, clip_norm: Option<f64>) -> Vec<(Grade, String)> {
        let mut findings = Vec::new();
        judge(facts, &[], clip_norm, &mut findings);
        findings
            .into_iter()
            .map(|found| (found.grade, found.text))
            .collect()
    }

    #[test]
    fn a_loss_is_compared_with_all_others_together() {
        let of = |weight| {
            judged(
                &facts(&[
                    ("a", weight, 1.0, 2.0),
                    ("b", 1.0, 1.0, 1.0),
                    ("c", 1.0, 1.0, 1.0),
                ]),
                None,
            )
        };
        assert_eq!(of(99.0)[0].0, Grade::Ok);
        let [(Grade::Note, text)] = &of(100.0)[..] else {
            unreachable!("{:?}", of(100.0))
        };
        assert!(
            text.contains("is 100 times that of all other losses together"),
            "{text}"
        );
        assert_eq!(of(999.0)[0].0, Grade::Note);
        assert_eq!(of(1000.0)[0].0, Grade::Warning);
    }

    #[test]
    fn a_lone_loss_is_well() {
        assert_eq!(
            judged(&facts(&[("a", 5000.0, 9.0, 9.0)]), None)[0].0,
            Grade::Ok
        );
    }

    #[test]
    fn a_large_value_with_a_small_gradient_is_a_note() {
        let found = judged(
            &facts(&[("a", 1.0, 5000.0, 2.0), ("b", 1.0, 1.0, 1.0)]),
            None,
        );
        assert_eq!(found[0].0, Grade::Note);
        assert!(
            found[0].1.contains("weight times value is 5000 times"),
            "{found:?}"
        );
    }

    #[test]
    fn nothing_not_finite_and_nothing_without_gradient_passes() {
        let found = judged(
            &facts(&[("a", 1.0, f64::NAN, 1.0), ("b", 1.0, 1.0, 1.0)]),
            None,
        );
        assert_eq!(found[0].0, Grade::Error);
        assert!(found[0].1.contains("its value is not finite"));
        let found = judged(&facts(&[("a", 1.0, 1.0, f64::INFINITY)]), None);
        assert!(found[0].1.contains("its gradient is not finite"));
        let found = judged(&facts(&[("a", 1.0, 1.0, 0.0), ("b", 1.0, 1.0, 1.0)]), None);
        assert_eq!((found.len(), found[0].0), (1, Grade::Warning));
        let found = judged(&facts(&[("a", 0.0, 1.0, 1.0), ("b", 1.0, 1.0, 1.0)]), None);
        assert_eq!(
            found.iter().map(|(grade, _)| *grade).collect::<Vec<_>>(),
            [Grade::Note, Grade::Ok]
        );
    }

    #[test]
    fn a_loss_that_drowns_among_others_is_noted() {
        let found = judged(
            &facts(&[
                ("a", 1.0, 1.0, 1.0),
                ("b", 1.0, 1.0, 1.0),
                ("c", 1e-3, 1.0, 1.0),
            ]),
            None,
        );
        assert_eq!(
            found[0],
            (
                Grade::Note,
                "loss `c`: its weighted gradient is 0.05 % of all; it has hardly any say".into()
            )
        );
    }

    #[test]
    fn clipping_and_conflicts_are_noted() {
        let mut facts = facts(&[("a", 1.0, 1.0, 1.0), ("b", 1.0, 1.0, 1.0)]);
        facts.cosines = vec![Cosine {
            terms: ["a".into(), "b".into()],
            cosine: -0.51,
        }];
        let found = judged(&facts, Some(1.0));
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert!(
            texts[1].contains("opposite directions (cosine of their gradients -0.51)"),
            "{texts:?}"
        );
        assert!(
            texts[2].contains("scales it down to 50.0 % of that"),
            "{texts:?}"
        );
        assert_eq!(judged(&facts, Some(2.0)).len(), 2);
    }
}
