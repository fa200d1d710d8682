#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | file | holds |
//! |---|---|
//! | `cross_entropy` | [`cross_entropy`]: the student against hard labels |
//! | `soft_target` | [`soft_target`]: the student against the teacher's softened distribution |
//! | `hint` | [`hint`]: the student's feature map against the teacher's |
//! | `regressor` | [`Regressor`]: the trainable map that makes two feature maps comparable |
//! | `attention_transfer` | [`attention_transfer`]: where the student looks against where the teacher looks |
//! | `error` | [`Error`], [`Axis`], [`Result`] |
//!
//! One file holds one family of losses: the plain function with every constant as an argument,
//! then the config with the defaults and their sources, then the struct that the config makes.
//! `check` (shapes, dtypes, constants) and `seeded` (initial values) are shared and private.
//!
//! # Crate features
//!
//! None. The backend is chosen by features of `burn` in the crate that runs the losses.

mod attention_transfer;
mod check;
mod cross_entropy;
mod error;
mod hint;
mod regressor;
mod seeded;
mod soft_target;

pub use cross_entropy::{CrossEntropyLoss, CrossEntropyLossConfig, cross_entropy};

pub use soft_target::{SoftTargetLoss, SoftTargetLossConfig, soft_target};

pub use hint::hint;
pub use regressor::{MapSizes, Projection, Regressor, RegressorConfig};

pub use attention_transfer::{
    AttentionDistance, AttentionTransferLoss, AttentionTransferLossConfig, attention_transfer,
};

pub use error::{Axis, Error, Result};
