//! `kd explain`: the keys of recipes and campaigns.

use kd_core::{Error, Result};
use kd_losses::find_loss;
use kd_recipe::{Methods, RecipeKey};
use kd_report::Align::Left;
use serde_json::json;

use crate::args::ExplainOptions;
use crate::output;

pub(super) fn run(methods: &Methods, options: &ExplainOptions) -> Result<()> {
    if options.schema {
        output::data(&methods.schema().to_string());
        return Ok(());
    }
    let keys = wanted(methods.keys(), options)?;
    if options.json {
        output::json(&json!({ "keys": keys }));
        return Ok(());
    }
    match &options.key {
        Some(asked) => {
            let (named, below): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|key| key.is_named(asked));
            for (index, key) in named.iter().enumerate() {
                if index > 0 {
                    output::line("");
                }
                show(key);
            }
            if !below.is_empty() {
                output::line("");
                list(&below);
            }
        }
        None => list(&keys),
    }
    Ok(())
}

/// The keys that were asked for, and what is below them.
fn wanted(keys: Vec<RecipeKey>, options: &ExplainOptions) -> Result<Vec<RecipeKey>> {
    let known = keys
        .iter()
        .flat_map(|key| key.recipes.iter().map(String::as_str));
    if let Some(method) = &options.method
        && !known.clone().any(|name| name == method)
    {
        let mut names: Vec<&str> = known.collect();
        names.dedup();
        names.sort_unstable();
        names.dedup();
        return Err(Error::unknown_name("method", method, names));
    }
    let of_method = |key: &RecipeKey| {
        options
            .method
            .as_ref()
            .is_none_or(|method| key.recipes.contains(method))
    };
    let Some(asked) = &options.key else {
        return Ok(keys.into_iter().filter(of_method).collect());
    };
    let is_wanted = |key: &RecipeKey| {
        let mut path = key.path.as_str();
        loop {
            let part = RecipeKey::names(path, asked);
            match path.rsplit_once('.') {
                _ if part => return true,
                Some((above, _)) => path = above,
                None => return false,
            }
        }
    };
    let found: Vec<RecipeKey> = keys
        .iter()
        .filter(|key| of_method(key) && is_wanted(key))
        .cloned()
        .collect();
    if found.is_empty() {
        let paths = keys
            .iter()
            .filter(|key| of_method(key))
            .map(|key| key.path.as_str());
        return Err(unknown(asked, paths.collect()));
    }
    Ok(found)
}

/// The error of a key that there is not, with one that is like it, or with the loss of that name.
fn unknown(asked: &str, mut paths: Vec<&str>) -> Error {
    if find_loss(asked).is_some() {
        let problem = format!("is no key of a recipe but a loss; `kd losses {asked}` is about it");
        return Error::config(asked, problem);
    }
    paths.dedup();
    let small = asked.to_lowercase();
    let last = small.rsplit('.').next().unwrap_or(&small);
    let same_end = paths
        .iter()
        .find(|path| path.rsplit('.').next() == Some(last))
        .copied();
    let longer = paths.iter().find(|path| path.starts_with(&small)).copied();
    let near = longer
        .or_else(|| kd_core::nearest(&small, paths.iter().copied()))
        .or(same_end);
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Error::config(
        asked,
        format!("is no key of a recipe{hint}; `kd explain` lists all"),
    )
}

fn show(key: &RecipeKey) {
    output::line(&key.path);
    if !key.about.is_empty() {
        output::line(&format!("  {}", key.about.replace("\n\n", "\n  ")));
    }
    let mut rows = vec![("type", key.type_name.clone())];
    rows.extend(key.unit.clone().map(|unit| ("unit", unit)));
    rows.extend(key.range.clone().map(|range| ("range", range)));
    rows.push((
        "default",
        match (key.required, key.default_in_words()) {
            (true, _) => "none, it must be there".into(),
            (false, Some(value)) => value,
            (false, None) => "nothing".into(),
        },
    ));
    rows.extend(key.source.clone().map(|source| ("source", source)));
    if !key.kinds.is_empty() {
        rows.push(("of kind", key.kinds.join(", ")));
    }
    rows.push(("in", key.recipes.join(", ")));
    output::list(8, &rows);
    if !key.choices.is_empty() {
        let width = key
            .choices
            .iter()
            .map(|choice| choice.word.len())
            .max()
            .unwrap_or(0);
        let rows: Vec<_> = key
            .choices
            .iter()
            .map(|choice| (choice.word.clone(), choice.about.clone()))
            .collect();
        output::list(width, &rows);
    }
}

