//! The runner: resume, interruption, divergence, selection, what a run folder holds.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::TwoPhases;
use burn::tensor::Device;
use kd_core::{
    Dataset, Error, ErrorKind, ImageShape, Loader, LoaderConfig, LossTerms, Method, Metrics,
    Observer, OptimizerConfig, Phase, PhaseOutcome, PhaseState, Plan, Result, RunFolder, Runner,
    Schedule, Snapshot, Split, StepContext, Tensors, Training,
};

/// Turns the stop flag on after so many steps, counted over both phases.
struct StopAfter<'a> {
    steps: usize,
    flag: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

fn open(path: &Path) -> RunFolder {
    if path.join("recipe.toml").exists() {
        RunFolder::open(path).unwrap()
    } else {
        let folder = RunFolder::create(path).unwrap();
        folder.write("recipe.toml", b"").unwrap();
        folder
    }
}

/// Runs to the end, interrupted after each of `stops` steps.
fn run(path: &Path, method: &TwoPhases, stops: &[usize]) -> Vec<PhaseOutcome> {
    for &steps in stops {
        let flag = AtomicBool::new(false);
        let folder = open(path);
        let mut observer = StopAfter { steps, flag: &flag };
        let error = Runner::new(&folder, &flag)
            .run(method, &mut observer)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert!(
            error.to_string().starts_with("interrupted at step "),
            "{error}"
        );
    }
    Runner::new(&open(path), &AtomicBool::new(false))
        .run(method, &mut ())
        .unwrap()
}

fn results(path: &Path) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for phase in ["first", "second"] {
        for kept in ["best", "last"] {
            all.push(
                std::fs::read(path.join(format!("phases/{phase}/{kept}.safetensors"))).unwrap(),
            );
        }
    }
    all
}

/// The log without its clock.
fn log(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| line.split(",\"seconds\"").next().unwrap().to_owned())
        .collect()
}

fn trainings() -> Vec<Training> {
    let base = || TwoPhases::new().training;
    let mut sgd = base();
    sgd.clip_norm = Some(0.5);
    sgd.schedule = Schedule::one_cycle();
    let mut adam = base();
    adam.optimizer = OptimizerConfig::adam();
    adam.lr = 0.01;
    adam.clip_value = Some(0.1);
    adam.checkpoint_every = Some(2);
    adam.schedule = Schedule::Cosine { final_lr: 0.0 };
    let mut adamw = base();
    adamw.optimizer = OptimizerConfig::Adamw {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.1,
    };
    adamw.lr = 0.01;
    adamw.eval_every = 2;
    vec![sgd, adam, adamw]
}

#[test]
fn an_interrupted_run_ends_in_the_same_bytes_as_an_undisturbed_one() {
    for training in trainings() {
        let method = TwoPhases {
            training,
            ..TwoPhases::new()
        };
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = run(whole.path(), &method, &[]);
        let got = run(parts.path(), &method, &[1, 3, 4, 9, 11, 2]);
        assert_eq!(results(whole.path()), results(parts.path()));
        assert_eq!(log(whole.path()), log(parts.path()));
        for (a, b) in expected.iter().zip(&got) {
            assert_eq!(
                (&a.phase, a.steps, a.epochs, &a.last, &a.best),
                (&b.phase, b.steps, b.epochs, &b.last, &b.best)
            );
        }
    }
}

