//! A plot of dots: numbers of named things side by side, each with its spread.

use super::axis::{Axis, Scale};
use super::canvas::{self, Anchor, Canvas, Font};
use super::frame::{Frame, RIM, SMALL, check_size, title};
use super::palette::{GRID, INK, Look, look};
use super::{legend, text};
use crate::error::check_finite;
use crate::{Error, Result, Summary};

/// A plot with one row for each category: the values as pale dots, their mean as a marker, one standard
/// deviation as a bar.
///
/// It takes the place of a bar chart: bars have to begin at 0, where differences between methods do not show.
/// Names stand level at the left, however many and long they are. The same input gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::DotPlot;
///
/// let svg = DotPlot::new("Three seeds", "accuracy (%)", ["last epoch"])
///     .with_row("student alone", [vec![68.9, 69.2, 69.4]])
///     .with_row("kd", [vec![70.8, 70.1, 70.9]])
///     .with_reference("teacher", 72.6)
///     .svg()?;
/// assert!(svg.contains("student alone"));
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DotPlot {
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) groups: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<Vec<f64>>)>,
    pub(crate) reference: Option<(String, f64)>,
    most: Option<f64>,
    width: u32,
}

impl DotPlot {
    /// A plot without a row, 640 pixels wide and as high as its rows need.
    ///
    /// Each row has one list of values for each of `groups`; the legend names them if there are several.
    pub fn new<Name: Into<String>>(
        title: impl Into<String>,
        label: impl Into<String>,
        groups: impl IntoIterator<Item = Name>,
    ) -> Self {
        Self {
            title: title.into(),
            label: label.into(),
            groups: groups.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            reference: None,
            most: None,
            width: 640,
        }
    }

    /// With one more row: a list of values for each group, an empty one where a group has none.
    #[must_use]
    pub fn with_row(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = Vec<f64>>,
    ) -> Self {
        self.rows.push((name.into(), values.into_iter().collect()));
        self
    }

    /// With an upright dashed line at a value, for example that of the teacher.
    #[must_use]
    pub fn with_reference(mut self, name: impl Into<String>, value: f64) -> Self {
        self.reference = Some((name.into(), value));
        self
    }

