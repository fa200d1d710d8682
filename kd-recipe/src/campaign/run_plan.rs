//! The plan of a run: what it would be made from, and how a run that is there differs from that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// What a run would be made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunPlan {
    /// The resolved recipe.
    pub recipe: String,
    /// The data and the teachers, by hash.
    pub inputs: BTreeMap<String, String>,
    /// The name of the student's network, if the method makes one.
    pub network: Option<String>,
    /// The student's parameters.
    pub parameters: Option<u64>,
    /// Parameters that are trained beside the student.
    pub extra_parameters: u64,
    /// The multiply-accumulates of the student for one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<u64>,
    /// Those of the largest of its parts that can run at the same time, if it has such parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_part_macs: Option<u64>,
    /// The multiply-accumulates of a training step, an image, if the method counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_macs: Option<u64>,
}

impl RunPlan {
    /// The same plan with another seed.
    pub(crate) fn with_seed(&self, seed: u64) -> Option<Self> {
        let mut recipe: Table = self.recipe.parse().ok()?;
        let seed = Value::Integer(i64::try_from(seed).ok()?);
        *recipe.get_mut("seed")? = seed;
        Some(Self {
            recipe: toml::to_string(&recipe).ok()?,
            ..self.clone()
        })
    }

    /// What differs between a run that was made from `recipe` and `inputs`, and this plan; a clause each.
    pub(crate) fn differences(
        &self,
        recipe: &str,
        inputs: &BTreeMap<String, String>,
    ) -> Vec<String> {
        let settings = |text: &str| {
            let mut flat = settings_of(text);
            flat.retain(|path, _| !is_place(path));
            flat
        };
        let (old, new) = (settings(recipe), settings(&self.recipe));
        let mut differences: Vec<String> = changed(&old, &new)
            .map(|path| match (old.get(path), new.get(path)) {
                (Some(old), Some(new)) => format!("`{path}` was {old}, is {new}"),
                (Some(old), None) => format!("`{path}` was {old}, is not set"),
                (_, new) => format!(
                    "`{path}` was not set, is {}",
                    new.map_or("", String::as_str)
                ),
            })
            .collect();
        let inputs = changed(inputs, &self.inputs).map(|what| format!("{what} has changed"));
        differences.extend(inputs);
        differences
    }
}

/// Every value of a recipe by its path.
pub(crate) fn settings_of(recipe: &str) -> BTreeMap<String, String> {
    let mut flat = BTreeMap::new();
    let table = recipe.parse::<Table>().unwrap_or_default();
    flatten("", &Value::Table(table), &mut flat);
    flat
}

/// Whether a setting says where something lies. A teacher counts by its weights, and a cache by nothing: the
/// run is the same without it.
fn is_place(path: &str) -> bool {
    let of_teacher = path
        .strip_prefix("teachers.")
        .and_then(|path| path.split_once('.'));
    let of_teacher = of_teacher.is_some_and(|(_, key)| matches!(key, "model" | "weights"));
    let elsewhere = [
        "teacher.model",
        "teacher.weights",
        "cache.dir",
        "cache.file",
    ];
    of_teacher || elsewhere.contains(&path)
}

/// The keys whose values differ.
fn changed<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    let old_keys = old.keys().filter(|key| old.get(*key) != new.get(*key));
    old_keys.chain(added)
}

/// Adds every value below a path.
fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                flatten(&below(key), value, out);
            }
        }
        // Lists of tables are `[[losses]]` and the like; a list of numbers is one value.
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), value, out);
            }
        }
        other => {
            out.insert(path.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(recipe: &str) -> RunPlan {
        RunPlan {
            recipe: recipe.into(),
            inputs: BTreeMap::from([("the training data".into(), "1a".into())]),
            network: Some("lenet5".into()),
            parameters: Some(7),
            extra_parameters: 0,
            macs: None,
            largest_part_macs: None,
            step_macs: None,
        }
    }

    const RECIPE: &str = "seed = 0\n[[teachers]]\nmodel = \"/a\"\n[train]\nepochs = 2\nlr = 0.1\nmilestones \
                          = [1, 2]\n";

    #[test]
    fn differences_are_named() {
        let recipe = RECIPE
            .replace("epochs = 2", "epochs = 3")
            .replace("lr = 0.1", "momentum = 0.9")
            .replace("[1, 2]", "[1]");
        let inputs = BTreeMap::from([
            ("the training data".into(), "2b".into()),
            ("teacher 0".into(), "0".into()),
        ]);
        assert_eq!(
            plan(&recipe).differences(RECIPE, &inputs),
            [
                "`train.epochs` was 2, is 3",
                "`train.lr` was 0.1, is not set",
                "`train.milestones` was [1, 2], is [1]",
                "`train.momentum` was not set, is 0.9",
                "teacher 0 has changed",
                "the training data has changed",
            ]
        );
    }

    #[test]
    fn teachers_and_caches_may_have_been_moved() {
        let recipe = format!("{RECIPE}[cache]\ndir = \"/c\"\n");
        let moved = plan(&recipe.replace("/a", "/b").replace("/c", "/d"));
        assert_eq!(moved.differences(&recipe, &moved.inputs), [""; 0]);
        let recipe = recipe.replace("[[teachers]]", "[teacher]");
        let moved = plan(&recipe.replace("/a", "/b"));
        assert_eq!(moved.differences(&recipe, &moved.inputs), [""; 0]);
    }

    #[test]
    fn a_plan_serves_other_seeds() {
        let other = plan(RECIPE).with_seed(7).unwrap();
        let inputs = other.inputs.clone();
        assert_eq!(other.differences(RECIPE, &inputs), ["`seed` was 0, is 7"]);
        assert_eq!(plan("lr = 1").with_seed(7), None);
    }
}
