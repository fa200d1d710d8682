//! Classifier diversification: the last layers of several branches should differ.

use crate::catalogue::{Constant, Family, LossInfo, Paper, UsualWeight};
use crate::check;
use crate::error::Result;
use crate::norm::{bounded_root, check_epsilon};
use burn::config::Config;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::Tensor;

/// The overlap of two classifiers.
///
/// `A` and `B` are the weights of two branches, `[features, classes]`; column `k` of `A` is the weight vector
/// of class `k`. The forms differ by orders of magnitude, so a weight tuned for one is meaningless for
/// another.
///
/// The paper's text and code were not available: its abstract says that the loss strengthens the differences
/// between the students, not how. Each form says where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ClassifierOverlap {
    /// `||A B^T||_F`, of shape `[features, features]`, summed over pairs: an implementation by others,
    /// together with the weight 5e-8.
    Frobenius,
    /// `||A^T B||_F`, of shape `[classes, classes]`, summed over pairs. Inferred: the same words with the
    /// weights written the other way round.
    FrobeniusOfClasses,
    /// Sum of the absolute values of `A B^T`, summed over pairs: the classifier term of asymmetric
    /// tri-training (Saito et al., arXiv 1702.08400), from which such terms usually descend.
    Absolute,
    /// `||A B^T||_F^2`, summed over pairs. Inferred: a smooth variant of [`Self::Frobenius`].
    SquaredFrobenius,
    /// `||a b^T||_F` with `a = A / ||A||_F` and `b = B / ||B||_F`, mean over pairs. Inferred: a variant that
    /// does not see the scale of the weights, between 0 and 1.
    NormalisedFrobenius,
    /// `|cos(A[:, k], B[:, k])|`, mean over classes and pairs: a second implementation by others; between 0
    /// and 1.
    ClassCosine,
}

/// The overlap of the classifiers of several branches, over all pairs of branches.
///
/// ```text
/// loss = sum (or mean) over pairs i < j of  overlap(W[i], W[j])
///
/// W[i] = weights of branch i, [features, classes]      every norm is max(||.||, epsilon)
/// ```
///
/// The forms of `overlap` are those of [`ClassifierOverlap`].
///
/// # Shapes
///
/// - `weights`: two or more `[features, classes]`, equal in both, as the weight of Burn's `Linear` is; biases
///   take no part
/// - result: `[1]`
///
/// The result is never negative and is to be minimised; the order of the branches does not matter. `epsilon`
/// is from 1e-15 to 1 and bounds every norm from below, so that value and gradient are finite for weights of
/// zeros. All weights learn. A cosine says little by itself: branches that are permuted copies of each other
/// in their features have a small one, and make the same predictions.
///
/// # Errors
///
/// `epsilon` outside its range; fewer than two weights; weights without elements, of different shapes or
/// dtypes, or on different devices.
///
/// # Examples
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_losses::{ClassifierOverlap, classifier_diversification};
///
/// let device = Device::flex();
/// // One feature and two classes: each branch uses another class.
/// let weights = [[[1.0, 0.0]], [[0.0, 2.0]]].map(|weight| Tensor::<2>::from_data(weight, &device));
/// let loss = classifier_diversification(&weights, ClassifierOverlap::SquaredFrobenius, 1e-6)?;
/// assert_eq!(loss.into_scalar::<f32>(), 0.0);
/// # Ok::<(), kd_losses::Error>(())
/// ```
///
/// # References
///
/// Li, Huang, Chen, Luo, Cai, Pan, "Online Knowledge Distillation via Multi-branch Diversity Enhancement",
/// ACCV 2020, arXiv 2010.00795: the idea and the name. The formula is a reconstruction from two public
/// implementations by others, which agree in that only the weights of the last layers enter, all unordered
/// pairs of them, and in the weight 5e-8, and disagree in the form.
pub fn classifier_diversification(
    weights: &[Tensor<2>],
    overlap: ClassifierOverlap,
    epsilon: f64,
) -> Result<Tensor<1>> {
    check_epsilon(epsilon)?;
    check_weights(weights)?;

    // [pairs, features, classes] each
    let (left, right) = pairs(weights);
    let of_features = |left: Tensor<3>, right: Tensor<3>| left.matmul(right.transpose());
    let norm = |product: Tensor<3>| bounded_root(sum_of_squares(product), epsilon);
    Ok(match overlap {
        ClassifierOverlap::Frobenius => norm(of_features(left, right)).sum(),
        ClassifierOverlap::FrobeniusOfClasses => norm(left.transpose().matmul(right)).sum(),
        ClassifierOverlap::Absolute => of_features(left, right).abs().sum(),
        ClassifierOverlap::SquaredFrobenius => of_features(left, right).square().sum(),
        ClassifierOverlap::NormalisedFrobenius => {
            // First to a norm of 1: the norm of a product of small weights is bounded long before their own
            // norms are.
            let unit = |weight: Tensor<3>| weight.clone() / norm(weight);
            norm(of_features(unit(left), unit(right))).mean()
        }
        ClassifierOverlap::ClassCosine => {
            // [pairs, 1, classes]
            let size = |weight: Tensor<3>| bounded_root(weight.square().sum_dim(1), epsilon);
            let sizes = size(left.clone()) * size(right.clone());
            ((left * right).sum_dim(1) / sizes).abs().mean()
        }
    })
}

