//! Ensembles: several trained classifiers that answer as one, the mean of what each of them says.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use kd_core::{Batch, ClassificationMetrics, Error, Loader, Result, Task, Tensors};

use crate::trained_model::TrainedModel;

/// What the members of an ensemble are averaged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnsembleAverage {
    /// The mean of the logits.
    #[default]
    Logits,
    /// The mean of the probabilities.
    Probabilities,
}

/// Several trained classifiers that answer as one.
///
/// ```text
/// logits          z = 1/m sum_i z_i
/// probabilities   z = log(1/m sum_i softmax(z_i))
/// ```
///
/// Members may be of different types and have different preprocessing; classes and images are the same.
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::Normalisation;
/// use kd_models::{Ensemble, EnsembleAverage, Families, ModelConfig, NetworkSpec};
///
/// let model = |name, classes| {
///     let spec = NetworkSpec::new(name, classes, [3, 32, 32]);
///     Families::new().blank(ModelConfig::new(spec, Normalisation::identity(3)), &Device::flex())
/// };
/// let members = vec![model("resnet8", 10)?, model("lenet5", 10)?];
/// assert!(Ensemble::new(members, EnsembleAverage::Probabilities).is_ok());
/// let members = vec![model("resnet8", 10)?, model("lenet5", 100)?];
/// let error = Ensemble::new(members, EnsembleAverage::Logits).unwrap_err();
/// assert!(error.to_string().contains("expected 10 classes, as member 1 has"), "{error}");
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Ensemble {
    members: Vec<Box<dyn TrainedModel>>,
    average: EnsembleAverage,
}

/// The metrics of an ensemble and of each member, of one pass over the data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EnsembleEvaluation {
    /// Of the ensemble.
    pub ensemble: ClassificationMetrics,
    /// Of the members, in their order.
    pub members: Vec<ClassificationMetrics>,
}

impl Ensemble {
    /// An ensemble of these models.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for fewer than two models and for models that are no classifiers, [`Error::Shape`]
    /// if classes, their names or the sizes of images differ.
    pub fn new(members: Vec<Box<dyn TrainedModel>>, average: EnsembleAverage) -> Result<Self> {
        let (Some(first), true) = (members.first(), members.len() > 1) else {
            let problem = format!(
                "must be at least two to be averaged, got {}; name another model",
                members.len()
            );
            return Err(Error::config("members", problem));
        };
        if let Some(model) = members
            .iter()
            .find(|model| model.task() != Task::Classification)
        {
            let problem = format!(
                "must be classifiers to be averaged, and `{}` is for {}; measure it alone",
                model.config().network.title(),
                model.task()
            );
            return Err(Error::config("members", problem));
        }
        for (index, other) in members.iter().enumerate().skip(1) {
            check_alike(first.as_ref(), other.as_ref(), index + 1)?;
        }
        Ok(Self { members, average })
    }

    /// The members.
    pub fn members(&self) -> &[Box<dyn TrainedModel>] {
        &self.members
    }

    /// The tensors of all members as a `ModuleList` of PyTorch has them: `0.conv1.weight`, `1.conv1.weight`.
    pub fn state_dict(&self) -> Tensors {
        let members = self.members.iter().enumerate();
        let named = members.flat_map(|(index, model)| {
            let tensors = model.state_dict().into_iter();
            tensors.map(move |(name, data)| (format!("{index}.{name}"), data))
        });
        named.collect()
    }

    /// One ONNX graph of all members, from `images` `[batch, channels, height, width]` to `logits`
    /// `[batch, classes]`: those of [`Ensemble::logits`].
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a member that is no [`Network`](crate::Network), for members that want images
    /// normalised in different ways if the graph is not to normalise, and as [`TrainedModel::onnx`].
    #[cfg(feature = "onnx")]
    pub fn onnx(&self, options: &crate::OnnxOptions) -> Result<Vec<u8>> {
        crate::onnx::export_ensemble(&self.members, self.average, options)
    }

