//! The section of the teacher: the student beside it, and the samples on which they differ.

use super::page::Page;
use super::predictions::{Predictions, SHOWN, Sample};
use super::samples;
use crate::{Align, Result, SampleImages, Table, count, percent};

/// Of more classes than this, those are listed where the two differ most.
const CLASSES: usize = 20;

/// Agreement, where each beats the other by class, and the clearest samples.
pub(super) fn teacher(
    page: &mut Page,
    said: &Predictions,
    names: &[String],
    images: &SampleImages,
) -> Result<()> {
    let (student, Some(teacher)) = (said.student()?, said.teacher()?) else {
        return Ok(());
    };
    page.heading(2, "Student and teacher");
    let (ahead, behind) = (said.student_beats_teacher(), said.teacher_beats_student());
    if let Some(compared) = student.teacher {
        page.paragraph(&format!(
            "They give the same answer to {} of {} samples; the mean divergence KL(teacher || student) is \
             {:.4} nats. The teacher's accuracy is {}. The student is right and the teacher wrong on {}, the \
             reverse on {}.",
            percent(compared.agreement),
            count(student.count),
            compared.kl,
            percent(teacher.accuracy),
            count(ahead.len() as u64),
            count(behind.len() as u64),
        ));
    }
    by_class(page, said, names, [&ahead, &behind])?;
    let groups = [
        ("Where the student beats the teacher most clearly", ahead),
        ("Where the teacher beats the student most clearly", behind),
    ];
    for (heading, mut samples) in groups {
        samples.truncate(SHOWN);
        samples::list(page, heading, &samples, names, images)?;
    }
    Ok(())
}

fn by_class(
    page: &mut Page,
    said: &Predictions,
    names: &[String],
    [ahead, behind]: [&[&Sample]; 2],
) -> Result<()> {
    let of_class = |samples: &[&Sample], class: usize| {
        let samples = samples.iter().filter(|sample| sample.target == class);
        samples.count() as u64
    };
    let mut rows: Vec<(usize, u64, u64, u64)> = (0..said.classes)
        .map(|class| {
            let total = said.samples.iter().filter(|sample| sample.target == class);
            let total = total.count() as u64;
            (
                class,
                total,
                of_class(ahead, class),
                of_class(behind, class),
            )
        })
        .filter(|&(_, total, _, _)| total > 0)
        .collect();
    if rows.len() > CLASSES {
        rows.sort_by_key(|&(class, _, ahead, behind)| {
            (std::cmp::Reverse(ahead.abs_diff(behind)), class)
        });
        rows.truncate(CLASSES);
        page.paragraph(&format!("The {CLASSES} classes where they differ most:"));
    }
    let mut table = Table::new([
        ("class", Align::Left),
        ("samples", Align::Right),
        ("only the student is right", Align::Right),
        ("only the teacher is right", Align::Right),
    ]);
    for (class, total, ahead, behind) in rows {
        let numbers = [total, ahead, behind].map(count);
        table.row(std::iter::once(names[class].clone()).chain(numbers))?;
    }
    page.table(&table);
    Ok(())
}
