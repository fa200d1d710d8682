//! The findings of a training: what its plan and the number of its samples say before the first step.

use crate::data::findings::sample_findings;
use crate::data::subset::Subset;
use crate::error::Result;
use crate::finding::{Finding, Topic};
use crate::loader::config::LoaderConfig;
use crate::training::plan::Plan;
use crate::training::schedule::Schedule;
use crate::training::settings::Training;

impl Training {
    /// What is suspicious about training on one part of the data and measuring on the other, of their
    /// samples, the batches and the rates. `keys` are those of the keys `drop_last`, `balanced` and
    /// `class_weights` that the method heeds.
    ///
    /// # Errors
    ///
    /// As [`Training::plan`].
    pub fn findings(
        &self,
        train: &Subset,
        held_out: &Subset,
        keys: &[&str],
    ) -> Result<Vec<Finding>> {
        let mut findings = sample_findings(train, held_out, self, keys);
        findings.extend(self.schedule_findings(train.len(), keys)?);
        Ok(findings)
    }

    /// The part of [`Training::findings`] that the number of samples to train on says.
    ///
    /// # Errors
    ///
    /// As [`Training::plan`].
    pub fn schedule_findings(&self, samples: usize, keys: &[&str]) -> Result<Vec<Finding>> {
        let size = self.batch_size.max(1);
        let steps = if self.drop_last {
            samples / size
        } else {
            samples.div_ceil(size)
        };
        let mut findings = self.rate_findings(&self.plan(steps, None)?);
        findings.extend(self.batch_finding(samples, keys));
        Ok(findings)
    }

    /// Warnings and notes of rates that are never reached or lowered.
    pub fn rate_findings(&self, plan: &Plan) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (warmup, total, epochs) = (plan.lr.warmup_steps, plan.total_steps, plan.epochs());
        if warmup >= total && warmup > 0 {
            let text = format!(
                "the warm-up of {warmup} steps is as long as the whole run of {total} or longer, so that the \
                 rate `train.lr` = {} is hardly reached or never; shorten `train.warmup_epochs` or train \
                 longer",
                self.lr
            );
            findings.push(Finding::warning(Topic::Schedule, text));
        }
        if let Schedule::MultiStep { milestones, .. } = &self.schedule {
            findings.extend(late_milestones(milestones, epochs));
        }
        if warmup > 0 && matches!(self.schedule, Schedule::OneCycle { .. }) {
            let text =
                "one-cycle rises by itself; `train.warmup_epochs` slows its beginning once more";
            findings.push(Finding::note(Topic::Schedule, text));
        }
        findings
    }

    /// What is said of batches of `samples` that are not full; `keys` are those of the keys `drop_last`,
    /// `balanced` and `class_weights` that the method heeds.
    pub fn batch_finding(&self, samples: usize, keys: &[&str]) -> Option<Finding> {
        if samples < self.batch_size {
            let text = format!(
                "`train.batch_size` = {} is more than the {samples} samples there are: every step sees all \
                 of them",
                self.batch_size
            );
            return Some(Finding::note(Topic::Schedule, text));
        }
        let remedy = if keys.contains(&"drop_last") {
            "`train.drop_last = true` leaves it out, or choose another `train.batch_size`"
        } else {
            "choose another `train.batch_size` to avoid it"
        };
        let text = self.last_batch(samples)?;
        Some(Finding::warning(
            Topic::Schedule,
            format!("{text}; {remedy}"),
        ))
    }

    /// What becomes of a last batch that has few samples.
    fn last_batch(&self, samples: usize) -> Option<String> {
        let size = self.batch_size;
        let rest = samples.checked_rem(size).unwrap_or(0);
        if self.drop_last || rest == 0 {
            return None;
        }
        if LoaderConfig::new(size).spreads(samples) {
            let steps = samples.div_ceil(size);
            let [fewer, more] = [samples / steps, samples.div_ceil(steps)];
            let sizes = if fewer == more {
                fewer.to_string()
            } else {
                format!("{fewer} or {more}")
            };
            return Some(format!(
                "{samples} samples in batches of {size} would leave a last batch of {rest}, too few for \
                 batch norms: each epoch is made of {steps} batches of {sizes} instead"
            ));
        }
        (rest == 1 && size > 1).then(|| {
            format!(
                "the last batch of an epoch has 1 sample ({samples} in batches of {size}), on which batch \
                 norms learn nothing good"
            )
        })
    }
}

fn late_milestones(milestones: &[usize], epochs: usize) -> Option<Finding> {
    let late: Vec<String> = milestones
        .iter()
        .filter(|&&milestone| milestone >= epochs)
        .map(ToString::to_string)
        .collect();
    let text = format!(
        "the run ends after epoch {epochs}, before the milestones {} (counted from 0): the rate is not \
         lowered there",
        late.join(", ")
    );
    match late.len() {
        0 => None,
        all if all == milestones.len() => Some(Finding::warning(Topic::Schedule, text)),
        _ => Some(Finding::note(Topic::Schedule, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Grade;

    fn inspected(change: impl FnOnce(&mut Training), samples: usize) -> Vec<Finding> {
        let mut training = Training::for_epochs(10);
        training.batch_size = 10;
        change(&mut training);
        let plan = training
            .plan(samples.div_ceil(training.batch_size), None)
            .unwrap();
        let mut findings = training.rate_findings(&plan);
        findings.extend(training.batch_finding(samples, &["drop_last"]));
        findings
    }

    #[test]
    fn a_warm_up_as_long_as_the_run_is_a_warning() {
        let findings = inspected(|training| training.warmup_epochs = 10.0, 100);
        assert_eq!(findings[0].grade, Grade::Warning);
        let said = "the warm-up of 100 steps";
        assert!(findings[0].text.starts_with(said), "{findings:?}");
        assert!(inspected(|training| training.warmup_epochs = 2.0, 100).is_empty());
    }

    #[test]
    fn milestones_beyond_the_end_are_named() {
        let at = |milestones: &[usize]| Schedule::MultiStep {
            milestones: milestones.to_vec(),
            gamma: 0.1,
        };
        let findings = inspected(|training| training.schedule = at(&[150, 180]), 100);
        assert_eq!(findings[0].grade, Grade::Warning);
        let said = "milestones 150, 180";
        assert!(findings[0].text.contains(said), "{findings:?}");
        let findings = inspected(|training| training.schedule = at(&[5, 10]), 100);
        assert_eq!(findings[0].grade, Grade::Note);
        assert!(inspected(|training| training.schedule = at(&[5, 9]), 100).is_empty());
    }

    #[test]
    fn odd_batches_are_noted_with_a_remedy_that_the_method_has() {
        let findings = inspected(|training| training.batch_size = 7, 71);
        let said = "the last batch of an epoch has 1 sample";
        assert!(findings[0].text.starts_with(said), "{findings:?}");
        let findings = inspected(|_| {}, 101);
        let said = "each epoch is made of 11 batches of 9 or 10 instead; `train.drop_last = true`";
        assert!(findings[0].text.contains(said), "{findings:?}");
        assert!(inspected(|training| training.drop_last = true, 101).is_empty());
        let findings = inspected(|_| {}, 9);
        assert!(
            findings[0].text.contains("more than the 9 samples"),
            "{findings:?}"
        );
        let mut training = Training::for_epochs(1);
        training.batch_size = 10;
        let without = training.batch_finding(101, &[]).unwrap();
        assert!(!without.text.contains("drop_last"), "{without:?}");
    }
}
