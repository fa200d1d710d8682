//! A network measured on a data set.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::loader::batches::Loader;
use crate::metrics::classification::ClassificationMetrics;
use crate::metrics::segmentation::SegmentationMetrics;

/// Runs a classifier on every sample of a loader's first epoch and counts its outputs.
///
/// `classify` makes logits `[batch_size, num_classes]` of a batch, with the network's own preprocessing.
/// `teacher` holds a teacher's logits for the same samples in the same order, row by row, so the loader must
/// not shuffle where it is given.
///
/// # Errors
///
/// [`Error::Config`] if the data set has masks, and those of the loader, of `classify`, and of
/// [`ClassificationMetrics::add`].
pub fn evaluate(
    loader: &Loader,
    teacher: Option<&[f32]>,
    mut classify: impl FnMut(&Batch) -> Result<Tensor<2>>,
) -> Result<ClassificationMetrics> {
    let dataset = loader.subset().dataset();
    dataset.check_labelled()?;
    let classes = dataset.classes();
    let mut metrics = ClassificationMetrics::new(classes)?;
    let mut done = 0;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let logits: Vec<f32> = classify(&batch)?.into_data().iter::<f32>().collect();
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

/// Runs a network on every image of a loader's first epoch and counts its outputs pixel by pixel.
///
/// `segment` makes logits `[batch_size, outputs, height, width]` of a batch, with the network's own
/// preprocessing and at least as many outputs as there are classes.
///
/// # Errors
///
/// [`Error::Config`] if the data set has no masks, and those of the loader, of `segment`, and of
/// [`SegmentationMetrics::add`].
pub fn evaluate_segmentation(
    loader: &Loader,
    mut segment: impl FnMut(&Batch) -> Result<Tensor<4>>,
) -> Result<SegmentationMetrics> {
    let dataset = loader.subset().dataset();
    let no_masks = || {
        let problem = format!(
            "must have a mask for each image, `{}` has a class for each; use `evaluate`",
            dataset.name()
        );
        Error::config("data", problem)
    };
    let mut metrics = SegmentationMetrics::of(dataset.masks().ok_or_else(no_masks)?)?;
    for batch in loader.epoch(0) {
        let batch = batch?;
        let masks = batch.masks.clone().ok_or_else(no_masks)?;
        metrics.add(segment(&batch)?, masks)?;
    }
    Ok(metrics)
}
