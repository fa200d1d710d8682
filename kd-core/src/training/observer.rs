//! The observer of a run: told of each step, evaluation, epoch and phase.

use std::path::Path;

use crate::training::epoch_log::EpochLog;
use crate::training::outcome::PhaseOutcome;
use crate::training::phase::{Metrics, StepContext};
use crate::training::plan::Plan;

/// The watcher of a run; each method does nothing by default.
pub trait Observer {
    /// A run begins, or goes on, with these phases.
    fn run_started(&mut self, _phases: &[String]) {}

    /// A phase begins, at `step` if it goes on from a checkpoint.
    fn phase_started(&mut self, _phase: &str, _plan: &Plan, _step: usize) {}

    /// A step is done. The losses are those read last, if any were.
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {}

    /// An evaluation begins, at the end of epoch `epoch`, from 0.
    fn evaluating(&mut self, _phase: &str, _epoch: usize) {}

    /// An evaluation is done.
    fn evaluated(&mut self, _phase: &str, _epoch: usize, _metrics: &Metrics, _is_best: bool) {}

    /// An epoch is done and logged.
    fn epoch_done(&mut self, _epoch: &EpochLog) {}

    /// A phase is not needed and left out.
    fn phase_skipped(&mut self, _phase: &str) {}

    /// A phase is done.
    fn phase_done(&mut self, _outcome: &PhaseOutcome) {}

    /// A teacher cache is built at `path`, of `bytes` in all; `done` of its `rows` were there already.
    fn cache_begun(&mut self, _path: &Path, _bytes: u64, _done: u64, _rows: u64) {}

    /// `done` of the `rows` of a teacher cache are written.
    fn cache_built(&mut self, _done: u64, _rows: u64) {}

    /// Something that a phase needs is computed before it starts, as the maps of a frozen prefix; `done` of
    /// `samples` are done.
    fn preparing(&mut self, _what: &str, _done: u64, _samples: u64) {}

    /// Something begins that takes its time and is not counted, as the report of a run.
    fn working(&mut self, _what: &str) {}

    /// `done` of the `rows` of a teacher cache have been read and found whole; with the last of them it is
    /// complete.
    fn cache_verified(&mut self, _done: u64, _rows: u64) {}
}

/// An observer that ignores everything.
impl Observer for () {}

/// Two observers; the first is told first.
impl<A: Observer + ?Sized, B: Observer + ?Sized> Observer for (&mut A, &mut B) {
    fn run_started(&mut self, phases: &[String]) {
        self.0.run_started(phases);
        self.1.run_started(phases);
    }

    fn phase_started(&mut self, phase: &str, plan: &Plan, step: usize) {
        self.0.phase_started(phase, plan, step);
        self.1.phase_started(phase, plan, step);
    }

    fn step_done(&mut self, at: StepContext, losses: Option<&Metrics>) {
        self.0.step_done(at, losses);
        self.1.step_done(at, losses);
    }

    fn evaluating(&mut self, phase: &str, epoch: usize) {
        self.0.evaluating(phase, epoch);
        self.1.evaluating(phase, epoch);
    }

    fn evaluated(&mut self, phase: &str, epoch: usize, metrics: &Metrics, is_best: bool) {
        self.0.evaluated(phase, epoch, metrics, is_best);
        self.1.evaluated(phase, epoch, metrics, is_best);
    }

    fn epoch_done(&mut self, epoch: &EpochLog) {
        self.0.epoch_done(epoch);
        self.1.epoch_done(epoch);
    }

    fn phase_skipped(&mut self, phase: &str) {
        self.0.phase_skipped(phase);
        self.1.phase_skipped(phase);
    }

    fn phase_done(&mut self, outcome: &PhaseOutcome) {
        self.0.phase_done(outcome);
        self.1.phase_done(outcome);
    }

    fn cache_begun(&mut self, path: &Path, bytes: u64, done: u64, rows: u64) {
        self.0.cache_begun(path, bytes, done, rows);
        self.1.cache_begun(path, bytes, done, rows);
    }

    fn cache_built(&mut self, done: u64, rows: u64) {
        self.0.cache_built(done, rows);
        self.1.cache_built(done, rows);
    }

    fn preparing(&mut self, what: &str, done: u64, samples: u64) {
        self.0.preparing(what, done, samples);
        self.1.preparing(what, done, samples);
    }

    fn working(&mut self, what: &str) {
        self.0.working(what);
        self.1.working(what);
    }

    fn cache_verified(&mut self, done: u64, rows: u64) {
        self.0.cache_verified(done, rows);
        self.1.cache_verified(done, rows);
    }
}
