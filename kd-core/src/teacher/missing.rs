//! A stand-in for a teacher that could not be read.

use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::teacher::answer::{Answer, Requested};
use crate::teacher::contract::Teacher;

/// A stand-in for a teacher that could not be read, so that the rest of a method can still be checked. It has
/// no answers.
#[derive(Clone, Debug)]
pub struct MissingTeacher {
    /// The teacher that it stands for, as an error names it.
    pub name: String,
}

impl Teacher for MissingTeacher {
    fn stage_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn answer(&self, _batch: &Batch, _requested: &Requested) -> Result<Answer> {
        let problem = "could not be read and has no answers";
        Err(Error::config(self.name.clone(), problem))
    }

    fn hash(&self) -> String {
        String::new()
    }
}