fn list(keys: &[RecipeKey]) {
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let sentence = key.about.split(". ").next().unwrap_or_default();
            let sentence = sentence.split("; ").next().unwrap_or_default();
            vec![
                key.path.clone(),
                key.type_name.clone(),
                key.default_in_words().unwrap_or_else(|| "-".into()),
                sentence.trim_end_matches(['.', ';']).to_owned(),
            ]
        })
        .collect();
    let head = [
        ("key", Left),
        ("type", Left),
        ("default", Left),
        ("what it is", Left),
    ];
    output::table_without(&head, &rows, &["default", "type"]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use kd_recipe::keys_markdown;
    use serde_json::Value;

    use super::*;

    fn methods() -> Methods {
        crate::Kd::new().methods
    }

    fn docs(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(name)
    }

    #[test]
    fn the_files_in_docs_are_what_the_structs_say() {
        let schema = format!("{}\n", methods().schema());
        for (name, now) in [
            ("keys.md", keys_markdown(&methods().keys())),
            ("recipe.schema.json", schema),
        ] {
            let path = docs(name);
            if std::env::var_os("KD_UPDATE").is_some() {
                std::fs::write(&path, &now).unwrap();
            }
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                there == now,
                "`docs/{name}` is stale; run this test with KD_UPDATE=1"
            );
        }
    }

    #[test]
    fn every_key_of_every_struct_of_a_recipe_is_explained() {
        let keys = methods().keys();
        for method in methods().all() {
            let of_method = keys
                .iter()
                .filter(|key| key.recipes.iter().any(|name| name == method.name));
            let top: BTreeSet<&str> = of_method
                .clone()
                .filter(|key| !key.path.contains('.'))
                .map(|key| key.path.as_str())
                .collect();
            let read = method
                .keys()
                .iter()
                .copied()
                .chain(["method", "seed", "device"]);
            assert_eq!(top, read.collect(), "{}", method.name);
            for key in of_method {
                assert!(
                    !key.about.is_empty() || key.source.is_some(),
                    "{}: {}",
                    method.name,
                    key.path
                );
                assert!(
                    !key.type_name.is_empty() || key.source.is_some(),
                    "{}: {}",
                    method.name,
                    key.path
                );
            }
        }
    }

    #[test]
    fn every_key_of_every_recipe_of_the_repository_is_explained() {
        let methods = methods();
        let keys = methods.keys();
        let mut seen = 0;
        for path in recipes() {
            let text = std::fs::read_to_string(&path).unwrap();
            let table: toml::Table = text.parse().unwrap();
            let is_campaign = table.contains_key("methods");
            let recipe = if is_campaign {
                "campaign".to_owned()
            } else {
                methods
                    .clone()
                    .with_usual("offline")
                    .read_file(&path, &[])
                    .unwrap()
                    .method()
                    .to_owned()
            };
            let table = serde_json::to_value(table).unwrap();
            let mut paths = Vec::new();
            collect(&table, "", &mut paths);
            for one in paths {
                let free = is_campaign && (one.contains("set.") || one.starts_with("sweep.with"))
                    || one.contains(".structure.");
                let known = keys
                    .iter()
                    .any(|key| key.recipes.contains(&recipe) && fits(&key.path, &one));
                assert!(free || known, "{}: `{one}`", path.display());
                seen += 1;
            }
        }
        assert!(seen > 500, "{seen}");
    }

    /// Paths of all values.
    fn collect(value: &Value, path: &str, paths: &mut Vec<String>) {
        match value {
            Value::Object(table) => {
                for (key, value) in table {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    collect(value, &path, paths);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    collect(item, &format!("{path}[]"), paths);
                }
            }
            _ => paths.push(path.to_owned()),
        }
    }

    /// Whether a path is that of a key, whose names of one's own stand for any.
    fn fits(key: &str, path: &str) -> bool {
        let (key, path): (Vec<_>, Vec<_>) = (key.split('.').collect(), path.split('.').collect());
        let same = |(one, other): (&&str, &&str)| *one == "NAME" || one == other;
        key.len() == path.len() && key.iter().zip(&path).all(same)
    }

    fn recipes() -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "toml") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}