/// A process that dies leaves the last checkpoint and whatever it wrote after it; here that state is made by
/// copying the folder at every step.
#[test]
fn a_run_killed_at_any_step_goes_on_from_its_last_checkpoint() {
    struct Copy<'a> {
        from: &'a Path,
        to: Vec<tempfile::TempDir>,
    }
    impl Observer for Copy<'_> {
        fn step_done(&mut self, _at: StepContext, _losses: Option<&Metrics>) {
            let to = tempfile::tempdir().unwrap();
            copy(self.from, to.path());
            std::fs::write(to.path().join(".writing-half"), b"half a file").unwrap();
            self.to.push(to);
        }
    }
    let method = TwoPhases::new();
    let whole = tempfile::tempdir().unwrap();
    let mut observer = Copy {
        from: whole.path(),
        to: Vec::new(),
    };
    Runner::new(&open(whole.path()), &AtomicBool::new(false))
        .run(&method, &mut observer)
        .unwrap();
    assert_eq!(observer.to.len(), 46);
    for killed in observer.to.iter().step_by(5) {
        run(killed.path(), &method, &[]);
        assert_eq!(results(whole.path()), results(killed.path()));
        assert_eq!(log(whole.path()), log(killed.path()));
        let left: Vec<_> = std::fs::read_dir(killed.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('.') || name.starts_with("checkpoint-"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_loss_that_is_not_finite_names_its_term_its_step_and_the_checkpoint() {
    let method = TwoPhases {
        poison_at: Some(13),
        ..TwoPhases::new()
    };
    let path = tempfile::tempdir().unwrap();
    let folder = open(path.path());
    let error = Runner::new(&folder, &AtomicBool::new(false))
        .run(&method, &mut ())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let text = error
        .to_string()
        .replace(&path.path().display().to_string(), "RUN");
    assert_eq!(
        text,
        "phase `second`: loss term `cross_entropy` became NaN at step 13 (epoch 2); the last checkpoint in \
         `RUN` is from before that; start a new run with a lower `train.lr` or with `train.clip_norm`"
    );
    // The checkpoint is the one before the poison, and the run can go on from it once the cause is gone.
    drop(folder);
    let healed = run(path.path(), &TwoPhases::new(), &[]);
    assert_eq!(healed.len(), 2);
}

#[test]
fn training_learns_and_the_best_is_kept_apart_from_the_last() {
    let path = tempfile::tempdir().unwrap();
    let mut method = TwoPhases {
        steps_per_epoch: 40,
        ..TwoPhases::new()
    };
    method.training.steps = Some(230);
    let outcomes = run(path.path(), &method, &[]);
    let best = outcomes[0].best.as_ref().unwrap();
    assert!(best.value >= outcomes[0].last["accuracy"]);
    assert!(best.value > 0.7, "{outcomes:?}");
    let folder = RunFolder::open(path.path()).unwrap();
    assert!(folder.result("first", Snapshot::Best).is_ok());
    assert_eq!(outcomes[0].epochs, 6);
    let lines = log(path.path());
    assert_eq!(lines.len(), 12);
    assert!(
        lines[0].starts_with(
            "{\"phase\":\"first\",\"epoch\":0,\"step\":40,\"lr\":0.05,\"train\":{\"cross_entropy\":"
        ),
        "{}",
        lines[0]
    );
}

#[test]
fn patience_stops_a_phase_early() {
    let mut method = TwoPhases::new();
    method.training.steps = Some(400);
    method.training.patience = Some(2);
    let path = tempfile::tempdir().unwrap();
    let outcomes = run(path.path(), &method, &[]);
    assert!(outcomes[0].steps < 400, "{outcomes:?}");
    assert_eq!(
        outcomes[0].epochs - 1 - outcomes[0].best.as_ref().unwrap().epoch,
        2
    );
}

#[test]
fn folders_that_cannot_be_used_are_refused_in_words() {
    let path = tempfile::tempdir().unwrap();
    let error = RunFolder::open(path.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let error = error.to_string();
    assert!(
        error.contains("is no run folder, `recipe.toml` is not in it"),
        "{error}"
    );
    // What a process leaves that is killed before it has written the recipe.
    drop(RunFolder::create(path.path()).unwrap());
    std::fs::write(path.path().join("inputs.json"), b"{}").unwrap();
    std::fs::write(path.path().join(".writing-half"), b"seed").unwrap();
    let held = open(path.path());
    let error = RunFolder::open(path.path()).unwrap_err().to_string();
    assert!(error.contains("is in use by another process"), "{error}");
    drop(held);
    let error = RunFolder::create(path.path()).unwrap_err().to_string();
    assert!(error.ends_with("is not empty"), "{error}");
}

#[test]
fn a_damaged_or_foreign_checkpoint_is_refused() {
    let method = TwoPhases::new();
    let path = tempfile::tempdir().unwrap();
    let flag = AtomicBool::new(false);
    let mut observer = StopAfter {
        steps: 7,
        flag: &flag,
    };
    let error = Runner::new(&open(path.path()), &flag)
        .run(&method, &mut observer)
        .unwrap_err();
    assert!(
        matches!(error, Error::Interrupted { step: 8, .. }),
        "{error}"
    );

    let tensors = path.path().join("checkpoint-0-8.safetensors");
    let good = std::fs::read(&tensors).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&tensors, bad).unwrap();
    let flag = AtomicBool::new(false);
    let error = Runner::new(&open(path.path()), &flag)
        .run(&method, &mut ())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("its SHA-256 is not the one in checkpoint.json"),
        "{error}"
    );
    std::fs::write(&tensors, good).unwrap();

    let json = path.path().join("checkpoint.json");
    let text = std::fs::read_to_string(&json).unwrap();
    std::fs::write(&json, text.replace("\"format\": 2", "\"format\": 99")).unwrap();
    let error = Runner::new(&open(path.path()), &flag)
        .run(&method, &mut ())
        .unwrap_err();
    assert!(error.to_string().contains("its format is 99"), "{error}");
}

/// [`TwoPhases`] whose evaluations go through a loader; one of them turns a flag on under way.
struct Looking<'a> {
    inner: TwoPhases,
    loader: Loader,
    stop: &'a AtomicBool,
    /// The evaluation that does it, from 0.
    stops_at: usize,
    evaluations: AtomicUsize,
    batches: AtomicUsize,
}

impl<'a> Looking<'a> {
    fn new(stop: &'a AtomicBool, stops_at: usize) -> Self {
        let shape = ImageShape::new(1, 1, 1);
        let data = Dataset::new("dots", Split::Test, shape, 2, vec![9; 64], vec![0; 64]).unwrap();
        let loader = Loader::new(data, LoaderConfig::ordered(4), &Device::flex()).unwrap();
        Self {
            inner: TwoPhases::new(),
            loader,
            stop,
            stops_at,
            evaluations: AtomicUsize::new(0),
            batches: AtomicUsize::new(0),
        }
    }
}

impl Method for Looking<'_> {
    fn phases(&self) -> Vec<String> {
        self.inner.phases()
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let phase = self.inner.start(index, earlier)?;
        Ok(Box::new(LookingPhase {
            phase,
            method: self,
        }))
    }
}

