//! The combiner: makes the ensemble, or a target a peer, of what all peers output.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use kd_core::{
    Draws, Names, Result, Scheme, Tensors, change_parameters, count_parameters, import, initialise,
};

use crate::branches::{BranchOutput, part_of};
use crate::combine::attention::PeerAttention;
use crate::combine::gate::{FusionGate, TrunkGate, linear_macs};
use crate::kinds::{Attention, AttentionDetach, FusionConv, GateGranularity, Objective};

/// The name of the combiner's part in a run's result.
pub(crate) const ENSEMBLE_PART: &str = "ensemble";

/// The trained part that makes the ensemble of the peers, or a target for each.
#[derive(Module, Debug)]
pub enum Combiner {
    /// A gate on the fused last maps.
    Fusion(FusionGate),
    /// A gate on what the branches share.
    Trunk(TrunkGate),
    /// Attention between peers.
    Attention(PeerAttention),
    /// PCL's classifier of the features of all peers.
    Classifier(FeatureClassifier),
}

/// A linear classifier of the features of all peers: PCL's ensemble.
#[derive(Module, Debug)]
pub struct FeatureClassifier {
    fc: Linear,
}

impl FeatureClassifier {
    /// The logits of the ensemble.
    ///
    /// # Shapes
    ///
    /// - `dense`: of each peer `[batch_size, features]`
    /// - result: `[batch_size, num_classes]`
    pub fn forward(&self, dense: Vec<Tensor<2>>) -> Tensor<2> {
        self.fc.forward(Tensor::cat(dense, 1))
    }
}

/// The sizes that a combiner is made for: those of what the peers output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CombinerSizes {
    /// The number of peers, without a leader.
    pub peers: usize,
    /// Channels, height and width of the last map.
    pub map: [usize; 3],
    /// Channels of the last shared map, if there is one.
    pub trunk: Option<usize>,
    /// Numbers of the dense representation.
    pub features: usize,
    /// Classes.
    pub classes: usize,
}

impl CombinerSizes {
    /// These sizes: peers, the last map `[channels, height, width]`, channels of the last shared map,
    /// features, classes.
    pub fn new(
        peers: usize,
        map: [usize; 3],
        trunk: Option<usize>,
        features: usize,
        classes: usize,
    ) -> Self {
        Self {
            peers,
            map,
            trunk,
            features,
            classes,
        }
    }

    /// The sizes of these outputs, which are those of the peers.
    pub fn of(outputs: &[BranchOutput]) -> Option<Self> {
        let first = outputs.first()?;
        let [_batch_size, channels, height, width] = first.map.dims();
        Some(Self {
            peers: outputs.len(),
            map: [channels, height, width],
            trunk: first.trunk.as_ref().map(|trunk| trunk.dims()[1]),
            features: first.dense.dims()[1],
            classes: first.logits.dims()[1],
        })
    }
}

/// What a combiner makes of the peers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Ensembled {
    /// The logits of the ensemble, `[batch_size, num_classes]`.
    pub logits: Option<Tensor<2>>,
    /// The target of each peer, `[batch_size, peers, num_classes]`.
    pub per_peer: Option<Tensor<3>>,
    /// The weights of a gate, `[batch_size, peers, 1]` or `[batch_size, peers, num_classes]`.
    pub gate: Option<Tensor<3>>,
    /// The attention of each peer to all, `[batch_size, peers, peers]`.
    pub attention: Option<Tensor<3>>,
}

/// The way an objective combines its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combination {
    /// Nothing is made of them, or the mean of their logits.
    Mean,
    SelfLogit,
    Gate {
        detach: bool,
    },
    Trunk,
    Attention {
        fusion: bool,
        mask_self: bool,
        detach_features: bool,
        detach: AttentionDetach,
    },
    Classifier,
}

