//! The objectives: the target of each student, and the parts that are trained for it.

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The target that each student learns from, beside the labels.
///
/// `z_i` are the logits of student `i` of `m`, `KL(t -> z)` is `T^2` times the divergence of `softmax(z / T)`
/// from `softmax(t / T)`, summed over classes, the mean over the batch; `w` is the ramped weight. Losses are
/// summed over students, not averaged. A target is a constant unless it is said otherwise.
///
/// | kind | objective |
/// |---|---|
/// | `single` | `CE(z)`: one network alone, the control |
/// | `independent` | `sum CE_i` |
/// | `dml` | `sum CE_i + w / (m - 1) sum_(j != i) KL(z_j -> z_i)` |
/// | `cl-ilr` | `sum CE_i + w KL(mean_(j != i) z_j -> z_i)`, the gradient of what is shared divided by `m` |
/// | `one` | `sum CE_i + CE(z_e) + w sum KL(z_e -> z_i)`, `z_e` weighted by a gate on what is shared |
/// | `okddip` | `sum CE_i + w sum KL(t_i -> z_i)` by attention; a leader learns from the peers' mean |
/// | `kdcl` | `sum CE_i + w sum KL(t -> z_i)`, `t` made of the peers with the labels |
/// | `okdmde` | as `one` or `okddip`, the gate or the attention reading the fused last maps of all peers |
/// | `pcl` | `sum CE_i + CE(z_e) + w sum [KL(z_e -> z_i) + mean_(j != i) KL(a_j -> z_i)]`, `a_j` averaged |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Objective {
    /// One network alone: the control.
    Single {
        /// Deploys an exponential moving average of the weights with this decay, from 0 to below 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "recipe", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        average_decay: Option<f64>,
    },
    /// No student knows of another: branches without distillation, or with nothing shared an ordinary
    /// ensemble.
    // With braces: serde would let any key pass beside a variant without.
    Independent {},
    /// Deep mutual learning.
    Dml {
        /// Each peer by itself, or their mean.
        #[serde(default)]
        target: MutualTarget,
    },
    /// Collaborative learning with representation sharing.
    ClIlr {
        /// Divides the gradient that reaches the shared stages by the number of branches, as the paper does.
        #[serde(default = "yes")]
        scale_shared_gradient: bool,
    },
    /// On-the-fly native ensemble.
    One {},
    /// Online distillation with diverse peers.
    Okddip {
        /// The last branch leads: it learns from the peers' mean and takes no part in the attention.
        #[serde(default = "yes")]
        leader: bool,
        /// Keeps a peer's own logits out of its target.
        #[serde(default)]
        mask_self: bool,
        /// The constants among what a peer's target is made of.
        #[serde(default)]
        detach: AttentionDetach,
        /// Features of the query and the key, as a divisor of those of a student.
        #[serde(default = "reduction")]
        #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
        reduction: usize,
    },
    /// Collaborative learning with targets that know the labels.
    Kdcl {
        /// The target.
        #[serde(default)]
        target: KdclTarget,
    },
    /// Multi-branch diversity enhancement: attention helped by a fusion of the peers' last maps.
    Okdmde {
        /// The attention, in one of two readings of the paper, or a simpler one to compare with.
        #[serde(default)]
        attention: Attention,
        /// A gate's weight for a whole branch, or for each class of it.
        #[serde(default)]
        gate: GateGranularity,
        /// The convolutions that fuse the maps.
        #[serde(default)]
        fusion: FusionConv,
        /// Adds the cross-entropy of the ensemble's logits. By default where there is one target for all;
        /// with a target a peer the ensemble is the mean of the targets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ensemble_loss: Option<bool>,
        /// Keeps the gradients of fusion and attention from the students.
        #[serde(default)]
        detach_features: bool,
        /// The last branch leads, see [`Objective::Okddip`]; for attention a peer only.
        #[serde(default)]
        leader: bool,
        /// As in [`Objective::Okddip`].
        #[serde(default)]
        mask_self: bool,
        /// As in [`Objective::Okddip`].
        #[serde(default)]
        detach: AttentionDetach,
        /// Hidden features of the gate, or of query and key, as a divisor of those of a student.
        #[serde(default = "reduction")]
        #[cfg_attr(feature = "recipe", schemars(range(min = 1)))]
        reduction: usize,
    },
    /// Peer collaborative learning.
    Pcl {
        /// The decay of the averaged peers, from 0 to below 1; in step `s` it is `min(1 - 1 / (s + 1),
        /// decay)`.
        #[serde(default = "pcl_decay")]
        #[cfg_attr(feature = "recipe", schemars(range(min = 0.0), extend("exclusiveMaximum" = 1)))]
        average_decay: f64,
    },
}

