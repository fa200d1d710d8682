//! `kd demo`: a teacher, a student alone, and the same student distilled, on data that kd brings along.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::{Error, Result, RunFolder};
use kd_recipe::{Machine, Methods, Outcome, PreparedRun, Recipe, check_utf8};
use kd_report::Align::{Left, Right};
use kd_report::{count, percent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::next::after_run;
use super::run_end::new_folder;
use super::session::{machine, stop_on_interrupt};
use crate::args::RunOptions;
use crate::output;
use crate::progress::notices::WithoutNotes;
use crate::progress::run::Progress;

const TEACHER: &str = include_str!("demo/teacher.toml");
const STUDENT: &str = include_str!("demo/student.toml");
const DISTILLED: &str = include_str!("demo/distilled.toml");

/// The part that learns from the first.
const DISTILLED_TITLE: &str = "student distilled";

/// The folders of the three parts.
pub(super) const PARTS: [&str; 3] = ["teacher", "student-alone", "student-distilled"];

/// The file that makes a folder a demo's.
const MARK: &str = "demo.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Demo {
    seed: u64,
    /// Where all three are trained.
    device: String,
    /// In place of the epochs of the recipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<u16>,
}

pub(super) fn run(
    methods: &Methods,
    options: &RunOptions,
    seed: u64,
    epochs: Option<u16>,
) -> Result<()> {
    let machine = machine(&options.machine)?;
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| new_folder("demo", seed));
    let device = options.machine.device.unwrap_or_default().resolve()?;
    device.open()?;
    check_utf8(&std::path::absolute(&out).map_err(Error::io("read", &out))?)?;
    // Says no to a folder with something in it; the lock is let go at once, the parts have their own.
    drop(RunFolder::create(&out)?);
    let demo = Demo {
        seed,
        device: device.to_string(),
        epochs,
    };
    let mark = serde_json::to_vec(&demo).map_err(|error| Error::method(MARK, error))?;
    kd_core::write_atomically(&out.join(MARK), &mark)?;
    all_three(methods, &out, &machine, options.machine.json, &demo)
}

pub(super) fn is_demo(folder: &Path) -> bool {
    folder.join(MARK).is_file()
}

pub(super) fn resume(
    methods: &Methods,
    folder: &Path,
    machine: &Machine,
    json: bool,
) -> Result<()> {
    let path = folder.join(MARK);
    let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let demo: Demo = serde_json::from_slice(&text).map_err(|error| Error::BadFile {
        path,
        offset: 0,
        problem: error.to_string(),
        remedy: "start the demo again in a new folder".into(),
    })?;
    all_three(methods, folder, machine, json, &demo)
}

/// One of the three networks.
struct Part {
    title: &'static str,
    network: String,
    params: u64,
    macs: u64,
    outcome: Outcome,
}

fn all_three(
    methods: &Methods,
    folder: &Path,
    machine: &Machine,
    json: bool,
    demo: &Demo,
) -> Result<()> {
    let machine = &machine.clone().with_notices(WithoutNotes);
    let stop = stop_on_interrupt()?;
    output::remark(
        "Fashion-MNIST, the part that kd brings along. The teacher learns from 5,000 images, both \
         students from 100 a class\nfor 100 epochs; all are measured on 2,000 test images.",
    );
    let parts = [
        ("teacher", PARTS[0], TEACHER),
        ("student alone", PARTS[1], STUDENT),
        (DISTILLED_TITLE, PARTS[2], DISTILLED),
    ];
    let parts = parts
        .into_iter()
        .map(|(title, name, text)| {
            let mut overrides = vec![
                format!("seed={}", demo.seed),
                format!("device=\"{}\"", demo.device),
            ];
            overrides.extend(demo.epochs.map(|epochs| format!("train.epochs={epochs}")));
            if title == DISTILLED_TITLE {
                let teacher = toml::Value::String(folder.join("teacher").display().to_string());
                overrides.push(format!("teachers.0.model={teacher}"));
            }
            let recipe = methods.read(name, text, &overrides)?;
            one(methods, title, &folder.join(name), recipe, machine, &stop)
        })
        .collect::<Result<Vec<Part>>>()
        .map_err(|error| whole_demo(error, folder))?;
    report(folder, &parts, json);
    output::next(&after_run(&folder.join(PARTS[2])));
    Ok(())
}

/// Trains one of the three, goes on with it, or takes what is done already.
fn one(
    methods: &Methods,
    title: &'static str,
    path: &Path,
    recipe: Recipe,
    machine: &Machine,
    stop: &AtomicBool,
) -> Result<Part> {
    let (run, folder) = if path.join("recipe.toml").is_file() {
        let folder = RunFolder::open(path)?;
        (PreparedRun::reopen(methods, &folder, machine)?, folder)
    } else {
        let run = recipe.prepare(machine)?;
        let folder = run.begin(path)?;
        (run, folder)
    };
    let outcome = match Outcome::read(path)? {
        Some(done) => done,
        None => run.run(&folder, stop, &mut Progress::new(format!("{title:<17}")))?,
    };
    let (Some(spec), Some(costs)) = (run.spec(), run.costs()) else {
        return Err(Error::Run {
            path: path.to_owned(),
            problem: "makes no network".into(),
        });
    };
    let costs = costs?;
    Ok(Part {
        title,
        network: spec.name.clone(),
        params: costs.params(),
        macs: costs.macs(),
        outcome,
    })
}

/// An interruption of a part is one of the whole demo.
fn whole_demo(error: Error, folder: &Path) -> Error {
    match error {
        Error::Interrupted { phase, step, .. } => Error::Interrupted {
            run: folder.to_owned(),
            phase,
            step,
        },
        other => other,
    }
}

fn report(folder: &Path, parts: &[Part], as_json: bool) {
    if as_json {
        let mut object = serde_json::Map::new();
        for part in parts {
            let value = json!({
                "network": part.network,
                "accuracy": part.outcome.accuracy,
                "params": part.params,
                "macs": part.macs,
                "seconds": part.outcome.seconds,
                "agreement": part.outcome.metrics.get("agreement"),
            });
            object.insert(part.title.replace(' ', "_"), value);
        }
        object.insert("run".into(), json!(folder));
        output::json(&object);
        return;
    }
    let rows: Vec<Vec<String>> = parts
        .iter()
        .map(|part| {
            let agreement = part.outcome.metrics.get("agreement");
            vec![
                part.title.to_owned(),
                part.network.clone(),
                count(part.params),
                count(part.macs),
                part.outcome.accuracy.map_or_else(|| "-".into(), percent),
                agreement.map_or_else(|| "-".into(), |&share| percent(share)),
                format!("{:.1}", part.outcome.seconds),
            ]
        })
        .collect();
    let head = [
        ("", Left),
        ("network", Left),
        ("parameters", Right),
        ("MACs", Right),
        ("accuracy", Right),
        ("agrees with teacher", Right),
        ("seconds", Right),
    ];
    output::table_without(&head, &rows, &["MACs", "parameters", "network"]);
    output::line("");
    output::line(&format!(
        "student in {}",
        folder.join("student-distilled").join("model").display()
    ));
}
