//! The parts that benches and comparisons with PyTorch share: losses with inputs, pairs of networks, made-up
//! data, and the step in its parts.
//!
//! | file | holds |
//! |---|---|
//! | `losses` | [`losses::measured`]: every loss of kd-losses with inputs |
//! | `pair` | [`Pair`]: a teacher, a student and their images; [`Setup`]: all that a step needs |
//! | `class` | [`ClassSetup`]: a class of students of one teacher |
//! | `online` | [`OnlineCase`]: students that teach each other; [`OnlineSetup`]: all that a step needs |
//! | `parts` | [`StepInParts`]: the step of kd-offline written out, so that each part can be timed |
//!
//! Nothing here draws on a clock or on the machine: the same pair gives the same weights, batches and losses.

mod class;
pub mod losses;
mod online;
mod pair;
mod parts;

pub use class::{
    CLASS_BATCH, CLASS_FEATURES, CLASS_INPUT, CLASS_LR, CLASS_STUDENTS, ClassSetup, student_phases,
};
pub use online::{
    BRANCHES, ONLINE_CASES, ONLINE_CLASSES, ONLINE_INPUT, ONLINE_NETWORK, OnlineCase, OnlineSetup,
    SHARED,
};
pub use pair::{CE_WEIGHT, KD_WEIGHT, TEMPERATURE};
pub use pair::{
    CLASSES, LR, MOMENTUM, PAIRS, Pair, Setup, WEIGHT_DECAY, noise_images, step_at, training,
};
pub use parts::{PARTS, StepInParts, StepTimes};
