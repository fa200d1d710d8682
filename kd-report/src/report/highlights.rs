//! The numbers of a run that matter most, for the head of its page.

use kd_core::EpochLog;

use super::curves::{best, by_phase, is_share, show, words};
use super::predictions::Predictions;
use crate::{Result, duration, percent};

/// Metrics by which a run is judged, the first of which it measures is shown.
const FIRST: [&str; 3] = ["accuracy", "mean_iou", "loss"];

/// How the last phase ended, what the teacher reaches, and the time.
pub(super) fn highlights(
    epochs: &[EpochLog],
    said: Option<&Predictions>,
) -> Result<Vec<[String; 3]>> {
    let mut entries = Vec::new();
    let phases = by_phase(epochs);
    let measured = phases.iter().rev().find_map(|(phase, epochs)| {
        let last = epochs
            .iter()
            .rev()
            .find_map(|epoch| epoch.evaluation.as_ref())?;
        let metric = FIRST.into_iter().find(|metric| last.contains_key(*metric));
        let metric = metric.or_else(|| last.keys().next().map(String::as_str))?;
        Some((*phase, epochs, metric, *last.get(metric)?))
    });
    if let Some((_, epochs, metric, value)) = measured {
        let remark = match best(epochs, metric).filter(|_| is_share(metric)) {
            Some((best, at)) => format!("best {} after epoch {at}", percent(best)),
            None => String::new(),
        };
        entries.push([words(metric), show(metric, value), remark]);
    }
    if let Some(said) = said {
        if let Some(teacher) = said.teacher()? {
            entries.push([
                "teacher's accuracy".into(),
                percent(teacher.accuracy),
                String::new(),
            ]);
        }
        let student = said.student()?;
        if let Some(compared) = student.teacher {
            let remark = "of the samples have the same answer".into();
            entries.push(["agreement".into(), percent(compared.agreement), remark]);
        }
        if student.ece.is_finite() {
            let value = format!("{:.4}", student.ece);
            entries.push(["calibration error".into(), value, String::new()]);
        }
    }
    let last_of = phases.iter().filter_map(|(_, epochs)| epochs.last());
    let seconds: f64 = last_of.map(|epoch| epoch.seconds).sum();
    if !epochs.is_empty() {
        let remark = match (phases.len(), epochs.len()) {
            (1, 1) => "1 epoch".to_owned(),
            (1, epochs) => format!("{epochs} epochs"),
            (phases, epochs) => format!("{epochs} epochs in {phases} phases"),
        };
        entries.push(["time".into(), duration(seconds), remark]);
    }
    Ok(entries)
}
