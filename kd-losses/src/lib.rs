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
//! | `peers` | targets that networks make for each other while they learn together |
//! | `adapters` | modules that are trained beside the student and make two maps comparable |
//! | `combination` | weighted sums of terms, weights that change with time |
//! | `catalogue` | [`LossInfo`]: what there is, with papers, constants and disagreements |
//! | `error` | [`Error`], [`Axis`], [`Result`] |
//!
//! One file holds one loss: the plain function with every constant as an argument, then the config with the
//! defaults and their sources, then the struct that the config makes, then its entry in the catalogue.
//! `check` (shapes, dtypes, constants), `norm` and `seeded` (initial values) are shared and private.
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
mod norm;
mod peers;
mod priors;
mod seeded;

pub use logits::{
    AdversarialKlLoss, AdversarialKlLossConfig, BeliefMatchingLoss, BeliefMatchingLossConfig,
    CrossEntropyLoss, CrossEntropyLossConfig, DecoupledKdLoss, DecoupledKdLossConfig, DistLoss,
    DistLossConfig, JensenShannonLoss, JensenShannonLossConfig, LogitStandardisationLoss,
    LogitStandardisationLossConfig, MultiLevelLoss, MultiLevelLossConfig, NormalisedKdLoss,
    NormalisedKdLossConfig, ReverseKlLoss, ReverseKlLossConfig, SoftCrossEntropyLoss,
    SoftCrossEntropyLossConfig, SoftTargetLoss, SoftTargetLossConfig, VirtualTeacherLoss,
    VirtualTeacherLossConfig, VirtualTeacherSoftening, WeightedSoftLabelLoss,
    WeightedSoftLabelLossConfig, adversarial_kl, batch_alignment, belief_matching, class_alignment,
    cross_entropy, decoupled_kd, dist, instance_alignment, jensen_shannon, logit_l1,
    logit_regression, logit_standardisation, multi_level, normalised_kd, reverse_kl,
    soft_cross_entropy, soft_target, standardised, virtual_teacher, weighted_cross_entropy,
    weighted_soft_label,
};

pub use features::{
    ActivationBoundaryLoss, ActivationBoundaryLossConfig, AttentionDistance, AttentionTransferLoss,
    AttentionTransferLossConfig, CorrelationCongruenceLoss, CorrelationCongruenceLossConfig,
    CorrelationKernel, CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples,
    FactorNorm, FactorTransferLoss, FactorTransferLossConfig, FspPooling, IckdLoss, IckdLossConfig,
    InfoNceLoss, InfoNceLossConfig, KdsvdLoss, KdsvdLossConfig, MaskedUnit, MgdLoss, MgdLossConfig,
    NstLoss, NstLossConfig, OfdLoss, OfdLossConfig, PkdLoss, PkdLossConfig, PktLoss, PktLossConfig,
    ReviewKd, ReviewKdLossConfig, SelectivityKernel, SemCkd, SemCkdLossConfig, SimKdLoss,
    SimKdLossConfig, SimilarityPreservingLoss, SimilarityPreservingLossConfig, SrrlLoss,
    SrrlLossConfig, VidLoss, VidLossConfig, activation_boundary, attention_transfer,
    correlation_congruence, crd_log_z, crd_nce, factor_transfer, fsp, fsp_pooled,
    hierarchical_context, hint, ickd, info_nce, info_nce_bound, kdsvd, nst, ofd, ofd_margins, pkd,
    pkt, rkd_angle, rkd_distance, similarity_preserving, softmax_regression, vid,
};

pub use dense::{
    CwdLoss, CwdLossConfig, PairWiseAffinityLoss, PairWiseAffinityLossConfig, PixelWiseLoss,
    PixelWiseLossConfig, cwd, pair_wise_affinity, pixel_cross_entropy, pixel_wise,
};

pub use priors::{
    BnStatisticsLoss, BnStatisticsLossConfig, ClassifierDiversificationLoss,
    ClassifierDiversificationLossConfig, ClassifierOverlap, ImageL2Loss, ImageL2LossConfig,
    ImageSize, IncrementPenalty, IncrementPenaltyConfig, IncrementPenaltyState, IncrementReference,
    ModeSeekingForm, ModeSeekingLoss, ModeSeekingLossConfig, NormStatistics,
    PredictionDiversificationLoss, PredictionDiversificationLossConfig, StatisticsDistance,
    TotalVariationLoss, TotalVariationLossConfig, VariationForm, activation_norm, batch_entropy,
    bn_statistics, classifier_diversification, image_l2, increment_penalty, mode_seeking,
    one_hot_confidence, prediction_diversification, total_variation,
};

pub use peers::{KdclErrors, kdcl_general, kdcl_linear, kdcl_min_logit, kdcl_naive};

pub use adapters::{
    AttentionFusion, AttentionFusionConfig, EmbedNormalisation, FusionDepth, LinearEmbed,
    LinearEmbedConfig, MapSizes, Nonlinearity, NormedRegressor, NormedRegressorConfig, Projection,
    Regressor, RegressorConfig,
};

pub use combination::{Combined, Schedule, WeightedSum};

pub use catalogue::{Constant, Family, LossInfo, Paper, UsualWeight, find_loss, losses};

pub use error::{Axis, Error, Result};
