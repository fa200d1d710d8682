//! The evaluations of a run, in the order of its epochs.

use std::path::Path;

use kd_core::{Error, Metrics, Result};
use serde::{Deserialize, Serialize};

use crate::campaign::file::Campaign;

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Point {
    /// Epochs done by then, those of earlier phases included.
    pub epoch: usize,
    /// The metrics.
    pub metrics: Metrics,
}

/// A line of `metrics.jsonl`.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    phase: String,
    epoch: usize,
    #[serde(default)]
    evaluation: Option<Metrics>,
}

/// Reads the evaluations of a run folder.
///
/// # Errors
///
/// If the log cannot be read.
pub(crate) fn curve(folder: &Path) -> Result<Vec<Point>> {
    let path = folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let mut points = Vec::new();
    let (mut phase, mut before, mut done) = (String::new(), 0, 0);
    let mut offset = 0;
    for line in text.lines() {
        let read: Line = serde_json::from_str(line).map_err(|error| Error::BadFile {
            path: path.clone(),
            offset,
            problem: error.to_string(),
            remedy: "remove the folder of this run and start the campaign again".into(),
        })?;
        offset += line.len() as u64 + 1;
        if read.phase != phase {
            phase = read.phase;
            before = done;
        }
        done = before + read.epoch + 1;
        if let Some(metrics) = read.evaluation {
            let epoch = done;
            points.push(Point { epoch, metrics });
        }
    }
    Ok(points)
}

/// The best evaluation by the metric of a campaign; the first of several that are equal.
pub(crate) fn best(curve: &[Point], campaign: &Campaign) -> Option<(usize, f64)> {
    let values = curve.iter().filter_map(|point| {
        let value = *point.metrics.get(&campaign.metric)?;
        Some((point.epoch, value))
    });
    values.reduce(|best, next| {
        if campaign.is_better(next.1, best.1) {
            next
        } else {
            best
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_go_on_over_phases() {
        let place = tempfile::tempdir().unwrap();
        let log = concat!(
            "{\"phase\":\"a\",\"epoch\":0,\"step\":2,\"train\":{}}\n",
            "{\"phase\":\"a\",\"epoch\":1,\"step\":4,\"train\":{},\"evaluation\":{\"loss\":2.0}}\n",
            "{\"phase\":\"b\",\"epoch\":0,\"step\":2,\"evaluation\":{\"accuracy\":0.5}}\n",
            "{\"phase\":\"b\",\"epoch\":1,\"step\":4,\"evaluation\":{\"accuracy\":0.5}}\n",
        );
        std::fs::write(place.path().join("metrics.jsonl"), log).unwrap();
        let curve = curve(place.path()).unwrap();
        let epochs: Vec<usize> = curve.iter().map(|point| point.epoch).collect();
        assert_eq!(epochs, [2, 3, 4]);
        let text = "title = \"t\"\nseeds = [0]\nmethods = [{ name = \"a\", recipe = \"a.toml\" }]";
        let file = place.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        let campaign = Campaign::read(&file).unwrap();
        assert_eq!(best(&curve, &campaign), Some((3, 0.5)));
        assert_eq!(best(&curve[..1], &campaign), None);
    }
}
