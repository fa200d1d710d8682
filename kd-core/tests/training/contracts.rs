//! A small method with everything that the contracts allow: two networks in one phase with an optimizer each,
//! a phase that is skipped, a phase without steps, methods in a sequence.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use kd_core::testing::{run, same_run, stopped_at_every_step, tensor_files};
use kd_core::{
    Error, LossTerms, Method, Metrics, NamedGradients, Names, OptimizerConfig, Phase, PhaseState,
    Plan, Result, RunFolder, Selection, Sequence, Snapshot, StepContext, Tensors, Trained,
    Training, change_parameters, export, import,
};

use crate::support::{Small, TwoPhases, accuracy, loss};

/// Two networks that learn the same, each with an optimizer of its own; the second one also has an average
/// that follows it.
struct Pair<'a> {
    first: Trained<Small>,
    second: Trained<Small>,
    average: Small,
    plan: &'a Plan,
}

const DECAY: f64 = 0.75;

impl Pair<'_> {
    /// Moves the average a part of the way towards the second network, parameters and statistics alike.
    fn follow(&mut self) {
        let target = export(self.second.network(), Names::Burn);
        let device = Device::flex();
        let average = self.average.clone();
        self.average = change_parameters(average, |path, old| {
            let values: Vec<f32> = target[path].iter::<f32>().collect();
            let new = Tensor::<1>::from_floats(values.as_slice(), &device);
            Some(old.mul_scalar(DECAY) + new.mul_scalar(1.0 - DECAY))
        });
    }
}

impl Phase for Pair<'_> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let own = loss(self.first.network(), 0, at.step);
        let other = loss(self.second.network(), 7, at.step);
        let total = own + other.mul_scalar(0.5);
        let mut raw = total.clone().backward();
        let mut gradients = NamedGradients::new();
        self.first.collect(&mut gradients, &mut raw);
        self.second.collect(&mut gradients, &mut raw);
        let of_second = gradients.split_off(|path| path.starts_with("second."));
        assert!(gradients.paths().all(|path| path.starts_with("first.")));
        assert_eq!(of_second.paths().count(), gradients.paths().count());
        self.first.step(at, &gradients);
        self.second.step(at, &of_second);
        self.follow();
        Ok(vec![("total".into(), total.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        Ok(BTreeMap::from([
            ("accuracy".to_owned(), accuracy(&self.first.valid(), 0)),
            ("average_accuracy".to_owned(), accuracy(&self.average, 0)),
        ]))
    }

    fn result(&self) -> Tensors {
        let parts = [
            ("first", self.first.result()),
            ("average", export(&self.average, Names::PyTorch)),
        ];
        let named = parts.into_iter().flat_map(|(part, tensors)| {
            let named = tensors.into_iter();
            named.map(move |(name, data)| (format!("{part}/{name}"), data))
        });
        named.collect()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.first.put(&mut state);
        self.second.put(&mut state);
        state.put("average", export(&self.average, Names::Burn));
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.first.restore(state)?;
        self.second.restore(state)?;
        self.average = import(
            &self.average,
            &state.part("average"),
            Names::Burn,
            "checkpoint",
        )?;
        Ok(())
    }
}

/// Evaluates a result of the phase before and keeps it.
struct Kept {
    network: Small,
    plan: Plan,
}

impl Phase for Kept {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, _at: StepContext) -> Result<LossTerms> {
        Err(Error::config("steps", "are none in this phase"))
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        Ok(BTreeMap::from([(
            "accuracy".to_owned(),
            accuracy(&self.network, 0),
        )]))
    }

    fn result(&self) -> Tensors {
        export(&self.network, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        PhaseState::default()
    }

    fn restore(&mut self, _state: &PhaseState) -> Result<()> {
        Ok(())
    }
}

/// Phases: a pair; the same again, left out unless asked for; its average, evaluated and kept.
struct Everything {
    plan: Plan,
    again: bool,
}

impl Everything {
    fn new(again: bool) -> Self {
        let mut training = Training::default();
        training.steps = Some(7);
        let plan = training.plan(3, Some(Selection::highest("accuracy")));
        let plan = plan.unwrap();
        Self { plan, again }
    }
}

impl Method for Everything {
    fn phases(&self) -> Vec<String> {
        ["pair", "again", "average"].map(str::to_owned).to_vec()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        let trained = index == 1 && earlier.result("pair", Snapshot::Last).is_ok();
        Ok(trained && !self.again)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let device = Device::flex().autodiff();
        if index == 2 {
            let from = if self.again { "again" } else { "pair" };
            let all = earlier.result(from, Snapshot::Last)?;
            let part = all
                .into_iter()
                .filter_map(|(name, data)| Some((name.strip_prefix("average/")?.to_owned(), data)));
            let network = import(
                &Small::new(&Device::flex()),
                &part.collect(),
                Names::PyTorch,
                "average",
            )?;
            let plan = Plan::no_steps(Some(Selection::highest("accuracy")));
            return Ok(Box::new(Kept { network, plan }));
        }
        Ok(Box::new(Pair {
            first: Trained::new("first", Small::new(&device), OptimizerConfig::adam())?,
            second: Trained::new("second", Small::new(&device), OptimizerConfig::default())?,
            average: Small::new(&Device::flex()),
            plan: &self.plan,
        }))
    }
}

#[test]
fn a_method_with_everything_goes_on_as_if_it_had_not_been_stopped() {
    stopped_at_every_step(|| Everything::new(false)).unwrap();
    stopped_at_every_step(|| Everything::new(true)).unwrap();
}

#[test]
fn a_skipped_phase_has_no_result_and_one_without_steps_is_evaluated_once() {
    let folder = tempfile::tempdir().unwrap();
    let outcomes = run(&Everything::new(false), folder.path()).unwrap();
    let [pair, again, average] = outcomes.try_into().unwrap();
    assert!(!pair.skipped && again.skipped && !average.skipped);
    assert_eq!(
        (again.steps, again.last.len(), average.steps, average.epochs),
        (0, 0, 0, 0)
    );
    assert!(pair.last["average_accuracy"].to_bits() == average.last["accuracy"].to_bits());
    assert_eq!(average.best.unwrap().metrics, average.last);
    let files: Vec<String> = tensor_files(folder.path()).unwrap().into_keys().collect();
    let expected = ["average/best", "average/last", "pair/best", "pair/last"];
    assert_eq!(
        files,
        expected.map(|file| format!("phases/{file}.safetensors"))
    );
    // A run that is done is left as it is.
    assert_eq!(
        run(&Everything::new(false), folder.path()).unwrap().len(),
        3
    );
}

#[test]
fn networks_of_a_phase_have_states_of_their_own() {
    let everything = Everything::new(false);
    let folder = tempfile::tempdir().unwrap();
    let run = kd_core::testing::run_folder(folder.path()).unwrap();
    let mut phase = everything.start(0, &run).unwrap();
    let at = |step| StepContext {
        step,
        epoch: 0,
        step_in_epoch: step,
        lr: 0.05,
        momentum: None,
    };
    phase.step(at(0)).unwrap();
    let state = phase.state();
    let (first, second) = (state.part("first"), state.part("second"));
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        second.keys().collect::<Vec<_>>()
    );
    assert_ne!(first["fc.weight"], second["fc.weight"]);
    assert!(
        state
            .tensors
            .contains_key("first-optimizer/first.fc.weight#second")
    );
    assert!(
        !state
            .tensors
            .contains_key("second-optimizer/second.fc.weight#second")
    );
    // The average has gone a quarter of the way.
    let start = export(&Small::new(&Device::flex()), Names::Burn);
    let value = |tensors: &Tensors| tensors["fc.bias"].iter::<f64>().next().unwrap();
    let expected = DECAY * value(&start) + (1.0 - DECAY) * value(&second);
    assert!((value(&state.part("average")) - expected).abs() < 1e-7);
}

