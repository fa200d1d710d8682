//! `kd check`.

use kd_core::{Error, Grade, Result};
use kd_recipe::{Check, Methods, peak_memory_bytes};
use kd_report::Align::{Left, Right};
use kd_report::{Section, SectionPart, count};
use serde_json::json;

use super::session::machine;
use crate::args::CheckOptions;
use crate::output;
use crate::progress::counted::Busy;

pub(super) fn run(methods: &Methods, options: &CheckOptions) -> Result<()> {
    let machine = machine(&options.machine)?;
    let origin = options.recipe.display().to_string();
    let mut recipe = methods.read_file(&options.recipe, &options.overrides())?;
    let busy = Busy::new("checking");
    let check = recipe.check(&machine)?;
    drop(busy);

    let counts = [Grade::Error, Grade::Warning, Grade::Note].map(|grade| check.count(grade));
    let [errors, warnings, notes] = counts;
    let failed = errors > 0 || (options.strict && warnings > 0);
    let summary = format!(
        "{}, {}, {}",
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(notes, "note")
    );
    if options.machine.json {
        output::json(&json!({
            "recipe": origin, "title": check.title, "passed": !failed,
            "errors": errors, "warnings": warnings, "notes": notes,
            "findings": check.sorted_findings(), "networks": check.networks, "weights": check.weights,
            "diagnosis": check.measured, "peak_memory_bytes": peak_memory_bytes(),
        }));
    } else {
        output::line(&format!("{origin}: {}", check.title));
        if options.brief {
            findings(&check, Grade::Note);
        } else {
            networks(&check);
            weights(&check);
            check.sections.iter().for_each(section);
            if !check.findings.is_empty() {
                heading("findings, the worst last");
                findings(&check, Grade::Ok);
            }
            output::line("");
        }
        output::line(&summary);
    }
    if !failed {
        return Ok(());
    }
    let problem = if errors > 0 {
        format!("{summary}; correct the errors before it is run")
    } else {
        format!("{summary}; a warning fails the check with `--strict`")
    };
    Err(Error::Recipe { origin, problem })
}

/// The findings of this grade or worse.
fn findings(check: &Check, least: Grade) {
    let shown = check.sorted_findings().into_iter();
    let rows: Vec<Vec<String>> = shown
        .filter(|found| found.grade >= least)
        .map(|found| {
            let (grade, topic) = (found.grade.word(), found.topic.word());
            vec![grade.to_owned(), topic.to_owned(), found.text.clone()]
        })
        .collect();
    output::table_of_sentences(&[("", Left); 3], &rows);
}

fn heading(text: &str) {
    output::line("");
    output::line(text);
}

/// A section of the method's own.
fn section(section: &Section) {
    heading(section.title());
    for (index, part) in section.parts().iter().enumerate() {
        if index > 0 {
            output::line("");
        }
        match part {
            SectionPart::Text(text) => output::line(&format!("  {text}")),
            SectionPart::Table(table) => output::show(table),
            _ => {}
        }
    }
}

fn networks(check: &Check) {
    if check.networks.is_empty() {
        return;
    }
    heading("networks");
    let rows: Vec<Vec<String>> = check
        .networks
        .iter()
        .map(|network| {
            vec![
                network.who.clone(),
                network.network.clone(),
                network.classes.to_string(),
                count(network.parameters),
                count(network.macs),
                if network.trained { "trained" } else { "frozen" }.into(),
            ]
        })
        .collect();
    let head = [
        ("who", Left),
        ("network", Left),
        ("classes", Right),
        ("parameters", Right),
        ("MACs", Right),
        ("is", Left),
    ];
    output::table(&head, &rows);
}

fn weights(check: &Check) {
    if check.weights.is_empty() {
        return;
    }
    heading("weights, in tensors");
    let rows: Vec<Vec<String>> = check
        .weights
        .iter()
        .map(|weights| {
            let report = &weights.report;
            vec![
                weights.who.clone(),
                weights.from.display().to_string(),
                report.matched.len().to_string(),
                report.missing.len().to_string(),
                report.unused.len().to_string(),
                report.unequal.len().to_string(),
            ]
        })
        .collect();
    let head = [
        ("who", Left),
        ("from", Left),
        ("matched", Right),
        ("missing", Right),
        ("unused", Right),
        ("of another shape", Right),
    ];
    output::table(&head, &rows);
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_number() {
        assert_eq!(
            [0, 1, 2].map(|n| counted(n, "note")),
            ["no notes", "1 note", "2 notes"]
        );
    }
}
