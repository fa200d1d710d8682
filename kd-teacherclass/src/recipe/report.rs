//! The section of a run's report: the error of each student, and the accuracy with students missing.

use std::path::Path;

use kd_core::{EpochLog, Error, Finding, Metrics, Result, Topic};
use kd_recipe::MethodReport;
use kd_report::{Align, LinePlot, Picture, Section, Series, Table, percent};

use crate::class::stage_name;
use crate::config::TeacherClassConfig;
use crate::method::{HEAD_PHASE, again};

pub(super) fn report(config: &TeacherClassConfig, run: &Path) -> Result<MethodReport> {
    let mut report = MethodReport::default();
    let epochs = EpochLog::read_all(run)?;
    if epochs.is_empty() {
        return Ok(report);
    }
    let failed = |error: kd_report::Error| Error::method("the section of the students", error);
    let mut section = Section::new("Students").with_table(errors(config, &epochs).map_err(failed)?);
    let trained = |&student: &usize| last(&stage_name(student), &epochs).is_some();
    let students = (0..config.students).filter(trained);
    let series = students.map(|student| over_epochs(student, &epochs));
    let plot = LinePlot::new("Held-out normalised error", "epoch", "NMSE");
    let plot = series.fold(plot, LinePlot::with_series);
    let picture = Picture::lines(plot).map_err(failed)?;
    section = section.with_picture("nmse", "Held-out normalised error of each student", picture);
    report.sections.push(section);
    if let Some(head) = last(HEAD_PHASE, &epochs) {
        let missing = missing(config.students, head).map_err(failed)?;
        report.sections.push(missing);
    }
    report.findings = collapsed(config, &epochs);
    Ok(report)
}

/// The last evaluation of a phase.
fn last<'a>(phase: &str, epochs: &'a [EpochLog]) -> Option<&'a Metrics> {
    let mut of_phase = epochs.iter().rev().filter(|epoch| epoch.phase == phase);
    of_phase.find_map(|epoch| epoch.evaluation.as_ref())
}

/// The error of each student on held-out data, and of both attempts where there were two.
fn errors(config: &TeacherClassConfig, epochs: &[EpochLog]) -> kd_report::Result<Table> {
    let columns = [
        ("student", Align::Left),
        ("NMSE", Align::Right),
        ("MSE", Align::Right),
        ("dead units", Align::Right),
    ];
    let mut table = Table::new(columns);
    for student in 0..config.students {
        for (name, attempt) in [(stage_name(student), ""), (again(student), ", once more")] {
            let Some(found) = last(&name, epochs) else {
                continue;
            };
            let shown = |metric: &str, digits: usize| {
                let value = found.get(metric);
                value.map_or_else(|| "all dead".into(), |value| format!("{value:.digits$}"))
            };
            let title = format!("{student}{attempt}");
            let row = [
                title,
                shown("nmse", 4),
                shown("mse", 5),
                shown("dead_units", 0),
            ];
            table.row(row)?;
        }
    }
    Ok(table)
}

fn over_epochs(student: usize, epochs: &[EpochLog]) -> Series {
    let phase = stage_name(student);
    let of_phase = epochs.iter().filter(|epoch| epoch.phase == phase);
    let points = of_phase.filter_map(|epoch| {
        let value = epoch.evaluation.as_ref()?.get("nmse")?;
        Some(((epoch.epoch + 1) as f64, *value))
    });
    Series::new(phase.clone(), points.collect::<Vec<_>>())
}

/// The accuracy with the teacher's head, with the tuned one, and with students missing.
fn missing(students: usize, head: &Metrics) -> kd_report::Result<Section> {
    let value = |name: &str| head.get(name).copied().unwrap_or_default();
    let text = format!(
        "With the teacher's head as it was copied the class is right about {} of the samples, at the end \
         about {}.",
        percent(value("copied_head_accuracy")),
        percent(value("accuracy"))
    );
    let section = Section::new("Head").with_text(text);
    let columns = [
        ("students missing", Align::Left),
        ("zeros, mean", Align::Right),
        ("zeros, worst", Align::Right),
        ("means, mean", Align::Right),
        ("means, worst", Align::Right),
        ("own head, mean", Align::Right),
        ("own head, worst", Align::Right),
    ];
    let mut table = Table::new(columns);
    for missing in 1..students {
        let names = ["zero", "mean", "head"].into_iter().flat_map(|policy| {
            ["accuracy", "worst_accuracy"].map(|what| format!("{policy}_without_{missing}_{what}"))
        });
        let values: Option<Vec<f64>> = names.map(|name| head.get(&name).copied()).collect();
        if let Some(values) = values {
            let shown = values.into_iter().map(percent);
            table.row([missing.to_string()].into_iter().chain(shown))?;
        }
    }
    if table.is_empty() {
        return Ok(section);
    }
    let picture = Picture::lines(over_missing(students, head))?;
    let caption = "Accuracy by the number of missing students, mean of all sets";
    Ok(section
        .with_table(table)
        .with_picture("missing", caption, picture))
}

/// The accuracy over the number of missing students, a line a policy.
fn over_missing(students: usize, head: &Metrics) -> LinePlot {
    let plot =
        LinePlot::new("Missing students", "students missing", "accuracy (%)").with_most(100.0);
    let policies = [
        ("zero", "zeros"),
        ("mean", "means"),
        ("head", "a head of their own"),
    ];
    policies.into_iter().fold(plot, |plot, (policy, title)| {
        let points = (0..students).filter_map(|missing| {
            let value = match missing {
                0 => head.get("accuracy"),
                _ => head.get(&format!("{policy}_without_{missing}_accuracy")),
            };
            Some((missing as f64, 100.0 * value?))
        });
        plot.with_series(Series::new(title, points.collect::<Vec<_>>()))
    })
}

/// Students that were trained once more.
fn collapsed(config: &TeacherClassConfig, epochs: &[EpochLog]) -> Vec<Finding> {
    let retrained = (0..config.students).filter(|&student| last(&again(student), epochs).is_some());
    let finding = |student| {
        let text = format!(
            "student {student} had a normalised error above {} and was trained once more from another seed",
            config.collapse
        );
        Finding::warning(Topic::Schedule, text)
    };
    retrained.map(finding).collect()
}
