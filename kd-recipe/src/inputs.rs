//! The inputs of a run: data and teachers, as they were read, and the hash of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kd_core::Subset;
use kd_models::TrainedModel;

/// What a recipe has read through its [`Context`](crate::Context): hashes for the run folder, data and
/// teachers for reports.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecipeInputs {
    /// The SHA-256 of each input, by what an error calls it: "the training data", "teacher 0".
    pub sha256: BTreeMap<String, String>,
    /// The samples that the student learns from.
    pub train: Option<Subset>,
    /// The samples that it is measured on.
    pub held_out: Option<Subset>,
    /// Files and folders below that of the images that were passed over.
    pub skipped: Vec<PathBuf>,
    /// Images that could not be read and were left out, as the recipe asked for.
    pub broken: Vec<PathBuf>,
    /// The teachers in order.
    pub teachers: Vec<TeacherInput>,
}

impl RecipeInputs {
    /// What was left out of a folder of images, in words; none if nothing was.
    pub fn passed_over(&self) -> Option<String> {
        let names = some_of(&self.skipped)?;
        let count = match self.skipped.len() {
            1 => "1 entry of the folder was".to_owned(),
            count => format!("{count} entries of the folder were"),
        };
        Some(format!(
            "{count} left out, as no image of a kind that is read or as a folder in the folder of a class: \
             {names}"
        ))
    }

    /// The images that were left out because they cannot be read, in words; none if there are none.
    pub fn left_out(&self) -> Option<String> {
        let names = some_of(&self.broken)?;
        let count = match self.broken.len() {
            1 => "1 image that cannot be read was".to_owned(),
            count => format!("{count} images that cannot be read were"),
        };
        Some(format!("{count} left out (`skip_broken`): {names}"))
    }

    /// All that was left out, a sentence each.
    pub fn omissions(&self) -> impl Iterator<Item = String> {
        self.passed_over().into_iter().chain(self.left_out())
    }
}

/// The first few of some files, and how many more there are; none of none.
fn some_of(paths: &[PathBuf]) -> Option<String> {
    const SHOWN: usize = 3;
    let more = match paths.len() {
        0 => return None,
        count if count > SHOWN => format!(" and {} more", count - SHOWN),
        _ => String::new(),
    };
    let first: Vec<String> = paths.iter().take(SHOWN).map(|path| shown(path)).collect();
    Some(format!("{}{more}", first.join(", ")))
}

/// The last parts of a path: split, class, file.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(3)..].join("/")
}

/// A teacher as it was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TeacherInput {
    /// Where it comes from, as the recipe has it.
    pub from: String,
    /// The trained network.
    pub model: Rc<dyn TrainedModel>,
}
