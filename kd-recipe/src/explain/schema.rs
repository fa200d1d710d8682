//! The JSON schema of all recipes and of campaigns.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::campaign::file::Campaign;
use crate::explain::key::{Choice, RecipeKey};
use crate::explain::walk::keys_of_schemas;
use crate::methods::{KnownMethod, Methods};

/// The key that names the method.
const METHOD: &str = "method";
/// The definition of campaigns.
const CAMPAIGN: &str = "campaign";
/// What a recipe that names no method is of: `kd train` and `kd distill` say it.
const USUAL: [&str; 2] = ["train", "offline"];

impl Methods {
    /// The JSON schema (draft 2020-12) of recipes of all methods and of campaigns. It knows keys, types and
    /// ranges, which is what an editor needs; what must fit together is known by reading alone.
    pub fn schema(&self) -> Value {
        let definitions = self.definitions();
        let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
        let names: Vec<&str> = self.all().iter().map(|method| method.name).collect();
        let mut cases: Vec<Value> = names
            .iter()
            .map(|name| {
                let named = json!({
                    "properties": { "method": { "const": name } }, "required": ["method"]
                });
                json!({ "if": named, "then": reference(&recipe(name)) })
            })
            .collect();
        let usual = USUAL.iter().filter(|name| names.contains(name));
        let usual: Vec<Value> = usual.map(|name| reference(&recipe(name))).collect();
        if !usual.is_empty() {
            let unnamed = json!({ "not": { "required": ["method"] } });
            cases.push(json!({ "if": unnamed, "then": { "anyOf": usual } }));
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A recipe or a campaign of kd",
            "type": "object",
            "if": { "required": ["methods"] },
            "then": reference(CAMPAIGN),
            "else": { "properties": { "method": { "enum": names } }, "allOf": cases },
            "$defs": definitions,
        })
    }

    /// Every key that recipes and campaigns may hold, in words: recipe by recipe, keys in their order.
    pub fn keys(&self) -> Vec<RecipeKey> {
        let definitions = self.definitions();
        let recipes = self
            .all()
            .iter()
            .map(|method| (method.name, recipe(method.name)));
        let all: Vec<(&str, String)> = recipes.chain([(CAMPAIGN, CAMPAIGN.to_owned())]).collect();
        let mut keys = keys_of_schemas(&definitions, &all);
        // Each method has its own word for this key.
        if let Some(first) = keys.iter().position(|key| key.path == METHOD) {
            let choices = self.all().iter().map(|method| Choice {
                word: method.name.to_owned(),
                about: method.about.to_owned(),
            });
            keys[first].about = "The method.".into();
            keys[first].choices = choices.collect();
            keys[first].recipes = self
                .all()
                .iter()
                .map(|method| method.name.to_owned())
                .collect();
            let mut place = 0..;
            keys.retain(|key| place.next() == Some(first) || key.path != METHOD);
        }
        keys
    }

    /// One definition a method and one for campaigns, and those that they refer to.
    fn definitions(&self) -> Map<String, Value> {
        let mut generator = SchemaSettings::draft2020_12().into_generator();
        let methods: Vec<(&KnownMethod, Value)> = self
            .all()
            .iter()
            .map(|method| (method, method.schema(&mut generator).to_value()))
            .collect();
        let campaign = generator.subschema_for::<Campaign>().to_value();
        let mut definitions = generator.take_definitions(true);
        let mut take = |schema: &Value| {
            let name = schema["$ref"]
                .as_str()
                .and_then(|place| place.strip_prefix("#/$defs/"));
            name.and_then(|name| definitions.remove(name))
        };
        let mut own = Map::new();
        for (method, schema) in &methods {
            let body = take(schema).unwrap_or_else(|| json!({ "type": "object" }));
            own.insert(recipe(method.name), with_head(body, method));
        }
        if let Some(campaign) = take(&campaign) {
            own.insert(CAMPAIGN.to_owned(), campaign);
        }
        own.extend(definitions);
        own
    }
}

/// The name of the definition of a method's recipes.
fn recipe(method: &str) -> String {
    format!("recipe-{method}")
}

/// A recipe with the keys that the framework reads itself before its own.
fn with_head(mut body: Value, method: &KnownMethod) -> Value {
    let mut keys = Map::new();
    keys.insert(
        METHOD.into(),
        json!({ "type": "string", "const": method.name, "description": method.about }),
    );
    keys.insert(
        "seed".into(),
        json!({
            "type": "integer", "minimum": 0, "default": 0,
            "description": "Seed of initial weights, order and views.",
        }),
    );
    keys.insert(
        "device".into(),
        json!({
            "type": "string", "default": "auto", "examples": ["auto", "cpu", "cuda", "cuda:1", "wgpu"],
            "description": "Where to compute: auto, cpu, cuda, cuda:1, wgpu.",
        }),
    );
    if let Some(own) = body.get("properties").and_then(Value::as_object) {
        keys.extend(own.clone());
    }
    body["properties"] = Value::Object(keys);
    body
}
