#![doc = include_str!("../README.md")]

mod config;
mod data;
mod kept;
mod layout;
mod making;
mod method;
mod network;
mod objective;
mod phase;
mod prediction;
mod procedure;
mod reads;
mod rows;
mod store;
mod teacher;

pub use config::{
    PrefixMode, Select, StageCache, StagewiseConfig, UnequalMaps, classification_training,
    segmentation_training, training_with,
};
pub use data::StagewiseData;
pub use method::Stagewise;
pub use network::StageNetwork;
pub use prediction::{Prediction, Targets};
pub use procedure::Procedure;
pub use rows::Rows;
pub use teacher::{FrozenStages, StageTeacher};
