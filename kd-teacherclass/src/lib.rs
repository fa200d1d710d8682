#![doc = include_str!("../README.md")]

mod adversarial;
mod cholesky;
mod class;
mod config;
mod discriminator;
#[cfg(feature = "recipe")]
mod family;
mod head_phase;
mod kept;
mod labels;
mod measure;
mod method;
mod missing;
mod missing_sets;
mod objective;
mod output;
mod probe;
#[cfg(feature = "recipe")]
mod recipe;
mod refit;
mod split;
mod student;
mod student_phase;
mod targets;
mod teacher_head;

pub use adversarial::{chunk_origin_loss, discriminator_loss, student_gan_loss};
pub use class::Class;
pub use config::{
    ChunkLoss, GanConfig, HeadConfig, TeacherClassConfig, segmentation_training, student_training,
};
pub use discriminator::{Discriminator, Judgement, Trunk, TrunkLayer};
#[cfg(feature = "recipe")]
pub use family::{ClassConfig, ClassStudent};
pub use measure::NmseSums;
pub use method::{HEAD_PHASE, NewStudent, TeacherClass, student_seed};
pub use missing::{AdditiveHead, MissingAccuracy, MissingChunk};
pub use objective::chunk_mse;
pub use output::{ChunkOutput, ClassHead};
pub use probe::LinearProbe;
#[cfg(feature = "recipe")]
pub use recipe::{TeacherClassRecipe, missing_students};
pub use refit::RefittedHeads;
pub use split::{Chunk, DenseStatistics, Division, SplitKind, split_by_index};
pub use student::Student;
pub use teacher_head::TeacherHead;
