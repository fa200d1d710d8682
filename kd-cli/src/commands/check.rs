//! `kd check`.

use kd_core::{Error, Normalisation, Result};
use kd_offline::{CostFacts, DataFacts, Diagnosis, Grade, LossFacts, ScheduleFacts, TapPair};
use serde_json::json;

use super::set_threads;
use crate::args::CheckOptions;
use crate::examination::Examination;
use crate::job::context;
use crate::memory::peak_memory_bytes;
use crate::method::Methods;
use crate::output::Side::{Left, Right};
use crate::output::{self, count, percent};

pub(super) fn run(methods: &Methods, options: &CheckOptions) -> Result<()> {
    let machine = &options.machine;
    set_threads(machine)?;
    let path = &options.recipe;
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let mut overrides = options.overrides.clone();
    overrides.extend(options.seed.map(|seed| format!("seed={seed}")));
    let mut recipe = methods.read(&origin, &text, &overrides, None)?;
    let data_dir = machine.place.data_dir.as_deref();
    let at = context(recipe.as_mut(), machine.device, data_dir)?;
    let found = recipe.examine(&at)?;

    let counts = [Grade::Error, Grade::Warning, Grade::Note].map(|grade| found.count(grade));
    let [errors, warnings, notes] = counts;
    let failed = errors > 0 || (options.strict && warnings > 0);
    let summary = format!(
        "{}, {}, {}",
        counted(errors, "error"),
        counted(warnings, "warning"),
        counted(notes, "note")
    );
    if machine.json {
        // The findings of the diagnosis are among all findings.
        let mut diagnosis = serde_json::to_value(&found.diagnosis)
            .map_err(|error| Error::method("the diagnosis", error))?;
        if let Some(fields) = diagnosis.as_object_mut() {
            fields.remove("findings");
        }
        output::json(&json!({
            "recipe": origin, "title": found.title, "passed": !failed,
            "errors": errors, "warnings": warnings, "notes": notes,
            "findings": found.all_findings(), "networks": found.networks, "weights": found.weights,
            "diagnosis": diagnosis, "peak_memory_bytes": peak_memory_bytes(),
        }));
    } else {
        output::line(&format!("{origin}: {}", found.title));
        if options.brief {
            findings(&found, Grade::Note);
        } else {
            tables(&found);
            heading("findings, the worst last");
            findings(&found, Grade::Ok);
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

/// What was found of this grade or worse.
fn findings(found: &Examination, least: Grade) {
    let rows: Vec<Vec<String>> = found
        .all_findings()
        .into_iter()
        .filter(|found| found.grade >= least)
        .map(|found| {
            let (grade, topic) = (found.grade.word(), found.topic.word());
            vec![grade.to_owned(), topic.to_owned(), found.text.clone()]
        })
        .collect();
    output::rows(&[Left, Left, Left], &rows);
}

fn tables(found: &Examination) {
    networks(found);
    weights(found);
    let Some(diagnosis) = &found.diagnosis else {
        return;
    };
    data(&diagnosis.data);
    normalisations(diagnosis);
    trials(diagnosis);
    taps(&diagnosis.taps);
    if let Some(facts) = &diagnosis.losses {
        losses(facts);
    }
    if let Some(facts) = &diagnosis.schedule {
        schedule(facts);
    }
    if let Some(facts) = &diagnosis.costs {
        costs(facts);
    }
}

fn heading(text: &str) {
    output::line("");
    output::line(text);
}

fn networks(found: &Examination) {
    if found.networks.is_empty() {
        return;
    }
    heading("networks");
    let rows: Vec<Vec<String>> = found
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

fn weights(found: &Examination) {
    if found.weights.is_empty() {
        return;
    }
    heading("weights, in tensors");
    let rows: Vec<Vec<String>> = found
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

fn data(facts: &DataFacts) {
    heading("data");
    let per_class = |counts: &[usize]| {
        let (least, most) = (counts.iter().min(), counts.iter().max());
        match (least, most) {
            (Some(least), Some(most)) if least == most => count(*least as u64),
            (Some(least), Some(most)) => {
                format!("{} to {}", count(*least as u64), count(*most as u64))
            }
            _ => "-".into(),
        }
    };
    let rows = [
        vec![
            "training".into(),
            count(facts.train() as u64),
            per_class(&facts.train_per_class),
        ],
        vec![
            "held out".into(),
            count(facts.held_out() as u64),
            per_class(&facts.held_out_per_class),
        ],
    ];
    output::table(
        &[("part", Left), ("samples", Right), ("of each class", Right)],
        &rows,
    );
}

fn normalisations(diagnosis: &Diagnosis) {
    heading("normalisation, for pixels from 0 to 1");
    let row = |who: &str, of: Option<&Normalisation>| {
        let list = |values: &[f64]| {
            let values: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
            values.join(", ")
        };
        match of {
            Some(of) => vec![who.to_owned(), list(&of.mean), list(&of.std)],
            None => vec![who.to_owned(), "-".into(), "-".into()],
        }
    };
    let mut rows = vec![
        row("data set", Some(&diagnosis.constants)),
        row("measured", Some(&diagnosis.data.measured)),
        row("student", Some(&diagnosis.student_normalisation)),
    ];
    let teachers = diagnosis.teachers.iter();
    rows.extend(teachers.map(|facts| row(&facts.name, facts.normalisation.as_ref())));
    output::table(&[("who", Left), ("mean", Left), ("std", Left)], &rows);
}

fn trials(diagnosis: &Diagnosis) {
    let rows: Vec<Vec<String>> = diagnosis
        .teachers
        .iter()
        .flat_map(|facts| facts.trials.iter().map(move |trial| (facts, trial)))
        .map(|(facts, trial)| {
            vec![
                facts.name.clone(),
                trial.with.clone(),
                trial.samples.to_string(),
                percent(trial.accuracy()),
                format!("{:.4}", trial.cross_entropy),
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    heading("what the teachers make of held-out samples");
    let head = [
        ("who", Left),
        ("normalisation", Left),
        ("samples", Right),
        ("accuracy", Right),
        ("cross-entropy", Right),
    ];
    output::table(&head, &rows);
}

fn taps(pairs: &[TapPair]) {
    if pairs.is_empty() {
        return;
    }
    heading("pairs of maps, channels x height x width");
    let map = |tap: &str, map: Option<[usize; 3]>| match map {
        Some([channels, height, width]) => format!("{tap} {channels}x{height}x{width}"),
        None => format!("{tap} -"),
    };
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|pair| {
            vec![
                pair.loss.clone(),
                map(&pair.student_tap, pair.student_map),
                format!(
                    "{} of teacher {}",
                    map(&pair.teacher_tap, pair.teacher_map),
                    pair.teacher
                ),
                match pair.regressor {
                    Some(parameters) => format!("{} parameters", count(parameters as u64)),
                    None => "none".into(),
                },
            ]
        })
        .collect();
    let head = [
        ("loss", Left),
        ("student", Left),
        ("teacher", Left),
        ("regressor", Left),
    ];
    output::table(&head, &rows);
}

fn losses(facts: &LossFacts) {
    heading(&format!(
        "losses of the initial student on the first batch ({} samples)",
        facts.batch_size
    ));
    let mut rows: Vec<Vec<String>> = facts
        .terms
        .iter()
        .map(|term| {
            vec![
                term.name.clone(),
                term.weight.to_string(),
                number(term.value),
                number(term.weighted_value()),
                number(term.gradient),
                number(term.weighted_gradient()),
                percent(term.share),
            ]
        })
        .collect();
    let total = [
        number(facts.total),
        "-".into(),
        number(facts.gradient),
        "-".into(),
    ];
    rows.push(
        ["total".into(), "-".into(), "-".into()]
            .into_iter()
            .chain(total)
            .collect(),
    );
    let head = [
        ("loss", Left),
        ("weight", Right),
        ("value", Right),
        ("weighted", Right),
        ("gradient", Right),
        ("weighted", Right),
        ("share", Right),
    ];
    output::table(&head, &rows);
    if facts.cosines.is_empty() {
        return;
    }
    output::line("");
    let rows: Vec<Vec<String>> = facts
        .cosines
        .iter()
        .map(|pair| {
            let [first, second] = &pair.terms;
            vec![first.clone(), second.clone(), format!("{:.3}", pair.cosine)]
        })
        .collect();
    let head = [("gradient of", Left), ("and of", Left), ("cosine", Right)];
    output::table(&head, &rows);
}

fn schedule(facts: &ScheduleFacts) {
    heading("schedule");
    let [first, middle, last] = facts.lr.map(number);
    let clip = facts.clip_norm.map_or_else(|| "none".into(), number);
    let rows = [
        ["batch size".into(), count(facts.batch_size as u64)],
        ["steps an epoch".into(), count(facts.steps_per_epoch as u64)],
        ["steps".into(), count(facts.total_steps as u64)],
        ["epochs".into(), count(facts.epochs as u64)],
        ["evaluations".into(), count(facts.evaluations as u64)],
        ["steps of warm-up".into(), count(facts.warmup_steps as u64)],
        [
            "learning rate".into(),
            format!("{first} at first, {middle} halfway, {last} at last"),
        ],
        ["limit of the gradient".into(), clip],
    ];
    output::rows(&[Left, Left], &rows.map(Vec::from));
}

fn costs(facts: &CostFacts) {
    let (time, memory) = (&facts.time, &facts.memory);
    heading("estimates, from one step on this machine");
    let teachers = if time.step > 0.0 {
        time.teachers / time.step
    } else {
        0.0
    };
    let mut rows = vec![
        vec![
            "one step".into(),
            format!(
                "{}, the teachers {} of it",
                seconds(time.step),
                percent(teachers.min(1.0))
            ),
        ],
        vec!["one evaluation".into(), seconds(time.evaluation)],
        vec!["the whole run".into(), seconds(time.total)],
        vec![
            "parameters beside the student".into(),
            count(facts.extra_parameters),
        ],
        vec!["memory".into(), bytes(memory.total())],
        vec!["  weights".into(), bytes(memory.weights)],
        vec!["  gradients".into(), bytes(memory.gradients)],
        vec!["  optimizer".into(), bytes(memory.moments)],
        vec![
            "  maps for the backward pass".into(),
            bytes(memory.activations),
        ],
        vec!["  teachers".into(), bytes(memory.teachers)],
        vec!["  data".into(), bytes(memory.data)],
    ];
    if let Some(peak) = peak_memory_bytes() {
        rows.push(vec!["this check has held at most".into(), bytes(peak)]);
    }
    output::rows(&[Left, Left], &rows);
}

/// A number with four digits that count, zeros at its end included, so that a column has one width.
fn number(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{value:.2e}"),
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        10.0.. => format!("{value:.2}"),
        1.0.. => format!("{value:.3}"),
        1e-3.. => format!("{value:.4}"),
        0.0 => "0".into(),
        _ => format!("{value:.2e}"),
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} us", seconds * 1e6),
        ..1.0 => format!("{:.1} ms", seconds * 1e3),
        ..120.0 => format!("{seconds:.1} s"),
        ..7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

fn bytes(bytes: u64) -> String {
    let size = bytes as f64;
    if bytes < 1 << 10 {
        format!("{bytes} B")
    } else if bytes < 1 << 20 {
        format!("{:.1} KiB", size / f64::from(1 << 10))
    } else if bytes < 1 << 30 {
        format!("{:.1} MiB", size / f64::from(1 << 20))
    } else {
        format!("{:.2} GiB", size / f64::from(1 << 30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_units_follow_the_size() {
        let numbers = [0.0, 0.003, 2.3, 78.4, 1e7, 2e-5, f64::NAN].map(number);
        let expected = ["0", "0.0030", "2.300", "78.40", "1.00e7", "2.00e-5", "NaN"];
        assert_eq!(numbers, expected);
        let times = [2e-6, 0.0123, 9.94, 600.0, 9000.0].map(seconds);
        assert_eq!(times, ["2 us", "12.3 ms", "9.9 s", "10.0 min", "2.5 h"]);
        let sizes = [12, 2048, 3 << 20, 5 << 30].map(bytes);
        assert_eq!(sizes, ["12 B", "2.0 KiB", "3.0 MiB", "5.00 GiB"]);
        assert_eq!(
            [0, 1, 2].map(|n| counted(n, "note")),
            ["no notes", "1 note", "2 notes"]
        );
    }
}
