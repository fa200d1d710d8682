//! What a person sees while a campaign runs: a bar for the run, a line after it, the time that is left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cell::{Cell, shown};
use crate::output;

/// How far a run is, as its process tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) phase: String,
    pub(crate) step: usize,
    pub(crate) steps: usize,
}

/// A bar for each run under way on standard error where that is a terminal, and a line for each that has ended.
#[derive(Debug)]
pub(crate) struct Board {
    /// Lines are for terminals alone.
    quiet: bool,
    all_bars: MultiProgress,
    /// By the folder of the run.
    bars: BTreeMap<PathBuf, ProgressBar>,
    /// Runs that have ended, of all.
    ended: usize,
    all: usize,
    /// Seconds of the runs that are done, by method and value.
    seconds: BTreeMap<(String, String), Vec<f64>>,
}

impl Board {
    /// A board for so many runs; `quiet` leaves the lines out where there is no terminal.
    pub(crate) fn new(all: usize, quiet: bool) -> Self {
        Self {
            quiet,
            all_bars: MultiProgress::new(),
            bars: BTreeMap::new(),
            ended: 0,
            all,
            seconds: BTreeMap::new(),
        }
    }

    /// A line for a person.
    pub(crate) fn say(&self, text: &str) {
        if self.quiet {
            output::remark(text);
        } else {
            output::notice(text);
        }
    }

    /// A run that has ended, now or earlier; with its seconds if it has a result.
    pub(crate) fn count(&mut self, cell: &Cell, seconds: Option<f64>) {
        self.ended += 1;
        if let Some(seconds) = seconds {
            self.seconds.entry(key(cell)).or_default().push(seconds);
        }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, cell: &Cell) {
        // indicatif draws on standard error, and only if that is a terminal.
        let bar = self.all_bars.add(ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:20} {pos}/{len} steps {msg}")
        {
            bar.set_style(style);
        }
        let place = self.ended + self.bars.len() + 1;
        bar.set_prefix(format!("[{place}/{}] {}", self.all, cell.title));
        self.bars.insert(cell.folder.clone(), bar);
    }

    /// The run tells how far it is.
    pub(crate) fn hear(&self, cell: &Cell, value: &Value) {
        let heard = serde_json::from_value::<Heard>(value.clone());
        if let (Ok(heard), Some(bar)) = (heard, self.bars.get(&cell.folder)) {
            bar.set_length(heard.steps as u64);
            bar.set_position(heard.step as u64);
            bar.set_message(heard.phase);
        }
    }

    /// A run has ended; the others will take so many seconds, if that is known.
    pub(crate) fn end(&mut self, cell: &Cell, result: &str, left: Option<f64>) {
        if let Some(bar) = self.bars.remove(&cell.folder) {
            bar.finish_and_clear();
            self.all_bars.remove(&bar);
        }
        let left = match left {
            Some(left) if left > 0.0 => format!("; {} left", about(left)),
            _ => String::new(),
        };
        let line = format!(
            "[{}/{}] {}: {result}{left}",
            self.ended, self.all, cell.title
        );
        self.all_bars.suspend(|| self.say(&line));
    }

    /// Seconds that the rest will take one after the other: each as long as its like, or as the runs so far.
    pub(crate) fn left<'a>(&self, rest: impl Iterator<Item = &'a Cell>) -> Option<f64> {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        let mut left = 0.0;
        for cell in rest {
            let own = self.seconds.get(&key(cell)).into_iter().flatten();
            let named = self.seconds.iter().filter(|(key, _)| key.0 == cell.name);
            let named = named.flat_map(|(_, seconds)| seconds);
            let all = self.seconds.values().flatten();
            left += mean(&mut own.copied())
                .or_else(|| mean(&mut named.copied()))
                .or_else(|| mean(&mut all.copied()))?;
        }
        Some(left)
    }
}

fn key(cell: &Cell) -> (String, String) {
    let value = cell.value.as_ref().map(shown);
    (cell.name.clone(), value.unwrap_or_default())
}

/// A time as people say it.
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

    fn cell(name: &str, value: Option<i64>, seed: u64) -> Cell {
        Cell {
            name: name.into(),
            title: name.into(),
            value: value.map(toml::Value::Integer),
            seed,
            recipe: "r.toml".into(),
            overrides: Vec::new(),
            folder: name.into(),
            needs: Vec::new(),
        }
    }

    #[test]
    fn the_time_left_goes_by_the_nearest_kin() {
        let mut board = Board::new(9, true);
        let rest = [
            cell("kd", Some(1), 1),
            cell("kd", Some(2), 1),
            cell("at", None, 0),
        ];
        assert_eq!(board.left(rest.iter()), None);
        board.count(&cell("kd", Some(1), 0), Some(10.0));
        // All as long as the only run there was.
        assert_eq!(board.left(rest.iter()), Some(30.0));
        board.count(&cell("kd", Some(2), 0), Some(20.0));
        board.count(&cell("alone", None, 0), Some(3.0));
        assert_eq!(board.left(rest.iter()), Some(10.0 + 20.0 + 11.0));
        assert_eq!(board.left([].iter()), Some(0.0));
    }

    #[test]
    fn times_are_rounded_as_people_do() {
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
