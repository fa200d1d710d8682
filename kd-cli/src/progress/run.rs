//! Progress of a run: rate, time left, losses, the last evaluation. Nothing where there is no terminal.

use std::fmt::Write;
use std::path::Path;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use kd_core::{Metrics, Observer, PhaseOutcome, Plan, StepContext};
use kd_report::count;

use crate::output;

/// A bar for the rows of a cache.
fn cache_bar(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    match ProgressStyle::with_template("teacher cache {bar:20} {pos}/{len} rows, {eta} left{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar for what a phase needs before it starts.
fn preparing_bar(what: &str, samples: u64) -> ProgressBar {
    let bar = ProgressBar::new(samples);
    match ProgressStyle::with_template("{msg} {bar:20} {pos}/{len}, {eta} left") {
        Ok(style) => bar.with_style(style).with_message(what.to_owned()),
        Err(_) => bar,
    }
}

/// Says, before it is built, how large a cache will be.
fn notice_size(path: &Path, bytes: u64, done: u64, rows: u64) {
    let there = match done {
        0 => String::new(),
        _ => format!(", {} of them are there already", count(done)),
    };
    output::remark(&format!(
        "building the teacher cache `{}`: {} rows, {}{there}",
        path.display(),
        count(rows),
        output::bytes(bytes)
    ));
}

/// A bar for each phase on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    title: String,
    bar: ProgressBar,
    epochs: usize,
    evaluation: String,
}

impl Progress {
    /// A bar that begins with `title`.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            bar: ProgressBar::hidden(),
            epochs: 0,
            evaluation: String::new(),
        }
    }

    /// A bar for reading a whole cache.
    pub(crate) fn of_cache(rows: u64) -> Self {
        Self {
            bar: cache_bar(rows),
            ..Self::new("")
        }
    }
}

impl Observer for Progress {
    fn phase_started(&mut self, _phase: &str, plan: &Plan, step: usize) {
        // indicatif draws on standard error, and only if that is a terminal.
        self.bar = ProgressBar::new(plan.total_steps as u64);
        let style = "{prefix} {bar:20} {pos}/{len} steps, {rate}, {eta} left, {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                // A bar that cannot be written is no reason to stop.
                let _ = write!(text, "{:.1}/s", state.per_sec());
            };
            self.bar.set_style(style.with_key("rate", rate));
        }
        self.bar.set_prefix(self.title.clone());
        self.bar.set_position(step as u64);
        self.bar.reset_eta();
        self.epochs = plan.epochs();
    }

    fn step_done(&mut self, at: StepContext, losses: Option<&Metrics>) {
        self.bar.set_position(at.step as u64 + 1);
        let loss = losses.and_then(|losses| losses.get("total"));
        let loss = loss
            .map(|loss| format!(", loss {loss:.4}"))
            .unwrap_or_default();
        let epoch = format!("epoch {}/{}", at.epoch + 1, self.epochs);
        self.bar
            .set_message(format!("{epoch}{loss}{}", self.evaluation));
    }

    fn evaluated(&mut self, _phase: &str, _epoch: usize, metrics: &Metrics, _is_best: bool) {
        let shown = [("accuracy", "accuracy"), ("mean_iou", "mean IoU")];
        let shown = shown
            .iter()
            .find_map(|(metric, words)| Some((words, metrics.get(*metric)?)));
        if let Some((words, share)) = shown {
            self.evaluation = format!(", {words} {:.2} %", 100.0 * share);
        }
    }

    fn cache_begun(&mut self, path: &Path, bytes: u64, done: u64, rows: u64) {
        notice_size(path, bytes, done, rows);
        self.bar = cache_bar(rows);
        self.bar.set_position(done);
        self.bar.reset_eta();
    }

    fn cache_built(&mut self, done: u64, _rows: u64) {
        self.bar.set_position(done);
    }

    fn preparing(&mut self, what: &str, done: u64, samples: u64) {
        if self.bar.length() != Some(samples) || done <= self.bar.position() {
            self.bar = preparing_bar(what, samples);
        }
        self.bar.set_position(done);
        if done == samples {
            self.bar.finish_and_clear();
        }
    }

    fn cache_verified(&mut self, done: u64, rows: u64) {
        self.bar.set_message(", reading it back");
        self.bar.set_position(done);
        if done == rows {
            self.bar.finish_and_clear();
        }
    }

    fn phase_done(&mut self, _outcome: &PhaseOutcome) {
        self.bar.finish_and_clear();
    }
}
