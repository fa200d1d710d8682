//! The planned runs of a campaign: one for each method, value of the swept setting, and seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{Error, Result};
use toml::{Table, Value};

use crate::campaign::file::{Campaign, Sweep, TeacherEntry, TeacherSeed};
use crate::campaign::settings::{Settings, override_of, path_of};

/// One run of a campaign.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedRun {
    /// The method, or the teacher that is trained.
    pub name: String,
    /// A title with value and seed.
    pub title: String,
    /// The value of the swept setting, if it is swept for this method.
    pub value: Option<Value>,
    /// The seed of the run.
    pub seed: u64,
    /// The recipe.
    pub recipe: PathBuf,
    /// What is put over the recipe, but for the seed.
    pub overrides: Vec<String>,
    /// The run folder, below that of the campaign.
    pub folder: PathBuf,
    /// The runs whose networks it learns from, below the folder of the campaign.
    pub needs: Vec<PathBuf>,
}

/// Where recipes name the networks that they learn from: `teachers.N.model`, or `teacher.model` where there
/// can be one only.
const TEACHERS: &str = "teachers";
const TEACHER: &str = "teacher";

/// How a recipe names the networks that it learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// So many entries of `[[teachers]]`.
    Entries(usize),
    /// The table `[teacher]`.
    Table,
}

/// Makes the runs of campaigns.
#[derive(Debug)]
pub(crate) struct PlannedRuns<'a> {
    campaign: &'a Campaign,
    /// The folder of the campaign file.
    base: PathBuf,
    /// The folder of the campaign's results, absolute.
    out: &'a Path,
    /// What is put over every recipe.
    overrides: &'a [String],
    /// The teachers that each recipe names, as far as it was read.
    named: BTreeMap<PathBuf, Named>,
}

impl<'a> PlannedRuns<'a> {
    /// The runs of the campaign of `file`, whose results lie in `out`; `overrides` are put over every recipe.
    ///
    /// # Errors
    ///
    /// If an override cannot be used for a campaign.
    pub(crate) fn new(
        campaign: &'a Campaign,
        file: &Path,
        out: &'a Path,
        overrides: &'a [String],
    ) -> Result<Self> {
        let wrong = |entry: &str, problem: &str| Error::Override {
            entry: entry.to_owned(),
            problem: problem.to_owned(),
        };
        for entry in overrides {
            let path = path_of(entry);
            let swept = campaign.sweep.as_ref();
            if path == "seed" {
                return Err(wrong(entry, "the seeds are those of the campaign file"));
            }
            if path == "device" {
                return Err(wrong(entry, "the device is chosen for the whole campaign"));
            }
            if swept.is_some_and(|sweep| sweep.setting == path) {
                return Err(wrong(entry, "this is the setting that the campaign sweeps"));
            }
        }
        Ok(Self {
            campaign,
            base: file.parent().unwrap_or(Path::new("")).to_owned(),
            out,
            overrides,
            named: BTreeMap::new(),
        })
    }

    /// The runs that train the teachers that `methods` need (by name), each after those that it learns from
    /// itself.
    ///
    /// # Errors
    ///
    /// If a recipe cannot be read.
    pub(crate) fn teachers(&mut self, methods: &[String]) -> Result<Vec<PlannedRun>> {
        let campaign = self.campaign;
        let mut needed: Vec<&str> = campaign
            .methods
            .iter()
            .filter(|method| methods.contains(&method.name))
            .flat_map(|method| method.teachers.iter().map(String::as_str))
            .collect();
        // A teacher stands after those that it learns from.
        for entry in campaign.teachers.iter().rev() {
            if needed.contains(&entry.name.as_str()) {
                needed.extend(entry.teachers.iter().map(String::as_str));
            }
        }
        let entries = campaign.teachers.iter();
        let mut runs = Vec::new();
        for entry in entries.filter(|entry| needed.contains(&entry.name.as_str())) {
            let seeds = match entry.seed {
                TeacherSeed::Fixed(seed) => vec![seed],
                TeacherSeed::Each => campaign.seeds.clone(),
            };
            for seed in seeds {
                runs.push(self.teacher(entry, seed)?);
            }
        }
        Ok(runs)
    }

