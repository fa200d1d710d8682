//! TensorBoard event files beside `metrics.jsonl`.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use kd_core::{EpochLog, Metrics, Observer, PhaseOutcome, Plan, StepContext, write_atomically};
use tfrecord::protobuf::event::What;
use tfrecord::{Event, EventIter, RecordReaderConfig, RecordWriter, Summary};

use crate::{Error, Result};

/// The folder of the event files in a run folder.
const FOLDER: &str = "tensorboard";
/// The prefix by which TensorBoard knows its files.
const PREFIX: &str = "events.out.tfevents.";
const VERSION: &str = "brain.Event:2";

/// An observer that writes what happens for TensorBoard, into `tensorboard/` in the run folder.
///
/// | tag | when |
/// |---|---|
/// | `PHASE/step/TERM` | each loss, where the losses are read: every `log_every` steps |
/// | `PHASE/train/TERM` | its mean over an epoch |
/// | `PHASE/evaluation/METRIC` | each evaluation |
/// | `PHASE/lr`, `PHASE/epoch` | each epoch |
///
/// The step of a value is the number of steps that the phase has done. A run that goes on begins a new file
/// with what the old ones hold up to its checkpoint, and removes the old ones, so that no step is there
/// twice; where they are missing or damaged, the epochs of `metrics.jsonl` take their place. TensorBoard may
/// watch meanwhile.
///
/// A run does not stop because its log cannot be written: the first failure ends the log, and
/// [`TensorBoard::finish`] gives it.
#[derive(Debug)]
pub struct TensorBoard {
    run: PathBuf,
    phase: String,
    log: Option<Log>,
    /// The losses that were written last: the runner repeats them until it reads others.
    last: Option<Metrics>,
    failure: Option<Error>,
}

