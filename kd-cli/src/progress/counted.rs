//! Progress of what is counted: rows of a cache, samples of an evaluation, images.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use kd_core::{CountedWork, listening};
use serde_json::json;

use super::bars;
use crate::args::ProgressForm;
use crate::output::settings::settings;
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
    /// When something was said last; nothing was yet.
    said: Option<Instant>,
    bar: ProgressBar,
}

impl Counted {
    /// `total` of `unit` are to be done, `first` of them are.
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, first: u64, total: u64) -> Self {
        let what = what.into();
        let bar = bars::counted(&what, unit, total);
        Busy::hide();
        bar.set_position(first);
        bar.reset_eta();
        let now = Instant::now();
        Self {
            what,
            unit,
            begun: now,
            first,
            total,
            // A line is for what takes long; an object says at once what has begun.
            said: (settings().progress == ProgressForm::Plain).then_some(now),
            bar,
        }
    }

    /// So many are done.
    pub(crate) fn at(&mut self, done: u64) {
        self.bar.set_position(done);
        let pause = match settings().progress {
            ProgressForm::Plain => LINES,
            ProgressForm::Json => OBJECTS,
            ProgressForm::Bar | ProgressForm::None => return,
        };
        // An object says what is done, too.
        let is_end = pause == OBJECTS && done >= self.total;
        if !is_end && self.said.is_some_and(|said| said.elapsed() < pause) {
            return;
        }
        self.said = Some(Instant::now());
        let (what, unit, total) = (&self.what, self.unit, self.total);
        let left = self.seconds_left(done);
        if pause == OBJECTS {
            output::event(&json!({
                "event": "counted", "what": what, "done": done, "of": total, "unit": unit,
                "seconds_left": left,
            }));
        } else {
            output::notice(&line(what, unit, [done, total], left));
        }
    }

    /// Whether it is this that is counted.
    pub(super) fn is(&self, what: &str, total: u64) -> bool {
        self.what == what && self.total == total
    }

    /// At the pace so far; nothing is known of it before something is done.
    fn seconds_left(&self, done: u64) -> Option<f64> {
        let here = done.checked_sub(self.first).filter(|here| *here > 0)?;
        let left = self.total.saturating_sub(done);
        Some(self.begun.elapsed().as_secs_f64() / here as f64 * left as f64)
    }
}

/// A line where there is no bar.
fn line(what: &str, unit: &str, [done, total]: [u64; 2], seconds_left: Option<f64>) -> String {
    let left = seconds_left.map(|left| format!(", {} left", about(left)));
    format!(
        "{what}: {done} of {total} {unit}{}",
        left.unwrap_or_default()
    )
}

/// Follows counted work: each is shown from when it is first heard of until it is done.
pub(super) fn follow(shown: &mut Option<Counted>, work: CountedWork<'_>) {
    let is_it = |counted: &Counted| counted.is(work.what, work.total);
    if !shown.as_ref().is_some_and(is_it) {
        // The bar of before goes before the next one comes.
        *shown = None;
        *shown = Some(Counted::new(work.what, work.unit, 0, work.total));
    }
    if let Some(counted) = shown {
        counted.at(work.done);
    }
    if work.done >= work.total {
        *shown = None;
    }
}

/// Does `work` and shows everything that is counted in it.
pub(crate) fn with_counts<T>(work: impl FnOnce() -> T) -> T {
    let shown = RefCell::new(None);
    listening(move |work| follow(&mut shown.borrow_mut(), work), work)
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

thread_local! {
    /// The bar of what is not counted, which makes room for one of what is.
    static BUSY: RefCell<Option<ProgressBar>> = const { RefCell::new(None) };
}

/// Something of which the length is not known; ends when dropped.
#[derive(Debug)]
pub(crate) struct Busy(ProgressBar);

impl Busy {
    /// It begins.
    pub(crate) fn new(what: &str) -> Self {
        if settings().progress == ProgressForm::Json {
            output::event(&json!({ "event": "working", "what": what }));
        }
        let bar = bars::busy(what);
        BUSY.with(|busy| busy.replace(Some(bar.clone())));
        Self(bar)
    }

    fn hide() {
        if let Some(bar) = BUSY.with(RefCell::take) {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(what: &str, done: u64) -> CountedWork<'_> {
        CountedWork {
            what,
            unit: "samples",
            done,
            total: 4,
        }
    }

    #[test]
    fn each_work_is_shown_until_it_is_done() {
        let mut shown = None;
        for (what, done, there) in [
            ("reading", 1, true),
            ("evaluating", 1, true),
            ("evaluating", 4, false),
            ("evaluating", 2, true),
        ] {
            follow(&mut shown, work(what, done));
            assert_eq!(shown.is_some(), there, "{what} {done}");
            assert!(shown.as_ref().is_none_or(|counted| counted.is(what, 4)));
        }
    }

    #[test]
    fn the_time_left_is_in_every_line() {
        assert_eq!(
            line("evaluating", "samples", [64, 256], Some(30.2)),
            "evaluating: 64 of 256 samples, about 30 s left"
        );
        let mut counted = Counted::new("evaluating", "samples", 100, 400);
        counted.begun = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
        // A hundred in fifty seconds, two hundred to go.
        assert_eq!(counted.seconds_left(100), None);
        let left = counted.seconds_left(200).unwrap();
        assert!((left - 100.0).abs() < 5.0, "{left}");
    }
}
