#![doc = include_str!("../README.md")]

mod check;
mod config;
mod data;
mod dependencies;
mod first_student;
mod layout;
mod loaders;
mod maps;
mod measure;
mod method;
mod objective;
mod outputs;
mod phase;
mod phase_spec;
mod procedure;
#[cfg(feature = "recipe")]
mod recipe;
mod role_batches;
mod stage_range;
mod start;
mod teacher_query;
mod terms;

pub use config::{
    PrefixMode, Select, StageCache, StagewiseConfig, UnequalMaps, classification_training,
    segmentation_training,
};
pub use data::StagewiseData;
pub use method::Stagewise;
pub use procedure::Procedure;
#[cfg(feature = "recipe")]
pub use recipe::{SplitRecipe, StagewiseRecipe};
