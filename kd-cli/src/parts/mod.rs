//! What most recipes are made of: data, networks, teachers; and how each is loaded.

mod data;
mod network;
mod size;
mod source;
mod teacher;
mod weights;

pub use data::{DataFacts, DataRecipe, FolderNormalisation, LoadedData};
pub use network::{NetworkRecipe, NewNetwork};
pub use size::ImageSize;
pub use teacher::{LoadedTeacher, TeacherRecipe};

pub(crate) use source::{FolderSettings, find_source, is_folder};
pub(crate) use teacher::{check_fits, model_folder};
pub(crate) use weights::{FromFile, given_or_assumed, only_network};
