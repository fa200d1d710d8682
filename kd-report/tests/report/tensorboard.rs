//! Event files: what a run writes is read back, a resumed run has no step twice, failures do not stop a run.
//!
//! Once by hand: `pip install tensorboard`, then `python3 tests/read_events.py RUN` prints what TensorBoard
//! itself reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{EpochLog, LearningRate, Metrics, Observer, Plan, Schedule, StepContext};
use kd_report::TensorBoard;
use tfrecord::protobuf::event::What;
use tfrecord::protobuf::summary::value::Value;
use tfrecord::{EventIter, RecordReaderConfig};

type Scalars = BTreeMap<String, Vec<(i64, f32)>>;

fn files(run: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run.join("tensorboard")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The only event file of a run: its scalars by tag, after checking its first record.
fn read(run: &Path) -> Scalars {
    let files = files(run);
    assert_eq!(files.len(), 1, "{files:?}");
    let config = RecordReaderConfig {
        check_integrity: true,
    };
    let mut events = EventIter::open(&files[0], config).unwrap();
    let first = events.next().unwrap().unwrap();
    assert_eq!(first.what, Some(What::FileVersion("brain.Event:2".into())));
    let mut scalars = Scalars::new();
    for event in events {
        let event = event.unwrap();
        assert!(event.wall_time > 1e9);
        let Some(What::Summary(summary)) = event.what else {
            continue;
        };
        for value in summary.value {
            if let Some(Value::SimpleValue(scalar)) = value.value {
                scalars
                    .entry(value.tag)
                    .or_default()
                    .push((event.step, scalar));
            }
        }
    }
    scalars
}

fn plan() -> Plan {
    Plan {
        total_steps: 8,
        steps_per_epoch: 4,
        eval_every: 1,
        checkpoint_every: None,
        log_every: 2,
        patience: None,
        selection: None,
        lr: LearningRate {
            base: 0.1,
            schedule: Schedule::Constant {},
            warmup_steps: 0,
            total_steps: 8,
            steps_per_epoch: 4,
        },
    }
}

/// Steps `from..to` of a phase as the runner tells of them.
fn steps(log: &mut TensorBoard, phase: &str, from: usize, to: usize) {
    let mut losses = None;
    for step in from..to {
        if step % 2 == 1 {
            losses = Some(Metrics::from([("total".to_owned(), step as f64)]));
        }
        let at = StepContext {
            step,
            epoch: step / 4,
            step_in_epoch: step % 4,
            lr: 0.1,
            momentum: None,
        };
        log.step_done(at, losses.as_ref());
        if step % 4 == 3 {
            log.epoch_done(&epoch(phase, step / 4));
        }
    }
}

fn epoch(phase: &str, epoch: usize) -> EpochLog {
    EpochLog {
        phase: phase.into(),
        epoch,
        step: 4 * (epoch + 1),
        lr: 0.1,
        train: Metrics::from([("total".to_owned(), 1.5)]),
        evaluation: Some(Metrics::from([(
            "accuracy".to_owned(),
            0.25 * (epoch + 1) as f64,
        )])),
        seconds: 1.0,
    }
}

fn log_steps(run: &Path, phase: &str, from: usize, to: usize) {
    let mut log = TensorBoard::new(run);
    log.phase_started(phase, &plan(), from);
    steps(&mut log, phase, from, to);
    log.finish().unwrap();
}

#[test]
fn losses_evaluations_and_rates_are_read_back() {
    let run = tempfile::tempdir().unwrap();
    log_steps(run.path(), "distill", 0, 8);
    let scalars = read(run.path());
    let tags: Vec<&str> = scalars.keys().map(String::as_str).collect();
    assert_eq!(
        tags,
        [
            "distill/epoch",
            "distill/evaluation/accuracy",
            "distill/lr",
            "distill/step/total",
            "distill/train/total"
        ]
    );
    let losses = [(2, 1.0), (4, 3.0), (6, 5.0), (8, 7.0)];
    assert_eq!(scalars["distill/step/total"], losses);
    assert_eq!(
        scalars["distill/evaluation/accuracy"],
        [(4, 0.25), (8, 0.5)]
    );
    assert_eq!(scalars["distill/epoch"], [(4, 1.0), (8, 2.0)]);
    assert_eq!(scalars["distill/lr"], [(4, 0.1), (8, 0.1)]);
}

#[test]
fn a_resumed_run_reads_like_one_that_was_not_interrupted() {
    let whole = tempfile::tempdir().unwrap();
    log_steps(whole.path(), "distill", 0, 8);
    let run = tempfile::tempdir().unwrap();
    // The process was killed at step 7, in the middle of a record, and the checkpoint is of step 4.
    log_steps(run.path(), "distill", 0, 7);
    let file = files(run.path()).remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend([9, 0, 0]);
    // The file of the session before has another name.
    std::fs::remove_file(&file).unwrap();
    let old = file.with_file_name("events.out.tfevents.1000000000.kd");
    std::fs::write(old, bytes).unwrap();
    log_steps(run.path(), "distill", 4, 8);
    assert_eq!(read(run.path()), read(whole.path()));
}

#[test]
fn an_earlier_phase_is_kept_whole() {
    let run = tempfile::tempdir().unwrap();
    log_steps(run.path(), "stage1", 0, 8);
    log_steps(run.path(), "stage2", 0, 4);
    log_steps(run.path(), "stage2", 0, 4);
    let scalars = read(run.path());
    assert_eq!(scalars["stage1/step/total"].len(), 4);
    assert_eq!(scalars["stage2/step/total"], [(2, 1.0), (4, 3.0)]);
}

#[test]
fn epochs_come_from_the_metrics_where_the_event_file_is_lost() {
    let run = tempfile::tempdir().unwrap();
    let line = |number| {
        format!(
            "{}\n",
            serde_json::to_string(&epoch("distill", number)).unwrap()
        )
    };
    let metrics = run.path().join("metrics.jsonl");
    std::fs::write(metrics, format!("{}{}", line(0), line(1))).unwrap();
    log_steps(run.path(), "distill", 4, 8);
    let scalars = read(run.path());
    assert_eq!(
        scalars["distill/evaluation/accuracy"],
        [(4, 0.25), (8, 0.5)]
    );
    assert_eq!(scalars["distill/step/total"], [(6, 5.0), (8, 7.0)]);
}

#[test]
fn damaged_event_files_are_used_up_to_the_damage() {
    let run = tempfile::tempdir().unwrap();
    log_steps(run.path(), "distill", 0, 8);
    let file = files(run.path()).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    for place in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        std::fs::write(&file, damaged).unwrap();
        log_steps(run.path(), "distill", 8, 8);
        for found in files(run.path()) {
            if found != file {
                std::fs::remove_file(found).unwrap();
            }
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_is_reported_at_the_end() {
    let run = tempfile::tempdir().unwrap();
    std::fs::write(run.path().join("tensorboard"), "in the way").unwrap();
    let mut log = TensorBoard::new(run.path());
    log.phase_started("distill", &plan(), 0);
    steps(&mut log, "distill", 0, 4);
    let error = log.finish().unwrap_err().to_string();
    assert!(error.starts_with("cannot create `"), "{error}");
}