/// The target of deep mutual learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MutualTarget {
    /// Every other peer: the mean of the divergences.
    #[default]
    Pairwise,
    /// The mean of the other peers' logits: one divergence.
    EnsembleFirst,
}

/// The constants among what a peer's target `t_a = sum_b A_ab z_b` is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AttentionDetach {
    /// None, as in the public code: gradients reach attention and peers.
    #[default]
    None,
    /// The logits: the attention learns, peers are not drawn to each other through the target.
    PeerLogits,
    /// All: query and key stay as they were drawn, unless the ensemble has a loss of its own. An ablation.
    All,
}

/// The target of KDCL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KdclTarget {
    /// For each sample the logits of the peer with the smallest cross-entropy.
    Naive,
    /// For each class the smallest logit behind that of the label.
    #[default]
    MinLogit,
    /// For each sample the best convex combination.
    Linear,
    /// One weight a peer, from the errors on validation data, measured before each epoch.
    General,
}

/// The attention of [`Objective::Okdmde`].
///
/// The paper's body could not be had. Its abstract says that a fusion of the last maps helps the attention
/// and that the ensemble is the target; a survey counts it among methods with a leader. So
/// [`Attention::Gate`] and [`Attention::PerPeer`] are readings of equal rank, and the others are what they
/// have to be better than.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attention {
    /// One weight a branch from the fused maps, one target for all. Inferred.
    #[default]
    Gate,
    /// `OKDDip`'s attention with the fused maps beside each peer's own features: a target a peer. Inferred.
    PerPeer,
    /// The mean of the logits: nothing is trained.
    Mean,
    /// ONE's gate on what is shared.
    One,
    /// `OKDDip`'s attention without fusion: a target a peer.
    Okddip,
    /// `sum_i softmax(z_i) z_i`, element by element: what an implementation by others puts in place of the
    /// fusion. Its weights do not sum to 1.
    SelfLogit,
}

/// The number of weights of a gate for each sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GateGranularity {
    /// One for each branch.
    #[default]
    Branch,
    /// One for each branch and class, after the first author's later method for heat maps.
    BranchClass,
}

/// The convolutions that fuse the last maps of all peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FusionConv {
    /// One of 1x1.
    #[default]
    Pointwise,
    /// A depthwise one of 3x3, then one of 1x1, as in FFSD's code.
    DepthwiseSeparable,
}

fn yes() -> bool {
    true
}

fn reduction() -> usize {
    8
}

fn pcl_decay() -> f64 {
    0.999
}

