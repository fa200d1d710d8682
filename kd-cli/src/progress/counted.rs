//! Progress of what is counted: rows of a cache, samples of an evaluation, images.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;

use super::bars;
use crate::args::ProgressForm;
use crate::output::{self, about};

/// The time between two lines, and between two objects.
const LINES: Duration = Duration::from_secs(10);
const OBJECTS: Duration = Duration::from_secs(1);

/// Something of which the length is known.
#[derive(Debug)]
pub(crate) struct Counted {
    what: String,
    unit: &'static str,
    begun: Instant,
    /// Where it began.
    first: u64,
    total: u64,
    said: Instant,
    bar: ProgressBar,
}

impl Counted {
    /// `total` of `unit` are to be done, `first` of them are.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, first: u64, total: u64) -> Self {
        let what = what.into();
        let bar = bars::counted(&what, unit, total);
        bar.set_position(first);
        bar.reset_eta();
        let now = Instant::now();
        Self {
            what,
            unit,
            begun: now,
            first,
            total,
            said: now,
            bar,
        }
    }

    /// So many are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        let pause = match output::settings::settings().progress {
            ProgressForm::Plain => LINES,
            ProgressForm::Json => OBJECTS,
            ProgressForm::Bar | ProgressForm::None => return,
        };
        if self.said.elapsed() < pause {
            return;
        }
        self.said = Instant::now();
        let (what, unit, total) = (&self.what, self.unit, self.total);
        let left = self.seconds_left(done);
        if pause == OBJECTS {
            output::event(&json!({
                "event": "counted", "what": what, "done": done, "of": total, "unit": unit,
                "seconds_left": left,
            }));
        } else {
            output::notice(&format!(
                "{what}: {done} of {total} {unit}, {} left",
                about(left)
            ));
        }
    }

    /// Whether it is this that is counted.
    pub(super) fn is(&self, what: &str, total: u64) -> bool {
        self.what == what && self.total == total
    }

    fn seconds_left(&self, done: u64) -> f64 {
        let here = done.saturating_sub(self.first).max(1);
        let left = self.total.saturating_sub(done);
        self.begun.elapsed().as_secs_f64() / here as f64 * left as f64
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Something of which the length is not known; ends when dropped.
#[derive(Debug)]
pub(crate) struct Busy(ProgressBar);

impl Busy {
    /// It begins.
    pub(crate) fn new(what: &str) -> Self {
        if output::settings::settings().progress == ProgressForm::Json {
            output::event(&json!({ "event": "working", "what": what }));
        }
        Self(bars::busy(what))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
