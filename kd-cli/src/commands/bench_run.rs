//! `kd bench-run`: one run of a campaign, in a process of its own. It talks to `kd bench`, an object a line.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kd_core::{Error, Metrics, Observer, Plan, Result, RunFolder, StepContext};

use super::{set_threads, stop_on_interrupt};
use crate::args::RecipeOptions;
use crate::campaign::{Heard, Plan as RunPlan};
use crate::job::{Job, outcome};
use crate::method::Methods;
use crate::output;

pub(super) fn run(methods: &Methods, options: &RecipeOptions) -> Result<()> {
    let machine = &options.run.machine;
    set_threads(machine)?;
    let stop = stop_on_interrupt()?;
    stop_with_parent(&stop);
    let path = &options.recipe;
    let out = options
        .run
        .out
        .as_deref()
        .ok_or_else(|| Error::config("--out", "is missing"))?;
    let data_dir = machine.place.data_dir.as_deref();
    if !options.dry_run && out.join("recipe.toml").is_file() {
        let folder = RunFolder::open(out)?;
        if outcome(out)?.is_some() {
            return Ok(());
        }
        let job = Job::reopen(methods, &folder, machine.device, data_dir)?;
        return go(&job, &folder, &stop);
    }
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut overrides = options.overrides.clone();
    overrides.extend(options.seed.map(|seed| format!("seed={seed}")));
    let recipe = methods.read(&path.display().to_string(), &text, &overrides, None)?;
    let job = Job::prepare(recipe, machine.device, data_dir)?;
    if options.dry_run {
        output::json(&plan(&job)?);
        return Ok(());
    }
    if stop.load(Ordering::Relaxed) {
        return Err(interrupted(out));
    }
    let folder = job.begin(out)?;
    go(&job, &folder, &stop)
}

fn go(job: &Job, folder: &RunFolder, stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(interrupted(folder.path()));
    }
    job.run(folder, stop, &mut Teller::default()).map(drop)
}

fn interrupted(run: &Path) -> Error {
    Error::Interrupted {
        run: run.to_owned(),
        phase: "preparation".into(),
        step: 0,
    }
}

/// What the run would be made from.
fn plan(job: &Job) -> Result<RunPlan> {
    let parameters = match job.spec() {
        Some(spec) => {
            let costs = spec.costs(job.device())?;
            Some(costs.params())
        }
        None => None,
    };
    Ok(RunPlan {
        recipe: job.recipe().resolved()?,
        inputs: job.inputs().clone(),
        network: job.spec().map(|spec| spec.name.clone()),
        parameters,
        extra_parameters: job.extra_parameters() as u64,
    })
}

/// Standard input ends when the campaign stops, or is no more. Whoever starts this by hand from a terminal ends it with
/// Ctrl-D.
fn stop_with_parent(stop: &Arc<AtomicBool>) {
    let flag = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut input = std::io::stdin();
        let mut piece = [0; 64];
        loop {
            match input.read(&mut piece) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        flag.store(true, Ordering::Relaxed);
    });
}

/// Tells the campaign how far the run is, a few times a second.
#[derive(Debug, Default)]
struct Teller {
    phase: String,
    steps: usize,
    said: Option<Instant>,
}

impl Observer for Teller {
    fn phase_started(&mut self, phase: &str, plan: &Plan, _step: usize) {
        phase.clone_into(&mut self.phase);
        self.steps = plan.total_steps;
        self.said = None;
    }

    fn step_done(&mut self, at: StepContext, _losses: Option<&Metrics>) {
        let recent = |said: Instant| said.elapsed() < Duration::from_millis(250);
        if self.said.is_some_and(recent) {
            return;
        }
        self.said = Some(Instant::now());
        output::json(&Heard {
            phase: self.phase.clone(),
            step: at.step + 1,
            steps: self.steps,
        });
    }
}
