//! The sections of a check: the diagnosis as tables.

use kd_core::Normalisation;
use kd_recipe::peak_memory_bytes;
use kd_report::Align::{Left, Right};
use kd_report::{Align, Result, Section, Table, count, percent};

use crate::diagnose::{
    CostFacts, Diagnosis, LossFacts, SampleFacts, ScheduleFacts, TapPair, TeacherFacts,
};

/// All sections that a diagnosis has.
pub(super) fn of(diagnosis: &Diagnosis) -> Result<Vec<Section>> {
    let mut all = vec![data(&diagnosis.data)?];
    if diagnosis.data.measured.is_some() {
        all.push(normalisations(diagnosis)?);
    }
    if diagnosis
        .teachers
        .iter()
        .any(|facts| !facts.trials.is_empty())
    {
        all.push(trials(&diagnosis.teachers)?);
    }
    if !diagnosis.taps.is_empty() {
        all.push(taps(&diagnosis.taps)?);
    }
    if let Some(facts) = &diagnosis.losses {
        all.push(losses(facts)?);
    }
    if let Some(facts) = &diagnosis.schedule {
        all.push(schedule(facts)?);
    }
    if let Some(facts) = &diagnosis.costs {
        all.push(costs(facts)?);
    }
    Ok(all)
}

