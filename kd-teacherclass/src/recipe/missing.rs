//! Accuracy by the number of missing students, as table and plots: of one run, or over a campaign's seeds.

use std::collections::BTreeMap;

use kd_report::{Align, LinePlot, Picture, Result, Section, Series, Summary, Table, percent};

/// The policies by the names of their metrics, with what tables and plots call them.
const POLICIES: [(&str, &str); 3] = [("zero", "zeros"), ("mean", "means"), ("head", "own head")];
/// What stands in those names before the score, with what it is of all sets of so many missing students.
const OF_SETS: [(&str, &str); 2] = [("", "mean"), ("worst_", "worst")];
/// Scores by the names of their metrics, with what plots call them and their axes.
const SCORES: [[&str; 3]; 2] = [
    ["accuracy", "Accuracy", "accuracy"],
    ["mean_iou", "Mean IoU", "mean IoU"],
];

/// The accuracy of a class with students missing, of masks the mean intersection over union: by their number
/// and for each policy, mean and worst of all sets of students, as a table and two plots, `missing` and
/// `missing-worst`.
///
/// `metrics` are those of the last evaluation of a class, over as many runs as there are: what `last` of a
/// method is in the `results.json` of a campaign. The section is empty where they have none of missing
/// students.
///
/// # Errors
///
/// Those of [`Picture::lines`], for values that are not finite.
pub fn missing_students(metrics: &BTreeMap<String, Summary>) -> Result<Section> {
    let section = Section::new("Missing students");
    let known = |[name, ..]: &[&str; 3]| metrics.contains_key(&format!("zero_without_1_{name}"));
    let Some(score) = SCORES.into_iter().find(known) else {
        return Ok(section);
    };
    let mut section = section.with_table(table(metrics, score[0])?);
    for (name, (of_score, of_sets)) in ["missing", "missing-worst"].into_iter().zip(OF_SETS) {
        let about = format!(
            "{} by the number of missing students, {of_sets} of all sets",
            score[1]
        );
        let picture = Picture::lines(plot(metrics, score, of_score, of_sets))?;
        section = section.with_picture(name, about, picture);
    }
    Ok(section)
}

fn table(metrics: &BTreeMap<String, Summary>, score: &str) -> Result<Table> {
    let titles = POLICIES.iter().flat_map(|(_, policy)| {
        OF_SETS.map(|(_, of_sets)| (format!("{policy}, {of_sets}"), Align::Right))
    });
    let first = ("students missing".to_owned(), Align::Left);
    let mut table = Table::new(std::iter::once(first).chain(titles));
    for missing in 1.. {
        let names = POLICIES.iter().flat_map(|(policy, _)| {
            OF_SETS.map(|(of_score, _)| format!("{policy}_without_{missing}_{of_score}{score}"))
        });
        let cells: Vec<String> = names.map(|name| shown(metrics.get(&name))).collect();
        if cells.iter().all(|cell| cell == "-") {
            break;
        }
        table.row([missing.to_string()].into_iter().chain(cells))?;
    }
    Ok(table)
}

fn shown(accuracy: Option<&Summary>) -> String {
    match accuracy {
        None => "-".into(),
        Some(one) if one.std.is_none() => percent(one.mean),
        Some(several) => format!("{} %", several.times(100.0)),
    }
}

/// The score over the number of missing students, a line a policy.
fn plot(
    metrics: &BTreeMap<String, Summary>,
    [score, _, axis]: [&str; 3],
    of_score: &str,
    of_sets: &str,
) -> LinePlot {
    let y_label = format!("{axis} (%), {of_sets} of all sets");
    let plot = LinePlot::new("Missing students", "students missing", y_label).with_most(100.0);
    let found = |policy: &str, missing: u32| match missing {
        0 => metrics.get(score),
        _ => metrics.get(&format!("{policy}_without_{missing}_{of_score}{score}")),
    };
    let lines = POLICIES.into_iter().filter_map(|(policy, title)| {
        found(policy, 1)?;
        let known = (0..).map_while(|missing| Some((missing, found(policy, missing)?)));
        let points = known.map(|(missing, found)| (missing, found.times(100.0)));
        Some(Series::of_summaries(title, points.collect::<Vec<_>>()))
    });
    lines.fold(plot, LinePlot::with_series)
}

#[cfg(test)]
mod tests {
    use kd_report::SectionPart;

    use super::*;

    fn of_runs(values: [(&str, &[f64]); 4]) -> BTreeMap<String, Summary> {
        let summary = |(name, values): (&str, &[f64])| (name.into(), Summary::of(values).unwrap());
        values.into_iter().map(summary).collect()
    }

    #[test]
    fn several_runs_have_a_spread_and_what_is_not_known_a_dash() {
        let metrics = of_runs([
            ("accuracy", &[0.9, 0.92]),
            ("zero_without_1_accuracy", &[0.8, 0.82]),
            ("zero_without_1_worst_accuracy", &[0.7, 0.7]),
            ("zero_without_2_accuracy", &[0.5, 0.4]),
        ]);
        let section = missing_students(&metrics).unwrap();
        let SectionPart::Table(table) = &section.parts()[0] else {
            panic!("the table comes first");
        };
        let rows = [
            ["1", "81.00 ± 1.41 %", "70.00 ± 0.00 %", "-", "-", "-", "-"],
            ["2", "45.00 ± 7.07 %", "-", "-", "-", "-", "-"],
        ];
        assert_eq!(table.rows(), rows);
        let pictures = section.parts()[1..].iter().map(|part| match part {
            SectionPart::Picture { name, .. } => name.as_str(),
            _ => "",
        });
        assert_eq!(pictures.collect::<Vec<_>>(), ["missing", "missing-worst"]);
    }

    #[test]
    fn a_class_without_such_metrics_has_no_table() {
        let metrics = of_runs([
            ("accuracy", &[0.9]),
            ("copied_head_accuracy", &[0.8]),
            ("loss", &[0.3]),
            ("student_0_nmse", &[0.1]),
        ]);
        let section = missing_students(&metrics).unwrap();
        assert!(section.parts().is_empty());
    }
}