    fn teacher(&mut self, entry: &TeacherEntry, seed: u64) -> Result<PlannedRun> {
        let recipe = self.base.join(&entry.recipe);
        let (teachers, needs) = self.learn_from(&recipe, &entry.teachers, seed)?;
        Ok(PlannedRun {
            name: entry.name.clone(),
            title: format!("teacher {}, seed {seed}", entry.name),
            value: None,
            seed,
            overrides: self.put_over([&entry.set], None, teachers),
            recipe,
            folder: teacher_folder(entry, seed),
            needs,
        })
    }

    /// The runs of the methods, seed by seed, so that a campaign that is stopped has whole seeds.
    ///
    /// # Errors
    ///
    /// If a recipe cannot be read, or two values of the sweep have one name.
    pub(crate) fn methods(&mut self) -> Result<Vec<PlannedRun>> {
        let campaign = self.campaign;
        let mut runs: Vec<PlannedRun> = Vec::new();
        for &seed in &campaign.seeds {
            for method in &campaign.methods {
                let sweep = campaign.sweep.as_ref();
                let sweep = sweep.filter(|sweep| sweep.takes(&method.name));
                let values: Vec<Option<usize>> = match sweep {
                    Some(sweep) => (0..sweep.values.len()).map(Some).collect(),
                    None => vec![None],
                };
                for place in values {
                    let recipe = self.base.join(&method.recipe);
                    let (teachers, needs) = self.learn_from(&recipe, &method.teachers, seed)?;
                    let swept = sweep.zip(place);
                    let value = swept.map(|(sweep, place)| &sweep.values[place]);
                    let set = [&campaign.set, &method.set];
                    let mut folder = Path::new("cells").join(&method.name);
                    let mut title = method.shown().to_owned();
                    if let Some((sweep, value)) = sweep.zip(value) {
                        folder.push(value_folder(sweep, value));
                        title = format!("{title}, {} = {}", sweep.shown(), shown(value));
                    }
                    folder.push(format!("seed{seed}"));
                    let run = PlannedRun {
                        name: method.name.clone(),
                        title: format!("{title}, seed {seed}"),
                        value: value.cloned(),
                        seed,
                        overrides: self.put_over(set, swept, teachers),
                        recipe,
                        folder,
                        needs,
                    };
                    if let Some(same) = runs.iter().find(|other| other.folder == run.folder) {
                        return Err(Error::config(
                            "sweep.values",
                            format!(
                                "has two values of one name: {} and {}",
                                same.title, run.title
                            ),
                        ));
                    }
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    /// All that is put over a recipe: what is said for all methods, for one, by the sweep, by the user, and
    /// where the teachers are.
    fn put_over<const N: usize>(
        &self,
        set: [&Settings; N],
        swept: Option<(&Sweep, usize)>,
        teachers: Vec<String>,
    ) -> Vec<String> {
        let set = set.into_iter().flat_map(Settings::overrides).cloned();
        let swept = swept.into_iter().flat_map(|(sweep, place)| {
            let with = sweep.with.get(place).map_or(&[][..], Settings::overrides);
            let value = override_of(&sweep.setting, &sweep.values[place]);
            with.iter().cloned().chain(std::iter::once(value))
        });
        let typed = self.overrides.iter().cloned();
        set.chain(swept).chain(typed).chain(teachers).collect()
    }

    /// The overrides that put teachers of the campaign into a recipe, and the runs that make them.
    fn learn_from(
        &mut self,
        recipe: &Path,
        names: &[String],
        seed: u64,
    ) -> Result<(Vec<String>, Vec<PathBuf>)> {
        if names.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let named = self.named(recipe)?;
        let folders: Vec<PathBuf> = names
            .iter()
            .filter_map(|name| {
                self.campaign
                    .teachers
                    .iter()
                    .find(|entry| entry.name == *name)
            })
            .map(|entry| match entry.seed {
                TeacherSeed::Fixed(own) => teacher_folder(entry, own),
                TeacherSeed::Each => teacher_folder(entry, seed),
            })
            .collect();
        let models = folders.iter().map(|folder| {
            let path = self.out.join(folder);
            Value::String(path.to_string_lossy().into_owned())
        });
        let given = folders.len();
        let overrides = match named {
            Named::Table if given == 1 => models
                .map(|model| override_of(&format!("{TEACHER}.model"), &model))
                .collect(),
            Named::Entries(0) => {
                // The recipe leaves its teachers to the campaign.
                let entries = models.map(|model| {
                    let entry = std::iter::once(("model".to_owned(), model));
                    Value::Table(entry.collect())
                });
                vec![override_of(TEACHERS, &Value::Array(entries.collect()))]
            }
            Named::Entries(count) if count == given => {
                let models = models.enumerate();
                models
                    .map(|(index, model)| override_of(&format!("{TEACHERS}.{index}.model"), &model))
                    .collect()
            }
            other => {
                let problem = match other {
                    Named::Table => format!(
                        "its method has one teacher, `[{TEACHER}]`, the campaign gives it {given}; give it \
                         one"
                    ),
                    Named::Entries(count) => format!(
                        "it names {count} teachers, the campaign gives it {given}; the two must be equal, or \
                         the recipe names none"
                    ),
                };
                let origin = recipe.display().to_string();
                return Err(Error::Recipe { origin, problem });
            }
        };
        Ok((overrides, folders))
    }

    /// The teachers that a recipe names.
    fn named(&mut self, recipe: &Path) -> Result<Named> {
        if let Some(&named) = self.named.get(recipe) {
            return Ok(named);
        }
        let text = std::fs::read_to_string(recipe).map_err(Error::io("read", recipe))?;
        // What is wrong with the recipe is said by whoever reads all of it.
        let table = text.parse::<Table>().unwrap_or_default();
        let named = if table.get(TEACHER).is_some_and(Value::is_table) {
            Named::Table
        } else {
            let entries = table.get(TEACHERS).and_then(Value::as_array);
            Named::Entries(entries.map_or(0, Vec::len))
        };
        self.named.insert(recipe.to_owned(), named);
        Ok(named)
    }
}

fn teacher_folder(entry: &TeacherEntry, seed: u64) -> PathBuf {
    Path::new("teachers")
        .join(&entry.name)
        .join(format!("seed{seed}"))
}

/// A value in words.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `temperature=4`: the last word of the setting, and the value as far as a name of a folder can hold it.
fn value_folder(sweep: &Sweep, value: &Value) -> String {
    let word = sweep.setting.rsplit('.').next().unwrap_or_default();
    let name = format!("{word}={}", shown(value));
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=');
    let name: String = name
        .chars()
        .map(|c| if good(c) { c } else { '_' })
        .take(80)
        .collect();
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
title = "t"
seeds = [0, 7]
set = { "train.epochs" = 3 }
teachers = [
    { name = "big", recipe = "big.toml" },
    { name = "middle", recipe = "kd.toml", seed = "each", teachers = ["big"] },
    { name = "other", recipe = "big.toml", set = { "train.lr" = 1.0 } },
]
methods = [
    { name = "alone", recipe = "alone.toml" },
    { name = "kd", recipe = "kd.toml", teachers = ["middle"] },
]

[sweep]
setting = "losses.1.temperature"
values = [1, 2.5]
with = [{}, { "train.lr" = 0.5 }]
methods = ["kd"]
"#;

    fn campaign(text: &str) -> (tempfile::TempDir, Campaign, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        let recipe = "[[teachers]]\nmodel = \"there\"\n";
        std::fs::write(place.path().join("kd.toml"), recipe).unwrap();
        std::fs::write(place.path().join("big.toml"), "").unwrap();
        let campaign = Campaign::read(&file).unwrap();
        (place, campaign, file)
    }

    #[test]
    fn runs_are_methods_by_values_by_seeds() {
        let (_place, campaign, file) = campaign(TEXT);
        let typed = ["train.batch_size=8".to_owned()];
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("/out"), &typed).unwrap();
        let methods = runs.methods().unwrap();
        let folders: Vec<String> = methods
            .iter()
            .map(|run| run.folder.to_string_lossy().replace('\\', "/"))
            .collect();
        assert_eq!(
            folders,
            [
                "cells/alone/seed0",
                "cells/kd/temperature=1/seed0",
                "cells/kd/temperature=2.5/seed0",
                "cells/alone/seed7",
                "cells/kd/temperature=1/seed7",
                "cells/kd/temperature=2.5/seed7",
            ]
        );
        let last = &methods[5];
        assert_eq!(last.title, "kd, losses.1.temperature = 2.5, seed 7");
        let model = Path::new("/out")
            .join("teachers")
            .join("middle")
            .join("seed7");
        let model = Value::String(model.to_string_lossy().into_owned());
        assert_eq!(
            last.overrides,
            [
                "train.epochs=3".to_owned(),
                "train.lr=0.5".into(),
                "losses.1.temperature=2.5".into(),
                "train.batch_size=8".into(),
                format!("teachers.0.model={model}"),
            ]
        );
        let teachers = runs.teachers(&["kd".into()]).unwrap();
        let titles: Vec<&str> = teachers.iter().map(|run| run.title.as_str()).collect();
        // `other` is nobody's teacher.
        assert_eq!(
            titles,
            [
                "teacher big, seed 0",
                "teacher middle, seed 0",
                "teacher middle, seed 7"
            ]
        );
        assert_eq!(teachers[1].overrides.first().unwrap(), "train.batch_size=8");
        assert_eq!(runs.teachers(&["alone".into()]).unwrap(), []);
    }

    #[test]
    fn a_recipe_without_teachers_is_given_them_whole() {
        let (place, campaign, file) = campaign(TEXT);
        std::fs::write(place.path().join("kd.toml"), "").unwrap();
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("out"), &[]).unwrap();
        let methods = runs.methods().unwrap();
        let last = methods[1].overrides.last().unwrap();
        let value: Table = last.parse().unwrap();
        let model = value["teachers"][0]["model"].as_str().unwrap();
        assert_eq!(Path::new(model), Path::new("out/teachers/middle/seed0"));

        let two = "[[teachers]]\nmodel = \"a\"\n[[teachers]]\nmodel = \"b\"\n";
        std::fs::write(place.path().join("kd.toml"), two).unwrap();
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("out"), &[]).unwrap();
        let error = runs.methods().unwrap_err().to_string();
        assert!(
            error.contains("it names 2 teachers, the campaign gives it 1"),
            "{error}"
        );
    }

    #[test]
    fn a_recipe_with_a_table_for_its_teacher_is_given_one() {
        let (place, campaign, file) = campaign(TEXT);
        let recipe = "[teacher]\nmodel = \"there\"\n";
        std::fs::write(place.path().join("kd.toml"), recipe).unwrap();
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("out"), &[]).unwrap();
        let methods = runs.methods().unwrap();
        let value: Table = methods[1].overrides.last().unwrap().parse().unwrap();
        let model = value["teacher"]["model"].as_str().unwrap();
        assert_eq!(Path::new(model), Path::new("out/teachers/middle/seed0"));

        let text = TEXT.replace("[\"middle\"]", "[\"big\", \"middle\"]");
        std::fs::write(&file, text).unwrap();
        let campaign = Campaign::read(&file).unwrap();
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("out"), &[]).unwrap();
        let error = runs.methods().unwrap_err().to_string();
        assert!(error.contains("its method has one teacher"), "{error}");
    }

    #[test]
    fn what_the_campaign_decides_is_not_put_over_its_recipes() {
        let (_place, campaign, file) = campaign(TEXT);
        for (entry, expected) in [
            ("seed=1", "the seeds are those of the campaign file"),
            ("device=cpu", "the device is chosen for the whole campaign"),
            (
                "losses.1.temperature=3",
                "the setting that the campaign sweeps",
            ),
        ] {
            let entry = [entry.to_owned()];
            let error = PlannedRuns::new(&campaign, &file, Path::new("out"), &entry).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn values_of_one_name_are_refused() {
        let text = TEXT.replace("[1, 2.5]", "[\"a b\", \"a/b\"]");
        let (_place, campaign, file) = campaign(&text);
        let mut runs = PlannedRuns::new(&campaign, &file, Path::new("out"), &[]).unwrap();
        let error = runs.methods().unwrap_err().to_string();
        assert!(error.contains("two values of one name"), "{error}");
    }
}
