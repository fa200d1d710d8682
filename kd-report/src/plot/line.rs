//! A plot of lines: a metric over epochs, or over a swept setting.

use super::axis::{Axis, Scale};
use super::canvas::{self, Canvas};
use super::frame::{Frame, RIM, SMALL, check_size, title};
use super::palette::{Look, look};
use super::series::{Point, Series};
use super::{legend, text};
use crate::error::check_finite;
use crate::{Error, Result};

/// Up to this many points, each gets a marker.
const MARKED: usize = 30;

/// A plot of lines, each with a band where its spread is known.
///
/// The series differ by colour, dash and marker, so that they can be told apart without colours, too. The
/// legend stands above the axes and covers nothing. The same input gives the same bytes.
///
/// # Examples
///
/// ```
/// use kd_report::{LinePlot, Series};
///
/// let svg = LinePlot::new("Held-out accuracy", "epoch", "accuracy (%)")
///     .with_series(Series::new("student", [(1, 41.5), (2, 58.0), (3, 63.2)]))
///     .with_series(Series::new("distilled", [(1, 44.0), (2, 61.1), (3, 66.9)]))
///     .svg()?;
/// assert!(svg.starts_with("<svg "));
/// # Ok::<(), kd_report::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinePlot {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) y_label: String,
    x_scale: Scale,
    y_scale: Scale,
    most: Option<f64>,
    size: [u32; 2],
    pub(crate) series: Vec<Series>,
}

impl LinePlot {
    /// A plot without a line, 640 by 400 pixels.
    pub fn new(
        title: impl Into<String>,
        x_label: impl Into<String>,
        y_label: impl Into<String>,
    ) -> Self {
        Self {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            x_scale: Scale::Linear,
            y_scale: Scale::Linear,
            most: None,
            size: [640, 400],
            series: Vec::new(),
        }
    }

    /// With one more line. A series without a name is not in the legend.
    #[must_use]
    pub fn with_series(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// With another division of the horizontal axis. A logarithmic one marks the values of a sweep of up to
    /// nine values.
    #[must_use]
    pub fn with_x_scale(mut self, scale: Scale) -> Self {
        self.x_scale = scale;
        self
    }

    /// With another division of the vertical axis.
    #[must_use]
    pub fn with_y_scale(mut self, scale: Scale) -> Self {
        self.y_scale = scale;
        self
    }

    /// With the largest value that there can be, as 100 for percents: the vertical axis ends there.
    #[must_use]
    pub fn with_most(mut self, most: f64) -> Self {
        self.most = Some(most);
        self
    }

    /// With another width and height in pixels.
    #[must_use]
    pub fn with_size(mut self, width: u32, height: u32) -> Self {
        self.size = [width, height];
        self
    }

    /// The picture.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] without a series or for one without a point, [`Error::NotFinite`] for a value that
    /// is not finite, [`Error::NotPositive`] for one that a logarithmic axis has no place for,
    /// [`Error::Config`] for a size below 240 or above 4000 pixels.
    pub fn svg(&self) -> Result<String> {
        let size = check_size(self.size)?;
        self.check()?;
        canvas::draw(&self.title, size, |canvas| self.paint(canvas, size))
    }

    /// The horizontal and the vertical axis, and the lowest value that has a place on the latter.
    pub(crate) fn axes(&self) -> (Axis, Axis, f64) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let xs: Vec<f64> = points().map(|point| point.x).collect();
        let lowest = match self.y_scale {
            Scale::Linear => f64::NEG_INFINITY,
            // A band may reach below 0, where a logarithmic axis ends.
            Scale::Log => points().map(|point| point.y).fold(f64::INFINITY, f64::min) / 2.0,
        };
        let reach = self.series.iter().flat_map(Series::reach);
        let ys: Vec<f64> = reach.map(|y| y.max(lowest)).collect();
        let x_axis = Axis::of_settings(self.x_scale, &xs, 0.02, 8);
        let y_axis = Axis::new(self.y_scale, &ys, 0.06, 6).up_to(self.most);
        (x_axis, y_axis, lowest)
    }

