//! Reading a campaign file, and whether its parts fit together.

use std::collections::BTreeSet;
use std::path::Path;

use kd_core::{Error, Result};

use crate::campaign::file::{Campaign, TeacherEntry, TeacherSeed};
use crate::campaign::settings::{Settings, path_of};
use crate::read::read_recipe;

impl Campaign {
    /// Reads a campaign file and checks what can be checked without the recipes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::Recipe`] with the line for what cannot be understood, and
    /// for what does not fit together.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(&path.display().to_string(), &text)
    }

    fn parse(origin: &str, text: &str) -> Result<Self> {
        let campaign: Self = read_recipe(origin, text, &[])?;
        campaign.check().map_err(|problem| Error::Recipe {
            origin: origin.to_owned(),
            problem,
        })?;
        Ok(campaign)
    }

    fn check(&self) -> Result<(), String> {
        if self.methods.is_empty() {
            return Err("`methods` is empty; name at least one".into());
        }
        check_seeds(&self.seeds)?;
        check_names(
            "method",
            self.methods.iter().map(|entry| entry.name.as_str()),
        )?;
        check_names(
            "teacher",
            self.teachers.iter().map(|entry| entry.name.as_str()),
        )?;
        if let Some(baseline) = &self.baseline {
            self.known_method(baseline)
                .map_err(|problem| format!("`baseline`: {problem}"))?;
        }
        for (index, entry) in self.teachers.iter().enumerate() {
            let before = &self.teachers[..index];
            check_teachers(
                &format!("teacher `{}`", entry.name),
                &entry.teachers,
                before,
            )?;
            let each = |name: &String| {
                let named = before.iter().find(|other| other.name == *name);
                named.is_some_and(|other| other.seed == TeacherSeed::Each)
            };
            if entry.seed != TeacherSeed::Each
                && let Some(name) = entry.teachers.iter().find(|name| each(name))
            {
                return Err(format!(
                    "teacher `{}` has one seed, but learns from `{name}`, of which there is one for each \
                     seed; set its `seed` to \"each\", too",
                    entry.name
                ));
            }
            check_settings(&format!("teacher `{}`", entry.name), &entry.set)?;
        }
        self.check_twins()?;
        check_settings("the campaign", &self.set)?;
        for entry in &self.methods {
            let who = format!("method `{}`", entry.name);
            check_teachers(&who, &entry.teachers, &self.teachers)?;
            check_settings(&who, &entry.set)?;
        }
        self.check_sweep()?;
        self.check_claims()
    }

    /// Refuses what would be run twice: the runs of two entries that differ in name alone are the same.
    fn check_twins(&self) -> Result<(), String> {
        let twins = |what: &str, names: Option<[&str; 2]>| match names {
            None => Ok(()),
            Some([one, other]) => Err(format!(
                "{what} `{other}` is {what} `{one}` once more: recipe, settings and teachers are the same; \
                 remove one of them"
            )),
        };
        let methods = self.methods.iter().enumerate().find_map(|(index, entry)| {
            let before = self.methods[..index].iter();
            let mut same = before.filter(|other| {
                (&other.recipe, &other.set, &other.teachers)
                    == (&entry.recipe, &entry.set, &entry.teachers)
                    && self
                        .sweep
                        .as_ref()
                        .is_none_or(|sweep| sweep.takes(&other.name) == sweep.takes(&entry.name))
            });
            same.next()
                .map(|other| [other.name.as_str(), entry.name.as_str()])
        });
        twins("method", methods)?;
        let teachers = self.teachers.iter().enumerate().find_map(|(index, entry)| {
            let before = self.teachers[..index].iter();
            let mut same = before.filter(|other| {
                (&other.recipe, &other.set, &other.teachers, &other.seed)
                    == (&entry.recipe, &entry.set, &entry.teachers, &entry.seed)
            });
            same.next()
                .map(|other| [other.name.as_str(), entry.name.as_str()])
        });
        twins("teacher", teachers)
    }

    fn known_method(&self, name: &str) -> Result<(), String> {
        let known = self.methods.iter().map(|entry| entry.name.as_str());
        match self.method(name) {
            Some(_) => Ok(()),
            None => Err(Error::unknown_name("method", name, known).to_string()),
        }
    }

    fn check_sweep(&self) -> Result<(), String> {
        let Some(sweep) = &self.sweep else {
            return Ok(());
        };
        if sweep.values.is_empty() {
            return Err("`sweep.values` is empty; name at least one".into());
        }
        let (values, with) = (sweep.values.len(), sweep.with.len());
        if with != 0 && with != values {
            return Err(format!(
                "`sweep.with` has {with} entries for {values} values; give one a value, or none"
            ));
        }
        if path_of(&sweep.setting) == "seed" {
            return Err("`sweep.setting` cannot be the seed; name the seeds in `seeds`".into());
        }
        for name in &sweep.methods {
            self.known_method(name)
                .map_err(|problem| format!("`sweep.methods`: {problem}"))?;
        }
        for entry in self.methods.iter().filter(|entry| sweep.takes(&entry.name)) {
            let set = self.set.overrides().iter().chain(entry.set.overrides());
            if set.into_iter().any(|text| path_of(text) == sweep.setting) {
                return Err(format!(
                    "`{}` is swept for method `{}` and set for it as well; keep one of them",
                    sweep.setting, entry.name
                ));
            }
        }
        Ok(())
    }

    fn check_claims(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for claim in &self.claims {
            claim.check()?;
            let who = format!("claim `{}`", claim.name);
            if !seen.insert(claim.name.as_str()) {
                return Err(format!("there are two claims of the name `{}`", claim.name));
            }
            for name in claim.methods() {
                self.known_method(name)
                    .map_err(|problem| format!("{who}: {problem}"))?;
                if self.sweep.as_ref().is_some_and(|sweep| sweep.takes(name)) {
                    return Err(format!(
                        "{who} names method `{name}`, which is run with several values; name one that is not \
                         swept"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn check_seeds(seeds: &[u64]) -> Result<(), String> {
    if seeds.is_empty() {
        return Err("`seeds` is empty; name at least one, three or more for a spread".into());
    }
    let mut seen = BTreeSet::new();
    match seeds.iter().find(|seed| !seen.insert(**seed)) {
        Some(twice) => Err(format!("`seeds` has {twice} twice")),
        None => Ok(()),
    }
}

/// Names are names of folders, on every system.
fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 60 || name.starts_with('.') || !name.chars().all(good) {
            return Err(format!(
                "`{name}` cannot be the name of a {what}: names are of letters, digits, `-`, `_` and `.`, \
                 begin with no dot, and have at most 60 characters; use `title` for others"
            ));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(format!("there are two {what}s of the name `{name}`"));
        }
    }
    Ok(())
}

fn check_teachers(who: &str, names: &[String], known: &[TeacherEntry]) -> Result<(), String> {
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(format!("{who} names teacher `{name}` twice; name it once"));
        }
        if !known.iter().any(|entry| entry.name == *name) {
            let known: Vec<&str> = known.iter().map(|entry| entry.name.as_str()).collect();
            if known.is_empty() {
                return Err(format!(
                    "{who} names teacher `{name}`, but there is none before it; add it under `[[teachers]]`"
                ));
            }
            let error = Error::unknown_name("teacher", name, known);
            return Err(format!("{who}: {error}"));
        }
    }
    Ok(())
}

/// The seed and the device are the campaign's.
fn check_settings(who: &str, settings: &Settings) -> Result<(), String> {
    let set = settings.overrides().iter().map(|entry| path_of(entry));
    for path in set {
        let instead = match path {
            "seed" => "`seeds` of the campaign, or `seed` of a teacher",
            "device" => "one device for the whole campaign",
            _ => continue,
        };
        return Err(format!("`set` of {who} cannot set `{path}`; use {instead}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::file::Better;
    use crate::campaign::settings::override_of;

    const TEXT: &str = r#"
title = "a comparison"
seeds = [0, 1]
baseline = "alone"
set = { "train.epochs" = 3, "train.schedule" = { kind = "cosine" } }

[[teachers]]
name = "big"
recipe = "teacher.toml"
seed = "each"

[[methods]]
name = "alone"
recipe = "alone.toml"

[[methods]]
name = "kd"
title = "Hinton's"
recipe = "kd.toml"
teachers = ["big"]
set = ["losses.1.weight=0.5"]

[sweep]
setting = "losses.1.temperature"
values = [1, 2.5]
methods = ["kd"]
"#;

    fn error(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from), "{from}");
        Campaign::parse("c.toml", &TEXT.replacen(from, to, 1))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_whole_file_is_read() {
        let campaign = Campaign::parse("c.toml", TEXT).unwrap();
        assert_eq!(
            campaign.set.overrides(),
            ["train.epochs=3", "train.schedule={ kind = \"cosine\" }"]
        );
        assert_eq!(campaign.methods[1].set.overrides(), ["losses.1.weight=0.5"]);
        assert_eq!(campaign.methods[1].shown(), "Hinton's");
        assert_eq!(campaign.teachers[0].seed, TeacherSeed::Each);
        assert_eq!(campaign.metric, "accuracy");
        assert_eq!(campaign.direction(), Better::Higher);
        let sweep = campaign.sweep.unwrap();
        assert!(sweep.takes("kd") && !sweep.takes("alone"));
        assert_eq!(
            override_of(&sweep.setting, &sweep.values[1]),
            "losses.1.temperature=2.5"
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused_in_words() {
        for (from, to, expected) in [
            (
                "seeds = [0, 1]",
                "seeds = [0, 0]",
                "c.toml: `seeds` has 0 twice",
            ),
            (
                "seeds = [0, 1]",
                "seeds = []",
                "`seeds` is empty; name at least one",
            ),
            (
                "seeds = [0, 1]",
                "seeds = [-1]",
                "c.toml, line 3: `seeds = [-1]`: invalid value",
            ),
            (
                "seed = \"each\"",
                "seed = \"all\"",
                "or \"each\" for one teacher a seed, got \"all\"",
            ),
            (
                "baseline = \"alone\"",
                "baseline = \"alne\"",
                "`baseline`: unknown method `alne`; did you mean `alone`?",
            ),
            (
                "[\"big\"]",
                "[\"bug\"]",
                "method `kd`: unknown teacher `bug`; did you mean `big`?",
            ),
            (
                "methods = [\"kd\"]",
                "methods = [\"dk\"]",
                "`sweep.methods`: unknown method `dk`",
            ),
            (
                "values = [1, 2.5]",
                "values = []",
                "`sweep.values` is empty",
            ),
            (
                "values = [1, 2.5]",
                "values = [1, 2.5]\nwith = [{ \"train.epochs\" = 3 }]",
                "`sweep.with` has 1 entries for 2 values",
            ),
        ] {
            let error = error(from, to);
            assert!(error.contains(expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn settings_and_names_that_cannot_be_are_refused_in_words() {
        for (from, to, expected) in [
            (
                "losses.1.weight=0.5",
                "losses.1.temperature=3",
                "is swept for method `kd` and set for it as well",
            ),
            (
                "losses.1.weight=0.5",
                "seed=3",
                "`set` of method `kd` cannot set `seed`; use `seeds`",
            ),
            (
                "losses.1.weight=0.5",
                "losses",
                "or a list such as `[\"train.epochs=3\"]`",
            ),
            (
                "\"train.epochs\" = 3",
                "train.epochs = 3",
                "write `\"train.epochs\"` in place of `train.epochs`",
            ),
            (
                "[\"big\"]",
                "[\"big\", \"big\"]",
                "method `kd` names teacher `big` twice",
            ),
            (
                "[[methods]]\nname = \"kd\"",
                "[[methods]]\nname = \"again\"\nrecipe = \"alone.toml\"\n\n[[methods]]\nname = \"kd\"",
                "method `again` is method `alone` once more",
            ),
            (
                "[[methods]]\nname = \"alone\"",
                "[[teachers]]\nname = \"bigger\"\nrecipe = \"teacher.toml\"\nseed = \"each\"\n\n\
                 [[methods]]\nname = \"alone\"",
                "teacher `bigger` is teacher `big` once more",
            ),
            (
                "name = \"kd\"",
                "name = \"Alone\"",
                "there are two methods of the name `Alone`",
            ),
            (
                "name = \"kd\"",
                "name = \"../kd\"",
                "`../kd` cannot be the name of a method",
            ),
            (
                "title = \"a",
                "titel = \"a",
                "line 2: `titel = \"a comparison\"`: unknown key `titel`; did you mean `title`?",
            ),
        ] {
            let error = error(from, to);
            assert!(
                error.contains(expected),
                "{error}\ndoes not contain\n{expected}"
            );
        }
    }

    #[test]
    fn claims_name_methods_that_are_run_once_a_seed() {
        let claim = |methods: [&str; 2], name: &str| {
            let [a, b] = methods;
            let pair = format!("[[\"{a}.accuracy\", \"{b}.accuracy\"]]");
            format!("[[claims]]\nname = \"{name}\"\nsays = \"so\"\nabove = {pair}\n\n")
        };
        let with = |claims: &str| Campaign::parse("c.toml", &format!("{TEXT}\n{claims}"));
        let good =
            "[[claims]]\nname = \"S1\"\nsays = \"so\"\nabove = [[\"alone.accuracy\", 0.5]]\n";
        assert_eq!(with(good).unwrap().claims.len(), 1);
        for (claims, expected) in [
            (good.repeat(2), "two claims of the name `S1`"),
            (
                claim(["alone", "aline"], "S1"),
                "claim `S1`: unknown method `aline`; did you mean `alone`?",
            ),
            (
                claim(["alone", "kd"], "S1"),
                "`kd`, which is run with several values",
            ),
            (claim(["alone", "alone"], ""), "needs a `name`"),
        ] {
            let error = with(&claims).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn a_teacher_of_one_seed_does_not_learn_from_many() {
        let more = "[[teachers]]\nname = \"middle\"\nrecipe = \"m.toml\"\nteachers = \
                    [\"big\"]\n\n[[methods]]";
        let error = error("[[methods]]", more);
        assert!(error.contains("set its `seed` to \"each\", too"), "{error}");
    }

    #[test]
    fn losses_are_better_lower() {
        let text = TEXT.replacen("baseline", "metric = \"loss\"\nbaseline", 1);
        let campaign = Campaign::parse("c.toml", &text).unwrap();
        assert!(campaign.is_better(0.1, 0.2));
        let text = text.replacen("baseline", "better = \"higher\"\nbaseline", 1);
        assert!(
            Campaign::parse("c.toml", &text)
                .unwrap()
                .is_better(0.2, 0.1)
        );
    }
}
