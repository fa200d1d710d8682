//! What most recipes are made of: data, networks, teachers; and how each is loaded.

mod data;
mod network;
mod teacher;

pub use data::{DataFacts, DataRecipe, LoadedData};
pub use network::{NetworkRecipe, NewNetwork};
pub use teacher::{LoadedTeacher, TeacherRecipe};

pub(crate) use teacher::{check_fits, model_folder};