/// `[pairs, 1, 1]`
fn sum_of_squares(products: Tensor<3>) -> Tensor<3> {
    products.square().sum_dim(2).sum_dim(1)
}

/// The weights of all pairs `i < j`, one stack for `i` and one for `j`.
fn pairs(weights: &[Tensor<2>]) -> (Tensor<3>, Tensor<3>) {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (index, weight) in weights.iter().enumerate() {
        for other in &weights[index + 1..] {
            left.push(weight.clone());
            right.push(other.clone());
        }
    }
    (Tensor::stack(left, 0), Tensor::stack(right, 0))
}

fn check_weights(weights: &[Tensor<2>]) -> Result<()> {
    const LOSS: &str = "classifier_diversification";
    let advice = "give the classifiers of all branches";
    check::at_least(LOSS, "weights", weights.len(), 2, advice)?;
    for (index, weight) in weights.iter().enumerate() {
        check::filled(LOSS, "weights", weight)?;
        let (first, this) = (
            ("weights[0]", &weights[0]),
            (format_args!("weights[{index}]"), weight),
        );
        check::alike(
            LOSS,
            first,
            this,
            "the branches must have equal last layers",
        )?;
    }
    Ok(())
}

/// The constants of [`classifier_diversification`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClassifierDiversificationLossConfig {
    /// The overlap of two classifiers.
    ///
    /// The form that implementations by others use with the weight 5e-8 by default; see
    /// [`ClassifierOverlap`].
    #[config(default = "ClassifierOverlap::Frobenius")]
    pub overlap: ClassifierOverlap,
    /// The smallest norm, from 1e-15 to 1.
    ///
    /// 1e-6: ours, far below the norm of a classifier.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl ClassifierDiversificationLossConfig {
    /// Checks the constants and makes the loss.
    ///
    /// # Errors
    ///
    /// `epsilon` outside its range.
    pub fn init(&self) -> Result<ClassifierDiversificationLoss> {
        check_epsilon(self.epsilon)?;
        Ok(ClassifierDiversificationLoss {
            overlap: self.overlap,
            epsilon: self.epsilon,
        })
    }
}

/// [`classifier_diversification`] with its constants, made by [`ClassifierDiversificationLossConfig`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifierDiversificationLoss {
    overlap: ClassifierOverlap,
    epsilon: f64,
}

impl ClassifierDiversificationLoss {
    /// The weight in two implementations by others: 5e-8, with [`ClassifierOverlap::Frobenius`].
    ///
    /// With it the gradient is some 1e-5 of that of a weight decay of 5e-4: it moves nothing that can be
    /// measured. The forms between 0 and 1 need a weight of the order of 0.01 to 1.
    pub const USUAL_WEIGHT: f64 = 5e-8;

    /// [`classifier_diversification`] of the weights of two or more branches.
    ///
    /// # Errors
    ///
    /// Those of [`classifier_diversification`] on counts, shapes, dtypes and devices.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_losses::{ClassifierDiversificationLossConfig, ClassifierOverlap};
    ///
    /// let weight = Tensor::<2>::from_data([[1.0, -2.0], [0.5, 3.0]], &Device::flex());
    /// let config = ClassifierDiversificationLossConfig::new();
    /// let loss = config.with_overlap(ClassifierOverlap::ClassCosine).init()?;
    /// // Equal up to their scale, hence not diverse at all.
    /// let value = loss.forward(&[weight.clone(), weight * 3.0])?.into_scalar::<f32>();
    /// assert!((value - 1.0).abs() < 1e-6);
    /// # Ok::<(), kd_losses::Error>(())
    /// ```
    pub fn forward(&self, weights: &[Tensor<2>]) -> Result<Tensor<1>> {
        classifier_diversification(weights, self.overlap, self.epsilon)
    }
}

pub(crate) const INFO: LossInfo = LossInfo {
    name: "classifier-diversification",
    title: "Classifier diversification",
    family: Family::Priors,
    about: "what the last layers of several branches have in common",
    paper: Paper {
        authors: "Li et al.",
        year: 2020,
        arxiv: "2010.00795",
        place: "the loss named in the abstract; its form is inferred",
    },
    inputs: "two or more classifier weights `[features, classes]`",
    constants: &[
        Constant {
            name: "overlap",
            source: "an implementation by others; the paper's form was not available",
        },
        Constant {
            name: "epsilon",
            source: "ours",
        },
    ],
    defaults: Some(|| ClassifierDiversificationLossConfig::new().to_string()),
    extra_parameters: "none",
    usual_weight: Some(UsualWeight {
        value: ClassifierDiversificationLoss::USUAL_WEIGHT,
        source: "two implementations by others; too small to change anything",
    }),
    cost: "features squared times classes for each pair of branches, features squared of memory",
    disagreements: "the product of two weights by its Frobenius norm or absolute cosines class by class \
        (implementations by others), by absolute values (older terms of this kind); the orientation in the \
        paper is unknown; here all of them as `overlap`, with three inferred variants",
};