impl Combination {
    pub(crate) fn of(objective: &Objective) -> Self {
        match *objective {
            Objective::One {} => Self::Trunk,
            Objective::Pcl { .. } => Self::Classifier,
            Objective::Okddip {
                mask_self, detach, ..
            } => Self::Attention {
                fusion: false,
                mask_self,
                detach_features: false,
                detach,
            },
            Objective::Okdmde {
                attention,
                detach_features,
                mask_self,
                detach,
                ..
            } => match attention {
                Attention::Gate => Self::Gate {
                    detach: detach_features,
                },
                Attention::Mean => Self::Mean,
                Attention::One => Self::Trunk,
                Attention::SelfLogit => Self::SelfLogit,
                Attention::PerPeer | Attention::Okddip => Self::Attention {
                    fusion: attention == Attention::PerPeer,
                    mask_self,
                    detach_features,
                    detach,
                },
            },
            _ => Self::Mean,
        }
    }

    /// Whether the last maps of all peers are joined, so that they must be of one shape.
    pub(crate) fn fuses_maps(self) -> bool {
        matches!(
            self,
            Self::Gate { .. } | Self::Attention { fusion: true, .. }
        )
    }

    /// Whether the features of all peers meet in one layer, so that there must be as many in each.
    pub(crate) fn compares_features(self) -> bool {
        matches!(self, Self::Attention { .. })
    }

    /// Combines peers.
    pub(crate) fn apply(self, combiner: Option<&Combiner>, peers: &[BranchOutput]) -> Ensembled {
        let maps = || peers.iter().map(|peer| peer.map.clone()).collect();
        let dense = || peers.iter().map(|peer| peer.dense.clone()).collect();
        match (self, combiner) {
            (Self::Gate { detach }, Some(Combiner::Fusion(gate))) => {
                gated(gate.forward(detached_if(detach, maps())), peers)
            }
            (Self::Trunk, Some(Combiner::Trunk(gate))) => {
                let trunks = peers.iter().filter_map(|peer| peer.trunk.clone());
                gated(gate.forward(trunks.collect()), peers)
            }
            (
                Self::Attention {
                    mask_self,
                    detach_features,
                    detach,
                    ..
                },
                Some(Combiner::Attention(attention)),
            ) => {
                let maps = detached_if(detach_features, maps());
                let dense = detached_if(detach_features, dense());
                attended(attention.forward(dense, maps, mask_self), peers, detach)
            }
            (Self::Classifier, Some(Combiner::Classifier(classifier))) => Ensembled {
                logits: Some(classifier.forward(dense())),
                ..Ensembled::default()
            },
            (Self::SelfLogit, _) => {
                let logits = stacked(peers);
                Ensembled {
                    logits: Some(
                        (softmax(logits.clone(), 2) * logits)
                            .sum_dim(1)
                            .squeeze_dim(1),
                    ),
                    ..Ensembled::default()
                }
            }
            _ => Ensembled {
                logits: Some(stacked(peers).mean_dim(1).squeeze_dim(1)),
                ..Ensembled::default()
            },
        }
    }
}

/// The logits of all peers, `[batch_size, peers, num_classes]`.
fn stacked(peers: &[BranchOutput]) -> Tensor<3> {
    let logits = peers.iter().map(|peer| peer.logits.clone());
    Tensor::stack(logits.collect(), 1)
}

fn detached_if<const D: usize>(detach: bool, tensors: Vec<Tensor<D>>) -> Vec<Tensor<D>> {
    if !detach {
        return tensors;
    }
    tensors.into_iter().map(Tensor::detach).collect()
}

fn gated(gate: Tensor<3>, peers: &[BranchOutput]) -> Ensembled {
    let logits = (gate.clone() * stacked(peers)).sum_dim(1).squeeze_dim(1);
    Ensembled {
        logits: Some(logits),
        gate: Some(gate),
        ..Ensembled::default()
    }
}

