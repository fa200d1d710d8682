//! The page of all keys, in Markdown.

use std::fmt::Write;

use crate::explain::key::RecipeKey;

/// A section for each table of a recipe, a row for each key.
pub fn keys_markdown(keys: &[RecipeKey]) -> String {
    let mut page = String::from(
        "# Keys of recipes and campaigns\n\nMade from the structs that read recipes; `kd explain KEY` says \
         the same of one key. [`recipe.schema.json`](recipe.schema.json) is the schema for editors. `[]` \
         stands behind a list, `NAME` for a name of your own.\n",
    );
    let mut tables: Vec<&str> = Vec::new();
    for key in keys {
        let table = table_of(key);
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    for table in tables {
        let _ = write!(page, "\n## {table}\n\n");
        page.push_str(
            "| key | type | allowed | default | in | meaning |\n|---|---|---|---|---|---|\n",
        );
        for key in keys.iter().filter(|key| table_of(key) == table) {
            page.push_str(&row(key));
        }
    }
    page
}

/// The first part of a path.
fn table_of(key: &RecipeKey) -> &str {
    let first = key.path.split('.').next().unwrap_or_default();
    first.trim_end_matches("[]")
}

fn row(key: &RecipeKey) -> String {
    let default = match (key.required, key.default_in_words()) {
        (true, _) => "must be there".to_owned(),
        (false, Some(value)) => format!("`{value}`"),
        (false, None) => "-".to_owned(),
    };
    let mut allowed = key.range.clone().unwrap_or_default();
    if !key.choices.is_empty() {
        let words = key
            .choices
            .iter()
            .map(|choice| format!("`{}`", choice.word));
        allowed = words.collect::<Vec<_>>().join(", ");
    }
    let mut about = key.about.clone();
    if let Some(unit) = &key.unit {
        let _ = write!(about, " Unit: {unit}.");
    }
    if let Some(source) = &key.source {
        let _ = write!(about, " Default by: {source}.");
    }
    if !key.kinds.is_empty() {
        let _ = write!(about, " Of kind {}.", key.kinds.join(", "));
    }
    for choice in key.choices.iter().filter(|choice| !choice.about.is_empty()) {
        let _ = write!(about, " `{}`: {}", choice.word, choice.about);
    }
    let cells = [
        format!("`{}`", key.path),
        key.type_name.clone(),
        allowed,
        default,
        key.recipes.join(", "),
        about,
    ];
    let cells = cells.map(|cell| cell.replace("\n\n", " ").replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}
