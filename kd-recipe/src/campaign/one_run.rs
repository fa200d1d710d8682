//! One run of a campaign: what is asked for, how far it is, how it ends; and how it is made where it is asked
//! for.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kd_core::{
    Costs, DeviceName, Error, ErrorKind, Metrics, Observer, Plan, Result, RunFolder, StepContext,
};
use serde::{Deserialize, Serialize};

use crate::campaign::run_plan::RunPlan;
use crate::error_text::with_causes;
use crate::machine::Machine;
use crate::methods::Methods;
use crate::outcome::Outcome;
use crate::prepared_run::PreparedRun;

/// A run that is asked for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunRequest {
    /// The recipe.
    pub recipe: PathBuf,
    /// What is put over it.
    pub overrides: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The folder of the run; one that was begun is gone on with.
    pub folder: PathBuf,
    /// The device, in place of the recipe's.
    pub device: Option<DeviceName>,
    /// Threads of a process on the CPU, if not as many as there are cores.
    pub threads: Option<u16>,
    /// The folder that is searched first for data sets.
    pub data_dir: Option<PathBuf>,
    /// Whether only the plan of the run is asked for.
    pub plan_only: bool,
}

impl RunRequest {
    /// The run of a recipe in a folder, on the usual device.
    pub fn new(recipe: impl Into<PathBuf>, seed: u64, folder: impl Into<PathBuf>) -> Self {
        Self {
            recipe: recipe.into(),
            overrides: Vec::new(),
            seed,
            folder: folder.into(),
            device: None,
            threads: None,
            data_dir: None,
            plan_only: false,
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunProgress {
    /// The phase.
    pub phase: String,
    /// Steps done in the phase.
    pub step: usize,
    /// Steps of the phase.
    pub steps: usize,
}

/// How a run, or the making of its plan, has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunEnding {
    /// The plan was made.
    Planned(Box<RunPlan>),
    /// The run is done.
    Done,
    /// It was stopped and can go on.
    Interrupted,
    /// A loss was not finite any more.
    Diverged(String),
    /// The recipe is wrong.
    Refused(String),
    /// An input is missing or cannot be read.
    NoInput(String),
    /// Anything else.
    Failed(String),
}

impl RunEnding {
    /// The ending that an error is.
    pub fn of(error: &Error) -> Self {
        let text = with_causes(error);
        match error.kind() {
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Diverged => Self::Diverged(text),
            ErrorKind::Usage => Self::Refused(text),
            ErrorKind::Input => Self::NoInput(text),
            ErrorKind::Failed => Self::Failed(text),
        }
    }
}

/// A way to make runs: in this process, or each in one of its own.
pub trait StartRun: Debug + Sync {
    /// Makes a run, or goes on with it, or only makes its plan; ends soon after `stop` turns true. Paths of
    /// the request that are not absolute begin in `folder`. How far it is goes to `heard`.
    ///
    /// # Errors
    ///
    /// If it cannot be started at all; whatever goes wrong with the run is a [`RunEnding`].
    fn start(
        &self,
        request: &RunRequest,
        folder: &Path,
        stop: &AtomicBool,
        heard: &mut dyn FnMut(&RunProgress),
    ) -> Result<RunEnding>;
}

/// Makes the run of a request in this process, with methods of `methods`, and says how far it is a few times
/// a second.
///
/// # Errors
///
/// Whatever goes wrong with the run.
pub(crate) fn make_run(
    methods: &Methods,
    request: &RunRequest,
    machine: &Machine,
    stop: &AtomicBool,
    heard: &mut dyn FnMut(&RunProgress),
) -> Result<RunEnding> {
    let machine = machine
        .clone()
        .with_device(request.device)
        .with_data_dir(request.data_dir.clone());
    let out = request.folder.as_path();
    if !request.plan_only && out.join("recipe.toml").is_file() {
        let folder = RunFolder::open(out)?;
        if Outcome::read(out)?.is_some() {
            return Ok(RunEnding::Done);
        }
        let run = PreparedRun::reopen(methods, &folder, &machine)?;
        return go(&run, &folder, stop, heard);
    }
    let mut overrides = request.overrides.clone();
    overrides.push(format!("seed={}", request.seed));
    let run = methods
        .read_file(&request.recipe, &overrides)?
        .prepare(&machine)?;
    if request.plan_only {
        return Ok(RunEnding::Planned(Box::new(plan(&run)?)));
    }
    not_stopped(out, stop)?;
    let folder = run.begin(out)?;
    go(&run, &folder, stop, heard)
}

fn go(
    run: &PreparedRun,
    folder: &RunFolder,
    stop: &AtomicBool,
    heard: &mut dyn FnMut(&RunProgress),
) -> Result<RunEnding> {
    not_stopped(folder.path(), stop)?;
    let mut teller = Teller {
        heard,
        phase: String::new(),
        steps: 0,
        told: None,
    };
    run.run(folder, stop, &mut teller)?;
    Ok(RunEnding::Done)
}

fn not_stopped(run: &Path, stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted {
            run: run.to_owned(),
            phase: "preparation".into(),
            step: 0,
        });
    }
    Ok(())
}

/// What the run would be made from.
fn plan(run: &PreparedRun) -> Result<RunPlan> {
    let costs = run.costs().transpose()?;
    Ok(RunPlan {
        recipe: run.recipe().resolved()?,
        inputs: run.inputs().sha256.clone(),
        network: run.spec().map(|spec| spec.name.clone()),
        parameters: costs.as_ref().map(Costs::params),
        extra_parameters: run.extra_parameters() as u64,
        macs: costs.as_ref().map(Costs::macs),
        largest_part_macs: run.largest_part_macs(),
        step_macs: run.step_macs(),
    })
}

/// Tells how far a run is, a few times a second.
struct Teller<'a> {
    heard: &'a mut dyn FnMut(&RunProgress),
    phase: String,
    steps: usize,
    told: Option<Instant>,
}

impl Observer for Teller<'_> {
    fn phase_started(&mut self, phase: &str, plan: &Plan, _step: usize) {
        phase.clone_into(&mut self.phase);
        self.steps = plan.total_steps;
        self.told = None;
    }

    fn step_done(&mut self, at: StepContext, _losses: Option<&Metrics>) {
        let recent = |told: Instant| told.elapsed() < Duration::from_millis(250);
        if self.told.is_some_and(recent) {
            return;
        }
        self.told = Some(Instant::now());
        (self.heard)(&RunProgress {
            phase: self.phase.clone(),
            step: at.step + 1,
            steps: self.steps,
        });
    }
}
