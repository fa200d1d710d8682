//! What the head of a network gives, and how it is trained and measured.

use burn::tensor::{Int, Tensor};
use kd_core::{ClassificationMetrics, Dataset, Error, Loader, Metrics, Result};

use crate::rows::Rows;

/// The labels of a batch, for either kind of output.
#[derive(Clone, Debug)]
pub struct Targets {
    /// A class for each image, `[batch_size]`.
    pub labels: Tensor<1, Int>,
}

impl Targets {
    /// Those of view `view` of the samples `ids`.
    pub(crate) fn of(loader: &Loader, _view: u64, ids: &[u32]) -> Result<Self> {
        Ok(Self {
            labels: loader.labels(ids)?,
        })
    }

    /// The same on the autodiff form of the device.
    pub(crate) fn lifted(self) -> Self {
        Self {
            labels: Tensor::from_inner(self.labels),
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

    /// The number of classes that it has logits for.
    fn classes(&self) -> usize;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for burn::tensor::Tensor<2> {}
}

/// An error of kd-losses as this crate gives it.
pub(crate) fn loss_error(error: kd_losses::Error) -> Error {
    Error::method("loss", error)
}

impl Prediction for Tensor<2> {
    const METRIC: &'static str = "accuracy";
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
