//! The section of a run's report: students and ensembles, their diversity over epochs and pair by pair.

use std::path::Path;

use kd_core::{EpochLog, Error, Metrics, Result};
use kd_recipe::MethodReport;
use kd_report::{Align, ConfusionPlot, LinePlot, Picture, Section, Series, Table, percent};

use crate::measure_sums::MOST_CLASSES;
use crate::{OnlineConfig, findings};

pub(super) fn report(config: &OnlineConfig, run: &Path) -> Result<MethodReport> {
    let mut report = MethodReport::default();
    let epochs = EpochLog::read_all(run)?;
    let evaluated = epochs
        .iter()
        .rev()
        .find_map(|epoch| epoch.evaluation.as_ref());
    let Some(last) = evaluated else {
        return Ok(report);
    };
    report.findings = findings(last);
    if config.branches < 2 {
        return Ok(report);
    }
    let failed = |error: kd_report::Error| Error::method("the section of the students", error);
    report
        .sections
        .push(section(config, &epochs, last).map_err(failed)?);
    Ok(report)
}

fn section(
    config: &OnlineConfig,
    epochs: &[EpochLog],
    last: &Metrics,
) -> kd_report::Result<Section> {
    let mut section = Section::new("Students").with_table(accuracies(config, last)?);
    section = section.with_text(words(last));
    let accuracy = [
        ("student", "accuracy"),
        ("mean of the peers", "mean_accuracy"),
        ("ensemble", "ensemble_accuracy"),
    ];
    let plots = [
        (
            "students",
            "Accuracy of students and ensemble",
            "accuracy",
            &accuracy[..],
        ),
        (
            "diversity",
            "Distance of the predictions",
            "distance",
            &[("all pairs", "dist")][..],
        ),
    ];
    for (name, title, label, measures) in plots {
        let mut plot = LinePlot::new(title, "epoch", label);
        for (series, metric) in measures {
            plot = plot.with_series(over_epochs(series, metric, epochs));
        }
        section = section.with_picture(name, title, Picture::lines(plot)?);
    }
    let pairs = disagreement(config, last)?;
    Ok(section.with_picture(
        "disagreement",
        "Disagreement of each pair",
        Picture::Svg(pairs),
    ))
}

/// The accuracies and losses of students and ensembles.
fn accuracies(config: &OnlineConfig, last: &Metrics) -> kd_report::Result<Table> {
    let columns = [
        ("", Align::Left),
        ("accuracy", Align::Right),
        ("loss", Align::Right),
    ];
    let mut table = Table::new(columns);
    let mut rows = vec![("student".to_owned(), String::new())];
    for index in 0..config.branches {
        let leads = config.objective.has_leader() && index + 1 == config.branches;
        let title = if leads { "leader" } else { "branch" };
        rows.push((format!("{title} {index}"), format!("branch_{index}_")));
    }
    rows.push(("mean of the peers".into(), "mean_".into()));
    rows.push(("ensemble of mean logits".into(), "ensemble_".into()));
    rows.push((
        "ensemble of mean probabilities".into(),
        "probability_ensemble_".into(),
    ));
    rows.push(("ensemble as it was trained".into(), "combined_".into()));
    for (title, prefix) in rows {
        let value = |name: &str| last.get(&format!("{prefix}{name}"));
        if let (Some(&accuracy), Some(&loss)) = (value("accuracy"), value("loss")) {
            table.row([title, percent(accuracy), format!("{loss:.4}")])?;
        }
    }
    Ok(table)
}

fn words(last: &Metrics) -> String {
    let value = |name: &str| last.get(name).copied();
    let mut sentences = vec![format!(
        "The predictions of two peers are {:.3} of 1.41 apart and name different classes for {} of the \
         images. The ensemble alone is right about {} of them, the student alone about {}.",
        value("dist").unwrap_or_default(),
        percent(value("disagreement").unwrap_or_default()),
        percent(value("only_ensemble_right").unwrap_or_default()),
        percent(value("only_student_right").unwrap_or_default())
    )];
    if let Some(classes) = only_ensemble(last) {
        sentences.push(classes);
    }
    if let Some(entropy) = value("gate_entropy") {
        let entropy = percent(entropy);
        sentences.push(format!("The gate has {entropy} of the largest entropy."));
    }
    if let Some(diagonal) = value("attention_diagonal") {
        let diagonal = percent(diagonal);
        sentences.push(format!("A peer's target is {diagonal} its own output."));
    }
    sentences.join(" ")
}

/// The classes that the ensemble alone is right about most often.
fn only_ensemble(last: &Metrics) -> Option<String> {
    let share = |class: usize| Some((class, *last.get(&format!("only_ensemble_right_{class}"))?));
    let mut shares: Vec<(usize, f64)> = (0..MOST_CLASSES).map_while(share).collect();
    shares.retain(|(_, share)| *share > 0.0);
    shares.sort_by(|one, other| other.1.total_cmp(&one.1));
    let shown = shares.iter().take(3);
    let shown: Vec<String> = shown
        .map(|&(class, share)| format!("{class} ({} of all images)", percent(share)))
        .collect();
    let text = format!(
        "The classes that the ensemble alone is right about most often: {}.",
        shown.join(", ")
    );
    (!shown.is_empty()).then_some(text)
}

fn over_epochs(title: &str, metric: &str, epochs: &[EpochLog]) -> Series {
    let points = epochs.iter().filter_map(|epoch| {
        let value = epoch.evaluation.as_ref()?.get(metric)?;
        Some(((epoch.epoch + 1) as f64, *value))
    });
    Series::new(title, points)
}

/// The share of samples, in tenths of a per cent, that each pair takes for different classes.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of at most 1"
)]
fn disagreement(config: &OnlineConfig, last: &Metrics) -> kd_report::Result<String> {
    let peers = config.peers();
    let share = |one: usize, other: usize| {
        let (one, other) = (one.min(other), one.max(other));
        let share = last.get(&format!("disagreement_{one}_{other}"));
        (1000.0 * share.copied().unwrap_or_default()).round() as u64
    };
    let row = |one: usize| (0..peers).map(|other| share(one, other)).collect();
    let rows: Vec<Vec<u64>> = (0..peers).map(row).collect();
    let names: Vec<String> = (0..peers).map(|index| format!("branch {index}")).collect();
    let title = "Images of 1,000 that two peers take for different classes";
    ConfusionPlot::new(title, &rows, &names)?.svg()
}
