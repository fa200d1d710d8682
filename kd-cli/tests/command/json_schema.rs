//! A check of values by a JSON schema, as far as the schema of recipes goes.

use serde_json::{Map, Value};

/// The keywords that are understood or say nothing about a value.
const KNOWN: [&str; 33] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "x-unit",
    "x-source",
    "type",
    "const",
    "enum",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "pattern",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "uniqueItems",
    "prefixItems",
];

/// Whether `value` is one of those that `schema` allows; the definitions are those of `whole`.
///
/// # Panics
///
/// For a keyword that is not known here, so that none is passed over.
pub(crate) fn allows(whole: &Value, schema: &Value, value: &Value) -> bool {
    let table = match schema {
        Value::Bool(all) => return *all,
        other => other.as_object().unwrap(),
    };
    for keyword in table.keys() {
        assert!(KNOWN.contains(&keyword.as_str()), "{keyword}");
    }
    let all = |name: &str| {
        table
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let fits = |schema: &Value| allows(whole, schema, value);
    if let Some(place) = table.get("$ref").and_then(Value::as_str)
        && !fits(whole.pointer(place.trim_start_matches('#')).unwrap())
    {
        return false;
    }
    if let Some(case) = table.get("if") {
        let branch = if fits(case) { "then" } else { "else" };
        if table.get(branch).is_some_and(|branch| !fits(branch)) {
            return false;
        }
    }
    let variants = all("anyOf").filter(|schema| fits(schema)).count();
    let exactly = all("oneOf").filter(|schema| fits(schema)).count();
    (!table.contains_key("anyOf") || variants > 0)
        && (!table.contains_key("oneOf") || exactly == 1)
        && all("allOf").all(fits)
        && !table.get("not").is_some_and(fits)
        && table.get("const").is_none_or(|constant| constant == value)
        && (!table.contains_key("enum") || all("enum").any(|one| one == value))
        && is_of_type(table, value)
        && is_in_range(table, value)
        && has_pattern(table, value)
        && is_table(whole, table, value)
        && is_list(whole, table, value)
}

fn is_of_type(table: &Map<String, Value>, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value
            .as_f64()
            .is_some_and(|number| number.fract().abs() < f64::EPSILON),
        other => panic!("{other}"),
    };
    match table.get("type") {
        None => true,
        Some(Value::String(name)) => is(name),
        Some(names) => names
            .as_array()
            .unwrap()
            .iter()
            .any(|name| is(name.as_str().unwrap())),
    }
}

fn is_in_range(table: &Map<String, Value>, value: &Value) -> bool {
    let Some(number) = value.as_f64() else {
        return true;
    };
    let limit = |name: &str| table.get(name).and_then(Value::as_f64);
    limit("minimum").is_none_or(|least| number >= least)
        && limit("maximum").is_none_or(|most| number <= most)
        && limit("exclusiveMinimum").is_none_or(|least| number > least)
        && limit("exclusiveMaximum").is_none_or(|most| number < most)
}

fn has_pattern(table: &Map<String, Value>, value: &Value) -> bool {
    let pattern = table.get("pattern").and_then(Value::as_str);
    match (pattern, value.as_str()) {
        (Some(pattern), Some(text)) => regex::Regex::new(pattern).unwrap().is_match(text),
        _ => true,
    }
}

fn is_table(whole: &Value, table: &Map<String, Value>, value: &Value) -> bool {
    let Some(entries) = value.as_object() else {
        return true;
    };
    let required = table
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let keys = table.get("properties").and_then(Value::as_object);
    let others = table.get("additionalProperties");
    let fits = |(name, value): (&String, &Value)| match keys.and_then(|keys| keys.get(name)) {
        Some(schema) => allows(whole, schema, value),
        None => others.is_none_or(|schema| allows(whole, schema, value)),
    };
    required
        .map(|name| name.as_str().unwrap())
        .all(|name| entries.contains_key(name))
        && entries.iter().all(fits)
}

fn is_list(whole: &Value, table: &Map<String, Value>, value: &Value) -> bool {
    let Some(items) = value.as_array() else {
        return true;
    };
    let limit = |name: &str| table.get(name).and_then(Value::as_u64);
    let count = items.len() as u64;
    let all_fit = |schema: &Value| items.iter().all(|item| allows(whole, schema, item));
    limit("minItems").is_none_or(|least| count >= least)
        && limit("maxItems").is_none_or(|most| count <= most)
        && table.get("items").is_none_or(all_fit)
}
