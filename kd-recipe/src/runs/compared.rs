//! Two runs side by side: what differs in their recipes, and their evaluations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kd_core::{Error, Result};
use serde::Serialize;

use crate::campaign::curve::curve;
use crate::campaign::run_plan::settings_of;

/// Two runs side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedRuns {
    /// Settings that differ: the path, the value of the first and that of the second run.
    pub settings: Vec<(String, Option<String>, Option<String>)>,
    /// The value that is compared, the accuracy or the mean intersection over union; nothing if they have
    /// none in common.
    pub metric: Option<&'static str>,
    /// Its values by epoch, counted over all phases, of the first and the second run.
    pub values: BTreeMap<usize, (Option<f64>, Option<f64>)>,
}

/// Compares two runs.
///
/// # Errors
///
/// [`Error::NoRun`] for a folder that is no run's, and whatever keeps its files from being read.
pub fn compare_runs(first: &Path, second: &Path) -> Result<ComparedRuns> {
    let (one, other) = (settings(first)?, settings(second)?);
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = keys
        .into_iter()
        .filter(|key| one.get(*key) != other.get(*key));
    let settings =
        differing.map(|key| (key.clone(), one.get(key).cloned(), other.get(key).cloned()));
    let curves = [curve(first)?, curve(second)?];
    let has = |metric: &&str| {
        let all = curves.iter();
        all.clone().all(|curve| {
            curve
                .iter()
                .any(|point| point.metrics.contains_key(*metric))
        })
    };
    let metric = ["accuracy", "mean_iou"].into_iter().find(has);
    let mut values: BTreeMap<usize, (Option<f64>, Option<f64>)> = BTreeMap::new();
    if let Some(metric) = metric {
        for point in &curves[0] {
            values.entry(point.epoch).or_default().0 = point.metrics.get(metric).copied();
        }
        for point in &curves[1] {
            values.entry(point.epoch).or_default().1 = point.metrics.get(metric).copied();
        }
    }
    Ok(ComparedRuns {
        settings: settings.collect(),
        metric,
        values,
    })
}

/// All settings of the recipe of a run by their paths. It is read without the lock, as a run that is under
/// way holds it.
fn settings(run: &Path) -> Result<BTreeMap<String, String>> {
    let path = run.join("recipe.toml");
    if !path.is_file() {
        return Err(Error::NoRun {
            path: run.to_owned(),
        });
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    Ok(settings_of(&text))
}
