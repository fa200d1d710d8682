//! The section of classes: accuracy of each, and the confusion between them.

use super::page::Page;
use super::predictions::Predictions;
use crate::block::Picture;
use crate::{Align, ConfusionPlot, DotPlot, Result, Table, count, percent};

/// Of more classes than this, the least recognised are shown.
const SHOWN: usize = 40;
const CONFUSIONS: usize = 10;

/// Accuracy by class, the confusion matrix, and the most frequent confusions.
pub(super) fn classes(page: &mut Page, said: &Predictions, names: &[String]) -> Result<()> {
    page.heading(2, "Classes");
    let own = said.confusion().recalls();
    let known: Vec<f64> = own.iter().copied().flatten().collect();
    if !known.is_empty() {
        let balanced = known.iter().sum::<f64>() / known.len() as f64;
        page.paragraph(&format!(
            "Balanced accuracy, in which each class counts alike: {}.",
            percent(balanced)
        ));
    }
    let teacher = said
        .teacher_confusion()
        .map(kd_core::ConfusionMatrix::recalls);
    let mut shown: Vec<usize> = (0..said.classes)
        .filter(|&class| own[class].is_some())
        .collect();
    if shown.len() > SHOWN {
        shown.sort_by(|&one, &other| {
            own[one]
                .unwrap_or(1.0)
                .total_cmp(&own[other].unwrap_or(1.0))
        });
        shown.truncate(SHOWN);
        page.paragraph(&format!(
            "Of {} classes, the {SHOWN} least recognised.",
            said.classes
        ));
    }
    let value = |shares: &[Option<f64>], class: usize| -> Vec<f64> {
        shares[class].iter().map(|share| 100.0 * share).collect()
    };
    let plot = match &teacher {
        Some(_) => DotPlot::new("Accuracy by class", "accuracy (%)", ["student", "teacher"]),
        None => DotPlot::new("Accuracy by class", "accuracy (%)", ["accuracy"]),
    };
    let plot = shown.iter().fold(plot.with_most(100.0), |plot, &class| {
        let mut values = vec![value(&own, class)];
        values.extend(teacher.iter().map(|shares| value(shares, class)));
        plot.with_row(&names[class], values)
    });
    page.picture("classes", "accuracy by class", Picture::dots(plot)?);
    let matrix = said.confusion();
    let plot = ConfusionPlot::new("Confusion matrix", matrix.rows(), names)?;
    page.picture("confusion", "confusion matrix", Picture::confusion(plot)?);
    confusions(page, said, names)
}

/// The most frequent mistakes.
fn confusions(page: &mut Page, said: &Predictions, names: &[String]) -> Result<()> {
    let matrix = said.confusion();
    let mut found: Vec<(u64, usize, usize)> = (0..said.classes)
        .flat_map(|target| (0..said.classes).map(move |predicted| (target, predicted)))
        .filter(|(target, predicted)| target != predicted)
        .map(|(target, predicted)| (matrix.get(target, predicted), target, predicted))
        .filter(|&(times, _, _)| times > 0)
        .collect();
    found.sort_by_key(|&(times, target, predicted)| (std::cmp::Reverse(times), target, predicted));
    let mut table = Table::new([
        ("true class", Align::Left),
        ("taken for", Align::Left),
        ("times", Align::Right),
        ("of the class", Align::Right),
    ]);
    for &(times, target, predicted) in found.iter().take(CONFUSIONS) {
        let total: u64 = matrix.rows()[target].iter().sum();
        table.row([
            names[target].clone(),
            names[predicted].clone(),
            count(times),
            percent(times as f64 / total.max(1) as f64),
        ])?;
    }
    if !table.is_empty() {
        page.paragraph("The most frequent confusions:");
    }
    page.table(&table);
    Ok(())
}
