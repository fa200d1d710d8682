//! `kd runs`: the runs below a folder, and two of them side by side.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kd_core::{EpochLog, Error, Metrics, Result};
use kd_recipe::{FoundRun, FoundState, compare_runs, find_runs};
use kd_report::Align::{Left, Right};
use serde_json::json;

use crate::args::{RunsCommand, RunsOptions, RunsOrder, RunsState};
use crate::output::{self, csv_field};

/// Where there is nothing to be said.
const NONE: &str = "-";

pub(super) fn run(what: Option<&RunsCommand>, options: &RunsOptions) -> Result<()> {
    match what {
        Some(RunsCommand::Diff {
            first,
            second,
            json,
        }) => diff(first, second, *json),
        Some(RunsCommand::Csv { run }) => csv(run),
        None => list(options),
    }
}

fn list(options: &RunsOptions) -> Result<()> {
    let mut runs = match find_runs(&options.folder, options.all) {
        // The folder that is looked into by default need not be there yet.
        Err(Error::Io { .. })
            if !options.folder.exists() && options.folder == Path::new("runs") =>
        {
            Vec::new()
        }
        found => found?,
    };
    let are_some = !runs.is_empty();
    runs.retain(|run| is_wanted(run, options));
    sort(&mut runs, options.sort);
    if options.json {
        output::json(&json!({ "runs": runs }));
        return Ok(());
    }
    if runs.is_empty() {
        let folder = options.folder.display();
        output::line(&if are_some {
            format!("no run in `{folder}` is such a one; `kd runs` alone lists all")
        } else {
            format!("no run in `{folder}`; `kd demo`, `kd train` and `kd distill` make some")
        });
        return Ok(());
    }
    let rows: Vec<Vec<String>> = runs.iter().map(|run| row(run, &options.folder)).collect();
    let head = [
        ("run", Left),
        ("method", Left),
        ("student", Left),
        ("data", Left),
        ("state", Left),
        ("epochs", Right),
        ("result", Right),
        ("seconds", Right),
    ];
    output::table_without(&head, &rows, &["seconds", "epochs", "method", "data"]);
    Ok(())
}

fn is_wanted(run: &FoundRun, options: &RunsOptions) -> bool {
    let state = match options.state {
        None => return is_of_method(run, options),
        Some(RunsState::Done) => FoundState::Done,
        Some(RunsState::Running) => FoundState::Running,
        Some(RunsState::Stopped) => FoundState::Stopped,
        Some(RunsState::Damaged) => FoundState::Damaged,
    };
    run.state == state && is_of_method(run, options)
}

fn is_of_method(run: &FoundRun, options: &RunsOptions) -> bool {
    let wanted = options.method.as_deref();
    wanted.is_none_or(|wanted| run.method.as_deref() == Some(wanted))
}

/// They come in the order of their paths; those without a value go last.
fn sort(runs: &mut [FoundRun], order: RunsOrder) {
    let lowest = |value: Option<f64>| value.unwrap_or(f64::INFINITY);
    match order {
        RunsOrder::Name => {}
        RunsOrder::Best => runs.sort_by(|a, b| {
            lowest(a.value.map(|value| -value)).total_cmp(&lowest(b.value.map(|value| -value)))
        }),
        RunsOrder::Seconds => {
            runs.sort_by(|a, b| lowest(a.seconds).total_cmp(&lowest(b.seconds)));
        }
        RunsOrder::Newest => runs.sort_by(|a, b| match b.changed.cmp(&a.changed) {
            Ordering::Equal => a.path.cmp(&b.path),
            order => order,
        }),
    }
}

