//! Progress of a campaign: a bar for each run under way, a line after it, the time that is left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use kd_recipe::{CampaignObserver, EndedRun, PlannedRun, RunProgress};

use super::bars;
use crate::args::ProgressForm;
use crate::output::settings::settings;
use crate::output::{self, about};

/// A bar for each run under way where bars are shown, and a line for each that has ended.
#[derive(Debug)]
pub(crate) struct Board {
    all_bars: MultiProgress,
    /// By the folder of the run.
    bars: BTreeMap<PathBuf, ProgressBar>,
}

impl Board {
    /// A board without runs.
    pub(crate) fn new() -> Self {
        Self {
            all_bars: match settings().progress {
                ProgressForm::Bar => MultiProgress::new(),
                _ => MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            },
            bars: BTreeMap::new(),
        }
    }

    fn say(text: &str) {
        if settings().progress != ProgressForm::None {
            output::notice(text);
        }
    }
}

impl CampaignObserver for Board {
    fn runs_are_there(&mut self, there: usize, all: usize) {
        Self::say(&format!("{there} of {all} runs are there already"));
    }

    fn run_begun(&mut self, run: &PlannedRun, number: usize, all: usize) {
        let title = format!("[{number}/{all}] {}", run.title);
        let bar = self.all_bars.add(bars::run(title));
        self.bars.insert(run.folder.clone(), bar);
    }

    fn run_heard(&mut self, run: &PlannedRun, progress: &RunProgress) {
        if let Some(bar) = self.bars.get(&run.folder) {
            bar.set_length(progress.steps as u64);
            bar.set_position(progress.step as u64);
            bar.set_message(progress.phase.clone());
        }
    }

    fn run_ended(&mut self, run: &PlannedRun, ended: &EndedRun) {
        if let Some(bar) = self.bars.remove(&run.folder) {
            bar.finish_and_clear();
            self.all_bars.remove(&bar);
        }
        let left = match ended.seconds_left {
            Some(left) if left > 0.0 => format!("; {} left", about(left)),
            _ => String::new(),
        };
        let (number, all) = (ended.ended, ended.all);
        let line = format!("[{number}/{all}] {}: {}{left}", run.title, ended.result);
        self.all_bars.suspend(|| Self::say(&line));
    }
}
