//! A series: one line of a plot.

use crate::error::check_finite;
use crate::{Error, Result, Summary};

/// A named line through points, with a band around it where its spread is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub(crate) name: String,
    /// By `x`.
    pub(crate) points: Vec<Point>,
}

/// A point and half the height of the band there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) spread: Option<f64>,
}

impl Series {
    /// A line through points `(x, y)`, in any order.
    pub fn new(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (impl Into<f64>, impl Into<f64>)>,
    ) -> Self {
        let points = points.into_iter().map(|(x, y)| Point {
            x: x.into(),
            y: y.into(),
            spread: None,
        });
        Self::sorted(name.into(), points.collect())
    }

    /// A line through means, with a band of one standard deviation where there is one.
    pub fn of_summaries(
        name: impl Into<String>,
        points: impl IntoIterator<Item = (impl Into<f64>, Summary)>,
    ) -> Self {
        let points = points.into_iter().map(|(x, summary)| Point {
            x: x.into(),
            y: summary.mean,
            spread: summary.std,
        });
        Self::sorted(name.into(), points.collect())
    }

    /// The mean of several runs and one standard deviation around it, at each `x` that all of them have.
    ///
    /// # Errors
    ///
    /// [`Error::NoValues`] if they have no `x` in common, [`Error::NotFinite`] if a value is not finite.
    pub fn of_runs(name: impl Into<String>, runs: &[Vec<(f64, f64)>]) -> Result<Self> {
        let name = name.into();
        let at = |run: &Vec<(f64, f64)>, x: f64| {
            let same = run.iter().find(|(other, _)| other.total_cmp(&x).is_eq());
            same.map(|&(_, y)| y)
        };
        let mut points = Vec::new();
        for &(x, _) in runs.first().into_iter().flatten() {
            let values: Option<Vec<f64>> = runs.iter().map(|run| at(run, x)).collect();
            if let Some(values) = values {
                points.push((x, Summary::of(&values)?));
            }
        }
        if points.is_empty() {
            return Err(Error::NoValues {
                what: format!("series `{name}`"),
                remedy: "give runs that were measured at the same places".into(),
            });
        }
        Ok(Self::of_summaries(name, points))
    }

    fn sorted(name: String, mut points: Vec<Point>) -> Self {
        points.sort_by(|one, other| one.x.total_cmp(&other.x));
        Self { name, points }
    }

    pub(super) fn check(&self, plot: &str) -> Result<()> {
        let what = format!("plot `{plot}`, series `{}`", self.name);
        if self.points.is_empty() {
            return Err(Error::NoValues {
                what,
                remedy: "give it a point or leave the series out".into(),
            });
        }
        let values = |point: &Point| [point.x, point.y, point.spread.unwrap_or(0.0)];
        let values: Vec<[f64; 3]> = self.points.iter().map(values).collect();
        for place in 0..3 {
            let column: Vec<f64> = values.iter().map(|value| value[place]).collect();
            check_finite(&what, &column)?;
        }
        Ok(())
    }

    /// The lowest and the highest places that the line and its band reach.
    pub(super) fn reach(&self) -> impl Iterator<Item = f64> + '_ {
        let ends = |point: &Point| {
            let spread = point.spread.unwrap_or(0.0);
            [point.y - spread, point.y + spread]
        };
        self.points.iter().flat_map(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_averaged_where_all_were_measured() {
        let runs = [
            vec![(2.0, 3.0), (1.0, 1.0), (3.0, 9.0)],
            vec![(1.0, 3.0), (2.0, 5.0)],
        ];
        let made = Series::of_runs("kd", &runs).unwrap();
        let points: Vec<_> = made
            .points
            .iter()
            .map(|point| (point.x, point.y, point.spread))
            .collect();
        let spread = Some(2_f64.sqrt());
        assert_eq!(points, [(1.0, 2.0, spread), (2.0, 4.0, spread)]);
    }

    #[test]
    fn runs_without_a_common_place_are_refused() {
        let error = Series::of_runs("kd", &[vec![(1.0, 1.0)], vec![]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "series `kd`: there are no values; give runs that were measured at the same places"
        );
        assert!(Series::of_runs("kd", &[]).is_err());
    }

    #[test]
    fn one_run_has_no_band() {
        let made = Series::of_runs("kd", &[vec![(1.0, 1.0)]]).unwrap();
        assert_eq!(made.points[0].spread, None);
    }
}