    fn check(&self) -> Result<()> {
        if self.series.is_empty() {
            return Err(Error::NoValues {
                what: format!("plot `{}`", self.title),
                remedy: "give it at least one series".into(),
            });
        }
        for series in &self.series {
            series.check(&self.title)?;
            let ends: Vec<f64> = series.reach().collect();
            check_finite(
                &format!("plot `{}`, series `{}`", self.title, series.name),
                &ends,
            )?;
            let xs = series.points.iter().map(|point| point.x);
            let ys = series.points.iter().map(|point| point.y);
            self.check_scale("horizontal", self.x_scale, xs)?;
            self.check_scale("vertical", self.y_scale, ys)?;
        }
        Ok(())
    }

    fn check_scale(
        &self,
        axis: &str,
        scale: Scale,
        mut values: impl Iterator<Item = f64>,
    ) -> Result<()> {
        match values.find(|&value| scale == Scale::Log && value <= 0.0) {
            Some(value) => Err(Error::NotPositive {
                what: format!("plot `{}`, {axis} axis", self.title),
                value,
            }),
            None => Ok(()),
        }
    }

    fn paint(&self, canvas: &Canvas<'_>, [width, height]: [f64; 2]) -> Result<()> {
        let top = title(canvas, &self.title, width)?;
        let looks: Vec<Look> = (0..self.series.len()).map(look).collect();
        let names = self.series.iter().map(|series| series.name.as_str());
        let entries: Vec<_> = names.zip(looks.iter().copied()).collect();
        let top = legend::draw(canvas, &entries, top, width, true)?;

        let (x_axis, y_axis, lowest) = self.axes();
        let widest = y_axis
            .ticks
            .iter()
            .map(|tick| text::width(&tick.label, SMALL));
        let widest = widest.fold(0.0, f64::max);
        let frame = Frame {
            left: RIM + 22.0 + widest + 8.0,
            right: width - RIM - 6.0,
            top: top + 10.0,
            bottom: height - RIM - 40.0,
        };
        frame.y_axis(canvas, &y_axis, &self.y_label, RIM + 6.0)?;
        frame.x_axis(canvas, &x_axis, &self.x_label, false)?;
        let place = |x: f64, y: f64| frame.place((&x_axis, x), (&y_axis, y.max(lowest)));
        for (series, look) in self.series.iter().zip(&looks) {
            band(canvas, series, *look, place)?;
        }
        for (index, (series, look)) in self.series.iter().zip(&looks).enumerate() {
            let line: Vec<_> = series.points.iter().map(|at| place(at.x, at.y)).collect();
            canvas.line(&line, look.colour, 1.8, look.dash)?;
            for &at in marked(index, &line) {
                canvas.marker(at, *look, 3.4)?;
            }
        }
        Ok(())
    }
}

/// The points that get a marker: all of a few; of many some, at other places for each series.
fn marked<T>(index: usize, points: &[T]) -> impl Iterator<Item = &T> {
    let every = if points.len() <= MARKED {
        1
    } else {
        points.len().div_ceil(10)
    };
    points
        .iter()
        .skip((index * every / 3) % every)
        .step_by(every)
}

/// The band around each stretch of points that have a spread.
fn band(
    canvas: &Canvas<'_>,
    series: &Series,
    look: Look,
    place: impl Fn(f64, f64) -> (f64, f64),
) -> Result<()> {
    for stretch in series.points.split(|point| point.spread.is_none()) {
        let end =
            |point: &Point, side: f64| place(point.x, point.y + side * point.spread.unwrap_or(0.0));
        match stretch {
            [] => {}
            // A band needs two points to be seen; one gets a bar.
            [point] => {
                let (low, high) = (end(point, -1.0), end(point, 1.0));
                canvas.line(&[low, high], look.colour, 1.2, &[])?;
            }
            points => {
                let upper = points.iter().map(|point| end(point, 1.0));
                let lower = points.iter().rev().map(|point| end(point, -1.0));
                let corners: Vec<_> = upper.chain(lower).collect();
                canvas.area(&corners, look.colour, 0.16)?;
            }
        }
    }
    Ok(())
}
