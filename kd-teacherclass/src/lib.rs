#![doc = include_str!("../README.md")]

mod class;
mod config;
#[cfg(feature = "recipe")]
mod family;
mod head_phase;
mod kept;
mod measure;
mod method;
mod missing;
mod objective;
#[cfg(feature = "recipe")]
mod recipe;
mod split;
mod student;
mod student_phase;
mod teacher_head;

pub use class::Class;
pub use config::{HeadConfig, TeacherClassConfig, student_training};
#[cfg(feature = "recipe")]
pub use family::{ClassConfig, ClassStudent};
pub use measure::NmseSums;
pub use method::{HEAD_PHASE, NewStudent, TeacherClass, student_seed};
pub use missing::{AdditiveHead, MissingAccuracy, MissingChunk};
pub use objective::chunk_mse;
#[cfg(feature = "recipe")]
pub use recipe::TeacherClassRecipe;
pub use split::{Chunk, split_by_index};
pub use student::Student;
pub use teacher_head::TeacherHead;
