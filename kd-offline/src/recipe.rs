//! The recipes: `method = "train"` for a network alone, `method = "offline"` for one that learns from
//! teachers.

mod distill;
mod sections;
mod train;

use kd_core::{Error, Result};
use kd_models::ModelNetwork;
use kd_recipe::{Check, Context, DataFacts, DataRecipe, LoadedData};
use serde_json::Value;

use crate::diagnose::{DiagnosisOptions, KnownTeacher};
use crate::{Offline, OfflineData};

pub use distill::DistillRecipe;
pub use train::TrainRecipe;

/// The metrics of evaluations, of a class of each image and of each pixel.
const METRICS: [&str; 9] = [
    "accuracy",
    "top#_accuracy",
    "loss",
    "ece",
    "agreement",
    "teacher_kl",
    "mean_iou",
    "miou_compat",
    "pixel_accuracy",
];

/// The data of a recipe as the method takes them.
fn samples(recipe: &DataRecipe, data: LoadedData) -> OfflineData {
    OfflineData {
        train: data.train,
        held_out: data.held_out,
        views: recipe.views,
        augment: recipe.augment.clone(),
    }
}

/// Says at the start of a run what a check would warn of, but for what it would have to compute.
fn say<N: ModelNetwork>(at: &Context, offline: &Offline<N>) -> Result<()> {
    at.warn(offline.warnings()?);
    Ok(())
}

/// Adds the diagnosis of a run to a check.
fn diagnose<N: ModelNetwork>(
    check: &mut Check,
    offline: &Offline<N>,
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
