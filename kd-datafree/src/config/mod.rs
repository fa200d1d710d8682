//! The settings of a data-free run: three kinds, the published settings by name, and their checks.

mod data_free;
mod joint;
mod kinds;
mod memory;
mod pooled;
mod training;
mod two_phases;

pub use data_free::DataFreeConfig;
pub use joint::{Game, Joint};
pub use kinds::{SYNTHESIS_KINDS, SynthesisKind};
pub use pooled::{Pooled, Search};
pub use two_phases::{Synthetic, TwoPhases, generator_training, student_training};

#[cfg(feature = "recipe")]
pub(crate) use kinds::USUAL_KIND;
pub(crate) use two_phases::GENERATOR_EPOCH;
