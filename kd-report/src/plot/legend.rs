//! The legend of a plot: the look of each series, in lines above the frame, where it covers nothing.

use super::canvas::{Anchor, Canvas, Font};
use super::frame::{LINE, RIM, SMALL};
use super::palette::{INK, Look};
use super::text;
use crate::Result;

const GAP: f64 = 18.0;

/// Draws the names and gives where the picture goes on below them.
///
/// `lines` says whether a piece of line is shown behind the marker.
pub(super) fn draw(
    canvas: &Canvas<'_>,
    entries: &[(&str, Look)],
    top: f64,
    width: f64,
    lines: bool,
) -> Result<f64> {
    let sample = sample(lines);
    for (name, look, (x, line)) in places(entries, width, sample) {
        let y = top + (line as f64 + 0.5) * LINE;
        if lines {
            canvas.line(&[(x, y), (x + sample, y)], look.colour, 1.8, look.dash)?;
        }
        canvas.marker((x + sample / 2.0, y), look, 3.4)?;
        let font = Font::new(SMALL, INK, Anchor::Start);
        canvas.text(&name, (x + sample + 6.0, y), font)?;
    }
    Ok(top + height(entries, width, lines))
}

/// The height of the legend.
pub(super) fn height(entries: &[(&str, Look)], width: f64, lines: bool) -> f64 {
    let last = places(entries, width, sample(lines)).pop();
    last.map_or(0.0, |(_, _, (_, line))| (line + 1) as f64 * LINE)
}

fn sample(lines: bool) -> f64 {
    if lines { 30.0 } else { 12.0 }
}

/// Each name that is not empty, cut to fit, with its look, how far to the right it begins, and in which line.
fn places(entries: &[(&str, Look)], width: f64, sample: f64) -> Vec<(String, Look, (f64, usize))> {
    let (mut x, mut line) = (RIM, 0);
    let mut out = Vec::new();
    for (name, look) in entries.iter().filter(|(name, _)| !name.is_empty()) {
        let name = text::fit(name, SMALL, width - 2.0 * RIM - sample - 6.0);
        let wide = sample + 6.0 + text::width(&name, SMALL);
        if x > RIM && x + wide > width - RIM {
            (x, line) = (RIM, line + 1);
        }
        out.push((name, *look, (x, line)));
        x += wide + GAP;
    }
    out
}
