//! The length of the training and its learning rates, inspected.

use kd_core::{Finding, Plan, Topic, Training};
use serde::Serialize;

use super::KEYS;

/// Steps and learning rates.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ScheduleFacts {
    /// Samples in a step.
    pub batch_size: usize,
    /// Steps in an epoch.
    pub steps_per_epoch: usize,
    /// Steps in all.
    pub total_steps: usize,
    /// Epochs, the last possibly a short one.
    pub epochs: usize,
    /// Evaluations in all.
    pub evaluations: usize,
    /// Steps over which the rate rises.
    pub warmup_steps: usize,
    /// The learning rate of the first step, of the one in the middle and of the last.
    pub lr: [f64; 3],
    /// The limit of the gradients' joint norm.
    pub clip_norm: Option<f64>,
}

/// Inspects the plan of a training on `samples` samples.
pub(super) fn inspect(
    training: &Training,
    plan: &Plan,
    samples: usize,
    findings: &mut Vec<Finding>,
) -> ScheduleFacts {
    let last = plan.total_steps.saturating_sub(1);
    let epochs = plan.epochs();
    let facts = ScheduleFacts {
        batch_size: training.batch_size,
        steps_per_epoch: plan.steps_per_epoch,
        total_steps: plan.total_steps,
        epochs,
        evaluations: epochs.div_ceil(plan.eval_every.max(1)),
        warmup_steps: plan.lr.warmup_steps,
        lr: [plan.lr.at(0), plan.lr.at(last / 2), plan.lr.at(last)],
        clip_norm: training.clip_norm,
    };
    let before = findings.len();
    findings.extend(training.rate_findings(plan));
    findings.extend(training.batch_finding(samples, KEYS));
    if findings.len() == before {
        let text = format!(
            "{} steps, {} an epoch; learning rate {} at first, {} halfway, {} at last",
            facts.total_steps,
            facts.steps_per_epoch,
            super::words::short_number(facts.lr[0]),
            super::words::short_number(facts.lr[1]),
            super::words::short_number(facts.lr[2])
        );
        findings.push(Finding::ok(Topic::Schedule, text));
    }
    facts
}

#[cfg(test)]
mod tests {
    use kd_core::{Grade, Schedule};

    use super::*;

    fn inspected(
        change: impl FnOnce(&mut Training),
        samples: usize,
    ) -> (ScheduleFacts, Vec<Finding>) {
        let mut training = Training::for_epochs(10);
        training.batch_size = 10;
        change(&mut training);
        let plan = training
            .plan(samples.div_ceil(training.batch_size), None)
            .unwrap();
        let mut findings = Vec::new();
        (inspect(&training, &plan, samples, &mut findings), findings)
    }

    #[test]
    fn rates_are_those_of_the_schedule() {
        let (facts, findings) = inspected(
            |training| {
                training.schedule = Schedule::Cosine { final_lr: 0.0 };
                training.lr = 0.1;
                training.eval_every = 4;
            },
            100,
        );
        assert_eq!(
            (facts.total_steps, facts.epochs, facts.evaluations),
            (100, 10, 3)
        );
        assert_eq!(facts.lr[0].to_bits(), 0.1_f64.to_bits());
        assert!(
            (facts.lr[1] - 0.051_570_5).abs() < 1e-6 && facts.lr[2] < 1e-4,
            "{:?}",
            facts.lr
        );
        assert_eq!(findings[0].grade, Grade::Ok);
    }
}
