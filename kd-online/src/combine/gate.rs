//! Gates: weights of the branches for each sample.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{relu, softmax};
use burn::tensor::{Device, Tensor};

use crate::combine::fusion::{FeatureFusion, pooled};
use crate::kinds::{FusionConv, GateGranularity};

/// A gate on the fused last maps of all peers: FFM-G.
///
/// ```text
/// g = softmax over branches of  fc2(ReLU(fc1(u)))      fc1: C -> max(C / r, 1), fc2: -> m, or m K
/// u = fused maps, see FeatureFusion
/// ```
///
/// `fc2` begins with zeros, so that the gate begins as the plain mean. Inferred, all of it.
#[derive(Module, Debug)]
pub struct FusionGate {
    fusion: FeatureFusion,
    fc1: Linear,
    fc2: Linear,
}

impl FusionGate {
    pub(crate) fn blank(
        kind: (FusionConv, GateGranularity),
        peers: usize,
        channels: usize,
        classes: usize,
        reduction: usize,
        device: &Device,
    ) -> Self {
        let hidden = (channels / reduction).max(1);
        let outputs = match kind.1 {
            GateGranularity::Branch => peers,
            GateGranularity::BranchClass => peers * classes,
        };
        Self {
            fusion: FeatureFusion::blank(kind.0, peers, channels, device),
            fc1: LinearConfig::new(channels, hidden).init(device),
            fc2: LinearConfig::new(hidden, outputs).init(device),
        }
    }

    /// The weights of the branches.
    ///
    /// # Shapes
    ///
    /// - `maps`: one for each peer, `[batch_size, channels, height, width]`
    /// - result: `[batch_size, peers, 1]`, or `[batch_size, peers, num_classes]`; the sum over the peers is 1
    pub fn forward(&self, maps: Vec<Tensor<4>>) -> Tensor<3> {
        let peers = maps.len();
        let hidden = relu(self.fc1.forward(self.fusion.forward(maps)));
        let scores = self.fc2.forward(hidden);
        let [batch_size, outputs] = scores.dims();
        softmax(scores.reshape([batch_size, peers, outputs / peers]), 1)
    }

    pub(crate) fn macs(&self, pixels: usize) -> u64 {
        self.fusion.macs(pixels) + linear_macs(&self.fc1) + linear_macs(&self.fc2)
    }
}

/// ONE's gate on what the branches share.
///
/// ```text
/// g = softmax over branches of  ReLU(BN(fc(mean over pixels of the shared map)))
/// ```
///
/// With the ReLU before the softmax no branch can be closed altogether. The batch norm needs more than one
/// sample while it learns. After ONE's code (Lan et al., arXiv 1806.04606).
#[derive(Module, Debug)]
pub struct TrunkGate {
    fc: Linear,
    norm: BatchNorm,
}

impl TrunkGate {
    pub(crate) fn blank(peers: usize, channels: usize, device: &Device) -> Self {
        Self {
            fc: LinearConfig::new(channels, peers).init(device),
            norm: BatchNormConfig::new(peers).init(device),
        }
    }

    /// The weights of the branches.
    ///
    /// # Shapes
    ///
    /// - `trunks`: the shared map, `[batch_size, channels, height, width]`; of several, one for each view of
    ///   the samples, the mean of their pooled vectors is taken
    /// - result: `[batch_size, peers, 1]`; the sum over the peers is 1
    ///
    /// # Panics
    ///
    /// If there is no map.
    pub fn forward(&self, trunks: Vec<Tensor<4>>) -> Tensor<3> {
        let pooled: Vec<Tensor<2>> = trunks.into_iter().map(pooled).collect();
        let pooled: Tensor<2> = Tensor::stack::<3>(pooled, 0).mean_dim(0).squeeze_dim(0);
        let scores = relu(self.norm.forward(self.fc.forward(pooled)));
        softmax(scores, 1).unsqueeze_dim(2)
    }

    pub(crate) fn macs(&self) -> u64 {
        linear_macs(&self.fc)
    }
}

pub(crate) fn linear_macs(linear: &Linear) -> u64 {
    linear.weight.lazy_shape().num_elements() as u64
}