impl Objective {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 9] = [
        "single",
        "independent",
        "dml",
        "cl-ilr",
        "one",
        "okddip",
        "kdcl",
        "okdmde",
        "pcl",
    ];

    /// The objective of this name with the settings of the public codes.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    pub fn of(kind: &str) -> Result<Self> {
        let table = serde_json::json!({ "kind": kind });
        serde_json::from_value(table)
            .map_err(|_| Error::unknown_name("kind of online distillation", kind, Self::NAMES))
    }

    /// Its name in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Single { .. } => "single",
            Self::Independent {} => "independent",
            Self::Dml { .. } => "dml",
            Self::ClIlr { .. } => "cl-ilr",
            Self::One {} => "one",
            Self::Okddip { .. } => "okddip",
            Self::Kdcl { .. } => "kdcl",
            Self::Okdmde { .. } => "okdmde",
            Self::Pcl { .. } => "pcl",
        }
    }

    /// Whether the last branch leads: it learns from the others and they do not learn from it.
    pub fn has_leader(&self) -> bool {
        matches!(
            self,
            Self::Okddip { leader: true, .. } | Self::Okdmde { leader: true, .. }
        )
    }

    /// The same with a leader or without, where the kind can have one.
    #[must_use]
    pub fn with_leader(mut self, with: bool) -> Self {
        if let Self::Okddip { leader, .. } | Self::Okdmde { leader, .. } = &mut self {
            *leader = with;
        }
        self
    }

    /// The decay of averaged students, where the kind has them.
    pub fn average_decay(&self) -> Option<f64> {
        match *self {
            Self::Single { average_decay } => average_decay,
            Self::Pcl { average_decay } => Some(average_decay),
            _ => None,
        }
    }

    /// Whether something of it reads the last shared map, so that there must be one.
    pub(crate) fn reads_trunk(&self) -> bool {
        matches!(
            self,
            Self::One {}
                | Self::ClIlr {
                    scale_shared_gradient: true
                }
                | Self::Okdmde {
                    attention: Attention::One,
                    ..
                }
        )
    }

    /// Keys of the kind that may be missing from its settings.
    pub(crate) fn optional_keys(&self) -> &'static [&'static str] {
        match self {
            Self::Single { .. } => &["average_decay"],
            Self::Okdmde { .. } => &["ensemble_loss"],
            _ => &[],
        }
    }

    /// Checks its values, and that each part that is trained for it gets a gradient.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] by the key in the table.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(decay) = self.average_decay()
            && !(0.0..1.0).contains(&decay)
        {
            let problem = format!("must be at least 0 and below 1, got {decay}");
            return Err(Error::config("average_decay", problem));
        }
        match *self {
            Self::Okddip { reduction: 0, .. } | Self::Okdmde { reduction: 0, .. } => {
                Err(Error::config("reduction", "must be at least 1, got 0"))
            }
            Self::Okdmde {
                attention,
                ensemble_loss,
                leader,
                detach,
                ..
            } => {
                check_attention(attention, leader)?;
                self.check_effect()?;
                check_gradient(attention, ensemble_loss, detach)
            }
            _ => Ok(()),
        }
    }

    /// Refuses settings that the attention does not read.
    fn check_effect(&self) -> Result<()> {
        let Self::Okdmde {
            attention,
            gate,
            fusion,
            detach_features,
            mask_self,
            detach,
            reduction: divisor,
            ..
        } = *self
        else {
            return Ok(());
        };
        let (fuses, per_peer) = (attention.fuses(), attention.is_per_peer());
        let is_gate = attention == Attention::Gate;
        let unread = [
            ("gate", gate != GateGranularity::default(), is_gate),
            ("fusion", fusion != FusionConv::default(), fuses),
            ("detach_features", detach_features, fuses || per_peer),
            ("mask_self", mask_self, per_peer),
            ("detach", detach != AttentionDetach::default(), per_peer),
            ("reduction", divisor != reduction(), fuses || per_peer),
        ];
        let unread = unread.iter().find(|(_, given, read)| *given && !read);
        unread.map_or(Ok(()), |(key, ..)| {
            let name = attention.name();
            let problem = format!("has no effect where `attention` is `{name}`; leave it out");
            Err(Error::config(*key, problem))
        })
    }

    /// Whether a peer's own logits are kept out of its target.
    pub(crate) fn masks_self(&self) -> bool {
        matches!(
            self,
            Self::Okddip {
                mask_self: true,
                ..
            } | Self::Okdmde {
                mask_self: true,
                ..
            }
        )
    }

    /// Whether a part is trained by the divergences between students alone.
    pub(crate) fn learns_by_divergence(&self) -> bool {
        match self {
            Self::Okddip { .. } => true,
            Self::Okdmde {
                attention,
                ensemble_loss,
                ..
            } => attention.is_per_peer() && *ensemble_loss != Some(true),
            _ => false,
        }
    }
}

impl Attention {
    /// Whether each peer has a target of its own.
    pub(crate) fn is_per_peer(self) -> bool {
        matches!(self, Self::PerPeer | Self::Okddip)
    }

    /// Whether it reads the fused maps of all peers.
    pub(crate) fn fuses(self) -> bool {
        matches!(self, Self::Gate | Self::PerPeer)
    }

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::PerPeer => "per-peer",
            Self::Mean => "mean",
            Self::One => "one",
            Self::Okddip => "okddip",
            Self::SelfLogit => "self-logit",
        }
    }
}

fn check_attention(attention: Attention, leader: bool) -> Result<()> {
    let name = attention.name();
    if leader && !attention.is_per_peer() {
        let problem = format!(
            "needs attention with a target a peer, and `attention` is `{name}`; set it to `per-peer` or \
             `okddip`, or leave the leader out"
        );
        return Err(Error::config("leader", problem));
    }
    Ok(())
}

/// A gate learns from the ensemble's loss alone, for its target is a constant; attention a peer learns from
/// that loss or through the target.
fn check_gradient(
    attention: Attention,
    ensemble_loss: Option<bool>,
    detach: AttentionDetach,
) -> Result<()> {
    let gated = matches!(attention, Attention::Gate | Attention::One);
    if gated && ensemble_loss == Some(false) {
        let problem = format!(
            "is off, and the target is a constant: nothing would train the attention `{}`; leave it on, or \
             use `attention = \"mean\"`",
            attention.name()
        );
        return Err(Error::config("ensemble_loss", problem));
    }
    let cut_off = detach == AttentionDetach::All && ensemble_loss != Some(true);
    if attention.is_per_peer() && cut_off {
        let problem = format!(
            "is `all` and `ensemble_loss` is off: nothing would train the attention `{}`; use \
             `peer-logits`, or set `ensemble_loss`",
            attention.name()
        );
        return Err(Error::config("detach", problem));
    }
    Ok(())
}
