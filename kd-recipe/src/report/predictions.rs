//! The predictions of a student and its teachers for held-out samples.

use std::path::Path;

use kd_core::{
    Batch, CountedWork, Dataset, Error, Loader, LoaderConfig, Result, Subset, Task, tell_counted,
};
use kd_models::{ModelConfig, TrainedModel};
use kd_report::{Predictions, SampleImages};

use crate::recipe::paths::MODEL;
use crate::report::subject::Subject;

/// Samples in a batch.
const BATCH_SIZE: usize = 256;

/// What networks say of held-out samples.
pub(super) struct Predicted {
    pub(super) predictions: Predictions,
    /// The names of the classes, if they have any.
    pub(super) names: Option<Vec<String>>,
    /// The images of those that a report shows.
    pub(super) images: SampleImages,
}

/// Runs student and teachers on the held-out data; none if the run has made no classifier for it, or if it
/// has masks in place of labels; an error in place of it if the classifier cannot be read.
pub(super) fn predict(folder: &Path, subject: Subject<'_>) -> Result<Result<Option<Predicted>>> {
    let (inputs, device) = (subject.inputs, subject.device);
    let model = folder.join(MODEL);
    let labelled = |held_out: &&Subset| held_out.dataset().task() == Task::Classification;
    let held_out = inputs.held_out.as_ref().filter(labelled);
    let Some(held_out) = held_out.filter(|_| model.is_dir()) else {
        return Ok(Ok(None));
    };
    let student = match subject.families.open(&model, device) {
        Ok(student) => student,
        Err(error) => return Ok(Err(error)),
    };
    let dataset = held_out.dataset();
    if !fits(student.config(), dataset) {
        return Ok(Ok(None));
    }
    let teachers: Vec<&dyn TrainedModel> = inputs
        .teachers
        .iter()
        .map(|teacher| teacher.model.as_ref())
        .filter(|teacher| fits(teacher.config(), dataset))
        .collect();
    let classes = student.config().network.classes;
    let mut predictions = Predictions::new(classes)?;
    let loader = LoaderConfig::ordered(BATCH_SIZE);
    let loader = counted(
        Loader::new(held_out.clone(), loader, device)?,
        "answers for the report",
    );
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits = on_host(student.as_ref(), &batch)?;
        let answers = teachers.iter().map(|teacher| on_host(*teacher, &batch));
        let answers = answers.collect::<Result<Vec<_>>>()?;
        let teacher = together(&answers, classes);
        let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
        let targets: Vec<usize> = labels.map(usize::from).collect();
        let ids: Vec<usize> = batch.ids.iter().map(|&id| id as usize).collect();
        predictions
            .add(&ids, &targets, &logits, teacher.as_deref())
            .map_err(Error::from)?;
    }
    Ok(Ok(Some(Predicted {
        images: images(dataset, &predictions)?,
        names: student.config().class_names.clone(),
        predictions,
    })))
}

/// A loader that tells how far it is.
pub(super) fn counted(loader: Loader, what: &'static str) -> Loader {
    let tell = move |done: usize, total: usize| {
        tell_counted(CountedWork {
            what,
            unit: "samples",
            done: done as u64,
            total: total as u64,
        });
    };
    tell(0, loader.subset().len());
    loader.with_watch(tell)
}

/// The images of the samples that a report shows, if they have colours or shades of grey.
fn images(dataset: &Dataset, predictions: &Predictions) -> Result<SampleImages> {
    let shape = dataset.shape();
    let mut images = SampleImages::new([shape.height, shape.width]);
    if !matches!(shape.channels, 1 | 3) {
        return Ok(images);
    }
    for id in predictions.shown() {
        let pixels = u32::try_from(id).ok().and_then(|id| dataset.image(id));
        if let Some(pixels) = pixels {
            images = images.with(id, pixels).map_err(Error::from)?;
        }
    }
    Ok(images)
}

/// Whether a network tells the classes of a data set apart and takes its images.
fn fits(config: &ModelConfig, dataset: &Dataset) -> bool {
    let shape = dataset.shape();
    config.network.classes == dataset.classes()
        && config.network.input == [shape.channels, shape.height, shape.width]
}

fn on_host(model: &dyn TrainedModel, batch: &Batch) -> Result<Vec<f32>> {
    let logits = model.output(batch)?.logits()?;
    Ok(logits.into_data().iter::<f32>().collect())
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