    /// With the largest value that there can be, as 100 for percents: the axis ends there.
    #[must_use]
    pub fn with_most(mut self, most: f64) -> Self {
        self.most = Some(most);
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
    /// [`Error::NoValues`] without a value, [`Error::Length`] for a row that has not one list for each group,
    /// [`Error::NotFinite`] for a value that is not finite, [`Error::Config`] for a width below 240 or above
    /// 4000 pixels or more than 200 rows.
    pub fn svg(&self) -> Result<String> {
        self.check()?;
        let [width, _] = check_size([self.width, 240])?;
        let rows = self.rows.len() as f64 * self.row_height();
        // Title, legend, reference, axis and label; what is not there leaves its room free.
        let head = self.head_height(width);
        let height = head + rows + RIM + 40.0;
        canvas::draw(&self.title, [width, height], |canvas| {
            self.paint(canvas, [width, height])
        })
    }

    fn check(&self) -> Result<()> {
        let what = format!("plot `{}`", self.title);
        if self.rows.len() > 200 {
            return Err(Error::Config {
                field: "rows",
                problem: format!(
                    "must be 200 at most, got {}; draw the ones that matter",
                    self.rows.len()
                ),
            });
        }
        for (name, values) in &self.rows {
            if values.len() != self.groups.len() {
                return Err(Error::Length {
                    what: format!("{what}, row `{name}`"),
                    expected: self.groups.len(),
                    found: values.len(),
                    remedy:
                        "give one list of values for each group, an empty one where it has none"
                            .into(),
                });
            }
            check_finite(&format!("{what}, row `{name}`"), &values.concat())?;
        }
        if let Some((name, value)) = &self.reference {
            check_finite(&format!("{what}, reference `{name}`"), &[*value])?;
        }
        if self
            .rows
            .iter()
            .all(|(_, values)| values.concat().is_empty())
        {
            return Err(Error::NoValues {
                what,
                remedy: "give it a row with a value".into(),
            });
        }
        Ok(())
    }

    /// Whether several groups can share a line, since none has a spread that would cover another.
    pub(crate) fn is_flat(&self) -> bool {
        let mut groups = self.rows.iter().flat_map(|(_, groups)| groups);
        self.groups.len() < 2 || groups.all(|values| values.len() < 2)
    }

    fn row_height(&self) -> f64 {
        if self.is_flat() {
            24.0
        } else {
            12.0 + 14.0 * self.groups.len() as f64
        }
    }

    fn entries(&self) -> Vec<(&str, Look)> {
        if self.groups.len() < 2 {
            return Vec::new();
        }
        let names = self.groups.iter().map(String::as_str);
        names.zip((0..).map(look)).collect()
    }

    fn head_height(&self, width: f64) -> f64 {
        let title = if self.title.is_empty() {
            RIM
        } else {
            RIM + 26.0
        };
        let legend = legend::height(&self.entries(), width, false);
        let reference = if self.reference.is_some() { 18.0 } else { 0.0 };
        title + legend + reference + 8.0
    }

    pub(crate) fn axis(&self) -> Result<Axis> {
        let mut reach: Vec<f64> = Vec::new();
        for values in self.rows.iter().flat_map(|(_, groups)| groups) {
            reach.extend(values);
            if !values.is_empty() {
                let Summary { mean, std, .. } = Summary::of(values)?;
                reach.extend(std.into_iter().flat_map(|std| [mean - std, mean + std]));
            }
        }
        reach.extend(self.reference.iter().map(|(_, value)| *value));
        // A standard deviation may be too large even if the values are not.
        check_finite(&format!("plot `{}`", self.title), &reach)?;
        Ok(Axis::new(Scale::Linear, &reach, 0.05, 6).up_to(self.most))
    }

    fn paint(&self, canvas: &Canvas<'_>, [width, height]: [f64; 2]) -> Result<()> {
        let top = title(canvas, &self.title, width)?;
        legend::draw(canvas, &self.entries(), top, width, false)?;
        let axis = self.axis()?;
        let names = self.rows.iter().map(|(name, _)| text::width(name, SMALL));
        let widest = names.fold(0.0, f64::max).min(0.4 * width);
        let frame = Frame {
            left: RIM + widest + 10.0,
            right: width - RIM - 6.0,
            top: self.head_height(width),
            bottom: height - RIM - 40.0,
        };
        frame.x_axis(canvas, &axis, &self.label, true)?;
        if let Some((name, value)) = &self.reference {
            frame.reference(canvas, frame.across(&axis, *value), name)?;
        }
        for (index, (name, groups)) in self.rows.iter().enumerate() {
            let top = frame.top + index as f64 * self.row_height();
            let middle = top + self.row_height() / 2.0;
            let font = Font::new(SMALL, INK, Anchor::End);
            let name = text::fit(name, SMALL, widest);
            canvas.text(&name, (frame.left - 8.0, middle), font)?;
            let line = [(frame.left, middle), (frame.right, middle)];
            if self.is_flat() {
                canvas.line(&line, GRID, 1.0, &[])?;
            }
            for (group, values) in groups.iter().enumerate() {
                let offset = group as f64 - (groups.len() as f64 - 1.0) / 2.0;
                let y = if self.is_flat() {
                    middle
                } else {
                    middle + 14.0 * offset
                };
                dots(canvas, &frame, &axis, (values, y), look(group))?;
            }
        }
        Ok(())
    }
}

/// The values of one group in one row.
fn dots(
    canvas: &Canvas<'_>,
    frame: &Frame,
    axis: &Axis,
    (values, y): (&[f64], f64),
    look: Look,
) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let Summary { mean, std, .. } = Summary::of(values)?;
    if let Some(std) = std {
        let ends = [mean - std, mean + std].map(|end| frame.across(axis, end));
        canvas.line(&[(ends[0], y), (ends[1], y)], look.colour, 1.8, &[])?;
        for end in ends {
            canvas.line(&[(end, y - 4.0), (end, y + 4.0)], look.colour, 1.8, &[])?;
        }
        for &value in values {
            let at = (frame.across(axis, value), y);
            canvas.shape(at, look.marker, 3.0, look.colour, 0.35)?;
        }
    }
    canvas.marker((frame.across(axis, mean), y), look, 4.4)
}
