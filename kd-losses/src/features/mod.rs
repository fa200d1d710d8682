//! Losses of feature maps and of dense representations.

use crate::catalogue::LossInfo;

mod activation_boundary;
mod attention_transfer;
mod correlation_congruence;
mod crd;
mod eigen;
mod factor_transfer;
mod fsp;
pub(crate) mod hint;
mod ickd;
mod info_nce;
mod kdsvd;
mod mgd;
mod nst;
mod ofd;
mod ofd_margins;
mod paraphraser;
mod pkd;
mod pkt;
pub(crate) mod relation;
mod reviewkd;
mod rkd;
mod semckd;
mod similarity_preserving;
mod simkd;
mod srrl;
mod vid;

pub use activation_boundary::{
    ActivationBoundaryLoss, ActivationBoundaryLossConfig, activation_boundary,
};
pub use attention_transfer::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, attention_transfer,
};
pub use correlation_congruence::{
    CorrelationCongruenceLoss, CorrelationCongruenceLossConfig, CorrelationKernel,
    correlation_congruence,
};
pub use crd::{
    CrdEmbeddings, CrdLossConfig, CrdMemory, CrdNegatives, CrdSamples, crd_log_z, crd_nce,
};
pub use factor_transfer::{FactorTransferLoss, FactorTransferLossConfig, factor_transfer};
pub use fsp::{FspPooling, fsp, fsp_pooled};
pub use hint::hint;
pub use ickd::{IckdLoss, IckdLossConfig, ickd};
pub use info_nce::{InfoNceLoss, InfoNceLossConfig, info_nce, info_nce_bound};
pub use kdsvd::{KdsvdLoss, KdsvdLossConfig, kdsvd};
pub use mgd::{MaskedUnit, MgdLoss, MgdLossConfig};
pub use nst::{NstLoss, NstLossConfig, SelectivityKernel, nst};
pub use ofd::{OfdLoss, OfdLossConfig, ofd};
pub use ofd_margins::ofd_margins;
pub use paraphraser::FactorNorm;
pub use pkd::{PkdLoss, PkdLossConfig, pkd};
pub use pkt::{PktLoss, PktLossConfig, pkt};
pub use reviewkd::{ReviewKd, ReviewKdLossConfig, hierarchical_context};
pub use rkd::{rkd_angle, rkd_distance};
pub use semckd::{SemCkd, SemCkdLossConfig};
pub use similarity_preserving::{
    SimilarityPreservingLoss, SimilarityPreservingLossConfig, similarity_preserving,
};
pub use simkd::{SimKdLoss, SimKdLossConfig};
pub use srrl::{SrrlLoss, SrrlLossConfig, softmax_regression};
pub use vid::{VidLoss, VidLossConfig, vid};

pub(crate) const CATALOGUE: &[&LossInfo] = &[
    &hint::INFO,
    &attention_transfer::INFO,
    &similarity_preserving::INFO,
    &rkd::DISTANCE,
    &rkd::ANGLE,
    &pkt::INFO,
    &correlation_congruence::INFO,
    &pkd::INFO,
    &vid::INFO,
    &ofd::INFO,
    &mgd::INFO,
    &simkd::INFO,
    &srrl::INFO,
    &activation_boundary::INFO,
    &crd::INFO,
    &reviewkd::INFO,
    &info_nce::INFO,
    &nst::INFO,
    &fsp::INFO,
    &ickd::INFO,
    &factor_transfer::INFO,
    &semckd::INFO,
    &kdsvd::INFO,
];
