//! Cross-entropy against hard labels, with label smoothing.

use crate::catalogue::{Constant, Family, LossInfo, Paper};
use crate::check;
use crate::error::{Error, Result};
use burn::config::Config;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

/// Cross-entropy of the student's logits against hard labels, which may be smoothed.
///
/// ```text
/// loss = mean over samples of  -(1 - e) log q[y]  -  (e / K) sum over k of log q[k]
///
/// q = softmax(logits)      y = the sample's target
/// e = label_smoothing      K = num_classes
/// ```
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - result: `[1]`
///
/// `label_smoothing` is in `[0, 1)`; 0 is the plain cross-entropy. The result is in nats, never
/// negative, the mean over the batch. Values and gradients are finite for logits of 1e4 and beyond.
///
/// A target out of range cannot be seen without waiting for the device, so it is **not checked**:
/// depending on the backend it panics or reads a wrong element. Check labels where they are loaded.
///
/// # Errors
///
/// `label_smoothing` outside its range; an empty batch; unequal batch sizes; tensors on different
/// devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::cross_entropy;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([0, 1], &device);
///
/// let loss = cross_entropy(logits, targets, 0.0)?.into_scalar::<f32>();
/// // (ln(1 + e^-2) + ln 2) / 2
/// assert!((loss - 0.410_037_6).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer
/// Vision", CVPR 2016, arXiv 1512.00567, section 7. As there, and as in `PyTorch`, the smoothed
/// target is `(1 - e)` on the label plus `e / K` on *every* class, the label included; some
/// implementations spread `e` over the other `K - 1` classes only, which is this with
/// `e * K / (K - 1)` in place of `e`.
pub fn cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    label_smoothing: f64,
) -> Result<Tensor<1>> {
    check_smoothing(label_smoothing)?;
    check::logits_and_targets("cross_entropy", &logits, &targets)?;

    let [batch_size, _num_classes] = logits.dims();
    let log_q = log_softmax(logits, 1);
    let targets = targets.without_autodiff().reshape([batch_size, 1]); // [batch_size, 1]
    let hard = log_q.clone().gather(1, targets).mean().neg();
    if label_smoothing > 0.0 {
        // The mean over samples and classes is the sum over classes over K, then over samples.
        let uniform = log_q.mean().neg();
        return Ok(hard * (1.0 - label_smoothing) + uniform * label_smoothing);
    }
    Ok(hard)
}

/// [`cross_entropy`] in which the samples of each class have a weight, for classes of uneven size.
///
/// ```text
/// loss = ( (1 - e) sum over samples of  -w[y] log q[y]
///          + (e / K) sum over samples and classes of  -w[k] log q[k] )  /  sum over samples of w[y]
/// ```
///
/// It is divided by the weights of the batch and not by its samples, so that the scale of the weights does
/// not matter; with equal weights it is [`cross_entropy`]. This is `PyTorch`'s `cross_entropy` with `weight`.
///
/// # Shapes
///
/// - `logits`: `[batch_size, num_classes]`
/// - `targets`: `[batch_size]`, each from 0 to `num_classes - 1`
/// - `weights`: one number a class, finite and above 0
/// - result: `[1]`
///
/// # Errors
///
/// Those of [`cross_entropy`]; a weight out of range; another number of weights than of classes.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use kd_losses::weighted_cross_entropy;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.0, 0.0]], &device);
/// let targets = Tensor::<1, Int>::from_data([0, 1], &device);
///
/// let loss = weighted_cross_entropy(logits, targets, 0.0, &[1.0, 3.0])?.into_scalar::<f32>();
/// // (ln(1 + e^-2) + 3 ln 2) / 4
/// assert!((loss - 0.551_592_3).abs() < 1e-6);
/// # Ok::<(), kd_losses::Error>(())
/// ```
pub fn weighted_cross_entropy(
    logits: Tensor<2>,
    targets: Tensor<1, Int>,
    label_smoothing: f64,
    weights: &[f64],
) -> Result<Tensor<1>> {
    check_smoothing(label_smoothing)?;
    check::logits_and_targets("weighted_cross_entropy", &logits, &targets)?;
    let [batch_size, num_classes] = logits.dims();
    if weights.len() != num_classes {
        return Err(Error::OutOfRange {
            name: "weights",
            range: "one number a class",
            value: weights.len() as f64,
            advice: "give as many numbers as there are logits",
        });
    }
    if let Some(&value) = weights
        .iter()
        .find(|weight| !weight.is_finite() || **weight <= 0.0)
    {
        return Err(Error::OutOfRange {
            name: "weights",
            range: "finite and above 0",
            value,
            advice: "a class that should not count at all is better left out of the data",
        });
    }
    let options = (&logits.device(), logits.dtype());
    let weights = TensorData::new(weights.to_vec(), [1, num_classes]);
    let weights = Tensor::<2>::from_data(weights, options); // [1, num_classes]
    let log_q = log_softmax(logits, 1);
    let targets = targets.without_autodiff().reshape([batch_size, 1]); // [batch_size, 1]
    let of_class = weights.clone().repeat_dim(0, batch_size);
    let of_sample = of_class.gather(1, targets.clone()); // [batch_size, 1]
    let total = of_sample.clone().sum();
    let hard = (log_q.clone().gather(1, targets) * of_sample).sum().neg();
    if label_smoothing > 0.0 {
        let uniform = (log_q * weights).sum().neg() / num_classes as f64;
        return Ok((hard * (1.0 - label_smoothing) + uniform * label_smoothing) / total);
    }
    Ok(hard / total)
}

