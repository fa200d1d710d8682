//! The section of calibration: confidence against accuracy.

use super::page::Page;
use super::predictions::{Answer, Predictions, Sample};
use crate::block::Picture;
use crate::{CountPlot, LinePlot, Result, Series};

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
    let plot = LinePlot::new("Reliability", "confidence", "accuracy").with_most(1.0);
    let own = bins(said, |sample| sample.student);
    let plot = plot.with_series(Series::new("student", own.iter().map(Bin::place)));
    let other = teacher.map(|_| bins(said, |sample| sample.teacher));
    let plot = match &other {
        Some(other) => plot.with_series(Series::new("teacher", other.iter().map(Bin::place))),
        None => plot,
    };
    let plot = plot.with_series(Series::new("as sure as right", [(0.0, 0.0), (1.0, 1.0)]));
    page.picture("calibration", "reliability diagram", Picture::lines(plot)?);
    let counted = CountPlot::new("Samples by the student's confidence", "samples");
    let counted = own
        .iter()
        .fold(counted, |plot, bin| plot.with_row(bin.range(), bin.count));
    let about = "samples by confidence";
    page.picture("confidence", about, Picture::counts(counted)?);
    Ok(())
}

/// A range of confidence that holds a sample.
struct Bin {
    number: usize,
    count: u64,
    confidence: f64,
    accuracy: f64,
}

impl Bin {
    fn place(&self) -> (f64, f64) {
        (self.confidence, self.accuracy)
    }

    fn range(&self) -> String {
        let [from, to] = [self.number, self.number + 1].map(|end| end as f64 / BINS as f64);
        format!("{from:.2} to {to:.2}")
    }
}

/// The bins of confidence that hold a sample, with their mean confidence and accuracy.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a confidence is between 0 and 1"
)]
fn bins(said: &Predictions, answer: impl Fn(&Sample) -> Option<Answer>) -> Vec<Bin> {
    let mut sums = [(0, 0.0, 0.0); BINS];
    for sample in &said.samples {
        if let Some(answer) = answer(sample) {
            let bin = (answer.confidence * BINS as f64).ceil() as usize;
            let (count, confidence, correct) = &mut sums[bin.clamp(1, BINS) - 1];
            *count += 1;
            *confidence += answer.confidence;
            *correct += f64::from(u8::from(answer.class == sample.target));
        }
    }
    let filled = sums.iter().enumerate().filter(|(_, sums)| sums.0 > 0);
    let bin = |(number, &(count, confidence, correct)): (usize, &(u64, f64, f64))| Bin {
        number,
        count,
        confidence: confidence / count as f64,
        accuracy: correct / count as f64,
    };
    filled.map(bin).collect()
}
