//! A key of a recipe, in words.

use serde::Serialize;
use serde_json::Value;

/// A key that recipes or campaigns may hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecipeKey {
    /// Its path, as in `train.warmup_epochs`; `[]` stands behind a list, `NAME` for a name of your own.
    pub path: String,
    /// The methods whose recipes have it, and `campaign` for campaigns.
    pub recipes: Vec<String>,
    /// The kinds of its table that have it, where not all do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// The type of its value, as TOML has it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The unit of its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The values that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Whether it must be there.
    pub required: bool,
    /// The value that it has where a recipe leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Where that value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it is.
    pub about: String,
    /// The words that it may be, each with what it means.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

/// A word that a key may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Choice {
    /// The word.
    pub word: String,
    /// What it means.
    pub about: String,
}

impl RecipeKey {
    /// Whether `asked` names this key; see [`RecipeKey::names`].
    pub fn is_named(&self, asked: &str) -> bool {
        Self::names(&self.path, asked)
    }

    /// Whether `asked` is `path`, with or without the marks of lists, or with the numbers that `--set` takes
    /// in their place.
    pub fn names(path: &str, asked: &str) -> bool {
        let plain = |path: &str| {
            let parts = path.split('.').map(|part| part.trim_end_matches("[]"));
            let parts = parts.filter(|part| part.parse::<usize>().is_err());
            parts.collect::<Vec<_>>().join(".")
        };
        plain(path) == plain(asked)
    }

    /// Its default as TOML has it.
    pub fn default_in_words(&self) -> Option<String> {
        self.default.as_ref().map(|value| match value {
            Value::Object(table) if table.len() > 3 => "{ .. }".to_owned(),
            Value::Object(table) => {
                let entry = |(key, value): (&String, &Value)| format!("{key} = {value}");
                format!(
                    "{{ {} }}",
                    table.iter().map(entry).collect::<Vec<_>>().join(", ")
                )
            }
            other => other.to_string(),
        })
    }

    /// Whether it is the same key with the same words, in whatever recipe and kind.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let bare = |key: &Self| Self {
            recipes: Vec::new(),
            kinds: Vec::new(),
            ..key.clone()
        };
        // A key of all kinds is not one of a few.
        self.kinds.is_empty() == other.kinds.is_empty() && bare(self) == bare(other)
    }
}
