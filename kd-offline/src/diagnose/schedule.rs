//! The length of the training and its learning rates, inspected.

use kd_core::{Finding, LoaderConfig, Plan, Schedule, Topic, Training};
use serde::Serialize;

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
    if facts.warmup_steps >= facts.total_steps && facts.warmup_steps > 0 {
        let text = format!(
            "the warm-up of {} steps is as long as the whole run of {} or longer, so that the rate \
             `train.lr` = {} is hardly reached or never; shorten `train.warmup_epochs` or train longer",
            facts.warmup_steps, facts.total_steps, training.lr
        );
        findings.push(Finding::warning(Topic::Schedule, text));
    }
    if let Schedule::MultiStep { milestones, .. } = &training.schedule {
        let late: Vec<String> = milestones
            .iter()
            .filter(|&&milestone| milestone >= epochs)
            .map(ToString::to_string)
            .collect();
        if !late.is_empty() {
            let text = format!(
                "the run ends after epoch {epochs}, before the milestones {} (counted from 0): the rate is \
                 not lowered there",
                late.join(", ")
            );
            findings.push(if late.len() == milestones.len() {
                Finding::warning(Topic::Schedule, text)
            } else {
                Finding::note(Topic::Schedule, text)
            });
        }
    }
    if facts.warmup_steps > 0 && matches!(training.schedule, Schedule::OneCycle { .. }) {
        let text = "one-cycle rises by itself; `train.warmup_epochs` slows its beginning once more";
        findings.push(Finding::note(Topic::Schedule, text));
    }
    if samples < training.batch_size {
        let text = format!(
            "`train.batch_size` = {} is more than the {samples} samples there are: every step sees all of \
             them",
            training.batch_size
        );
        findings.push(Finding::note(Topic::Schedule, text));
    } else if let Some(text) = last_batch(training, samples) {
        findings.push(Finding::warning(Topic::Schedule, text));
    }
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

/// What is said of a last batch that has few samples.
fn last_batch(training: &Training, samples: usize) -> Option<String> {
    let size = training.batch_size;
    let rest = samples.checked_rem(size).unwrap_or(0);
    let config = LoaderConfig::new(size);
    if training.drop_last || rest == 0 || samples < size {
        return None;
    }
    if config.spreads(samples) {
        let steps = samples.div_ceil(size);
        let [fewer, more] = [samples / steps, samples.div_ceil(steps)];
        let sizes = if fewer == more {
            fewer.to_string()
        } else {
            format!("{fewer} or {more}")
        };
        return Some(format!(
            "{samples} samples in batches of {size} would leave a last batch of {rest}, too few for batch \
             norms: each epoch is made of {steps} batches of {sizes} instead; `train.drop_last = true` \
             leaves them out, or choose another `train.batch_size`"
        ));
    }
    (rest == 1 && size > 1).then(|| {
        format!(
            "the last batch of an epoch has 1 sample ({samples} in batches of {size}), on which batch norms \
             learn nothing good; `train.drop_last = true` leaves it out, or choose another \
             `train.batch_size`"
        )
    })
}

#[cfg(test)]
mod tests {
    use kd_core::Grade;

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

    #[test]
    fn a_warm_up_as_long_as_the_run_is_a_warning() {
        let (_, findings) = inspected(|training| training.warmup_epochs = 10.0, 100);
        assert_eq!(findings[0].grade, Grade::Warning);
        assert!(
            findings[0].text.starts_with("the warm-up of 100 steps"),
            "{findings:?}"
        );
        let (_, findings) = inspected(|training| training.warmup_epochs = 2.0, 100);
        assert_eq!(findings[0].grade, Grade::Ok);
    }

    #[test]
    fn milestones_beyond_the_end_are_named() {
        let at = |milestones: &[usize]| Schedule::MultiStep {
            milestones: milestones.to_vec(),
            gamma: 0.1,
        };
        let (_, findings) = inspected(|training| training.schedule = at(&[150, 180]), 100);
        assert_eq!(findings[0].grade, Grade::Warning);
        assert!(
            findings[0].text.contains("milestones 150, 180"),
            "{findings:?}"
        );
        let (_, findings) = inspected(|training| training.schedule = at(&[5, 10]), 100);
        assert_eq!(findings[0].grade, Grade::Note);
        let (_, findings) = inspected(|training| training.schedule = at(&[5, 9]), 100);
        assert_eq!(findings[0].grade, Grade::Ok);
    }

    #[test]
    fn odd_batches_are_noted() {
        let (_, findings) = inspected(|training| training.batch_size = 7, 71);
        assert!(
            findings[0]
                .text
                .starts_with("the last batch of an epoch has 1 sample")
        );
        let (_, findings) = inspected(|_| {}, 101);
        let said = "each epoch is made of 11 batches of 9 or 10 instead";
        assert!(findings[0].text.contains(said), "{findings:?}");
        let (_, findings) = inspected(|training| training.drop_last = true, 101);
        assert_eq!(findings[0].grade, Grade::Ok);
        let (_, findings) = inspected(|_| {}, 9);
        assert!(
            findings[0].text.contains("more than the 9 samples"),
            "{findings:?}"
        );
    }
}