    /// The answer for a batch, `[batch_size, num_classes]`: logits, or logarithms of probabilities.
    ///
    /// # Errors
    ///
    /// As [`TrainedModel::output`].
    pub fn logits(&self, batch: &Batch) -> Result<Tensor<2>> {
        Ok(averaged(self.average, &self.answers(batch)?))
    }

    /// Measures the ensemble and each member on every sample of a loader's first epoch.
    ///
    /// # Errors
    ///
    /// As [`TrainedModel::evaluate`].
    pub fn evaluate(&self, loader: &Loader) -> Result<EnsembleEvaluation> {
        let dataset = loader.subset().dataset();
        dataset.check_labelled()?;
        let counter = || ClassificationMetrics::new(dataset.classes());
        let mut ensemble = counter()?;
        let counters = self.members.iter().map(|_| counter());
        let mut members: Vec<_> = counters.collect::<Result<_>>()?;
        for batch in loader.epoch(0) {
            let batch = batch?;
            let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
            let targets: Vec<usize> = labels.map(usize::from).collect();
            let answers = self.answers(&batch)?;
            ensemble.add(&host(averaged(self.average, &answers)), &targets, None)?;
            for (counter, answer) in members.iter_mut().zip(answers) {
                counter.add(&host(answer), &targets, None)?;
            }
        }
        Ok(EnsembleEvaluation { ensemble, members })
    }

    fn answers(&self, batch: &Batch) -> Result<Vec<Tensor<2>>> {
        let outputs = self.members.iter().map(|model| model.output(batch));
        outputs.map(|output| output?.logits()).collect()
    }
}

/// The answer of all members, each `[batch_size, num_classes]`.
pub(crate) fn averaged(average: EnsembleAverage, answers: &[Tensor<2>]) -> Tensor<2> {
    let parts = answers.iter().cloned();
    match average {
        EnsembleAverage::Logits => mean(parts.collect()),
        // The smallest number keeps a probability of zero from a logarithm of minus infinity.
        EnsembleAverage::Probabilities => mean(parts.map(|z| softmax(z, 1)).collect())
            .clamp_min(f32::MIN_POSITIVE)
            .log(),
    }
}

/// The mean of as many as an ensemble has, one by one: a graph of it has no shapes of its own.
fn mean(parts: Vec<Tensor<2>>) -> Tensor<2> {
    let first = parts[0].clone();
    let sum = parts[1..]
        .iter()
        .fold(first, |sum, part| sum + part.clone());
    sum / parts.len() as f64
}

fn host(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data().iter::<f32>().collect()
}

/// Whether a member, counted from 1, knows the classes and takes the images of the first.
fn check_alike(first: &dyn TrainedModel, other: &dyn TrainedModel, member: usize) -> Result<()> {
    let (own, others) = (first.config(), other.config());
    let refused = |expected: String, found: String| Error::Shape {
        what: format!(
            "member {member} of the ensemble, `{}`",
            others.network.title()
        ),
        expected: format!("{expected}, as member 1 has"),
        found,
        remedy: "average models of the same classes and images".into(),
    };
    if own.network.classes != others.network.classes {
        let expected = format!("{} classes", own.network.classes);
        return Err(refused(expected, others.network.classes.to_string()));
    }
    if own.network.input != others.network.input {
        let shown = |[channels, height, width]: [usize; 3]| format!("{channels}x{height}x{width}");
        let expected = format!("images of {}", shown(own.network.input));
        return Err(refused(expected, shown(others.network.input)));
    }
    let tokenizers = (
        own.preprocessing.tokenizer(),
        others.preprocessing.tokenizer(),
    );
    if let (Some(tokenizer), Some(found)) = tokenizers
        && tokenizer != found
    {
        let expected = format!("the tokenizer {}", tokenizer.sha256());
        return Err(refused(expected, found.sha256().to_owned()));
    }
    if let (Some(names), Some(found)) = (&own.class_names, &others.class_names)
        && let Some((label, (name, found))) = (0_usize..)
            .zip(names.iter().zip(found))
            .find(|(_, (a, b))| a != b)
    {
        let expected = format!("class {label} to be `{name}`");
        return Err(refused(expected, format!("`{found}`")));
    }
    Ok(())
}
