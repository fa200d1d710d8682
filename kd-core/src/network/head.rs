//! The affine head of a network, found by asking the network.

use burn::tensor::{Device, Tensor, TensorData};

use crate::draws::Draws;
use crate::error::{Error, Result};
use crate::network::task_network::Classifier;

/// The head of a classifier as a matrix and a vector: `logits = dense * weight^T + bias`.
#[derive(Clone, Debug)]
pub struct AffineHead {
    /// `[num_classes, features]`.
    pub weight: Tensor<2>,
    /// `[num_classes]`.
    pub bias: Tensor<1>,
}

/// Vectors on which a head is compared with its matrix.
const PROBES: usize = 4;
/// Difference, as a share of the largest logit, up to which a head counts as affine.
const TOLERANCE: f32 = 1e-4;

impl AffineHead {
    /// The head of `network`, whose dense representation has `features` numbers.
    ///
    /// ```text
    /// bias = head(0)      weight^T = head(I) - bias
    /// ```
    ///
    /// So the head may be written as it likes: one layer, several without a nonlinearity, a batch norm before
    /// it at inference. Gradients pass through both to the network's parameters. The head must be affine; see
    /// [`AffineHead::check`].
    pub fn of<N: Classifier>(network: &N, features: usize, device: &Device) -> Self {
        let identity = Tensor::<2>::eye(features, device);
        let zeros = Tensor::zeros([1, features], device);
        // One pass, in which the last row is that of 0.
        let logits = network.forward_head(Tensor::cat(vec![identity, zeros], 0));
        let bias = logits.clone().narrow(0, features, 1); // [1, num_classes]
        let weight = (logits.narrow(0, 0, features) - bias.clone()).transpose();
        Self {
            weight,
            bias: bias.flatten(0, 1),
        }
    }

    /// The logits of dense representations `[batch_size, features]`: `[batch_size, num_classes]`.
    pub fn apply(&self, dense: Tensor<2>) -> Tensor<2> {
        dense.matmul(self.weight.clone().transpose()) + self.bias.clone().unsqueeze()
    }

    /// Checks on a few vectors that the head of `network` is what [`AffineHead::of`] takes it for.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming `who` if the head is not affine, as with a nonlinearity between its layers.
    pub fn check<N: Classifier>(network: &N, features: usize, who: &str) -> Result<()> {
        let network = network.valid();
        let device = network.devices().into_iter().next().unwrap_or_default();
        let head = Self::of(&network, features, &device);
        let mut draws = Draws::new(0, "affine head", features as u64, 0);
        #[expect(clippy::cast_possible_truncation, reason = "any numbers will do")]
        let numbers: Vec<f32> = (0..PROBES * features)
            .map(|_| (3.0 * draws.normal()) as f32)
            .collect();
        let data = TensorData::new(numbers, [PROBES, features]);
        let dense = Tensor::<2>::from_data(data, &device);
        let (found, expected) = (network.forward_head(dense.clone()), head.apply(dense));
        let size = found.clone().abs().max().into_scalar::<f32>();
        let off = (found - expected).abs().max().into_scalar::<f32>();
        if off <= TOLERANCE * size.max(f32::MIN_POSITIVE) {
            return Ok(());
        }
        let problem = format!(
            "has a head that is no single linear layer (it differs from its matrix by {:.0} % on test \
             vectors); use a network \
             whose head is linear",
            100.0 * off / size
        );
        Err(Error::config(who, problem))
    }
}
