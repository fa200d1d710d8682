//! A plot of counts: one bar for each name.

use super::axis::{Axis, Scale};
use super::canvas::{self, Anchor, Canvas, Font};
use super::frame::{Frame, RIM, SMALL, check_size, title};
use super::palette::{INK, MUTED, look};
use super::text;
use crate::{Error, Result};

/// The height of a row, and of its bar.
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;

/// A plot with a bar from 0 for each of some named things, as long as its count is high.
///
/// Names stand level at the left, the numbers at the right. The same input gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::CountPlot;
///
/// let svg = CountPlot::new("Images by class", "images")
///     .with_row("cat", 120)
///     .with_row("dog", 0)
///     .with_reference("an equal share", 60.0)
///     .svg()?;
/// assert!(svg.contains("cat"));
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CountPlot {
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) rows: Vec<(String, u64)>,
    pub(crate) reference: Option<(String, f64)>,
    width: u32,
}

impl CountPlot {
    /// A plot without a row, 640 pixels wide and as high as its rows need; `label` says what is counted.
    pub fn new(title: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            label: label.into(),
            rows: Vec::new(),
            reference: None,
            width: 640,
        }
    }

    /// With one more bar.
    #[must_use]
    pub fn with_row(mut self, name: impl Into<String>, count: u64) -> Self {
        self.rows.push((name.into(), count));
        self
    }

    /// With an upright dashed line at a number, for example where all would be equal.
    #[must_use]
    pub fn with_reference(mut self, name: impl Into<String>, value: f64) -> Self {
        self.reference = Some((name.into(), value));
        self
    }

    /// With another width in pixels.
    #[must_use]
    pub fn with_width(mut self, width: u32) -> Self {
        self.width = width;
        self
    }

    /// The picture.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without a row, [`Error::NotFinite`] for a line at no finite number,
    /// [`Error::Config`] for a width below 240 or above 4000 pixels or more than 200 rows.
    pub fn svg(&self) -> Result<String> {
        let what = format!("plot `{}`", self.title);
        if self.rows.is_empty() {
            return Err(Error::NoValues {
                what,
                remedy: "give it a row".into(),
            });
        }
        if self.rows.len() > 200 {
            return Err(Error::Config {
                field: "rows",
                problem: format!(
                    "must be 200 at most, got {}; draw the ones that matter",
                    self.rows.len()
                ),
            });
        }
        if let Some((name, value)) = &self.reference {
            crate::error::check_finite(&format!("{what}, reference `{name}`"), &[*value])?;
        }
        let [width, _] = check_size([self.width, 240])?;
        let height = self.head_height() + self.rows.len() as f64 * ROW + RIM + 40.0;
        canvas::draw(&self.title, [width, height], |canvas| {
            self.paint(canvas, [width, height])
        })
    }

    /// The highest count, at least 1: nothing at all still has an axis.
    fn most(&self) -> u64 {
        let most = self.rows.iter().map(|(_, count)| *count).max();
        most.unwrap_or_default().max(1)
    }

    pub(crate) fn axis(&self) -> Axis {
        let line = self.reference.iter().map(|(_, value)| *value);
        let reach: Vec<f64> = [0.0, self.most() as f64].into_iter().chain(line).collect();
        Axis::of_settings(Scale::Linear, &reach, 0.0, 6)
    }

    fn head_height(&self) -> f64 {
        let title = if self.title.is_empty() {
            RIM
        } else {
            RIM + 26.0
        };
        let reference = if self.reference.is_some() { 18.0 } else { 0.0 };
        title + reference + 8.0
    }

    fn paint(&self, canvas: &Canvas<'_>, [width, height]: [f64; 2]) -> Result<()> {
        title(canvas, &self.title, width)?;
        let axis = self.axis();
        let names = self.rows.iter().map(|(name, _)| text::width(name, SMALL));
        let widest = names.fold(0.0, f64::max).min(0.4 * width);
        let longest = text::width(&self.most().to_string(), SMALL);
        let frame = Frame {
            left: RIM + widest + 10.0,
            // The numbers have their room behind the frame, where no line crosses them.
            right: width - RIM - 12.0 - longest,
            top: self.head_height(),
            bottom: height - RIM - 40.0,
        };
        frame.x_axis(canvas, &axis, &self.label, true)?;
        for (index, (name, count)) in self.rows.iter().enumerate() {
            let middle = frame.top + (index as f64 + 0.5) * ROW;
            let font = Font::new(SMALL, INK, Anchor::End);
            let name = text::fit(name, SMALL, widest);
            canvas.text(&name, (frame.left - 8.0, middle), font)?;
            let end = frame.across(&axis, *count as f64);
            let corners = [(frame.left, middle - BAR / 2.0), (end, middle + BAR / 2.0)];
            canvas.block(corners[0], corners[1], look(0).colour)?;
            let font = Font::new(SMALL, MUTED, Anchor::End);
            canvas.text(&count.to_string(), (width - RIM, middle), font)?;
        }
        if let Some((name, value)) = &self.reference {
            frame.reference(canvas, frame.across(&axis, *value), name)?;
        }
        Ok(())
    }
}
