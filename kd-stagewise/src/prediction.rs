//! What the head of a network gives, and how it is trained and measured.

use burn::tensor::{Int, Tensor};
use kd_core::{
    ClassificationMetrics, Dataset, Error, Loader, Metrics, Result, SegmentationMetrics, Task,
};

use crate::rows::Rows;

/// The labels of a batch, for either kind of output.
#[derive(Clone, Debug)]
pub struct Targets {
    /// A class for each image, `[batch_size]`; all 0 where each pixel has one.
    pub labels: Tensor<1, Int>,
    /// A class for each pixel, `[batch_size, height, width]`, where the data set has masks, and the value of pixels without a class.
    pub masks: Option<(Tensor<3, Int>, Option<i64>)>,
}

impl Targets {
    /// Those of view `view` of the samples `ids`.
    pub(crate) fn of(loader: &Loader, view: u64, ids: &[u32]) -> Result<Self> {
        let masks = match loader.subset().dataset().masks() {
            Some(all) => {
                let masks = loader.view(view, ids)?.masks;
                masks.map(|masks| (masks, all.void().map(i64::from)))
            }
            None => None,
        };
        Ok(Self {
            labels: loader.labels(ids)?,
            masks,
        })
    }

    /// The same on the autodiff form of the device.
    pub(crate) fn lifted(self) -> Self {
        Self {
            labels: Tensor::from_inner(self.labels),
            masks: self
                .masks
                .map(|(masks, void)| (Tensor::from_inner(masks), void)),
        }
    }
}

/// What a head gives: logits of each image `[batch_size, num_classes]`, or of each pixel `[batch_size, num_classes, height,
/// width]`. It knows its loss on labels, its measure, and how its soft targets are compared.
///
/// It is sealed: implemented for these two and for nothing else.
pub trait Prediction: Rows + sealed::Sealed {
    /// The metric that picks the best evaluation, more being better.
    const METRIC: &'static str;
    /// Counts answers.
    type Tally: Send;

    /// Cross-entropy with hard labels, mean over all that are labelled, `[1]`.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    fn cross_entropy(self, targets: &Targets) -> Result<Tensor<1>>;

    /// `T^2 KL(softmax(teacher / T) || softmax(student / T))`, summed over classes, mean over the rest, `[1]`.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit, or the temperature is not above 0.
    fn soft_target(self, teacher: Self, temperature: f64) -> Result<Tensor<1>>;

    /// A tally of nothing yet.
    ///
    /// # Errors
    ///
    /// If the data set has too few classes.
    fn tally(dataset: &Dataset) -> Result<Self::Tally>;

    /// Counts the answers for the samples `ids` of `loader`.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    fn count(self, tally: &mut Self::Tally, loader: &Loader, ids: &[u32]) -> Result<()>;

    /// What was counted.
    ///
    /// # Errors
    ///
    /// If nothing was.
    fn metrics(tally: Self::Tally) -> Result<Metrics>;

    /// Which labels it is trained on.
    const TASK: Task;

    /// The number of classes that it has logits for.
    fn classes(&self) -> usize;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for burn::tensor::Tensor<2> {}
    impl Sealed for burn::tensor::Tensor<4> {}
}

/// An error of kd-losses as this crate gives it.
pub(crate) fn loss_error(error: kd_losses::Error) -> Error {
    Error::method("loss", error)
}

impl Prediction for Tensor<2> {
    const METRIC: &'static str = "accuracy";
    const TASK: Task = Task::Classification;
    type Tally = ClassificationMetrics;

    fn cross_entropy(self, targets: &Targets) -> Result<Tensor<1>> {
        kd_losses::cross_entropy(self, targets.labels.clone(), 0.0).map_err(loss_error)
    }

    fn soft_target(self, teacher: Self, temperature: f64) -> Result<Tensor<1>> {
        kd_losses::soft_target(self, teacher, temperature).map_err(loss_error)
    }

    fn tally(dataset: &Dataset) -> Result<ClassificationMetrics> {
        ClassificationMetrics::new(dataset.classes())
    }

    fn count(self, tally: &mut ClassificationMetrics, loader: &Loader, ids: &[u32]) -> Result<()> {
        let dataset = loader.subset().dataset();
        let labels = ids.iter().filter_map(|&id| dataset.label(id));
        let targets: Vec<usize> = labels.map(usize::from).collect();
        let logits: Vec<f32> = self.into_data().iter::<f32>().collect();
        tally.add(&logits, &targets, None)
    }

    fn metrics(tally: ClassificationMetrics) -> Result<Metrics> {
        let summary = tally.summary()?;
        Ok(Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            (
                format!("top{}_accuracy", summary.top_k),
                summary.top_k_accuracy,
            ),
            ("loss".to_owned(), summary.loss),
            ("ece".to_owned(), summary.ece),
        ]))
    }

    fn classes(&self) -> usize {
        self.dims()[1]
    }
}

impl Prediction for Tensor<4> {
    const METRIC: &'static str = "mean_iou";
    const TASK: Task = Task::Segmentation;
    type Tally = SegmentationMetrics;

    fn cross_entropy(self, targets: &Targets) -> Result<Tensor<1>> {
        let Some((masks, void)) = &targets.masks else {
            return Err(no_masks());
        };
        kd_losses::pixel_cross_entropy(self, masks.clone(), *void).map_err(loss_error)
    }

    fn soft_target(self, teacher: Self, temperature: f64) -> Result<Tensor<1>> {
        kd_losses::soft_target(by_pixel(self), by_pixel(teacher), temperature).map_err(loss_error)
    }

    fn tally(dataset: &Dataset) -> Result<SegmentationMetrics> {
        SegmentationMetrics::of(dataset.masks().ok_or_else(no_masks)?)
    }

    fn count(self, tally: &mut SegmentationMetrics, loader: &Loader, ids: &[u32]) -> Result<()> {
        let masks = loader.view(0, ids)?.masks.ok_or_else(no_masks)?;
        tally.add(self, masks)
    }

    fn metrics(tally: SegmentationMetrics) -> Result<Metrics> {
        let summary = tally.summary()?;
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

    fn classes(&self) -> usize {
        self.dims()[1]
    }
}

/// `[batch_size, num_classes, height, width]` as `[pixels, num_classes]`.
fn by_pixel(logits: Tensor<4>) -> Tensor<2> {
    let [batch_size, classes, height, width] = logits.dims();
    logits
        .permute([0, 2, 3, 1])
        .reshape([batch_size * height * width, classes])
}

fn no_masks() -> Error {
    let problem = "has a class for each image, and the student says one for each pixel; use a data set with masks, or a classifier";
    Error::config("data", problem)
}
