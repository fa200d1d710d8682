//! The report of a run, put together from its folder and, where they can be read again, its data and networks.

pub(crate) mod masks;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::{EpochLog, Error, Frozen, Loader, LoaderConfig, Result, StagedNetwork, Subset, Task};
use kd_models::{ModelConfig, ModelNetwork, Network, NetworkSpec, UNet, load_model};
use kd_report::{Predictions, RunReport};
use kd_stagewise::StageNetwork;

use crate::job::{Job, MODEL, Outcome, outcome};
use crate::output::count;
use crate::parts::LoadedTeacher;
use crate::synthetic::{Synthetic, bank_file};

/// Samples in a batch when the networks are asked again.
const BATCH_SIZE: usize = 256;

/// What a recipe has read, kept for the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What the student learns from.
    pub(crate) train: Option<Subset>,
    /// What it is measured on.
    pub(crate) held_out: Option<Subset>,
    /// The teachers, each with where it comes from.
    pub(crate) teachers: Vec<(String, KeptTeacher)>,
}

/// A teacher, kept to be asked again.
#[derive(Clone, Debug)]
pub(crate) enum KeptTeacher {
    /// One that says a class of each image.
    Classes(Box<LoadedTeacher>),
    /// One that says a class of each pixel.
    Masks(Box<LoadedTeacher<UNet>>),
}

impl KeptTeacher {
    /// What is known of it.
    pub(crate) fn config(&self) -> &ModelConfig {
        match self {
            Self::Classes(teacher) => &teacher.config,
            Self::Masks(teacher) => &teacher.config,
        }
    }
}

/// A network that can be a teacher and is asked again for the report.
pub(crate) trait AskedNetwork: ModelNetwork + StageNetwork + 'static {
    /// The teacher as it is kept.
    fn kept(teacher: LoadedTeacher<Self>) -> KeptTeacher;
}

impl AskedNetwork for Network {
    fn kept(teacher: LoadedTeacher<Self>) -> KeptTeacher {
        KeptTeacher::Classes(Box::new(teacher))
    }
}

impl AskedNetwork for UNet {
    fn kept(teacher: LoadedTeacher<Self>) -> KeptTeacher {
        KeptTeacher::Masks(Box::new(teacher))
    }
}

/// Writes `report.md` and its pictures into the folder of a run, which may be under way still.
///
/// `job` is the run's recipe, prepared again; without it the report says what the folder alone tells. Gives what is wrong with synthetic
/// images, a sentence each, if the run has made some.
pub(crate) fn write(folder: &Path, job: std::result::Result<&Job, &Error>) -> Result<Vec<String>> {
    let outcome = outcome(folder)?;
    let epochs = EpochLog::read_all(folder)?;
    let path = folder.join("recipe.toml");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let absolute = std::path::absolute(folder).map_err(Error::io("read", folder))?;
    let name = absolute.file_name().unwrap_or(absolute.as_os_str());
    let mut report = RunReport::new(name.to_string_lossy());
    if outcome.is_none() {
        report = report.with_remark(progress(&epochs));
    }
    report = facts(report, &text, job.ok())?;
    if let Some(outcome) = &outcome {
        report = costs(report, outcome);
    }
    match job {
        Ok(job) if outcome.is_some() => {
            if let Some((said, names)) = ask(folder, job)? {
                report = report.with_predictions(said, names.as_deref())?;
            }
            if let Some(made) = masks::ask(folder, job)? {
                report = report.with_segmentation(&made.board, made.measured, &made.classes)?;
            }
        }
        Ok(_) => {}
        Err(error) => {
            let remark = format!("The network was not looked into, because: {error}.");
            report = report.with_remark(remark);
        }
    }
    let mut warnings = Vec::new();
    if bank_file(folder).is_some() {
        match Synthetic::read(folder).and_then(|found| found.report()) {
            Ok(images) => {
                warnings.clone_from(&images.warnings);
                report = report.with_synthetic(images)?;
            }
            Err(error) => {
                let remark = format!("The synthetic images were not looked at, because: {error}.");
                report = report.with_remark(remark);
            }
        }
    }
    report.with_epochs(epochs).with_recipe(text).write(folder)?;
    Ok(warnings)
}

/// How far a run is that is not done.
fn progress(epochs: &[EpochLog]) -> String {
    let so_far = match epochs.last() {
        Some(last) => format!("{} epochs of phase {} are", last.epoch + 1, last.phase),
        None => "no epoch is".into(),
    };
    format!("The run is not done: {so_far}. `kd resume` goes on with it.")
}

fn facts(report: RunReport, text: &str, job: Option<&Job>) -> Result<RunReport> {
    let recipe: toml::Table = toml::from_str(text).unwrap_or_default();
    let plain = |key: &str| match recipe.get(key) {
        Some(toml::Value::String(text)) => Some(text.clone()),
        other => other.map(ToString::to_string),
    };
    let mut report = report;
    if let Some(method) = plain("method") {
        report = report.with_fact("method", method);
    }
    if let Some(job) = job {
        report = parts(report, job)?;
    }
    for key in ["seed", "device"] {
        if let Some(value) = plain(key) {
            report = report.with_fact(key, value);
        }
    }
    Ok(report.with_fact("kd", env!("CARGO_PKG_VERSION")))
}

