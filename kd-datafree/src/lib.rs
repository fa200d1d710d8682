#![doc = include_str!("../README.md")]

mod bank;
mod diagnosis;
mod generator;
mod joint;
mod learning;
mod method;
mod noise;
mod objective;
mod settings;
mod synthesis;
mod teacher;

pub use bank::{BANK_FILE, Bank, BankConfig};
pub use diagnosis::{Diagnosis, Warning};
pub use generator::{Generator, GeneratorConfig, OutputKind};
pub use joint::{Game, Joint};
pub use learning::STUDENT_PHASE;
pub use method::{
    DataFree, DataFreeConfig, Synthetic, TwoPhases, generator_training, student_training,
};
pub use objective::{Diversity, Features, Objective};
pub use settings::{KINDS, Kind};
pub use synthesis::GENERATOR_PHASE;
pub use teacher::{FrozenClassifier, ImageTeacher, Seen};
