//! `kd eval` of several models: the ensemble of them beside each alone.

use std::path::PathBuf;

use burn::tensor::Device;
use kd_core::{ClassificationMetrics, ClassificationSummary, Error, Result};
use kd_models::{Ensemble, EnsembleAverage, Families};
use kd_report::Align::{Left, Right};
use kd_report::percent;
use serde::Serialize;

use super::{from_folder, list, load, title};
use crate::args::{AverageOption, EvalOptions};
use crate::output;

/// What `--json` prints: the ensemble as one model, and its members.
#[derive(Serialize)]
struct OfMembers<'a> {
    #[serde(flatten)]
    summary: &'a ClassificationSummary,
    average: &'static str,
    member_accuracy: f64,
    member_loss: f64,
    members: &'a [ClassificationSummary],
}

pub(super) fn run(
    options: &EvalOptions,
    paths: &[PathBuf],
    families: &Families,
    device: &Device,
) -> Result<()> {
    let average = options.average.unwrap_or(AverageOption::Logits);
    let mut measured = Vec::new();
    for path in paths {
        if path.is_file() {
            return Err(Error::Input {
                path: path.clone(),
                problem:
                    "is a weight file, and an ensemble is of model folders; make it one first with \
                          `kd import --input`"
                        .into(),
            });
        }
        measured.push(from_folder(options, path, families, device)?);
    }
    let titles: Vec<String> = measured.iter().map(title).collect();
    let (dataset, loader) = load(options, &measured[0], device)?;
    let members = measured.into_iter().map(|measured| measured.model);
    let ensemble = Ensemble::new(members.collect(), average.into())?;
    let measured = ensemble.evaluate(&loader)?;
    let summary = measured.ensemble.summary()?;
    let members = measured.members.iter().map(ClassificationMetrics::summary);
    let members: Vec<_> = members.collect::<Result<_>>()?;
    let mean = |value: fn(&ClassificationSummary) -> f64| {
        members.iter().map(value).sum::<f64>() / members.len() as f64
    };
    let found = OfMembers {
        summary: &summary,
        average: average.shown(),
        member_accuracy: mean(|member| member.accuracy),
        member_loss: mean(|member| member.loss),
        members: &members,
    };
    if options.machine.json {
        output::json(&found);
    } else {
        show(&found, paths, &titles, dataset.name());
    }
    Ok(())
}

fn show(found: &OfMembers<'_>, paths: &[PathBuf], titles: &[String], data: &str) {
    output::line(&format!(
        "ensemble of {} models on {data}, mean {}",
        titles.len(),
        found.average
    ));
    list(found.summary);
    output::line("");
    let row = |who: String, network: &str, accuracy: f64, loss: f64| {
        vec![
            who,
            network.to_owned(),
            percent(accuracy),
            format!("{loss:.4}"),
        ]
    };
    let parts = paths.iter().zip(titles).zip(found.members);
    let mut rows: Vec<_> = parts
        .map(|((path, title), member)| {
            row(
                path.display().to_string(),
                title,
                member.accuracy,
                member.loss,
            )
        })
        .collect();
    let (accuracy, loss) = (found.member_accuracy, found.member_loss);
    rows.push(row("mean of the members".into(), "", accuracy, loss));
    let head = [
        ("model", Left),
        ("network", Left),
        ("accuracy", Right),
        ("cross-entropy", Right),
    ];
    output::table(&head, &rows);
}

impl AverageOption {
    fn shown(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
        }
    }
}

impl From<AverageOption> for EnsembleAverage {
    fn from(option: AverageOption) -> Self {
        match option {
            AverageOption::Logits => Self::Logits,
            AverageOption::Probabilities => Self::Probabilities,
        }
    }
}
