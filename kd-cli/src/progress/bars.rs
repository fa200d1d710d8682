//! The bars of a terminal. indicatif draws them on standard error, and only if that is a terminal.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::args::ProgressForm;
use crate::output::settings::{has_colour, settings};

/// A bar is drawn anew this often, so that it moves where nothing is counted.
const TICK: Duration = Duration::from_millis(200);
/// A wait that is worth saying.
const LONG: Duration = Duration::from_secs(2);

/// The time since something began.
#[derive(Clone, Debug)]
pub(super) struct Since(Arc<Mutex<Instant>>);

impl Since {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Begins anew.
    pub(super) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

/// A bar for the steps of a phase; a step, an evaluation or a search that takes long has its seconds shown.
pub(super) fn steps(title: &str, total: u64, waiting: &Since) -> ProgressBar {
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        // A bar that cannot be written is no reason to stop.
        let _ = write!(text, "{:.1}/s", state.per_sec());
    };
    let waiting = waiting.clone();
    let wait = move |_: &ProgressState, text: &mut dyn Write| {
        let since = waiting.elapsed();
        if since > LONG {
            let _ = write!(text, " ({} s so far)", since.as_secs());
        }
    };
    let template = "{spinner} {prefix} [bar] {pos}/{len} steps, {rate}, {eta} left, {msg}{wait}";
    let bar = drawn(total, template, |style| {
        style.with_key("rate", rate).with_key("wait", wait)
    });
    bar.set_prefix(title.to_owned());
    bar
}

/// A bar for `total` of `unit`.
pub(super) fn counted(what: &str, unit: &str, total: u64) -> ProgressBar {
    let template = format!("{{spinner}} {{prefix}} [bar] {{pos}}/{{len}} {unit}, {{eta}} left");
    let bar = drawn(total, &template, |style| style);
    bar.set_prefix(what.to_owned());
    bar
}

/// A bar for something that is not counted.
pub(super) fn busy(what: &str) -> ProgressBar {
    let bar = drawn(0, "{spinner} {prefix}, {elapsed}", |style| style);
    bar.set_prefix(what.to_owned());
    bar
}

/// The bar of a run of a campaign.
pub(super) fn run(title: String) -> ProgressBar {
    let template = "{spinner} {prefix} [bar] {pos}/{len} steps, {eta} left {msg}";
    let bar = drawn(0, template, |style| style);
    bar.set_prefix(title);
    bar
}

/// A bar, if bars were asked for; `[bar]` in the template is where it is drawn.
fn drawn(
    total: u64,
    template: &str,
    with: impl FnOnce(ProgressStyle) -> ProgressStyle,
) -> ProgressBar {
    if settings().progress != ProgressForm::Bar {
        return ProgressBar::hidden();
    }
    let bar = if has_colour() {
        "{bar:20.green}"
    } else {
        "{bar:20}"
    };
    let made = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template(&template.replace("[bar]", bar)) {
        made.set_style(with(style));
    }
    made.enable_steady_tick(TICK);
    made
}
