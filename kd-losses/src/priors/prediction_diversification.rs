//! Prediction diversification: peers should be wrong about different classes.

use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::Result;
use crate::logits::parts::of_others;
use burn::config::Config;
use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};

const NAME: &str = "prediction_diversification";

/// The likeness of the predictions of several peers, beside the class of the label.
///
/// ```text
/// loss = mean over samples s and pairs i < j of  r[i][s] . r[j][s] / (||r[i][s]|| ||r[j][s]||)
///
/// r[i] = softmax(z[i] / T) without the entry of the label
/// z[i] = logits of peer i      T = temperature      ||.|| = the l2 norm
/// ```
///
/// # Shapes
///
/// - `peers`: the logits of two or more peers, `[batch_size, num_classes]`, equal in both, with at least two
///   classes
/// - `targets`: `[batch_size]`, each from 0 to below `num_classes`, which is **not checked**
/// - result: `[1]`
///
/// `temperature` is finite and above 0. The result has no unit and is above 0 and at most 1: 1 where the
/// peers spread what they leave to the wrong classes in the same way, and always with two classes. It is to
/// be minimised; the order of the peers, a shift of the logits of one and its logit of the label change
/// nothing, so that it takes no probability from the label. All peers learn. Values and gradients are finite
/// for logits of 1e4 and beyond.
///
/// [`classifier_diversification`](crate::classifier_diversification) compares the weights of last layers,
/// which may differ in peers that predict the same; this compares what an ensemble makes use of.
///
/// # Errors
///
/// `temperature` outside its range; fewer than two peers; an empty batch; fewer than two classes; peers of
/// different shapes, dtypes or devices; another number of labels than samples.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::prediction_diversification;
///
/// let device = Device::flex();
/// let peers = [[[3.0, 50.0, 0.0]], [[3.0, 0.0, 50.0]]];
/// let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &device));
/// // Each confuses the label with another class.
/// let label = Tensor::<1, Int>::from_data([0], &device);
/// let loss = prediction_diversification(&peers, label, 1.0)?.into_scalar::<f32>();
/// assert!(loss.abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Pang, Xu, Du, Chen, Zhu, "Improving Adversarial Robustness via Promoting Ensemble Diversity", ICML 2019,
/// arXiv 1901.08846, section 3: the predictions of the members of an ensemble without the class of the label,
/// at unit length. They maximise the logarithm of the determinant of the matrix of all cosines, which is
/// minus infinity where two members agree; the mean of the cosines of pairs and the temperature are ours.
pub fn prediction_diversification(
    peers: &[Tensor<2>],
    targets: Tensor<1, Int>,
    temperature: f64,
) -> Result<Tensor<1>> {
    check::temperature(temperature)?;
    check_peers(peers, &targets)?;

    let unit = |logits: &Tensor<2>| {
        let others = of_others(logits.clone() * temperature.recip(), &targets);
        let r = softmax(others, 1); // [batch_size, num_classes - 1]
        // Never 0: at least one over the root of the number of classes.
        let norm = r.clone().square().sum_dim(1).sqrt();
        r / norm
    };
    let mut sum = unit(&peers[0]);
    for logits in &peers[1..] {
        sum = sum + unit(logits);
    }
    // The square of a sum of vectors of length 1 is their number plus twice the products of all pairs.
    let count = peers.len() as f64;
    let square = sum.square().sum_dim(1).mean();
    Ok((square - count) * (count * (count - 1.0)).recip())
}

fn check_peers(peers: &[Tensor<2>], targets: &Tensor<1, Int>) -> Result<()> {
    check::at_least(
        NAME,
        "peers",
        peers.len(),
        2,
        "give the logits of all peers",
    )?;
    for (index, logits) in peers.iter().enumerate() {
        check::filled(NAME, "peers", logits)?;
        let this = (format_args!("peers[{index}]"), logits);
        let advice = "give the logits of all peers for one batch and the same classes";
        check::alike(NAME, ("peers[0]", &peers[0]), this, advice)?;
    }
    check::labelled(NAME, ("peers", &peers[0]), targets)?;
    check::two_classes(NAME, "peers", &peers[0])
}

/// The constant of [`prediction_diversification`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct PredictionDiversificationLossConfig {
    /// The divisor of all logits, finite and above 0.
    ///
    /// 1: the predictions as they are, as in the paper.
    #[config(default = 1.0)]
    pub temperature: f64,
}

impl PredictionDiversificationLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `temperature` outside its range.
    pub fn init(&self) -> Result<PredictionDiversificationLoss> {
        check::temperature(self.temperature)?;
        Ok(PredictionDiversificationLoss {
            temperature: self.temperature,
        })
    }
}

/// [`prediction_diversification`] with its constant, made by [`PredictionDiversificationLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictionDiversificationLoss {
    temperature: f64,
}

impl PredictionDiversificationLoss {
    /// [`prediction_diversification`] of the logits of two or more peers.
    ///
    /// # Errors
    ///
    /// Those of [`prediction_diversification`] on counts, shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::PredictionDiversificationLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::from_data([[4.0, 1.0, 2.0]], &device);
    /// // The second peer is surer of the label and divides the rest as the first does.
    /// let other = Tensor::<2>::from_data([[9.0, 1.0, 2.0]], &device);
    /// let label = Tensor::<1, Int>::from_data([0], &device);
    /// let loss = PredictionDiversificationLossConfig::new().init()?;
    /// let value = loss.forward(&[logits, other], label)?.into_scalar::<f32>();
    /// assert!((value - 1.0).abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, peers: &[Tensor<2>], targets: Tensor<1, Int>) -> Result<Tensor<1>> {
        prediction_diversification(peers, targets, self.temperature)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "prediction-diversification",
    title: "Prediction diversification",
    family: Family::Priors,
    about: "the likeness of the predictions of several peers, beside the class of the label",
    paper: Paper {
        authors: "Pang et al.",
        year: 2019,
        arxiv: "1901.08846",
        place: "section 3, the vectors that are compared; the mean of their cosines is ours",
    },
    inputs: "logits `[batch, classes]` of two or more peers, labels `[batch]`",
    constants: &[Constant {
        name: "temperature",
        source: "the paper has none",
    }],
    defaults: Some(|| PredictionDiversificationLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "the logarithm of the determinant of all cosines, maximised beside the entropy of the \
        mean prediction (the paper), or the mean of the cosines of pairs, minimised (here, finite where \
        peers agree)",
};