/// A table of these columns and rows.
fn table<const N: usize>(
    head: [(&str, Align); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Result<Table> {
    let mut table = Table::new(head);
    for row in rows {
        table.row(row)?;
    }
    Ok(table)
}

fn data(facts: &SampleFacts) -> Result<Section> {
    let per_class = |counts: &[usize]| {
        if counts.len() != facts.classes {
            return "-".into();
        }
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
        [
            "training".into(),
            count(facts.train() as u64),
            per_class(&facts.train_per_class),
        ],
        [
            "held out".into(),
            count(facts.held_out() as u64),
            per_class(&facts.held_out_per_class),
        ],
    ];
    let head = [("part", Left), ("samples", Right), ("of each class", Right)];
    Ok(Section::new("data").with_table(table(head, rows)?))
}

fn normalisations(diagnosis: &Diagnosis) -> Result<Section> {
    let row = |who: &str, of: Option<&Normalisation>| {
        let list = |values: &[f64]| {
            let values: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
            values.join(", ")
        };
        match of {
            Some(of) => [who.to_owned(), list(&of.mean), list(&of.std)],
            None => [who.to_owned(), "-".into(), "-".into()],
        }
    };
    let mut rows = vec![
        row("data set", diagnosis.constants.as_ref()),
        row("measured", diagnosis.data.measured.as_ref()),
        row("student", diagnosis.student_normalisation.as_ref()),
    ];
    let teachers = diagnosis.teachers.iter();
    rows.extend(teachers.map(|facts| row(&facts.name, facts.normalisation.as_ref())));
    let head = [("who", Left), ("mean", Left), ("std", Left)];
    let section = Section::new("normalisation, for pixels from 0 to 1");
    Ok(section.with_table(table(head, rows)?))
}

fn trials(teachers: &[TeacherFacts]) -> Result<Section> {
    let trials = teachers
        .iter()
        .flat_map(|facts| facts.trials.iter().map(move |trial| (facts, trial)));
    let rows = trials.map(|(facts, trial)| {
        [
            facts.name.clone(),
            trial.with.clone(),
            trial.samples.to_string(),
            percent(trial.accuracy()),
            format!("{:.4}", trial.cross_entropy),
        ]
    });
    let head = [
        ("who", Left),
        ("normalisation", Left),
        ("samples", Right),
        ("accuracy", Right),
        ("cross-entropy", Right),
    ];
    let section = Section::new("what the teachers make of held-out samples");
    Ok(section.with_table(table(head, rows)?))
}

fn taps(pairs: &[TapPair]) -> Result<Section> {
    let map = |tap: &str, map: Option<[usize; 3]>| match map {
        Some([channels, height, width]) => format!("{tap} {channels}x{height}x{width}"),
        None => format!("{tap} -"),
    };
    let rows = pairs.iter().map(|pair| {
        let of_teacher = map(&pair.teacher_tap, pair.teacher_map);
        [
            pair.loss.clone(),
            map(&pair.student_tap, pair.student_map),
            format!("{of_teacher} of teacher {}", pair.teacher),
            match pair.regressor {
                Some(parameters) => format!("{} parameters", count(parameters as u64)),
                None => "none".into(),
            },
        ]
    });
    let head = [
        ("loss", Left),
        ("student", Left),
        ("teacher", Left),
        ("regressor", Left),
    ];
    let section = Section::new("pairs of maps, channels x height x width");
    Ok(section.with_table(table(head, rows)?))
}

fn losses(facts: &LossFacts) -> Result<Section> {
    let dash = || "-".to_owned();
    let terms = facts.terms.iter().map(|term| {
        [
            term.name.clone(),
            term.weight.to_string(),
            number(term.value),
            number(term.weighted_value()),
            number(term.gradient),
            number(term.weighted_gradient()),
            percent(term.share),
        ]
    });
    let (total, gradient) = (number(facts.total), number(facts.gradient));
    let total = [
        "total".into(),
        dash(),
        dash(),
        total,
        dash(),
        gradient,
        dash(),
    ];
    let head = [
        ("loss", Left),
        ("weight", Right),
        ("value", Right),
        ("weighted", Right),
        ("gradient", Right),
        ("weighted", Right),
        ("share", Right),
    ];
    let section = Section::new(format!(
        "losses of the initial student on the first batch ({} samples)",
        facts.batch_size
    ));
    let section = section.with_table(table(head, terms.chain([total]))?);
    if facts.cosines.is_empty() {
        return Ok(section);
    }
    let rows = facts.cosines.iter().map(|pair| {
        let [first, second] = &pair.terms;
        [first.clone(), second.clone(), format!("{:.3}", pair.cosine)]
    });
    let head = [("gradient of", Left), ("and of", Left), ("cosine", Right)];
    Ok(section.with_table(table(head, rows)?))
}

fn schedule(facts: &ScheduleFacts) -> Result<Section> {
    let [first, middle, last] = facts.lr.map(number);
    let clip = facts.clip_norm.map_or_else(|| "none".into(), number);
    let rate = format!("{first} at first, {middle} halfway, {last} at last");
    let rows = [
        ["batch size".into(), count(facts.batch_size as u64)],
        ["steps an epoch".into(), count(facts.steps_per_epoch as u64)],
        ["steps".into(), count(facts.total_steps as u64)],
        ["epochs".into(), count(facts.epochs as u64)],
        ["evaluations".into(), count(facts.evaluations as u64)],
        ["steps of warm-up".into(), count(facts.warmup_steps as u64)],
        ["learning rate".into(), rate],
        ["limit of the gradient".into(), clip],
    ];
    Ok(Section::new("schedule").with_table(table([("", Left), ("", Left)], rows)?))
}

fn costs(facts: &CostFacts) -> Result<Section> {
    let (time, memory) = (&facts.time, &facts.memory);
    let teachers = if time.step > 0.0 {
        time.teachers / time.step
    } else {
        0.0
    };
    let (step, share) = (seconds(time.step), percent(teachers.min(1.0)));
    let mut rows = vec![
        [
            "one step".into(),
            format!("{step}, the teachers {share} of it"),
        ],
        ["one evaluation".into(), seconds(time.evaluation)],
        ["the whole run".into(), seconds(time.total)],
        [
            "parameters beside the student".into(),
            count(facts.extra_parameters),
        ],
        ["memory".into(), bytes(memory.total())],
        ["  weights".into(), bytes(memory.weights)],
        ["  gradients".into(), bytes(memory.gradients)],
        ["  optimizer".into(), bytes(memory.moments)],
        [
            "  maps for the backward pass".into(),
            bytes(memory.activations),
        ],
        ["  teachers".into(), bytes(memory.teachers)],
        ["  data".into(), bytes(memory.data)],
    ];
    if let Some(peak) = peak_memory_bytes() {
        rows.push(["this check has held at most".into(), bytes(peak)]);
    }
    let section = Section::new("estimates, from one step on this machine");
    Ok(section.with_table(table([("", Left), ("", Left)], rows)?))
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
    }
}
