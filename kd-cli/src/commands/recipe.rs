//! `kd train` and `kd distill`.

use std::path::{Path, PathBuf};

use kd_core::{Error, Result};

use super::{set_threads, stop_on_interrupt};
use crate::args::RecipeOptions;
use crate::job::{Job, Outcome};
use crate::method::{Methods, Verb};
use crate::output::{self, percent};
use crate::progress::Progress;

pub(super) fn run(methods: &Methods, options: &RecipeOptions, verb: Verb) -> Result<()> {
    let machine = &options.run.machine;
    set_threads(machine)?;
    let path = &options.recipe;
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut overrides = options.overrides.clone();
    overrides.extend(options.seed.map(|seed| format!("seed={seed}")));
    let recipe = methods.read(&path.display().to_string(), &text, &overrides, Some(verb))?;
    let job = Job::prepare(recipe, machine.device, machine.place.data_dir.as_deref())?;
    if options.dry_run {
        let resolved = job.recipe().resolved()?;
        if machine.json {
            output::json(
                &serde_json::json!({ "recipe": resolved, "extra_parameters": job.extra_parameters() }),
            );
            return Ok(());
        }
        output::line(resolved.trim_end());
        let extra = job.extra_parameters();
        if extra > 0 {
            output::remark(&format!(
                "{} parameters are trained beside the student",
                output::count(extra as u64)
            ));
        }
        return Ok(());
    }
    let out = match &options.run.out {
        Some(out) => out.clone(),
        None => new_folder(
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .as_ref(),
            job.recipe().seed(),
        ),
    };
    let stop = stop_on_interrupt()?;
    let folder = job.begin(&out)?;
    let outcome = job.run(&folder, &stop, &mut Progress::new(job.title()))?;
    report(&outcome, machine.json);
    Ok(())
}

/// What `kd train`, `kd distill` and `kd resume` print at the end.
pub(super) fn report(outcome: &Outcome, json: bool) {
    if json {
        output::json(outcome);
        return;
    }
    let (epochs, seconds) = (outcome.epochs, outcome.seconds);
    let of_images = outcome.accuracy.zip(outcome.best_accuracy);
    let of_pixels = outcome.mean_iou.zip(outcome.best_mean_iou);
    let measured = of_images.map(|values| ("accuracy", values));
    match measured.or(of_pixels.map(|values| ("mean IoU", values))) {
        Some((metric, (last, best))) => {
            // An epoch that was picked by other samples may be worse on these.
            let word = if best < last { "selected" } else { "best" };
            output::line(&format!(
                "{metric} {} after epoch {epochs} ({word} {} after epoch {}), {seconds:.1} s",
                percent(last),
                percent(best),
                outcome.best_epoch
            ));
        }
        None => output::line(&format!("done after epoch {epochs}, {seconds:.1} s")),
    }
    output::line(&format!("model in {}", outcome.run.join("model").display()));
    let report = outcome.run.join("report.md");
    if report.is_file() {
        output::remark(&format!("report in {}", report.display()));
    }
}

/// `runs/NAME-seedN`, or the first of `-2`, `-3`, ... that is not there yet.
pub(super) fn new_folder(name: &str, seed: u64) -> PathBuf {
    let base = format!("{name}-seed{seed}");
    let first = Path::new("runs").join(&base);
    if !first.exists() {
        return first;
    }
    (2..u32::MAX)
        .map(|n| Path::new("runs").join(format!("{base}-{n}")))
        .find(|path| !path.exists())
        .unwrap_or(first)
}
