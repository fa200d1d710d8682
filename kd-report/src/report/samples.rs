//! Samples one by one: what the networks say of each, and its image.

use super::page::Page;
use super::predictions::{Answer, Predictions, SHOWN, Sample};
use crate::block::Block;
use crate::html::Shown;
use crate::{Align, Result, SampleImages, Table};

/// The samples that the student has wrong, those first of which it is surest.
pub(super) fn surest_and_wrong(
    page: &mut Page,
    said: &Predictions,
    names: &[String],
    images: &SampleImages,
) -> Result<()> {
    let mut samples = said.surest_and_wrong();
    samples.truncate(SHOWN);
    list(
        page,
        "Where it is surest and wrong",
        &samples,
        names,
        images,
    )
}

/// A heading, the images that there are, and a table.
pub(super) fn list(
    page: &mut Page,
    heading: &str,
    samples: &[&Sample],
    names: &[String],
    images: &SampleImages,
) -> Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    page.heading(3, heading);
    let shown = samples
        .iter()
        .filter_map(|sample| shown(sample, names, images));
    let shown: Vec<Shown> = shown.collect();
    if !shown.is_empty() {
        page.in_html(Block::Gallery(shown));
    }
    page.paragraph(
        "The number of a sample is its place in the data set, from 0; the probability is that of its class.",
    );
    let with_teacher = samples.iter().any(|sample| sample.teacher.is_some());
    let mut head = vec![("sample", Align::Right), ("class", Align::Left)];
    for who in ["student says", "teacher says"]
        .iter()
        .take(1 + usize::from(with_teacher))
    {
        head.extend([(*who, Align::Left), ("probability", Align::Right)]);
    }
    let mut table = Table::new(head);
    for sample in samples {
        let mut cells = vec![sample.id.to_string(), names[sample.target].clone()];
        for answer in answers(sample, with_teacher) {
            cells.extend(match answer {
                Some(answer) => [
                    names[answer.class].clone(),
                    format!("{:.3}", answer.of_target),
                ],
                None => ["-".to_owned(), "-".to_owned()],
            });
        }
        table.row(cells)?;
    }
    page.table(&table);
    Ok(())
}

fn answers(sample: &Sample, with_teacher: bool) -> Vec<Option<Answer>> {
    if with_teacher {
        vec![sample.student, sample.teacher]
    } else {
        vec![sample.student]
    }
}

/// A sample with its image, if that is there.
fn shown(sample: &Sample, names: &[String], images: &SampleImages) -> Option<Shown> {
    let said = [("student", sample.student), ("teacher", sample.teacher)];
    let said = said.into_iter().filter_map(|(who, answer)| {
        let answer = answer?;
        let text = format!(
            "{} ({:.1} %)",
            names[answer.class],
            100.0 * answer.confidence
        );
        Some((who, text, answer.class == sample.target))
    });
    Some(Shown {
        id: sample.id,
        png: images.image(sample.id)?.to_vec(),
        class: names[sample.target].clone(),
        answers: said.collect(),
    })
}
