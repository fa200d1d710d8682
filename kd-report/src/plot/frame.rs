//! The frame of a plot: the part that the axes span, with its labels around it.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, Font, Place};
use super::palette::{GRID, INK, MUTED};
use super::text;
use crate::{Error, Result};

pub(super) const TITLE: f64 = 15.0;
pub(super) const LABEL: f64 = 13.0;
pub(super) const SMALL: f64 = 12.0;
/// The free rim of a picture.
pub(super) const RIM: f64 = 14.0;
/// The height of a line of small text.
pub(super) const LINE: f64 = 20.0;

/// The rectangle of the axes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// The place of a pair of values.
    pub(super) fn place(&self, x: (&Axis, f64), y: (&Axis, f64)) -> Place {
        (self.across(x.0, x.1), self.up(y.0, y.1))
    }

    /// The horizontal place of a value.
    pub(super) fn across(&self, axis: &Axis, value: f64) -> f64 {
        self.left + axis.share(value) * (self.right - self.left)
    }

    /// The vertical place of a value, from the top.
    pub(super) fn up(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.share(value) * (self.bottom - self.top)
    }

    /// The horizontal axis below the frame, with upright grid lines where asked for.
    pub(super) fn x_axis(
        &self,
        canvas: &Canvas<'_>,
        axis: &Axis,
        label: &str,
        grid: bool,
    ) -> Result<()> {
        let font = Font::new(SMALL, MUTED, Anchor::Middle);
        let mut free_from = f64::NEG_INFINITY;
        for tick in &axis.ticks {
            let x = self.across(axis, tick.value);
            if grid {
                canvas.line(&[(x, self.top), (x, self.bottom)], GRID, 1.0, &[])?;
            }
            let half = text::width(&tick.label, SMALL) / 2.0;
            // Numbers that would touch are left out.
            if x - half < free_from {
                continue;
            }
            free_from = x + half + 7.0;
            canvas.line(&[(x, self.bottom), (x, self.bottom + 4.0)], INK, 1.0, &[])?;
            canvas.text(&tick.label, (x, self.bottom + 13.0), font)?;
        }
        canvas.line(
            &[(self.left, self.bottom), (self.right, self.bottom)],
            INK,
            1.0,
            &[],
        )?;
        let middle = f64::midpoint(self.left, self.right);
        let label = text::fit(label, LABEL, self.right - self.left);
        let font = Font::new(LABEL, INK, Anchor::Middle);
        canvas.text(&label, (middle, self.bottom + 33.0), font)
    }

    /// The vertical axis left of the frame, with level grid lines; its label is read upwards at `label_at`.
    pub(super) fn y_axis(
        &self,
        canvas: &Canvas<'_>,
        axis: &Axis,
        label: &str,
        label_at: f64,
    ) -> Result<()> {
        let font = Font::new(SMALL, MUTED, Anchor::End);
        for tick in &axis.ticks {
            let y = self.up(axis, tick.value);
            canvas.line(&[(self.left, y), (self.right, y)], GRID, 1.0, &[])?;
            canvas.line(&[(self.left - 4.0, y), (self.left, y)], INK, 1.0, &[])?;
            canvas.text(&tick.label, (self.left - 7.0, y), font)?;
        }
        canvas.line(
            &[(self.left, self.top), (self.left, self.bottom)],
            INK,
            1.0,
            &[],
        )?;
        let middle = f64::midpoint(self.top, self.bottom);
        let label = text::fit(label, LABEL, self.bottom - self.top);
        let font = Font::new(LABEL, INK, Anchor::Middle).upwards();
        canvas.text(&label, (label_at, middle), font)
    }

    /// An upright dashed line with its name above it, kept inside the frame.
    pub(super) fn reference(&self, canvas: &Canvas<'_>, x: f64, name: &str) -> Result<()> {
        let line = [(x, self.top - 2.0), (x, self.bottom)];
        canvas.line(&line, MUTED, 1.4, &[5.0, 3.0])?;
        let name = text::fit(name, SMALL, self.right - self.left);
        let half = text::width(&name, SMALL) / 2.0;
        let middle = x.clamp(self.left + half, (self.right - half).max(self.left + half));
        let font = Font::new(SMALL, MUTED, Anchor::Middle);
        canvas.text(&name, (middle, self.top - 11.0), font)
    }
}

/// The title at the top of a picture; gives where the picture goes on below it.
pub(super) fn title(canvas: &Canvas<'_>, title: &str, width: f64) -> Result<f64> {
    if title.is_empty() {
        return Ok(RIM);
    }
    let shown = text::fit(title, TITLE * 1.1, width - 2.0 * RIM);
    let font = Font::new(TITLE, INK, Anchor::Start).bold();
    canvas.text(&shown, (RIM, RIM + 8.0), font)?;
    Ok(RIM + 26.0)
}

/// Checks the size of a picture in pixels.
pub(super) fn check_size(size: [u32; 2]) -> Result<[f64; 2]> {
    if size.iter().any(|side| !(240..=4000).contains(side)) {
        return Err(Error::Config {
            field: "size",
            problem: format!(
                "must be 240 to 4000 pixels wide and high, got {} by {}",
                size[0], size[1]
            ),
        });
    }
    Ok(size.map(f64::from))
}