/// Two methods, the second of which is made of the result of the first.
fn sequence<'a>() -> Sequence<'a> {
    Sequence::new().then("one", TwoPhases::new()).then_made(
        "two",
        ["pair", "again", "average"],
        |run| {
            run.result("one.second", Snapshot::Best)?;
            Ok(Box::new(Everything::new(false)))
        },
    )
}

#[test]
fn methods_in_a_sequence_do_what_each_does_alone() {
    stopped_at_every_step(sequence).unwrap();
    let (whole, alone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outcomes = run(&sequence(), whole.path()).unwrap();
    let names: Vec<&str> = outcomes
        .iter()
        .map(|outcome| outcome.phase.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "one.first",
            "one.second",
            "two.pair",
            "two.again",
            "two.average"
        ]
    );
    run(&TwoPhases::new(), alone.path()).unwrap();
    let (whole, alone) = (
        tensor_files(whole.path()).unwrap(),
        tensor_files(alone.path()).unwrap(),
    );
    for (file, bytes) in &alone {
        let inside = file.replace("phases/", "phases/one.");
        assert!(whole[&inside] == *bytes, "{file}");
    }
}

#[test]
fn a_sequence_whose_stated_phases_are_not_those_of_its_method_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wrong =
        Sequence::new().then_made("two", ["pear"], |_| Ok(Box::new(Everything::new(false))));
    let error = run(&wrong, folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("`two` has phases [\"pair\""), "{error}");
}

#[test]
fn runs_that_differ_are_told_apart() {
    let folders = [false, true].map(|again| {
        let folder = tempfile::tempdir().unwrap();
        run(&Everything::new(again), folder.path()).unwrap();
        folder
    });
    let error = same_run(folders[0].path(), folders[1].path())
        .unwrap_err()
        .to_string();
    assert!(error.contains("has files"), "{error}");
    let file = folders[1].path().join("phases/pair/last.safetensors");
    let same = tempfile::tempdir().unwrap();
    run(&Everything::new(true), same.path()).unwrap();
    same_run(folders[1].path(), same.path()).unwrap();
    std::fs::write(&file, b"other").unwrap();
    let error = same_run(folders[1].path(), same.path())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("other bytes in `phases/pair/last.safetensors`"),
        "{error}"
    );
}