fn attended(attention: Tensor<3>, peers: &[BranchOutput], detach: AttentionDetach) -> Ensembled {
    let logits = stacked(peers);
    let source = match detach {
        AttentionDetach::None => logits,
        AttentionDetach::PeerLogits | AttentionDetach::All => logits.detach(),
    };
    let targets = attention.clone().matmul(source);
    Ensembled {
        // An ensemble that has a loss of its own is the mean of the targets.
        logits: Some(targets.clone().mean_dim(1).squeeze_dim(1)),
        per_peer: Some(match detach {
            AttentionDetach::All => targets.detach(),
            _ => targets,
        }),
        attention: Some(attention),
        ..Ensembled::default()
    }
}

impl Combiner {
    /// The combiner that `objective` trains, its weights a function of `seed`; none where it trains none.
    ///
    /// Convolutions are normal with variance `2 / fan_out`, linear layers as PyTorch draws them, the last
    /// layer of [`FusionGate`] is zero.
    ///
    /// # Errors
    ///
    /// Those of [`kd_core::initialise`].
    pub fn new(
        objective: &Objective,
        sizes: CombinerSizes,
        seed: u64,
        device: &Device,
    ) -> Result<Option<Self>> {
        let Some(blank) = Self::blank(objective, sizes, device) else {
            return Ok(None);
        };
        let seed = Draws::new(seed, "combiner", 0, 0).bits();
        let drawn = initialise(&blank, Scheme::KaimingFanOut, seed)?;
        let gated = matches!(drawn, Self::Fusion(_));
        Ok(Some(change_parameters(drawn, |path, values| {
            (gated && path.starts_with("fc2.")).then(|| values.zeros_like())
        })))
    }

    fn blank(objective: &Objective, sizes: CombinerSizes, device: &Device) -> Option<Self> {
        let CombinerSizes {
            peers,
            map: [channels, ..],
            features,
            classes,
            ..
        } = sizes;
        let (fusion, granularity, reduction) = match *objective {
            Objective::Okdmde {
                fusion,
                gate,
                reduction,
                ..
            } => (fusion, gate, reduction),
            Objective::Okddip { reduction, .. } => {
                (FusionConv::default(), GateGranularity::default(), reduction)
            }
            _ => (FusionConv::default(), GateGranularity::default(), 1),
        };
        Some(match Combination::of(objective) {
            Combination::Mean | Combination::SelfLogit => return None,
            Combination::Gate { .. } => Self::Fusion(FusionGate::blank(
                (fusion, granularity),
                peers,
                channels,
                classes,
                reduction,
                device,
            )),
            Combination::Trunk => Self::Trunk(TrunkGate::blank(peers, sizes.trunk?, device)),
            Combination::Attention { fusion: fused, .. } => {
                let fusion = fused.then_some((fusion, peers, channels));
                Self::Attention(PeerAttention::blank(fusion, features, reduction, device))
            }
            Combination::Classifier => Self::Classifier(FeatureClassifier {
                fc: LinearConfig::new(peers * features, classes).init(device),
            }),
        })
    }

    /// The combiner with the weights that a run has left, the part `ensemble/...` of its result.
    ///
    /// # Errors
    ///
    /// [`kd_core::Error::Mismatch`] if they are of another combiner.
    pub fn with_result(&self, result: &Tensors) -> Result<Self> {
        let part = part_of(result, ENSEMBLE_PART);
        import(self, &part, Names::PyTorch, ENSEMBLE_PART)
    }

    /// The number of its learnable parameters.
    pub fn parameters(&self) -> u64 {
        count_parameters(self)
    }

    /// Multiply-accumulates for one sample.
    pub fn macs(&self, sizes: CombinerSizes) -> u64 {
        let [_channels, height, width] = sizes.map;
        match self {
            Self::Fusion(gate) => gate.macs(height * width),
            Self::Trunk(gate) => gate.macs(),
            Self::Attention(attention) => attention.macs(sizes.peers, height * width),
            Self::Classifier(classifier) => linear_macs(&classifier.fc),
        }
    }
}