struct LookingPhase<'a> {
    phase: Box<dyn Phase + 'a>,
    method: &'a Looking<'a>,
}

impl Phase for LookingPhase<'_> {
    fn plan(&self) -> &Plan {
        self.phase.plan()
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.phase.step(at)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let Looking {
            evaluations,
            batches,
            ..
        } = self.method;
        let number = evaluations.fetch_add(1, Ordering::Relaxed);
        for (at, batch) in self.method.loader.epoch(0).enumerate() {
            batch?;
            batches.fetch_add(1, Ordering::Relaxed);
            if number == self.method.stops_at && at == 1 {
                self.method.stop.store(true, Ordering::Relaxed);
                // However busy the machine is, the flag is seen at some time.
                let goes_on = |_: &i32| self.method.loader.batch(0, 0).is_ok();
                for _ in (0..10_000).take_while(goes_on) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
        self.phase.evaluate()
    }

    fn result(&self) -> Tensors {
        self.phase.result()
    }

    fn state(&self) -> PhaseState {
        self.phase.state()
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.phase.restore(state)
    }
}

#[test]
fn a_stop_in_an_evaluation_is_heeded_and_the_epoch_is_not_lost() {
    let whole = tempfile::tempdir().unwrap();
    run(whole.path(), &TwoPhases::new(), &[]);
    // The first evaluation, one in the middle, the last of a phase, and one of the second phase.
    for stops_at in [0, 2, 4, 6] {
        let path = tempfile::tempdir().unwrap();
        let stop = AtomicBool::new(false);
        let method = Looking::new(&stop, stops_at);
        let error = Runner::new(&open(path.path()), &stop)
            .run(&method, &mut ())
            .unwrap_err();
        let epoch = stops_at % 5;
        let step = if epoch == 4 { 23 } else { 5 * (epoch + 1) };
        assert!(
            matches!(&error, Error::Interrupted { run, step: at, .. } if *at == step && run == path.path()),
            "{stops_at}: {error}"
        );
        // Two batches of the evaluation that was stopped, none after.
        assert_eq!(method.batches.load(Ordering::Relaxed), 16 * stops_at + 2);
        let text = std::fs::read_to_string(path.path().join("checkpoint.json")).unwrap();
        assert!(text.contains("\"epoch_is_open\": true"), "{text}");

        let stop = AtomicBool::new(false);
        let method = Looking::new(&stop, usize::MAX);
        Runner::new(&open(path.path()), &stop)
            .run(&method, &mut ())
            .unwrap();
        // What was trained is not trained again: as many evaluations as were missing, the one that was
        // stopped among them.
        assert_eq!(method.evaluations.load(Ordering::Relaxed), 10 - stops_at);
        assert_eq!(results(whole.path()), results(path.path()));
        assert_eq!(log(whole.path()), log(path.path()));
    }
}

#[test]
fn a_byte_that_was_changed_in_any_file_that_is_gone_on_from_is_named() {
    let method = TwoPhases::new();
    let path = tempfile::tempdir().unwrap();
    let flag = AtomicBool::new(false);
    let mut observer = StopAfter {
        steps: 30,
        flag: &flag,
    };
    let stopped = Runner::new(&open(path.path()), &flag).run(&method, &mut observer);
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    let goes_on = || Runner::new(&open(path.path()), &AtomicBool::new(false)).run(&method, &mut ());
    for name in [
        "phases/first/best.safetensors",
        "phases/first/last.safetensors",
        "phases/second/best.safetensors",
        "checkpoint.json",
        "metrics.jsonl",
    ] {
        let file = path.path().join(name);
        let good = std::fs::read(&file).unwrap();
        for at in [good.len() / 3, good.len() / 2, good.len() - 30] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&file, bad).unwrap();
            let error = goes_on().unwrap_err();
            let base = name.rsplit('/').next().unwrap();
            assert!(
                error.to_string().contains(base),
                "{name}, byte {at}: {error}"
            );
            assert_eq!(error.kind(), ErrorKind::Input, "{name}, byte {at}: {error}");
        }
        std::fs::remove_file(&file).unwrap();
        match name {
            // Nothing is computed from the log, and without a checkpoint a run begins anew.
            "metrics.jsonl" | "checkpoint.json" => {}
            _ => {
                let error = goes_on().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Input, "{name}: {error}");
            }
        }
        std::fs::write(&file, good).unwrap();
    }
    goes_on().unwrap();
}
