#![doc = include_str!("../README.md")]

mod augment;
mod bank;
mod config;
mod contrast;
mod findings;
mod generator;
mod measures;
mod method;
mod noise;
mod norm_distance;
mod objective;
mod phases;
#[cfg(feature = "recipe")]
mod recipe;
mod search;
mod teacher;

pub use method::DataFree;

pub use config::{
    DataFreeConfig, Game, Joint, Pooled, SYNTHESIS_KINDS, Search, SynthesisKind, Synthetic,
    TwoPhases, generator_training, student_training,
};
pub use contrast::{Compared, ContrastConfig};
pub use generator::{Generator, GeneratorConfig, OutputKind};
pub use objective::{Diversity, Features, GeneratorObjective};
pub use search::{GeneratorSearch, PixelSearch, Start};

pub use augment::CropFlip;
pub use bank::{BANK_FILE, Bank, BankConfig};
pub use measures::BankMeasures;
pub use phases::{GENERATOR_PHASE, STUDENT_PHASE};
#[cfg(feature = "recipe")]
pub use recipe::{DataFreeRecipe, RunImages, SyntheticFormat, WrittenImages};
pub use teacher::{FrozenClassifier, ImageTeacher, TeacherBatch};
