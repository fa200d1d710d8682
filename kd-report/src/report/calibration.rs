//! The section of calibration: confidence against accuracy.

use super::page::{Page, Picture};
use super::predictions::{Answer, Predictions, Sample};
use crate::{LinePlot, Result, Series};

const BINS: usize = 15;

/// The expected calibration error and a reliability diagram.
pub(super) fn calibration(page: &mut Page, said: &Predictions) -> Result<()> {
    let student = said.student()?;
    if !student.ece.is_finite() {
        return Ok(());
    }
    page.heading(2, "Calibration");
    let teacher = said.teacher()?.filter(|teacher| teacher.ece.is_finite());
    let beside = teacher.as_ref().map_or_else(String::new, |teacher| {
        format!("; the teacher's is {:.4}", teacher.ece)
    });
    page.paragraph(&format!(
        "The expected calibration error ({BINS} bins) is {:.4}{beside}. Below the diagonal a network is \
         surer than it is right.",
        student.ece
    ));
    let plot = LinePlot::new("Reliability", "confidence", "accuracy")
        .with_series(Series::new("student", bins(said, |sample| sample.student)));
    let plot = match teacher {
        Some(_) => plot.with_series(Series::new("teacher", bins(said, |sample| sample.teacher))),
        None => plot,
    };
    let plot = plot.with_series(Series::new("as sure as right", [(0.0, 0.0), (1.0, 1.0)]));
    page.picture(
        "calibration",
        "reliability diagram",
        Picture::Svg(plot.svg()?),
    );
    Ok(())
}

/// Mean confidence and accuracy of each bin of confidence that holds a sample.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a confidence is between 0 and 1"
)]
fn bins(said: &Predictions, answer: impl Fn(&Sample) -> Option<Answer>) -> Vec<(f64, f64)> {
    let mut sums = [(0.0, 0.0, 0.0); BINS];
    for sample in &said.samples {
        if let Some(answer) = answer(sample) {
            let bin = (answer.confidence * BINS as f64).ceil() as usize;
            let (count, confidence, correct) = &mut sums[bin.clamp(1, BINS) - 1];
            *count += 1.0;
            *confidence += answer.confidence;
            *correct += f64::from(u8::from(answer.class == sample.target));
        }
    }
    let filled = sums.iter().filter(|(count, _, _)| *count > 0.0);
    filled
        .map(|(count, confidence, correct)| (confidence / count, correct / count))
        .collect()
}