fn check_smoothing(value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        name: "label_smoothing",
        range: "at least 0 and below 1",
        value,
        advice: "the paper uses 0.1; 0 turns smoothing off",
    })
}

/// The constant of [`cross_entropy`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct CrossEntropyLossConfig {
    /// Share of the target spread evenly over all classes, in `[0, 1)`, the paper's epsilon.
    ///
    /// 0, because the hard-label term of the distillation papers is not smoothed. Szegedy et al.
    /// (arXiv 1512.00567, section 7) use 0.1 on `ImageNet`.
    #[config(default = 0.0)]
    pub label_smoothing: f64,
}

impl CrossEntropyLossConfig {
    /// Checks the constant and makes the loss.
    ///
    /// # Errors
    ///
    /// `label_smoothing` outside `[0, 1)`.
    pub fn init(&self) -> Result<CrossEntropyLoss> {
        check_smoothing(self.label_smoothing)?;
        Ok(CrossEntropyLoss {
            label_smoothing: self.label_smoothing,
        })
    }
}

/// [`cross_entropy`] with its constant, made by [`CrossEntropyLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropyLoss {
    label_smoothing: f64,
}

impl CrossEntropyLoss {
    /// [`cross_entropy`] of `logits` `[batch_size, num_classes]` and `targets` `[batch_size]`.
    ///
    /// # Errors
    ///
    /// Those of [`cross_entropy`] on shapes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Int, Tensor};
    /// use kd_losses::CrossEntropyLossConfig;
    ///
    /// let device = Device::flex();
    /// let logits = Tensor::<2>::zeros([3, 10], &device);
    /// let targets = Tensor::<1, Int>::zeros([3], &device);
    /// let loss = CrossEntropyLossConfig::new().with_label_smoothing(0.1).init()?;
    /// let value = loss.forward(logits, targets)?.into_scalar::<f32>();
    /// assert!((value - 10_f32.ln()).abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Result<Tensor<1>> {
        cross_entropy(logits, targets, self.label_smoothing)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "cross-entropy",
    title: "Cross-entropy, label smoothing",
    family: Family::Logits,
    about: "cross-entropy with the labels, with label smoothing",
    paper: Paper {
        authors: "Szegedy et al.",
        year: 2015,
        arxiv: "1512.00567",
        place: "section 7",
    },
    inputs: "logits `[batch, classes]`, targets `[batch]`",
    constants: &[Constant {
        name: "label_smoothing",
        source: "off; the paper: 0.1",
    }],
    defaults: Some(|| CrossEntropyLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: None,
    cost: "",
    disagreements: "smoothing spread over all classes, or over all but the label; here over all, as the \
        paper and PyTorch",
};
