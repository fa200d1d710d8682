//! The choice of tensors in a file that holds several networks.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use kd_core::{Error, Result, Tensors};
use serde::{Deserialize, Serialize};

use super::rename::map_names;
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
    /// Parts of names and what stands in their place: `fc.1.` and `linear.` make `fc.1.weight` into
    /// `linear.weight`. A part begins where a name begins or after a dot; the longest that fits is taken, and
    /// it may be replaced by nothing. What stands between slashes is a regular expression: `/^(layer\d)\.b/`
    /// and `${1}.block` make `layer1.b0.weight` into `layer1.block0.weight`; those are applied first, in the
    /// order of their letters, each to the whole name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
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

    /// Replaces `from` by `to` in the names.
    #[must_use]
    pub fn with_rename(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.rename.insert(from.into(), to.into());
        self
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

/// The depth below the top to which a state dictionary is looked for first. The tensors of an optimizer lie
/// at three.
const DEPTH: usize = 2;

/// The depth to which one is looked for where there is none above.
const MAX_DEPTH: usize = 32;

/// State dictionaries that an error lists at most. Nobody can choose from a file of ten thousand keys.
const MAX_CANDIDATES: usize = 20;

/// Finds the state dictionary in what a pickle holds.
pub(super) fn choose(
    heap: &Heap,
    top: Value,
    choice: &WeightChoice,
    path: &Path,
) -> Result<Chosen> {
    let mut remarks = Vec::new();
    let (name, dict) = find(heap, top, choice, path)?;
    if name != TOP {
        remarks.push(format!("the state dictionary is the one under `{name}`"));
    }
    let mut named = BTreeMap::new();
    let mut ignored = Vec::new();
    for &(key, value) in heap.dict(dict).unwrap_or_default() {
        match (heap.text(key), value) {
            (Some(key), Value::Tensor(at)) => drop(named.insert(key.to_owned(), at)),
            (Some(key), value) => {
                if let Some(object) = heap.object(value).filter(|object| object.is_tensor) {
                    return Err(unreadable(path, key, &object.name));
                }
                ignored.push(key);
            }
            (None, _) => {}
        }
    }
    if !ignored.is_empty() {
        remarks.push(format!("ignored, as no tensors: {}", shortened(&ignored)));
    }
    let made = heap.objects.iter().filter(|object| object.is_made);
    let passed: Vec<&str> = made.map(|object| object.name.as_str()).collect();
    if !passed.is_empty() {
        remarks.push(format!(
            "passed over, without being made: {}",
            shortened(&passed)
        ));
    }
    Ok(Chosen { named, remarks })
}

/// The chosen dictionary and its key.
fn find(heap: &Heap, top: Value, choice: &WeightChoice, path: &Path) -> Result<(String, Value)> {
    let found = (DEPTH..=MAX_DEPTH)
        .map(|depth| candidates(heap, top, depth))
        .find(|found| !found.is_empty())
        .unwrap_or_default();
    let input = |problem| Error::Input {
        path: path.to_owned(),
        problem,
    };
    if let Some(key) = &choice.key {
        let chosen = at_key(heap, top, key).filter(|&dict| count(heap, dict) > 0);
        let dict = chosen.ok_or_else(|| {
            let known = found.iter().map(|(name, _)| name.as_str());
            Error::unknown_name("key of a state dictionary", key, known)
        })?;
        return Ok((key.clone(), dict));
    }
    match &found[..] {
        [] => Err(input(nothing_found(heap, top))),
        [(name, dict)] => Ok((name.clone(), *dict)),
        several => {
            let listed: Vec<String> = several
                .iter()
                .map(|(name, dict)| format!("`{name}` ({} tensors)", count(heap, *dict)))
                .collect();
            Err(input(format!(
                "holds more than one state dictionary: {}; choose one by its key",
                listed.join(", ")
            )))
        }
    }
}

/// Why there is nothing to read.
fn nothing_found(heap: &Heap, top: Value) -> String {
    if let Some(object) = heap.object(top) {
        return format!(
            "is a whole pickled object of `{}`, and making it would run code, which is refused; \
             {SAVE_STATE_DICT}",
            object.name
        );
    }
    let held = heap.objects.iter().filter(|object| object.is_made);
    let held: Vec<&str> = held.map(|object| object.name.as_str()).collect();
    if held.is_empty() {
        return format!(
            "holds no state dictionary, that is no names with tensors; {SAVE_STATE_DICT}"
        );
    }
    format!(
        "holds no state dictionary, that is no names with tensors, but objects that would run code, which is \
         refused: {}; {SAVE_STATE_DICT}",
        shortened(&held)
    )
}

/// The error of a tensor of a kind that is not known here, in the dictionary that was chosen.
fn unreadable(path: &Path, tensor: &str, kind: &str) -> Error {
    let what = if kind.ends_with("Storage") {
        format!("has storage type `{kind}`, which is not known here")
    } else if kind.contains("float8") {
        format!("has element type `{kind}`, a float of 8 bits, which is not read here")
    } else {
        format!("is made by `{kind}`, which is not known here")
    };
    Error::Input {
        path: path.to_owned(),
        problem: format!("tensor `{tensor}` {what}; convert the tensors to float32"),
    }
}

/// The value under a key, keys within keys joined by a dot.
fn at_key(heap: &Heap, value: Value, key: &str) -> Option<Value> {
    if key == TOP || key.is_empty() {
        return Some(value);
    }
    let below = |part: &str, value: Value| match key.strip_prefix(part) {
        Some("") => Some(value),
        Some(rest) => at_key(
            heap,
            value,
            rest.strip_prefix('.').filter(|rest| !rest.is_empty())?,
        ),
        None => None,
    };
    let items = heap.dict(value).unwrap_or_default().iter();
    let mut named = items.filter_map(|&(name, value)| Some((heap.text(name)?, value)));
    let list = || {
        let (index, _) = key.split_once('.').unwrap_or((key, ""));
        let &value = heap.sequence(value)?.get(index.parse::<usize>().ok()?)?;
        below(index, value)
    };
    named
        .find_map(|(name, value)| below(name, value).filter(|_| !name.is_empty()))
        .or_else(list)
}

/// All dictionaries down to `depth` that have tensors, scalars not counted, directly in them; each once, by
/// the first and shortest of its names.
fn candidates(heap: &Heap, top: Value, depth: usize) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut level = vec![(TOP.to_owned(), top)];
    let mut seen: HashSet<(u8, usize)> = place(top).into_iter().collect();
    for _ in 0..=depth {
        let mut next = Vec::new();
        for (name, value) in std::mem::take(&mut level) {
            if count(heap, value) > 0 {
                found.push((name.clone(), value));
            }
            let below = |key: &str| match name.as_str() {
                TOP => key.to_owned(),
                name => format!("{name}.{key}"),
            };
            for &(key, value) in heap.dict(value).unwrap_or_default() {
                if let (Some(key), Some(place)) = (heap.text(key), place(value))
                    && seen.insert(place)
                {
                    next.push((below(key), value));
                }
            }
            for (index, &value) in heap.sequence(value).unwrap_or_default().iter().enumerate() {
                if let (Value::Dict(_), Some(place)) = (value, place(value))
                    && seen.insert(place)
                {
                    next.push((below(&index.to_string()), value));
                }
            }
            if found.len() > MAX_CANDIDATES {
                return found;
            }
        }
        level = next;
    }
    found
}

/// What a container is known by; nothing else is looked into.
fn place(value: Value) -> Option<(u8, usize)> {
    match value {
        Value::Dict(at) => Some((0, at)),
        Value::List(at) => Some((1, at)),
        Value::Tuple(at) => Some((2, at)),
        _ => None,
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
    map_names(tensors, &choice.rename, path, remarks)
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
pub(super) fn beginnings(tensors: &Tensors) -> Vec<&str> {
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
