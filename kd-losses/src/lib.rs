#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | folder | holds |
//! |---|---|
//! | `logits` | losses of the networks' outputs |
//! | `features` | losses of feature maps and of dense representations |
//! | `dense` | losses of maps with a prediction at each position |
//! | `priors` | regularisers, and priors on synthetic images and on predictions |
//! | `adapters` | modules that are trained beside the student and make two maps comparable |
//! | `combination` | weighted sums of terms, weights that change with time |
//! | `catalogue` | [`LossInfo`]: what there is, with papers, constants and disagreements |
//! | `error` | [`Error`], [`Axis`], [`Result`] |
//!
//! One file holds one loss: the plain function with every constant as an argument, then the config with the defaults and
//! their sources, then the struct that the config makes, then its entry in the catalogue. `check` (shapes, dtypes,
//! constants) and `seeded` (initial values) are shared and private.
//!
//! # Crate features
//!
//! None. The backend is chosen by features of `burn` in the crate that runs the losses.

mod adapters;
mod catalogue;
mod check;
mod combination;
mod dense;
mod error;
mod features;
mod logits;
mod priors;
mod seeded;

pub use logits::logit_regression;
pub use logits::{CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy};
pub use logits::{SoftTargetLoss, SoftTargetLossConfig, soft_target};

pub use features::{fsp, hint};
pub use features::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, attention_transfer,
};

pub use adapters::{MapSizes, Projection, Regressor, RegressorConfig};

pub use combination::{Combined, Schedule, WeightedSum};

pub use catalogue::{Constant, Family, LossInfo, Paper, UsualWeight, find_loss, losses};
pub use error::{Axis, Error, Result};
pub use logits::{DecoupledKdLoss, DecoupledKdLossConfig, decoupled_kd};
pub use logits::{DistLoss, DistLossConfig, dist};
pub use logits::{NormalisedKdLoss, NormalisedKdLossConfig, normalised_kd};
pub use logits::{WeightedSoftLabelLoss, WeightedSoftLabelLossConfig, weighted_soft_label};
pub use logits::{
    LogitStandardisationLoss, LogitStandardisationLossConfig, logit_standardisation, standardised,
};
pub use logits::{
    MultiLevelLoss, MultiLevelLossConfig, batch_alignment, class_alignment, instance_alignment,
    multi_level,
};
pub use logits::{
    VirtualTeacherLoss, VirtualTeacherLossConfig, VirtualTeacherSoftening, virtual_teacher,
};
pub use features::{
    CorrelationCongruenceLoss, CorrelationCongruenceLossConfig, CorrelationKernel,
    correlation_congruence,
};
pub use features::{PktLoss, PktLossConfig, pkt};
pub use features::{
    SimilarityPreservingLoss, SimilarityPreservingLossConfig, similarity_preserving,
};
pub use features::{rkd_angle, rkd_distance};
pub use features::{PkdLoss, PkdLossConfig, pkd};
pub use dense::{CwdLoss, CwdLossConfig, cwd};
pub use dense::{PairWiseAffinityLoss, PairWiseAffinityLossConfig, pair_wise_affinity};
pub use dense::{PixelWiseLoss, PixelWiseLossConfig, pixel_wise};
pub use features::{OfdLoss, OfdLossConfig, ofd, ofd_margins};
pub use features::{VidLoss, VidLossConfig, vid};
pub use adapters::{EmbedNormalisation, LinearEmbed, LinearEmbedConfig};
pub use adapters::{Nonlinearity, NormedRegressor, NormedRegressorConfig};
pub use features::{ActivationBoundaryLoss, ActivationBoundaryLossConfig, activation_boundary};
pub use features::{MaskedUnit, MgdLoss, MgdLossConfig};
pub use features::{SimKdLoss, SimKdLossConfig};
pub use features::{SrrlLoss, SrrlLossConfig, softmax_regression};
pub use features::{
    CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples, crd_log_z, crd_nce,
};
pub use features::{InfoNceLoss, InfoNceLossConfig, info_nce, info_nce_bound};
pub use features::{ReviewKd, ReviewKdLossConfig, hierarchical_context};
pub use adapters::{AttentionFusion, AttentionFusionConfig, FusionDepth};
pub use priors::{
    ClassifierDiversificationLoss, ClassifierDiversificationLossConfig, ClassifierOverlap,
    classifier_diversification,
};
pub use priors::{
    IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    increment_penalty,
};
pub use priors::{
    BnStatisticsLoss, BnStatisticsLossConfig, NormStatistics, StatisticsDistance, bn_statistics,
};
pub use priors::{ImageL2Loss, ImageL2LossConfig, ImageSize, image_l2};
pub use priors::{ModeSeekingForm, ModeSeekingLoss, ModeSeekingLossConfig, mode_seeking};
pub use priors::{TotalVariationLoss, TotalVariationLossConfig, VariationForm, total_variation};
pub use priors::{activation_norm, batch_entropy, one_hot_confidence};
pub use logits::logit_l1;
pub use logits::{AdversarialKlLoss, AdversarialKlLossConfig, adversarial_kl};
pub use logits::{BeliefMatchingLoss, BeliefMatchingLossConfig, belief_matching};
pub use logits::{JensenShannonLoss, JensenShannonLossConfig, jensen_shannon};
pub use logits::{ReverseKlLoss, ReverseKlLossConfig, reverse_kl};
pub use logits::{SoftCrossEntropyLoss, SoftCrossEntropyLossConfig, soft_cross_entropy};
pub use features::{IckdLoss, IckdLossConfig, ickd};
pub use features::{NstLoss, NstLossConfig, SelectivityKernel, nst};
pub use features::{FactorNorm, FactorTransferLoss, FactorTransferLossConfig, factor_transfer};
pub use features::{SemCkd, SemCkdLossConfig};
pub use features::{KdsvdLoss, KdsvdLossConfig, kdsvd};
