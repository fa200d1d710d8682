//! The section of a run's report: the error of each student, and the accuracy with students missing.

use std::path::Path;

use kd_core::{EpochLog, Error, Finding, Metrics, Result, Topic};
use kd_recipe::MethodReport;
use kd_report::{Align, LinePlot, Picture, Section, Series, Summary, Table, percent};

use crate::class::stage_name;
use crate::config::TeacherClassConfig;
use crate::method::{HEAD_PHASE, again};
use crate::recipe::missing::missing_students;

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
        report.sections.push(heads(head));
        report.sections.extend(missing(head).map_err(failed)?);
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

/// The accuracy with the teacher's head as it was copied, and with the tuned one.
fn heads(head: &Metrics) -> Section {
    let value = |name: &str| head.get(name).copied().unwrap_or_default();
    let text = if head.contains_key("mean_iou") {
        format!(
            "With the teacher's head as it was copied the class has a mean IoU of {}, at the end of {}; the \
             teacher has {}.",
            percent(value("copied_head_mean_iou")),
            percent(value("mean_iou")),
            percent(value("teacher_mean_iou"))
        )
    } else {
        format!(
            "With the teacher's head as it was copied the class is right about {} of the samples, at the \
             end about {}.",
            percent(value("copied_head_accuracy")),
            percent(value("accuracy"))
        )
    };
    Section::new("Head").with_text(text)
}

/// What it costs that students are missing, unless there is nothing of it.
fn missing(head: &Metrics) -> kd_report::Result<Option<Section>> {
    let finite = head.iter().filter(|(_, value)| value.is_finite());
    let of_one_run = finite.map(|(name, &value)| Ok((name.clone(), Summary::of(&[value])?)));
    let section = missing_students(&of_one_run.collect::<kd_report::Result<_>>()?)?;
    Ok((!section.parts().is_empty()).then_some(section))
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
