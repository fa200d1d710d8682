//! Progress of a run: rate, time left, losses, the last evaluation; a line an epoch.

use std::path::Path;
use std::time::Instant;

use indicatif::ProgressBar;
use kd_core::{CountedWork, EpochLog, Metrics, Observer, PhaseOutcome, Plan, StepContext};
use kd_report::{count, percent};
use serde_json::json;

use super::bars::{self, Since};
use super::counted::{Busy, Counted, follow};
use super::epoch::{EpochLine, measured};
use crate::args::ProgressForm;
use crate::output::settings::settings;
use crate::output::{self, about};

/// The words for a teacher cache that is built, and for one that is read.
const CACHE: &str = "teacher cache";
const READING: &str = "reading the teacher cache back";

/// Progress on standard error, in the form that was asked for.
#[derive(Debug)]
pub(crate) struct Progress {
    title: String,
    phases: Vec<String>,
    /// The phase under way: its number from 1, its epochs and steps.
    number: usize,
    epochs: usize,
    steps: usize,
    /// When the phase began, or went on, and at which step.
    begun: (Instant, usize),
    /// The same of the epoch.
    epoch_begun: (Instant, usize),
    bar: ProgressBar,
    waiting: Since,
    evaluation: String,
    evaluation_begun: Instant,
    /// Seconds of the last evaluation.
    evaluation_seconds: Option<f64>,
    counted: Option<Counted>,
    busy: Option<Busy>,
}

impl Progress {
    /// Progress of what `title` names.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        let now = Instant::now();
        Self {
            title: title.into(),
            phases: Vec::new(),
            number: 0,
            epochs: 0,
            steps: 0,
            begun: (now, 0),
            epoch_begun: (now, 0),
            bar: ProgressBar::hidden(),
            waiting: Since::now(),
            evaluation: String::new(),
            evaluation_begun: now,
            evaluation_seconds: None,
            counted: None,
            busy: None,
        }
    }

    fn line(&self, epoch: &EpochLog) -> EpochLine {
        let (since, first) = self.begun;
        let here = epoch.step.saturating_sub(first).max(1) as f64;
        let left = self.steps.saturating_sub(epoch.step) as f64;
        let (epoch_since, epoch_first) = self.epoch_begun;
        let in_epoch = epoch.step.saturating_sub(epoch_first) as f64;
        EpochLine {
            event: "epoch",
            title: self.title.trim_end().to_owned(),
            phase: epoch.phase.clone(),
            phase_number: self.number,
            phases: self.phases.len().max(1),
            epoch: epoch.epoch + 1,
            epochs: self.epochs,
            step: epoch.step,
            steps: self.steps,
            lr: epoch.lr,
            train: epoch.train.clone(),
            evaluation: epoch.evaluation.clone(),
            steps_per_second: in_epoch / epoch_since.elapsed().as_secs_f64().max(1e-9),
            seconds: epoch.seconds,
            seconds_left: since.elapsed().as_secs_f64() / here * left,
        }
    }

    fn count(&mut self, what: &str, unit: &'static str, done: u64, total: u64) {
        let work = CountedWork {
            what,
            unit,
            done,
            total,
        };
        follow(&mut self.counted, work);
    }
}

impl Observer for Progress {
    fn run_started(&mut self, phases: &[String]) {
        self.phases = phases.to_vec();
    }

    fn phase_started(&mut self, phase: &str, plan: &Plan, step: usize) {
        self.counted = None;
        self.busy = None;
        let index = self.phases.iter().position(|name| name == phase);
        self.number = index.unwrap_or_default() + 1;
        self.steps = plan.total_steps;
        self.epochs = plan.epochs();
        self.begun = (Instant::now(), step);
        self.epoch_begun = self.begun;
        self.evaluation.clear();
        self.evaluation_seconds = None;
        self.waiting.reset();
        let title = match self.phases.len() {
            0 | 1 => self.title.clone(),
            phases => format!("{} {}/{phases}", self.title, self.number),
        };
        self.bar = bars::steps(&title, self.steps as u64, &self.waiting);
        self.bar.set_position(step as u64);
        self.bar.reset_eta();
        if settings().progress == ProgressForm::Json {
            output::event(&json!({
                "event": "phase", "title": self.title.trim_end(), "phase": phase,
                "phase_number": self.number, "phases": self.phases.len(), "epochs": self.epochs,
                "step": step, "steps": self.steps,
            }));
        }
    }

    fn step_done(&mut self, at: StepContext, losses: Option<&Metrics>) {
        self.waiting.reset();
        self.bar.set_position(at.step as u64 + 1);
        let loss = losses.and_then(|losses| losses.get("total"));
        let loss = loss.map(|loss| format!(", loss {loss:.4}"));
        let (epoch, epochs) = (at.epoch + 1, self.epochs);
        self.bar.set_message(format!(
            "epoch {epoch}/{epochs}{}{}",
            loss.unwrap_or_default(),
            self.evaluation
        ));
    }

    fn evaluating(&mut self, _phase: &str, epoch: usize) {
        self.evaluation_begun = Instant::now();
        self.waiting.reset();
        let usual = self.evaluation_seconds.filter(|seconds| *seconds > 1.0);
        let usual = usual.map(|seconds| format!(", {}", about(seconds)));
        self.bar.set_message(format!(
            "epoch {}/{}, evaluating{}",
            epoch + 1,
            self.epochs,
            usual.unwrap_or_default()
        ));
    }

    fn evaluated(&mut self, _phase: &str, _epoch: usize, metrics: &Metrics, _is_best: bool) {
        self.evaluation_seconds = Some(self.evaluation_begun.elapsed().as_secs_f64());
        self.waiting.reset();
        if let Some((words, share)) = measured(metrics) {
            self.evaluation = format!(", {words} {}", percent(share));
        }
    }

    fn epoch_done(&mut self, epoch: &EpochLog) {
        let line = self.line(epoch);
        match settings().progress {
            ProgressForm::Plain => output::notice(&line.to_string()),
            ProgressForm::Bar => self.bar.suspend(|| output::notice(&line.to_string())),
            ProgressForm::Json => output::event(&line),
            ProgressForm::None => {}
        }
        self.epoch_begun = (Instant::now(), epoch.step);
    }

    fn cache_begun(&mut self, path: &Path, bytes: u64, done: u64, rows: u64) {
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
        self.counted = Some(Counted::new(CACHE, "rows", done, rows));
    }

    fn cache_built(&mut self, done: u64, rows: u64) {
        self.count(CACHE, "rows", done, rows);
    }

    fn preparing(&mut self, what: &str, done: u64, samples: u64) {
        self.count(what, "samples", done, samples);
    }

    fn cache_verified(&mut self, done: u64, rows: u64) {
        self.count(READING, "rows", done, rows);
    }

    fn working(&mut self, what: &str) {
        self.busy = Some(Busy::new(what));
    }

    fn phase_done(&mut self, _outcome: &PhaseOutcome) {
        self.bar.finish_and_clear();
    }
}
