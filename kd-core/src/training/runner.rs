//! The runner of any phase: epochs, evaluation, checkpoints, interruption, resume, logs. It knows nothing of
//! distillation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Tensor;

use crate::draws::Draws;
use crate::error::{Error, ErrorKind, Result};
use crate::interruption::interruptible;
use crate::network::tensor_files::write_tensors;
use crate::training::checkpoint::Checkpoint;
use crate::training::epoch_log::EpochLog;
use crate::training::method::Method;
use crate::training::metrics_log::MetricsLog;
use crate::training::observer::Observer;
use crate::training::outcome::{Best, PhaseOutcome, Snapshot};
use crate::training::phase::{LossTerms, Metrics, Phase, StepContext};
use crate::training::plan::Plan;
use crate::training::run_folder::RunFolder;

/// A checkpoint is written at the latest after this many seconds of work.
const CHECKPOINT_SECONDS: f64 = 60.0;

/// Runs a method in a run folder, from its beginning or from its last checkpoint.
#[derive(Debug)]
pub struct Runner<'a> {
    folder: &'a RunFolder,
    stop: &'a AtomicBool,
}

impl<'a> Runner<'a> {
    /// A runner in `folder` that ends soon after `stop` turns true: it finishes the step, writes a checkpoint
    /// and returns [`Error::Interrupted`].
    pub fn new(folder: &'a RunFolder, stop: &'a AtomicBool) -> Self {
        Self { folder, stop }
    }

    /// Runs all phases of `method` that are not done yet and gives what came out of each.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], [`Error::NonFinite`], and whatever a phase or the file system fails with. The
    /// last checkpoint stays good in every case.
    pub fn run(
        &self,
        method: &dyn Method,
        observer: &mut dyn Observer,
    ) -> Result<Vec<PhaseOutcome>> {
        let (mut checkpoint, mut state) = self.folder.read_checkpoint()?.unwrap_or_default();
        self.folder.check_files_of(&checkpoint)?;
        let names = method.phases();
        observer.run_started(&names);
        let mut log = MetricsLog::open(self.folder.metrics_path(), checkpoint.metrics_bytes)?;
        while let Some(name) = names.get(checkpoint.phase_index) {
            checkpoint.phase.clone_from(name);
            let index = checkpoint.phase_index;
            if state.is_none() && method.skips(index, self.folder)? {
                self.skip(&mut checkpoint, &log)?;
                observer.phase_skipped(name);
                continue;
            }
            let since = Instant::now();
            let ready = method.make_ready(index, self.folder, observer, self.stop);
            ready.map_err(|error| match error.kind() {
                ErrorKind::Interrupted => Error::Interrupted {
                    run: self.folder.path().to_owned(),
                    phase: name.clone(),
                    step: checkpoint.step,
                },
                _ => error,
            })?;
            let mut phase = method.start(index, self.folder)?;
            checkpoint.seconds += since.elapsed().as_secs_f64();
            if let Some(state) = state.take() {
                phase.restore(&state)?;
            }
            observer.phase_started(name, phase.plan(), checkpoint.step);
            let mut under_way = UnderWay {
                folder: self.folder,
                stop: self.stop,
                log: &mut log,
                checkpoint: &mut checkpoint,
                window: Vec::new(),
                since: Instant::now(),
                last_read: None,
            };
            under_way.drive(phase.as_mut(), observer)?;
            let outcome = under_way.finish(phase.as_ref(), names.len() == 1)?;
            observer.phase_done(&outcome);
        }
        Ok(checkpoint.finished)
    }

    /// Moves the checkpoint on to the phase after one that is not needed.
    fn skip(&self, checkpoint: &mut Checkpoint, log: &MetricsLog) -> Result<()> {
        let mut finished = std::mem::take(&mut checkpoint.finished);
        finished.push(PhaseOutcome {
            phase: checkpoint.phase.clone(),
            skipped: true,
            ..PhaseOutcome::default()
        });
        *checkpoint = Checkpoint {
            phase_index: checkpoint.phase_index + 1,
            finished,
            files: std::mem::take(&mut checkpoint.files),
            ..Checkpoint::default()
        };
        log.sync_into(checkpoint)?;
        self.folder.write_checkpoint(checkpoint, None)
    }
}