/// Data, student and teachers.
fn parts(mut report: RunReport, job: &Job) -> Result<RunReport> {
    let Seen {
        train,
        held_out,
        teachers,
    } = job.seen();
    if let Some(train) = train {
        let held_out = held_out.as_ref().map_or(0, Subset::len) as u64;
        let sizes = format!(
            "{}, {} samples to learn from, {} held out",
            train.dataset().name(),
            count(train.len() as u64),
            count(held_out)
        );
        report = report.with_fact("data", sizes);
    }
    if let Some(spec) = job.spec() {
        let cost = cost(spec, job.device())?;
        report = report.with_fact("student", format!("{}, {cost}", spec.name));
    }
    for (from, teacher) in teachers {
        let spec = &teacher.config().network;
        let cost = cost(spec, job.device())?;
        let fact = format!("{}, {cost}, from `{from}`", spec.name);
        report = report.with_fact("teacher", fact);
    }
    Ok(report)
}

fn cost(spec: &NetworkSpec, device: &Device) -> Result<String> {
    let costs = spec.costs(device)?;
    let (params, macs) = (count(costs.params()), count(costs.macs()));
    Ok(format!("{params} parameters, {macs} MACs"))
}

fn costs(mut report: RunReport, outcome: &Outcome) -> RunReport {
    report = report.with_cost("seconds of work", format!("{:.1}", outcome.seconds));
    if outcome.extra_parameters > 0 {
        let extra = count(outcome.extra_parameters as u64);
        report = report.with_cost("parameters trained beside the student", extra);
    }
    if let Some(bytes) = outcome.peak_memory_bytes {
        let mib = count(bytes.div_ceil(1 << 20));
        report = report.with_cost("peak memory of the process", format!("{mib} MiB"));
    }
    report
}

/// What the student and its teachers say of the held-out data; nothing if the method makes no classifier of it, or if there are
/// masks in place of labels.
fn ask(folder: &Path, job: &Job) -> Result<Option<(Predictions, Option<Vec<String>>)>> {
    let (model, seen) = (folder.join(MODEL), job.seen());
    let labelled = |held_out: &&Subset| held_out.dataset().task() == Task::Classification;
    let held_out = seen.held_out.as_ref().filter(labelled);
    let Some(held_out) = held_out.filter(|_| model.is_dir()) else {
        return Ok(None);
    };
    let (student, config) = load_model(&model, job.device())?;
    let (dataset, classes) = (held_out.dataset(), config.network.classes);
    let shape = dataset.shape();
    let fits = |config: &ModelConfig| {
        config.network.classes == dataset.classes()
            && config.network.input == [shape.channels, shape.height, shape.width]
    };
    if !fits(&config) {
        return Ok(None);
    }
    let student = Frozen::new(&student);
    let teachers: Vec<_> = seen
        .teachers
        .iter()
        .filter_map(|(_, teacher)| match teacher {
            KeptTeacher::Classes(teacher) if fits(&teacher.config) => Some(teacher),
            _ => None,
        })
        .map(|teacher| (Frozen::new(&teacher.network), &teacher.config.normalisation))
        .collect();
    let loader = Loader::new(
        held_out.clone(),
        LoaderConfig::ordered(BATCH_SIZE),
        job.device(),
    )?;
    let mut said = Predictions::new(classes)?;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let input = config.normalisation.apply(batch.pixels.clone())?;
        let logits = on_host(student.network().forward(&input));
        let mut answers = Vec::with_capacity(teachers.len());
        for (teacher, normalisation) in &teachers {
            let input = normalisation.apply(batch.pixels.clone())?;
            answers.push(on_host(teacher.network().forward(&input)));
        }
        let teacher = together(&answers, classes);
        let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
        let targets: Vec<usize> = labels.map(usize::from).collect();
        let ids: Vec<usize> = batch.ids.iter().map(|&id| id as usize).collect();
        said.add(&ids, &targets, &logits, teacher.as_deref())?;
    }
    Ok(Some((said, config.class_names)))
}

fn on_host(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}

/// One row of logits a sample for several teachers: those whose softmax is the mean of theirs.
#[expect(
    clippy::cast_possible_truncation,
    reason = "logits are 32 bits; the sums between are in 64"
)]
fn together(answers: &[Vec<f32>], classes: usize) -> Option<Vec<f32>> {
    let [first, rest @ ..] = answers else {
        return None;
    };
    if rest.is_empty() {
        return Some(first.clone());
    }
    let mut sums = vec![0.0; first.len()];
    for answer in answers {
        for (sums, row) in sums.chunks_mut(classes).zip(answer.chunks(classes)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers = || row.iter().map(|logit| f64::from(logit - largest).exp());
            let total: f64 = powers().sum();
            for (sum, power) in sums.iter_mut().zip(powers()) {
                *sum += power / total;
            }
        }
    }
    let count = answers.len() as f64;
    // A probability of 0 in all of them stays finite.
    let log = |sum: &f64| (sum / count).max(f64::MIN_POSITIVE).ln() as f32;
    Some(sums.iter().map(log).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_teachers_speak_with_the_mean_of_their_probabilities() {
        let one = vec![3_f32.ln(), 0.0]; // 3/4, 1/4
        let other = vec![0.0, 0.0]; // 1/2, 1/2
        assert_eq!(together(&[], 2), None);
        assert_eq!(together(std::slice::from_ref(&one), 2), Some(one.clone()));
        let both = together(&[one, other], 2).unwrap();
        let probability = f64::from(both[0]).exp();
        assert!((probability - 0.625).abs() < 1e-6, "{probability}");
        let sure = vec![200.0, -200.0];
        let both = together(&[sure.clone(), sure], 2).unwrap();
        assert!(both.iter().all(|logit| logit.is_finite()), "{both:?}");
    }
}
