//! A classifier measured on a data set.

use burn::tensor::Tensor;

use crate::{ClassificationMetrics, Loader, Result};

/// Asks a classifier about every sample of a loader's first epoch and counts its answers.
///
/// `classify` takes pixels `[batch_size, channels, height, width]` in `[0, 1]` and gives logits `[batch_size,
/// num_classes]`; it normalises for itself. `teacher` holds a teacher's logits for the same samples in the same order, row by
/// row, so the loader must not shuffle where it is given.
///
/// # Errors
///
/// Those of the loader, of `classify`, and of [`ClassificationMetrics::add`].
pub fn evaluate(
    loader: &Loader,
    teacher: Option<&[f32]>,
    mut classify: impl FnMut(Tensor<4>) -> Result<Tensor<2>>,
) -> Result<ClassificationMetrics> {
    let dataset = loader.subset().dataset();
    let classes = dataset.classes();
    let mut metrics = ClassificationMetrics::new(classes)?;
    let mut done = 0;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits: Vec<f32> = classify(batch.pixels)?.into_data().iter::<f32>().collect();
        let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
        let targets: Vec<usize> = labels.map(usize::from).collect();
        let here = done * classes..(done + targets.len()) * classes;
        done += targets.len();
        // A teacher's answers that end too soon are found out by the metrics.
        let teacher = teacher.map(|all| all.get(here).unwrap_or_default());
        metrics.add(&logits, &targets, teacher)?;
    }
    Ok(metrics)
}