/// Whether an evaluation heeds a stop that was there before it began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heed {
    Always,
    /// Only one that comes meanwhile.
    IfNew,
}

/// The place of a step and its rates.
fn context(plan: &Plan, step: usize) -> StepContext {
    let per_epoch = plan.steps_per_epoch.max(1);
    StepContext {
        step,
        epoch: step / per_epoch,
        step_in_epoch: step % per_epoch,
        lr: plan.lr.at(step),
        momentum: plan.lr.momentum(step),
    }
}

/// A phase that is being driven.
struct UnderWay<'a> {
    folder: &'a RunFolder,
    stop: &'a AtomicBool,
    log: &'a mut MetricsLog,
    checkpoint: &'a mut Checkpoint,
    /// The losses of the steps that have not been read yet.
    window: Vec<(StepContext, LossTerms)>,
    since: Instant,
    last_read: Option<Metrics>,
}

impl UnderWay<'_> {
    fn drive(&mut self, phase: &mut dyn Phase, observer: &mut dyn Observer) -> Result<()> {
        let plan = phase.plan().clone();
        if plan.total_steps == 0 {
            let at = StepContext {
                step: 0,
                epoch: 0,
                step_in_epoch: 0,
                lr: 0.0,
                momentum: None,
            };
            return self.end_epoch(phase, &plan, at, observer, Heed::IfNew);
        }
        let per_epoch = plan.steps_per_epoch.max(1);
        if self.checkpoint.epoch_is_open {
            let at = context(&plan, self.checkpoint.step.saturating_sub(1));
            self.close_epoch(phase, &plan, at, observer, Heed::IfNew)?;
            self.check_best()?;
        }
        while self.checkpoint.step < plan.total_steps && !self.checkpoint.stopped_early {
            let step = self.checkpoint.step;
            let at = context(&plan, step);
            self.seed_draws(phase, step);
            let losses = phase.step(at)?;
            self.window.push((at, losses));
            self.checkpoint.step += 1;
            let done = self.checkpoint.step;
            let epoch_done = done.is_multiple_of(per_epoch) || done == plan.total_steps;
            let stopping = self.stop.load(Ordering::Relaxed);
            let checkpoint_due = epoch_done
                || stopping
                || plan
                    .checkpoint_every
                    .is_some_and(|every| done.is_multiple_of(every))
                || self.since.elapsed().as_secs_f64() > CHECKPOINT_SECONDS;
            if checkpoint_due || self.window.len() >= plan.log_every {
                self.read_losses()?;
            }
            observer.step_done(at, self.last_read.as_ref());
            if checkpoint_due {
                // What an evaluation takes is not lost to one that is interrupted.
                self.checkpoint.epoch_is_open = epoch_done;
                self.write_checkpoint(phase)?;
            }
            if stopping {
                return Err(self.interrupted());
            }
            if epoch_done {
                self.close_epoch(phase, &plan, at, observer, Heed::Always)?;
            }
        }
        Ok(())
    }

    /// Measures and logs the epoch that the last checkpoint has left open, and notes it in the checkpoint,
    /// whose tensors stay.
    fn close_epoch(
        &mut self,
        phase: &mut dyn Phase,
        plan: &Plan,
        at: StepContext,
        observer: &mut dyn Observer,
        heed: Heed,
    ) -> Result<()> {
        self.end_epoch(phase, plan, at, observer, heed)?;
        self.checkpoint.epoch_is_open = false;
        self.note_time()?;
        self.folder.write_checkpoint(self.checkpoint, None)
    }

    /// Checks that the best result is the one that is known, once an open epoch has been measured.
    fn check_best(&self) -> Result<()> {
        let name = self.folder.name_of_best(&self.checkpoint.phase);
        match self.checkpoint.files.get(&name) {
            Some(sha256) => self.folder.check_file(&name, sha256),
            None => Ok(()),
        }
    }

    fn interrupted(&self) -> Error {
        Error::Interrupted {
            run: self.folder.path().to_owned(),
            phase: self.checkpoint.phase.clone(),
            step: self.checkpoint.step,
        }
    }

    /// Measures the phase, and ends when the user stops the run.
    fn evaluate(&self, phase: &mut dyn Phase, heed: Heed) -> Result<Metrics> {
        let never = AtomicBool::new(false);
        // A session that was told to stop before it began does one thing nevertheless.
        let stop = match heed {
            Heed::IfNew if self.stop.load(Ordering::Relaxed) => &never,
            _ => self.stop,
        };
        let metrics = interruptible(stop, || phase.evaluate());
        metrics.map_err(|error| match error.kind() {
            ErrorKind::Interrupted => self.interrupted(),
            _ => error,
        })
    }

    /// Seeds what layers draw on the device in a step.
    fn seed_draws(&self, phase: &dyn Phase, step: usize) {
        if let Some((device, seed)) = phase.draws_on() {
            let purpose = format!("draws of layers in {}", self.checkpoint.phase);
            device.seed(Draws::new(seed, &purpose, step as u64, 0).bits());
        }
    }

    /// Reads the losses of all steps since the last reading, in one transfer, and stops at the first that is
    /// not finite.
    fn read_losses(&mut self) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        let tensors: Vec<Tensor<1>> = window
            .iter()
            .flat_map(|(_, terms)| terms.iter().map(|(_, value)| value.clone()))
            .collect();
        if tensors.is_empty() {
            return Ok(());
        }
        let values: Vec<f64> = Tensor::cat(tensors, 0).into_data().iter::<f64>().collect();
        let mut values = values.into_iter();
        for (at, terms) in &window {
            let read: Metrics = terms
                .iter()
                .map(|(name, _)| name.clone())
                .zip(values.by_ref())
                .collect();
            for (term, &value) in &read {
                if !value.is_finite() && term != "total" {
                    return Err(self.not_finite(term, value, *at));
                }
            }
            if let Some(&value) = read.get("total").filter(|value| !value.is_finite()) {
                return Err(self.not_finite("total", value, *at));
            }
            for (term, value) in &read {
                *self.checkpoint.loss_sums.entry(term.clone()).or_default() += value;
            }
            self.checkpoint.loss_count += 1;
            self.last_read = Some(read);
        }
        Ok(())
    }

    fn not_finite(&self, term: &str, value: f64, at: StepContext) -> Error {
        let saved = self.folder.path().join("checkpoint.json");
        let saved = if saved.exists() {
            format!(
                "the last checkpoint in `{}` is from before that",
                self.folder.path().display()
            )
        } else {
            "no checkpoint was written yet".into()
        };
        Error::NonFinite {
            phase: self.checkpoint.phase.clone(),
            term: term.to_owned(),
            value,
            step: at.step,
            epoch: at.epoch,
            remedy: format!(
                "{saved}; start a new run with a lower `train.lr` or with `train.clip_norm`"
            ),
        }
    }

    fn end_epoch(
        &mut self,
        phase: &mut dyn Phase,
        plan: &Plan,
        at: StepContext,
        observer: &mut dyn Observer,
        heed: Heed,
    ) -> Result<()> {
        let due = (at.epoch + 1).is_multiple_of(plan.eval_every)
            || self.checkpoint.step == plan.total_steps;
        let count = self.checkpoint.loss_count.max(1) as f64;
        let means: Metrics = std::mem::take(&mut self.checkpoint.loss_sums)
            .into_iter()
            .map(|(term, sum)| (term, sum / count))
            .collect();
        self.checkpoint.loss_count = 0;
        let mut evaluation = None;
        if due {
            observer.evaluating(&self.checkpoint.phase, at.epoch);
            let metrics = self.evaluate(phase, heed)?;
            if let Some((name, &value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
                return Err(self.not_finite(&format!("evaluation of {name}"), value, at));
            }
            let better = self.take_evaluation(plan, at, &metrics);
            if better {
                let name = &self.checkpoint.phase;
                let kept = self.folder.keep(name, Snapshot::Best, &phase.result())?;
                self.checkpoint.files.extend([kept]);
            }
            observer.evaluated(&self.checkpoint.phase, at.epoch, &metrics, better);
            evaluation = Some(metrics);
        }
        let seconds = self.checkpoint.seconds + self.since.elapsed().as_secs_f64();
        let epoch = EpochLog {
            phase: self.checkpoint.phase.clone(),
            epoch: at.epoch,
            step: self.checkpoint.step,
            lr: at.lr,
            train: means,
            evaluation,
            seconds: (seconds * 1e3).round() / 1e3,
        };
        self.log.append(&epoch)?;
        observer.epoch_done(&epoch);
        Ok(())
    }

    /// Notes an evaluation and says whether it is the best so far.
    fn take_evaluation(&mut self, plan: &Plan, at: StepContext, metrics: &Metrics) -> bool {
        let here = &mut *self.checkpoint;
        here.last.clone_from(metrics);
        let Some(selection) = &plan.selection else {
            return false;
        };
        let Some(&value) = metrics.get(&selection.metric) else {
            return false;
        };
        let better = here.best.as_ref().is_none_or(|best| {
            if selection.higher_is_better {
                value > best.value
            } else {
                value < best.value
            }
        });
        if better {
            here.best = Some(Best {
                value,
                epoch: at.epoch,
                metrics: metrics.clone(),
            });
            here.evaluations_without_better = 0;
        } else {
            here.evaluations_without_better += 1;
            here.stopped_early = plan
                .patience
                .is_some_and(|patience| here.evaluations_without_better >= patience);
        }
        better
    }

    fn write_checkpoint(&mut self, phase: &dyn Phase) -> Result<()> {
        self.note_time()?;
        let state = phase.state();
        self.folder.write_checkpoint(self.checkpoint, Some(state))
    }

    /// Notes the time so far and the log in the checkpoint.
    fn note_time(&mut self) -> Result<()> {
        self.checkpoint.seconds += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.log.sync_into(self.checkpoint)
    }

    /// Keeps the last result and moves the checkpoint on to the next phase. The state of the only phase of a
    /// run is kept, so that it can be trained for longer.
    fn finish(self, phase: &dyn Phase, is_only: bool) -> Result<PhaseOutcome> {
        let here = self.checkpoint;
        let mut files = std::mem::take(&mut here.files);
        files.extend([self
            .folder
            .keep(&here.phase, Snapshot::Last, &phase.result())?]);
        // Should the process end here, the phase is finished again.
        for (name, tensors) in phase.artifacts()? {
            let file = self.folder.path().join(format!("{name}.safetensors"));
            write_tensors(&file, &tensors)?;
            files.extend([self.folder.hashed(&file)?]);
        }
        let outcome = PhaseOutcome {
            phase: here.phase.clone(),
            steps: here.step,
            epochs: here.step.div_ceil(phase.plan().steps_per_epoch.max(1)),
            skipped: false,
            last: std::mem::take(&mut here.last),
            best: here.best.take(),
            seconds: here.seconds + self.since.elapsed().as_secs_f64(),
        };
        let mut finished = std::mem::take(&mut here.finished);
        finished.push(outcome.clone());
        *here = Checkpoint {
            phase_index: here.phase_index + 1,
            finished,
            files,
            ..Checkpoint::default()
        };
        self.log.sync_into(here)?;
        let state = is_only.then(|| phase.state());
        self.folder.write_checkpoint(here, state)?;
        Ok(outcome)
    }
}
