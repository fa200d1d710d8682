//! The choice of tensors in a file that holds several networks.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::{Error, Result, Tensors};
use serde::{Deserialize, Serialize};

use super::unpickle::SAVE_STATE_DICT;
use super::value::{Heap, TensorRef, Value};

/// The choice of one network's tensors in a weight file that holds several.
///
/// Nothing needs to be chosen of most files: a state dictionary is found at the top of the file or under a
/// key such as `model`, `state_dict`, `net` or `student`, and a prefix `module.` (`DataParallel`) or
/// `_orig_mod.` (`torch.compile`) that all names share is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WeightChoice {
    /// The key of the state dictionary in a PyTorch file, keys within keys joined by a dot; `.` for the top
    /// of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only tensors whose names begin with this are taken, and it is removed: `student.` or `backbone.`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

impl WeightChoice {
    /// Takes the state dictionary under `key` alone.
    #[must_use]
    pub fn with_key(self, key: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// Takes the tensors whose names begin with `prefix` alone, and removes it.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self {
            prefix: Some(prefix.into()),
            ..self
        }
    }
}

/// The state dictionary that was chosen.
#[derive(Debug)]
pub(super) struct Chosen {
    /// Names, with places in [`Heap::tensors`].
    named: BTreeMap<String, usize>,
    pub(super) remarks: Vec<String>,
}

impl Chosen {
    pub(super) fn tensors<'a>(
        &'a self,
        heap: &'a Heap,
    ) -> impl Iterator<Item = (&'a str, &'a TensorRef)> {
        self.named
            .iter()
            .filter_map(|(name, &at)| Some((name.as_str(), heap.tensors.get(at)?)))
    }
}

/// The name of the top of a file among the keys.
const TOP: &str = ".";

/// The depth below the top at which a state dictionary may lie. The tensors of an optimizer lie at three.
const DEPTH: usize = 2;

/// Finds the state dictionary in what a pickle holds.
pub(super) fn choose(
    heap: &Heap,
    top: Value,
    choice: &WeightChoice,
    path: &Path,
) -> Result<Chosen> {
    let mut found = Vec::new();
    candidates(heap, top, TOP, DEPTH, &mut found);
    let only = match (&choice.key, &found[..]) {
        (_, []) => {
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "holds no state dictionary, that is no names with tensors; {SAVE_STATE_DICT}"
                ),
            });
        }
        (Some(key), _) => found.iter().find(|(name, _)| name == key).ok_or_else(|| {
            let known = found.iter().map(|(name, _)| name.as_str());
            Error::unknown_name("key of a state dictionary", key, known)
        })?,
        // One dictionary may go by several names.
        (None, [first, rest @ ..]) if rest.iter().all(|(_, dict)| *dict == first.1) => first,
        (None, several) => {
            let listed: Vec<String> = several
                .iter()
                .map(|(name, dict)| format!("`{name}` ({} tensors)", count(heap, *dict)))
                .collect();
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "holds more than one state dictionary: {}; choose one by its key",
                    listed.join(", ")
                ),
            });
        }
    };
    let (name, dict) = only;
    let mut remarks = Vec::new();
    if name != TOP {
        remarks.push(format!("the state dictionary is the one under `{name}`"));
    }
    let mut named = BTreeMap::new();
    let mut ignored = Vec::new();
    for &(key, value) in heap.dict(*dict).unwrap_or_default() {
        match (heap.text(key), value) {
            (Some(key), Value::Tensor(at)) => drop(named.insert(key.to_owned(), at)),
            (Some(key), _) => ignored.push(key),
            (None, _) => {}
        }
    }
    if !ignored.is_empty() {
        remarks.push(format!("ignored, as no tensors: {}", shortened(&ignored)));
    }
    Ok(Chosen { named, remarks })
}

/// Adds all dictionaries that have tensors, scalars not counted, directly in them.
fn candidates(
    heap: &Heap,
    value: Value,
    name: &str,
    depth: usize,
    found: &mut Vec<(String, Value)>,
) {
    if count(heap, value) > 0 {
        found.push((name.to_owned(), value));
    }
    // Nobody can choose from a file of ten thousand keys.
    if depth == 0 || found.len() > 20 {
        return;
    }
    let below = |key: &str| match name {
        TOP => key.to_owned(),
        _ => format!("{name}.{key}"),
    };
    for &(key, value) in heap.dict(value).unwrap_or_default() {
        if let (Some(key), Value::Dict(_) | Value::List(_) | Value::Tuple(_)) =
            (heap.text(key), value)
        {
            candidates(heap, value, &below(key), depth - 1, found);
        }
    }
    for (index, &value) in heap.sequence(value).unwrap_or_default().iter().enumerate() {
        if matches!(value, Value::Dict(_)) {
            candidates(heap, value, &below(&index.to_string()), depth - 1, found);
        }
    }
}

/// Tensors with axes that are directly in a dictionary, by name.
fn count(heap: &Heap, value: Value) -> usize {
    let items = heap.dict(value).unwrap_or_default();
    let counts = |&&(key, value): &&(Value, Value)| {
        heap.text(key).is_some()
            && heap
                .tensor(value)
                .is_some_and(|tensor| !tensor.shape.is_empty())
    };
    items.iter().filter(counts).count()
}

/// Prefixes that wrappers put before all names.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Takes the tensors that begin with the chosen prefix, and removes what wrappers put before the names.
pub(super) fn rename(
    mut tensors: Tensors,
    choice: &WeightChoice,
    path: &Path,
    remarks: &mut Vec<String>,
) -> Result<Tensors> {
    strip_wrappers(&mut tensors, remarks);
    if let Some(prefix) = &choice.prefix {
        let before = tensors.len();
        let kept: Tensors = tensors
            .iter()
            .filter_map(|(name, data)| Some((name.strip_prefix(prefix)?.to_owned(), data.clone())))
            .collect();
        if kept.is_empty() {
            let begin: Vec<&str> = beginnings(&tensors);
            return Err(Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "has no tensor whose name begins with `{prefix}`; they begin with {}",
                    shortened(&begin)
                ),
            });
        }
        remarks.push(format!(
            "taken: {} of {before} tensors, those of `{prefix}`",
            kept.len()
        ));
        tensors = kept;
        strip_wrappers(&mut tensors, remarks);
    }
    Ok(tensors)
}

fn strip_wrappers(tensors: &mut Tensors, remarks: &mut Vec<String>) {
    while let Some(wrapper) = WRAPPERS
        .into_iter()
        .find(|wrapper| !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(wrapper)))
    {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, data)| (name[wrapper.len()..].to_owned(), data))
            .collect();
        remarks.push(format!("`{wrapper}` removed from the names"));
    }
}

/// The first parts of the names, each once.
fn beginnings(tensors: &Tensors) -> Vec<&str> {
    let mut first: Vec<&str> = tensors
        .keys()
        .map(|name| name.split_inclusive('.').next().unwrap_or(name))
        .collect();
    first.dedup();
    first
}

/// The first few of a list, in backticks.
pub(super) fn shortened(names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
