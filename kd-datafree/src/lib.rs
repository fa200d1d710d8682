#![doc = include_str!("../README.md")]

mod bank;
mod contrast;
mod descent;
mod diagnosis;
mod generator;
mod inversion;
mod joint;
mod learning;
mod method;
mod noise;
mod objective;
mod pool;
mod settings;
mod synthesis;
mod teacher;
mod views;

pub use bank::{BANK_FILE, Bank, BankConfig};
pub use contrast::{Compared, ContrastConfig};
pub use descent::{Descent, Start};
pub use diagnosis::{Diagnosis, Warning};
pub use generator::{Generator, GeneratorConfig, OutputKind};
pub use inversion::Inversion;
pub use joint::{Game, Joint};
pub use learning::STUDENT_PHASE;
pub use method::{
    DataFree, DataFreeConfig, Synthetic, TwoPhases, generator_training, student_training,
};
pub use objective::{Diversity, Features, Objective};
pub use pool::{Pooled, Search};
pub use settings::{KINDS, Kind};
pub use synthesis::GENERATOR_PHASE;
pub use teacher::{FrozenClassifier, ImageTeacher, Seen};
pub use views::Views;
