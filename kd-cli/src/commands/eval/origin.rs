//! The origin of a model: the data of its run and its classes, beside those that it is measured on.

use std::path::Path;

use kd_core::{DataSource, MaskClass, MaskValue};
use kd_models::ModelConfig;
use serde::Deserialize;

use crate::output;

/// Says that the numbers of the classes mean others here than in what the model was trained on.
pub(super) fn say_other_classes(config: &ModelConfig, source: &DataSource) {
    let (Some(own), Some(names)) = (&config.class_names, source.class_names()) else {
        return;
    };
    let Some((label, (own, name))) = own
        .iter()
        .zip(&names)
        .enumerate()
        .find(|(_, (own, name))| own != name)
    else {
        return;
    };
    let trained_on = config.provenance.data.as_deref().unwrap_or("other data");
    output::notice(&format!(
        "warning: the model has learnt other classes on `{trained_on}` than `{}` has: class {label} is \
         `{own}` there and `{name}` here, so that what follows says nothing",
        source.name()
    ));
}

/// Says that the run of a model has learnt most of a folder that it held a part of out.
pub(super) fn say_trained_on(model: &Path, source: &DataSource) {
    let folder = match source {
        DataSource::Folder(folder) => folder.path(),
        DataSource::Masks(folder) => folder.path(),
        _ => return,
    };
    let recipe = std::fs::read_to_string(model.join("recipe.toml")).ok();
    let recipe: Option<toml::Table> = recipe.and_then(|text| text.parse().ok());
    let of_data = |key: &str| recipe.as_ref()?.get("data")?.get(key).cloned();
    let same = of_data("path").and_then(|path| Some(Path::new(path.as_str()?).to_owned()));
    if let (Some(share), Some(path)) = (of_data("held_out"), same)
        && std::path::absolute(folder).is_ok_and(|folder| folder == path)
    {
        output::notice(&format!(
            "note: the run has learnt these images itself but for a share of {share} of each class that it \
             held out; `report.md` and `kd resume` have its accuracy on those"
        ));
    }
}

/// The classes and the value without one, as the recipe of the run of a model has them.
pub(super) fn mask_classes_of_run(model: &Path) -> Option<(Vec<MaskClass>, Option<MaskValue>)> {
    #[derive(Deserialize)]
    struct Recipe {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        classes: Vec<MaskClass>,
        no_class: Option<MaskValue>,
    }
    let text = std::fs::read_to_string(model.join("recipe.toml")).ok()?;
    let Recipe { data } = toml::from_str(&text).ok()?;
    Some((data.classes, data.no_class))
}
