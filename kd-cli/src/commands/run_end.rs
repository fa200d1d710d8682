//! The end of a run on the terminal, and the usual folder of a new one.

use std::path::{Path, PathBuf};

use kd_recipe::Outcome;
use kd_report::percent;

use super::next::after_run;
use crate::output;

/// What `kd train`, `kd distill` and `kd resume` print at the end.
pub(super) fn report(outcome: &Outcome, json: bool) {
    if json {
        output::json(outcome);
    } else {
        show(outcome);
    }
    output::next(&after_run(&outcome.run));
}

fn show(outcome: &Outcome) {
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
    let model = outcome.run.join("model");
    if model.is_dir() {
        output::line(&format!("model in {}", model.display()));
    } else {
        output::line(&format!("run in {}", outcome.run.display()));
    }
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
