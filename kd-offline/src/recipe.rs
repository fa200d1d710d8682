//! The recipes: `method = "train"` for a network alone, `method = "offline"` for one that learns from
//! teachers.

mod distill;
mod sections;
mod train;

use kd_core::{Error, Result};
use kd_models::Network;
use kd_recipe::{Check, DataFacts, DataRecipe, LoadedData};
use serde_json::Value;

use crate::diagnose::{DiagnosisOptions, KnownTeacher};
use crate::{Offline, OfflineData};

pub use distill::DistillRecipe;
pub use train::TrainRecipe;

/// The data of a recipe as the method takes them.
fn samples(recipe: &DataRecipe, data: LoadedData) -> OfflineData {
    OfflineData {
        train: data.train,
        held_out: data.held_out,
        views: recipe.views,
        augment: recipe.augment.clone(),
    }
}

/// Adds the diagnosis of a run to a check.
fn diagnose(
    check: &mut Check,
    offline: &Offline<Network>,
    data: &DataFacts,
    seed: u64,
    teachers: Vec<KnownTeacher>,
) -> Result<()> {
    let options = DiagnosisOptions {
        seed,
        constants: data.normalisation.clone(),
        teachers,
        ..DiagnosisOptions::default()
    };
    let diagnosis = offline.diagnose(&options)?;
    check.sections.extend(sections::of(&diagnosis)?);
    let cannot = |error| Error::method("the diagnosis", error);
    let mut measured = serde_json::to_value(&diagnosis).map_err(cannot)?;
    // The findings of the diagnosis are among all findings.
    if let Value::Object(fields) = &mut measured {
        fields.remove("findings");
    }
    check.measured = measured;
    check.findings.extend(diagnosis.findings);
    Ok(())
}