impl TensorBoard {
    /// A log in the run folder `run`; nothing is written before a phase begins.
    pub fn new(run: &Path) -> Self {
        Self {
            run: run.to_owned(),
            phase: String::new(),
            log: None,
            last: None,
            failure: None,
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    ///
    /// The first thing that went wrong since the run began.
    pub fn finish(self) -> Result<()> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Does something with the log, unless something has failed before.
    fn with_log(&mut self, act: impl FnOnce(&mut Log, &str) -> Result<()>) {
        if let Some(log) = &mut self.log
            && let Err(error) = act(log, &self.phase)
        {
            self.failure = Some(error);
            self.log = None;
        }
    }
}

impl Observer for TensorBoard {
    fn phase_started(&mut self, phase: &str, _plan: &Plan, step: usize) {
        phase.clone_into(&mut self.phase);
        self.last = None;
        if self.log.is_none() && self.failure.is_none() {
            match Log::begin(&self.run, phase, step) {
                Ok(log) => self.log = Some(log),
                Err(error) => self.failure = Some(error),
            }
        }
    }

    fn step_done(&mut self, at: StepContext, losses: Option<&Metrics>) {
        if losses.is_none() || losses == self.last.as_ref() {
            return;
        }
        self.last = losses.cloned();
        self.with_log(|log, phase| {
            for (term, value) in losses.into_iter().flatten() {
                log.scalar(&format!("{phase}/step/{term}"), at.step + 1, *value)?;
            }
            log.flush()
        });
    }

    fn epoch_done(&mut self, epoch: &EpochLog) {
        self.with_log(|log, _| {
            log.epoch(epoch)?;
            log.flush()
        });
    }

    fn phase_done(&mut self, _outcome: &PhaseOutcome) {
        self.with_log(|log, _| log.flush());
    }
}

/// An event file that is being written.
struct Log {
    path: PathBuf,
    writer: RecordWriter<Event, BufWriter<File>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Begins a file with what is known of the run up to `step` of `phase`.
    fn begin(run: &Path, phase: &str, step: usize) -> Result<Self> {
        let folder = run.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(kd_core::Error::io("create", &folder))?;
        let old = event_files(&folder)?;
        let known = match read(&old, phase, step) {
            known if known.is_empty() => epochs_so_far(run, phase, step),
            known => known,
        };
        let start = Event {
            wall_time: now(),
            step: 0,
            source_metadata: None,
            what: Some(What::FileVersion(VERSION.into())),
        };
        let path = folder.join(format!("{PREFIX}{:010.0}.kd", now().floor()));
        let mut bytes = Vec::new();
        let failed = |error: tfrecord::Error| events_error(&path, &error);
        let mut writer = RecordWriter::from_writer(&mut bytes).map_err(failed)?;
        for event in std::iter::once(start).chain(known) {
            writer.send(event).map_err(failed)?;
        }
        write_atomically(&path, &bytes)?;
        for file in old.iter().filter(|file| **file != path) {
            std::fs::remove_file(file).map_err(kd_core::Error::io("remove", file))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(kd_core::Error::io("write", &path))?;
        let writer = RecordWriter::from_writer(BufWriter::new(file)).map_err(failed)?;
        Ok(Self { path, writer })
    }

    fn epoch(&mut self, epoch: &EpochLog) -> Result<()> {
        for event in epoch_events(epoch) {
            self.send(event)?;
        }
        Ok(())
    }

    fn scalar(&mut self, tag: &str, step: usize, value: f64) -> Result<()> {
        self.send(scalar(tag, step, value))
    }

    fn send(&mut self, event: Event) -> Result<()> {
        let failed = |error| events_error(&self.path, &error);
        self.writer.send(event).map_err(failed)
    }

    fn flush(&mut self) -> Result<()> {
        let failed = |error| events_error(&self.path, &error);
        self.writer.flush().map_err(failed)
    }
}

fn epoch_events(epoch: &EpochLog) -> Vec<Event> {
    let phase = &epoch.phase;
    let mut events = vec![
        scalar(
            &format!("{phase}/epoch"),
            epoch.step,
            (epoch.epoch + 1) as f64,
        ),
        scalar(&format!("{phase}/lr"), epoch.step, epoch.lr),
    ];
    let metrics = epoch.evaluation.iter().flatten();
    let named = epoch
        .train
        .iter()
        .map(|(term, value)| ("train", term, value))
        .chain(metrics.map(|(metric, value)| ("evaluation", metric, value)));
    events.extend(
        named.map(|(kind, name, value)| {
            scalar(&format!("{phase}/{kind}/{name}"), epoch.step, *value)
        }),
    );
    events
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a scalar of an event file has 32 bits"
)]
fn scalar(tag: &str, step: usize, value: f64) -> Event {
    use tfrecord::protobuf::summary::{Value, value};
    let value = Value {
        node_name: String::new(),
        tag: tag.to_owned(),
        metadata: None,
        value: Some(value::Value::SimpleValue(value as f32)),
    };
    Event {
        wall_time: now(),
        step: i64::try_from(step).unwrap_or(i64::MAX),
        source_metadata: None,
        what: Some(What::Summary(Summary { value: vec![value] })),
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// The event files of a folder by name, and so by age.
fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(kd_core::Error::io("read", folder))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(PREFIX))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The scalars of event files that lie before `step` of `phase`, or in another phase, which is then an
/// earlier one.
///
/// A file ends where a killed process has stopped writing, or where it is damaged.
fn read(files: &[PathBuf], phase: &str, step: usize) -> Vec<Event> {
    let config = RecordReaderConfig {
        check_integrity: true,
    };
    let own = format!("{phase}/");
    let is_kept = |event: &Event| match &event.what {
        Some(What::Summary(summary)) => summary.value.iter().all(|value| {
            !value.tag.starts_with(&own) || usize::try_from(event.step).is_ok_and(|at| at <= step)
        }),
        _ => false,
    };
    files
        .iter()
        .filter_map(|file| EventIter::open(file, config.clone()).ok())
        .flat_map(|events| events.map_while(std::result::Result::ok))
        .filter(is_kept)
        .collect()
}

/// The same from `metrics.jsonl`.
fn epochs_so_far(run: &Path, phase: &str, step: usize) -> Vec<Event> {
    let epochs = EpochLog::read_all(run).unwrap_or_default();
    let earlier = |epoch: &EpochLog| epoch.phase != phase || epoch.step <= step;
    epochs
        .iter()
        .filter(|epoch| earlier(epoch))
        .flat_map(epoch_events)
        .collect()
}

fn events_error(path: &Path, error: &tfrecord::Error) -> Error {
    Error::Events {
        path: path.to_owned(),
        problem: error.to_string(),
    }
}
