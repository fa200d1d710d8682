//! Attention between peers: a target for each of them.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use crate::combine::fusion::FeatureFusion;
use crate::combine::gate::linear_macs;
use crate::kinds::FusionConv;

/// Attention between peers, `OKDDip`'s, or FFM-A with the fused maps beside each peer's features.
///
/// ```text
/// A[a, b] = softmax over b of  q_a . k_b        q_a = W_q h_a, k_b = W_k h_b, one W_q and W_k, no bias
/// t_a     = sum over b of  A[a, b] z_b
///
/// h_a = features of peer a; in FFM-A (features of peer a, fused maps)
/// ```
///
/// Query and key have `C / r` features; the product is not scaled, and a peer's own logits are part of its
/// target. After `OKDDip`'s code (Chen et al., arXiv 1912.00350); FFM-A is inferred. There the part of the
/// key that reads the fused maps is the same for all `b` and changes nothing.
#[derive(Module, Debug)]
pub struct PeerAttention {
    fusion: Option<FeatureFusion>,
    query: Linear,
    key: Linear,
}

/// A large number that the softmax makes 0 of.
const NOWHERE: f32 = -1e9;

impl PeerAttention {
    pub(crate) fn blank(
        fusion: Option<(FusionConv, usize, usize)>,
        features: usize,
        reduction: usize,
        device: &Device,
    ) -> Self {
        let fusion = fusion.map(|(kind, peers, channels)| {
            (
                FeatureFusion::blank(kind, peers, channels, device),
                channels,
            )
        });
        let inputs = features + fusion.as_ref().map_or(0, |(_, channels)| *channels);
        let project = || {
            LinearConfig::new(inputs, (features / reduction).max(1))
                .with_bias(false)
                .init(device)
        };
        Self {
            fusion: fusion.map(|(fusion, _)| fusion),
            query: project(),
            key: project(),
        }
    }

    /// The attention of each peer to all.
    ///
    /// # Shapes
    ///
    /// - `dense`: of each peer `[batch_size, features]`
    /// - `maps`: of each peer `[batch_size, channels, height, width]`; read by a fusion only
    /// - result: `[batch_size, peers, peers]`; the sum of each row is 1
    pub fn forward(
        &self,
        dense: Vec<Tensor<2>>,
        maps: Vec<Tensor<4>>,
        mask_self: bool,
    ) -> Tensor<3> {
        let peers = dense.len();
        let mut features: Tensor<3> = Tensor::stack(dense, 1); // [batch_size, peers, features]
        if let Some(fusion) = &self.fusion {
            let fused = fusion
                .forward(maps)
                .unsqueeze_dim::<3>(1)
                .repeat_dim(1, peers);
            features = Tensor::cat(vec![features, fused], 2);
        }
        let query = self.query.forward(features.clone());
        let key = self.key.forward(features);
        let mut scores = query.matmul(key.transpose()); // [batch_size, peers, peers]
        if mask_self {
            let own = Tensor::<2>::eye(peers, &scores.device()).unsqueeze_dim(0);
            scores = scores + own * NOWHERE;
        }
        softmax(scores, 2)
    }

    /// Multiply-accumulates for maps of so many pixels.
    pub(crate) fn macs(&self, peers: usize, pixels: usize) -> u64 {
        let fusion = self.fusion.as_ref().map_or(0, |fusion| fusion.macs(pixels));
        fusion + peers as u64 * (linear_macs(&self.query) + linear_macs(&self.key))
    }
}
