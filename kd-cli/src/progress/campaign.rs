//! Progress of a campaign: a bar for each run under way, a line after it, the time that is left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kd_recipe::{CampaignObserver, EndedRun, PlannedRun, RunProgress};

use crate::output;

/// A bar for each run under way on standard error where that is a terminal, and a line for each that has
/// ended.
#[derive(Debug)]
pub(crate) struct Board {
    /// Lines are for terminals alone.
    quiet: bool,
    all_bars: MultiProgress,
    /// By the folder of the run.
    bars: BTreeMap<PathBuf, ProgressBar>,
}

impl Board {
    /// A board; `quiet` leaves the lines out where there is no terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            all_bars: MultiProgress::new(),
            bars: BTreeMap::new(),
        }
    }

    fn say(&self, text: &str) {
        if self.quiet {
            output::remark(text);
        } else {
            output::notice(text);
        }
    }
}

impl CampaignObserver for Board {
    fn runs_are_there(&mut self, there: usize, all: usize) {
        self.say(&format!("{there} of {all} runs are there already"));
    }

    fn run_begun(&mut self, run: &PlannedRun, number: usize, all: usize) {
        // indicatif draws on standard error, and only if that is a terminal.
        let bar = self.all_bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:20} {pos}/{len} steps {msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(format!("[{number}/{all}] {}", run.title));
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
        self.all_bars.suspend(|| self.say(&line));
    }
}

/// A time in round words.
fn about(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("about {:.0} s", s.max(1.0)),
        s if s < 5400.0 => format!("about {:.0} min", s / 60.0),
        s => format!("about {:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded() {
        for (seconds, expected) in [
            (0.2, "about 1 s"),
            (89.0, "about 89 s"),
            (150.0, "about 2 min"),
            (9000.0, "about 2.5 h"),
        ] {
            assert_eq!(about(seconds), expected);
        }
    }
}
