//! The keys of schemas, one by one.

use serde_json::{Map, Value};

use crate::explain::key::{Choice, RecipeKey};
use crate::explain::text::plain;

/// The keys of the definitions that are named, each with the recipe that it is of.
pub(super) fn keys_of_schemas(
    definitions: &Map<String, Value>,
    recipes: &[(&str, String)],
) -> Vec<RecipeKey> {
    let mut walk = Walk {
        definitions,
        recipe: "",
        keys: Vec::new(),
    };
    for (recipe, definition) in recipes {
        walk.recipe = recipe;
        if let Some(schema) = definitions.get(definition) {
            walk.table(schema, "", None);
        }
    }
    walk.keys
}

struct Walk<'a> {
    definitions: &'a Map<String, Value>,
    recipe: &'a str,
    keys: Vec<RecipeKey>,
}

impl Walk<'_> {
    /// The keys of a table at `path`, which one `kind` of it has.
    fn table(&mut self, schema: &Value, path: &str, kind: Option<&str>) {
        let required = |name: &str| {
            let names = schema.get("required").and_then(Value::as_array);
            names.is_some_and(|names| names.iter().any(|one| one == name))
        };
        for (name, key) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            // The kinds of a table are told together.
            if kind.is_some() && name == "kind" {
                continue;
            }
            let key = self.resolved(key);
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            self.note(&path, &key, required(name), kind);
            self.below(&key, &path);
        }
        if let Some(named) = schema
            .get("additionalProperties")
            .filter(|named| named.is_object())
        {
            let mut named = self.resolved(named);
            if about(&named).is_empty() {
                named["description"] = "The entry of this name.".into();
            }
            let path = format!("{path}.NAME");
            self.note(&path, &named, false, kind);
            self.below(&named, &path);
        }
    }

    /// What is below a key: tables, tables in lists, kinds of tables.
    fn below(&mut self, key: &Value, path: &str) {
        if let Some(items) = key.get("items") {
            let items = self.resolved(items);
            if is_table(&items) || !self.tables(&items).is_empty() {
                self.below(&items, &format!("{path}[]"));
            }
            return;
        }
        if is_table(key) {
            self.table(key, path, None);
        }
        let tables = self.tables(key);
        let named: Vec<(&str, &Value)> = tables
            .iter()
            .filter_map(|table| Some((kind_of(table)?, table)))
            .collect();
        if !named.is_empty() {
            let choices = named.iter().map(|(word, table)| Choice {
                word: (*word).to_owned(),
                about: about(table),
            });
            let kind = RecipeKey {
                choices: choices.collect(),
                type_name: "string".into(),
                ..self.key(&format!("{path}.kind"), &Value::Null, false)
            };
            self.push(RecipeKey {
                about: "Which of these it is.".into(),
                ..kind
            });
        }
        for table in &tables {
            self.table(table, path, kind_of(table));
        }
    }

    /// The tables among the variants of a key.
    fn tables(&self, key: &Value) -> Vec<Value> {
        variants(key)
            .map(|variant| self.resolved(variant))
            .filter(is_table)
            .collect()
    }

    fn note(&mut self, path: &str, key: &Value, required: bool, kind: Option<&str>) {
        let made = RecipeKey {
            kinds: kind.map(str::to_owned).into_iter().collect(),
            ..self.key(path, key, required)
        };
        self.push(made);
    }

    fn key(&self, path: &str, key: &Value, required: bool) -> RecipeKey {
        let text = |name: &str| key.get(name).and_then(Value::as_str).map(str::to_owned);
        RecipeKey {
            path: path.to_owned(),
            recipes: vec![self.recipe.to_owned()],
            kinds: Vec::new(),
            type_name: self.type_name(key),
            unit: text("x-unit"),
            range: range(key),
            required,
            default: key.get("default").filter(|value| !value.is_null()).cloned(),
            source: text("x-source").filter(|source| !source.is_empty()),
            about: about(key),
            choices: self.choices(key),
        }
    }

    fn push(&mut self, key: RecipeKey) {
        let same = self.keys.iter_mut().find(|known| known.says_the_same(&key));
        let Some(same) = same else {
            self.keys.push(key);
            return;
        };
        for (known, new) in [
            (&mut same.recipes, key.recipes),
            (&mut same.kinds, key.kinds),
        ] {
            for name in new {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
    }

    /// The words that a key may be.
    fn choices(&self, key: &Value) -> Vec<Choice> {
        let words = key
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let words = words.filter_map(Value::as_str).map(|word| Choice {
            word: word.to_owned(),
            about: String::new(),
        });
        let of_variants = variants(key)
            .map(|variant| self.resolved(variant))
            .flat_map(|variant| {
                let constant = variant
                    .get("const")
                    .and_then(Value::as_str)
                    .map(|word| Choice {
                        word: word.to_owned(),
                        about: about(&variant),
                    });
                let listed = self.choices(&variant);
                constant.into_iter().chain(listed).collect::<Vec<_>>()
            });
        words.chain(of_variants).collect()
    }

    /// The type as TOML calls it; several joined by "or".
    fn type_name(&self, key: &Value) -> String {
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: String| {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        };
        let word = |name: &str| match name {
            "object" => "table".to_owned(),
            "number" => "number".to_owned(),
            other => other.to_owned(),
        };
        match key.get("type") {
            Some(Value::String(name)) if name == "array" => {
                let items = key
                    .get("items")
                    .map(|items| self.type_name(&self.resolved(items)));
                add(match items.filter(|items| !items.is_empty()) {
                    Some(items) => format!("list of {items}"),
                    None => "list".to_owned(),
                });
            }
            Some(Value::String(name)) => add(word(name)),
            Some(Value::Array(some)) => {
                let some = some.iter().filter_map(Value::as_str);
                some.filter(|name| *name != "null")
                    .for_each(|name| add(word(name)));
            }
            _ => {}
        }
        if key.get("enum").is_some() || key.get("const").is_some_and(Value::is_string) {
            add("string".to_owned());
        }
        for variant in variants(key) {
            add(self.type_name(&self.resolved(variant)));
        }
        names.join(" or ")
    }

    /// The schema with what it refers to in its place, and without "or nothing".
    fn resolved(&self, schema: &Value) -> Value {
        let inner = match schema.get("$ref").and_then(Value::as_str) {
            Some(place) => {
                let name = place.strip_prefix("#/$defs/").unwrap_or(place);
                self.definitions.get(name).cloned().unwrap_or_default()
            }
            None => match schema
                .get("anyOf")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
            {
                Some([one, nothing]) if nothing["type"] == "null" => self.resolved(one),
                _ => return schema.clone(),
            },
        };
        let mut whole = self.resolved(&inner);
        // What is said beside a reference is about this place.
        if let (Some(whole), Some(beside)) = (whole.as_object_mut(), schema.as_object()) {
            let beside = beside
                .iter()
                .filter(|(name, _)| !["$ref", "anyOf"].contains(&name.as_str()));
            whole.extend(beside.map(|(name, value)| (name.clone(), value.clone())));
        }
        whole
    }
}

fn is_table(schema: &Value) -> bool {
    let named = schema
        .get("additionalProperties")
        .is_some_and(Value::is_object);
    schema.get("properties").is_some() || named
}

fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|name| schema.get(name)?.as_array());
    lists.flatten()
}

/// The kind that a variant of a table is of.
fn kind_of(table: &Value) -> Option<&str> {
    table.pointer("/properties/kind/const")?.as_str()
}

fn about(schema: &Value) -> String {
    plain(
        schema
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    )
}

/// The numbers that are allowed.
fn range(key: &Value) -> Option<String> {
    let number = |name: &str, words: [&str; 2]| {
        let number = key.get(name)?.as_f64()?;
        Some(format!("{}{number}{}", words[0], words[1]))
    };
    let least = number("minimum", ["", " or more"]);
    let least = least.or_else(|| number("exclusiveMinimum", ["above ", ""]));
    let most = number("maximum", ["at most ", ""]);
    let most = most.or_else(|| number("exclusiveMaximum", ["below ", ""]));
    let both: Vec<String> = least.into_iter().chain(most).collect();
    (!both.is_empty()).then(|| both.join(", "))
}
