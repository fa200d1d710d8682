//! The line of an epoch, in words or as an object.

use std::fmt;

use kd_core::Metrics;
use kd_report::percent;
use serde::Serialize;

use crate::output::about;

/// Terms of a loss that are shown beside their sum.
const TERMS: usize = 4;

/// An epoch of a phase that is done.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EpochLine {
    pub(super) event: &'static str,
    /// What is trained.
    pub(super) title: String,
    pub(super) phase: String,
    /// From 1.
    pub(super) phase_number: usize,
    pub(super) phases: usize,
    /// From 1.
    pub(super) epoch: usize,
    /// The most there can be.
    pub(super) epochs: usize,
    pub(super) step: usize,
    pub(super) steps: usize,
    pub(super) lr: f64,
    /// Mean losses over the steps of the epoch.
    pub(super) train: Metrics,
    pub(super) evaluation: Option<Metrics>,
    pub(super) steps_per_second: f64,
    /// Seconds of work in the phase.
    pub(super) seconds: f64,
    /// Seconds that the rest of the phase will take, at most.
    pub(super) seconds_left: f64,
}

impl fmt::Display for EpochLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: phase {} of {}",
            self.title, self.phase_number, self.phases
        )?;
        if self.phases > 1 {
            write!(f, " ({})", self.phase)?;
        }
        if self.epochs > 0 {
            write!(f, ", epoch {} of {}", self.epoch, self.epochs)?;
        }
        write!(f, "{}", losses(&self.train))?;
        if let Some((words, share)) = self.evaluation.as_ref().and_then(measured) {
            write!(f, ", {words} {}", percent(share))?;
        }
        if self.steps > 0 {
            write!(f, ", {:.1} steps/s", self.steps_per_second)?;
        }
        match (self.seconds_left > 0.0, self.phase_number < self.phases) {
            (false, _) => Ok(()),
            (true, false) => write!(f, ", {} left", about(self.seconds_left)),
            (true, true) => write!(f, ", {} left in this phase", about(self.seconds_left)),
        }
    }
}

/// The sum of the losses, and the first of its terms where there are several.
fn losses(train: &Metrics) -> String {
    let terms: Vec<String> = train
        .iter()
        .filter(|(name, _)| *name != "total")
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    let shown = terms
        .iter()
        .take(TERMS)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = match terms.len().saturating_sub(TERMS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match (train.get("total"), terms.len()) {
        (None, 0) => String::new(),
        (Some(total), 0 | 1) => format!(", loss {total:.4}"),
        (Some(total), _) => format!(", loss {total:.4} ({shown}{more})"),
        (None, _) => format!(", {shown}{more}"),
    }
}

/// The metric that is shown of an evaluation, in words.
pub(super) fn measured(metrics: &Metrics) -> Option<(&'static str, f64)> {
    const SHOWN: [(&str, &str); 2] = [("accuracy", "accuracy"), ("mean_iou", "mean IoU")];
    SHOWN
        .iter()
        .find_map(|(metric, words)| Some((*words, *metrics.get(*metric)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> EpochLine {
        let of = |entries: &[(&str, f64)]| {
            entries
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        EpochLine {
            event: "epoch",
            title: "lenet5".into(),
            phase: "distill".into(),
            phase_number: 1,
            phases: 1,
            epoch: 3,
            epochs: 30,
            step: 12,
            steps: 120,
            lr: 0.1,
            train: of(&[("kd", 0.25), ("cross-entropy", 1.5), ("total", 1.75)]),
            evaluation: Some(of(&[("accuracy", 0.845), ("loss", 0.5)])),
            steps_per_second: 41.23,
            seconds: 1.0,
            seconds_left: 12.2,
        }
    }

    #[test]
    fn a_line_says_phase_losses_metric_rate_and_time_left() {
        assert_eq!(
            line().to_string(),
            "lenet5: phase 1 of 1, epoch 3 of 30, loss 1.7500 (cross-entropy 1.5000, kd 0.2500), accuracy \
             84.50 %, 41.2 steps/s, about 12 s left"
        );
        let several = EpochLine {
            phases: 6,
            train: Metrics::from([("mse".into(), 0.5), ("total".into(), 0.5)]),
            evaluation: None,
            ..line()
        };
        assert_eq!(
            several.to_string(),
            "lenet5: phase 1 of 6 (distill), epoch 3 of 30, loss 0.5000, 41.2 steps/s, about 12 s left in \
             this phase"
        );
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let bare = EpochLine {
            epochs: 0,
            steps: 0,
            train: Metrics::new(),
            seconds_left: 0.0,
            ..line()
        };
        assert_eq!(bare.to_string(), "lenet5: phase 1 of 1, accuracy 84.50 %");
        let many: Metrics = ('a'..='f').map(|name| (name.to_string(), 1.0)).collect();
        assert!(losses(&many).ends_with("d 1.0000 and 2 more"));
    }
}
