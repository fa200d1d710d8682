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
    /// The teachers in order.
    pub teachers: Vec<TeacherInput>,
}

impl RecipeInputs {
    /// What was left out of a folder of images, in words; none if nothing was.
    pub fn passed_over(&self) -> Option<String> {
        const SHOWN: usize = 3;
        let names: Vec<String> = self.skipped.iter().map(|path| shown(path)).collect();
        let more = match names.len() {
            0 => return None,
            count if count > SHOWN => format!(" and {} more", count - SHOWN),
            _ => String::new(),
        };
        let first = names
            .iter()
            .take(SHOWN)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let count = match names.len() {
            1 => "1 entry of the folder was".to_owned(),
            count => format!("{count} entries of the folder were"),
        };
        Some(format!(
            "{count} left out, as no image of a kind that is read or as a folder in the folder of a class: \
             {first}{more}"
        ))
    }
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
