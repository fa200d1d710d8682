//! Losses and measures of a network's output, a class for each sample or for each pixel.

use burn::tensor::{Int, Tensor};
use kd_core::{
    Batch, ClassificationMetrics, Dataset, Error, Loader, Metrics, NetworkOutput, Output, Result,
    SegmentationMetrics, Task,
};

/// The labels of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    /// A class for each sample, `[batch_size]`; all 0 where each pixel has one.
    labels: Tensor<1, Int>,
    /// A class for each pixel, `[batch_size, height, width]`, where the data set has masks, and the value of
    /// pixels without a class.
    masks: Option<(Tensor<3, Int>, Option<i64>)>,
}

impl Targets {
    /// The labels of a batch of `loader`, rendered or not.
    pub(crate) fn of(loader: &Loader, batch: &Batch) -> Result<Self> {
        let void = |masks| {
            let all = loader.subset().dataset().masks();
            (masks, all.and_then(|all| all.void().map(i64::from)))
        };
        Ok(Self {
            labels: batch.targets.clone(),
            masks: masks(loader, batch)?.map(void),
        })
    }

    /// The same on the autodiff form of the device.
    pub(crate) fn lifted(self) -> Self {
        let lifted = |(masks, void)| (Tensor::from_inner(masks), void);
        Self {
            labels: Tensor::from_inner(self.labels),
            masks: self.masks.map(lifted),
        }
    }
}

/// The masks of a batch, rendered or not.
fn masks(loader: &Loader, batch: &Batch) -> Result<Option<Tensor<3, Int>>> {
    match &batch.masks {
        Some(masks) => Ok(Some(masks.clone())),
        None => loader.masks(&batch.ids),
    }
}

/// Cross-entropy with hard labels, mean over all that are labelled, `[1]`.
pub(crate) fn cross_entropy<O: NetworkOutput>(output: O, targets: &Targets) -> Result<Tensor<1>> {
    let loss = match output.into_output() {
        Output::Classes(logits) => kd_losses::cross_entropy(logits, targets.labels.clone(), 0.0),
        Output::Pixels(logits) => {
            let (masks, void) = targets.masks.clone().ok_or_else(no_masks)?;
            kd_losses::pixel_cross_entropy(logits, masks, void)
        }
        _ => return Err(no_such_task()),
    };
    loss.map_err(loss_error)
}

/// `T^2 KL(softmax(teacher / T) || softmax(student / T))`, summed over classes, mean over the rest, `[1]`.
pub(crate) fn soft_target<O: NetworkOutput>(
    student: O,
    teacher: O,
    temperature: f64,
) -> Result<Tensor<1>> {
    let (student, teacher) = match (student.into_output(), teacher.into_output()) {
        (Output::Classes(student), Output::Classes(teacher)) => (student, teacher),
        (Output::Pixels(student), Output::Pixels(teacher)) => {
            (by_pixel(student), by_pixel(teacher))
        }
        _ => return Err(no_such_task()),
    };
    kd_losses::soft_target(student, teacher, temperature).map_err(loss_error)
}

/// The metric of a task that picks the best evaluation, more being better.
pub(crate) fn best_metric(task: Task) -> &'static str {
    match task {
        Task::Segmentation => "mean_iou",
        _ => "accuracy",
    }
}

/// A count of right and wrong outputs.
pub(crate) enum Tally {
    Classes(ClassificationMetrics),
    Pixels(SegmentationMetrics),
}

impl Tally {
    /// A tally of nothing yet, for a data set of this task.
    pub(crate) fn new(task: Task, dataset: &Dataset) -> Result<Self> {
        Ok(match task {
            Task::Segmentation => {
                let masks = dataset.masks().ok_or_else(no_masks)?;
                Self::Pixels(SegmentationMetrics::of(masks)?)
            }
            _ => Self::Classes(ClassificationMetrics::new(dataset.classes())?),
        })
    }

    /// Counts the outputs for a batch of `loader`.
    pub(crate) fn count<O: NetworkOutput>(
        &mut self,
        output: O,
        loader: &Loader,
        batch: &Batch,
    ) -> Result<()> {
        match (self, output.into_output()) {
            (Self::Classes(metrics), Output::Classes(logits)) => {
                let dataset = loader.subset().dataset();
                let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
                let targets: Vec<usize> = labels.map(usize::from).collect();
                let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
                metrics.add(&logits, &targets, None)
            }
            (Self::Pixels(metrics), Output::Pixels(logits)) => {
                metrics.add(logits, masks(loader, batch)?.ok_or_else(no_masks)?)
            }
            _ => Err(no_such_task()),
        }
    }

    /// The metrics of all that was counted.
    pub(crate) fn metrics(self) -> Result<Metrics> {
        match self {
            Self::Classes(counted) => {
                let summary = counted.summary()?;
                let top = format!("top{}_accuracy", summary.top_k);
                Ok(Metrics::from([
                    ("accuracy".to_owned(), summary.accuracy),
                    (top, summary.top_k_accuracy),
                    ("loss".to_owned(), summary.loss),
                    ("ece".to_owned(), summary.ece),
                ]))
            }
            Self::Pixels(counted) => {
                let summary = counted.summary()?;
                let mut metrics = Metrics::from([
                    ("mean_iou".to_owned(), summary.mean_iou),
                    ("miou_compat".to_owned(), summary.miou_compat),
                    ("pixel_accuracy".to_owned(), summary.pixel_accuracy),
                ]);
                if summary.non_finite > 0 {
                    // So that the run stops in words.
                    metrics.insert("mean_iou".into(), f64::NAN);
                }
                Ok(metrics)
            }
        }
    }
}

/// `[batch_size, num_classes, height, width]` as `[pixels, num_classes]`.
fn by_pixel(logits: Tensor<4>) -> Tensor<2> {
    let [batch_size, classes, height, width] = logits.dims();
    logits
        .permute([0, 2, 3, 1])
        .reshape([batch_size * height * width, classes])
}

/// An error of kd-losses as this crate gives it.
pub(crate) fn loss_error(error: kd_losses::Error) -> Error {
    Error::method("loss", error)
}

fn no_masks() -> Error {
    let problem = "has a class for each sample, and the student outputs one for each pixel; use a data set \
                   with masks, \
                   or a classifier";
    Error::config("data", problem)
}

fn no_such_task() -> Error {
    let problem = "outputs neither a class for each sample nor one for each pixel, and is of a task that \
                   stagewise \
                   distillation has no loss for; use a classifier or a network for segmentation";
    Error::config("student", problem)
}