fn row(run: &FoundRun, folder: &Path) -> Vec<String> {
    let text = |value: Option<&String>| value.map_or_else(|| NONE.to_owned(), Clone::clone);
    let path = match run.path.strip_prefix(folder) {
        Ok(below) if !below.as_os_str().is_empty() => below,
        _ => run.path.as_path(),
    };
    let result = match (run.runs, run.metric, run.value) {
        (Some((ended, all)), _, _) => format!("{ended} of {all} runs"),
        (_, Some("mean_iou"), Some(value)) => format!("{:.2} % IoU", 100.0 * value),
        (_, _, Some(value)) => format!("{:.2} %", 100.0 * value),
        _ => NONE.to_owned(),
    };
    vec![
        path.display().to_string(),
        match run.runs {
            Some(_) => "(campaign)".to_owned(),
            None => text(run.method.as_ref()),
        },
        text(run.student.as_ref()),
        text(run.data.as_ref()),
        run.state.name().to_owned(),
        match run.epochs {
            0 => NONE.to_owned(),
            epochs => epochs.to_string(),
        },
        result,
        run.seconds
            .map_or_else(|| NONE.to_owned(), |seconds| format!("{seconds:.1}")),
    ]
}

fn diff(first: &Path, second: &Path, as_json: bool) -> Result<()> {
    let compared = compare_runs(first, second)?;
    if as_json {
        output::json(&compared);
        return Ok(());
    }
    let [one, other] = [first, second].map(|path| path.display().to_string());
    let heads = |what| [(what, Left), (one.as_str(), Right), (other.as_str(), Right)];
    if compared.settings.is_empty() {
        output::line("the recipes are the same");
    } else {
        let show = |value: &Option<String>| value.clone().unwrap_or_else(|| NONE.to_owned());
        let rows: Vec<Vec<String>> = compared
            .settings
            .iter()
            .map(|(path, one, other)| vec![path.clone(), show(one), show(other)])
            .collect();
        output::table(&heads("setting"), &rows);
    }
    output::line("");
    let Some(metric) = compared.metric else {
        output::line("they have no accuracy or mean IoU in common");
        return Ok(());
    };
    let show = |value: &Option<f64>| match value {
        Some(value) => format!("{:.2} %", 100.0 * value),
        None => NONE.to_owned(),
    };
    let rows: Vec<Vec<String>> = compared
        .values
        .iter()
        .map(|(epoch, (one, other))| vec![epoch.to_string(), show(one), show(other)])
        .collect();
    let what = match metric {
        "mean_iou" => "mean IoU after epoch",
        _ => "accuracy after epoch",
    };
    output::table(&heads(what), &rows);
    Ok(())
}

/// The epochs of a run, a line each, as comma-separated values.
fn csv(run: &Path) -> Result<()> {
    if !run.join("recipe.toml").is_file() {
        return Err(Error::NoRun {
            path: run.to_owned(),
        });
    }
    let epochs = EpochLog::read_all(run)?;
    let names = |metrics: fn(&EpochLog) -> Option<&Metrics>| -> BTreeSet<&String> {
        epochs
            .iter()
            .filter_map(metrics)
            .flat_map(BTreeMap::keys)
            .collect()
    };
    let train = names(|epoch| Some(&epoch.train));
    let evaluation = names(|epoch| epoch.evaluation.as_ref());
    let mut head: Vec<String> = ["phase", "epoch", "step", "lr", "seconds"]
        .map(str::to_owned)
        .to_vec();
    head.extend(train.iter().map(|name| csv_field(&format!("train {name}"))));
    head.extend(evaluation.iter().map(|name| csv_field(name)));
    output::data(&head.join(","));
    for epoch in &epochs {
        let number = |value: Option<&f64>| value.map_or_else(String::new, f64::to_string);
        let measured = epoch.evaluation.as_ref();
        let mut row = vec![
            csv_field(&epoch.phase),
            (epoch.epoch + 1).to_string(),
            epoch.step.to_string(),
            epoch.lr.to_string(),
            epoch.seconds.to_string(),
        ];
        row.extend(train.iter().map(|name| number(epoch.train.get(*name))));
        row.extend(
            evaluation
                .iter()
                .map(|name| number(measured.and_then(|metrics| metrics.get(*name)))),
        );
        output::data(&row.join(","));
    }
    Ok(())
}
