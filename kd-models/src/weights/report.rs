//! The report of how a weight file matched a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use burn::tensor::TensorData;
use kd_core::{Error, Result, Tensors, nearest};
use serde::{Deserialize, Serialize};

use super::choice::shortened;

/// The counter that PyTorch's batch norms keep and nothing of ours needs.
pub(crate) const BATCH_COUNTER: &str = "num_batches_tracked";

/// Names of tensors with their shapes.
pub(super) type Shapes = BTreeMap<String, Vec<usize>>;

/// A tensor that network and file both have, with different shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShapeDifference {
    /// The tensor.
    pub name: String,
    /// Its shape in the network.
    pub network: Vec<usize>,
    /// Its shape in the file.
    pub file: Vec<usize>,
}

impl fmt::Display for ShapeDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            network,
            file,
        } = self;
        write!(f, "{name}: network {network:?}, file {file:?}")
    }
}

/// The tensors of a weight file against those of a network, each name in one of four lists, in the order of
/// the alphabet.
///
/// `num_batches_tracked`, which PyTorch's batch norms keep, is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// The file or folder of the weights.
    pub origin: String,
    /// Tensors that both have with the same shape.
    pub matched: Vec<String>,
    /// Tensors of the network that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the network lacks.
    pub unused: Vec<String>,
    /// Tensors that both have with different shapes.
    pub unequal: Vec<ShapeDifference>,
    /// Remarks on what was chosen, removed and ignored in reading, and on what the differences may mean; a
    /// sentence each.
    pub remarks: Vec<String>,
    /// What stood before the names in the file and was removed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) prefix: String,
}

impl LoadReport {
    /// Compares the tensors of a file with the shapes of a network's ([`kd_core::tensor_shapes`]), both in
    /// PyTorch's names and layouts.
    pub fn compare(origin: impl Into<String>, file: &Tensors, network: &Shapes) -> Self {
        let shape = |data: &TensorData| data.shape().as_slice().to_vec();
        let file = file.iter().map(|(name, data)| (name.clone(), shape(data)));
        Self::of_shapes(origin, &file.collect(), network)
    }

    /// As [`LoadReport::compare`], of shapes alone.
    pub(crate) fn of_shapes(origin: impl Into<String>, file: &Shapes, network: &Shapes) -> Self {
        let mut report = Self {
            origin: origin.into(),
            ..Self::default()
        };
        for (name, wanted) in network.iter().filter(|(name, _)| !is_counter(name)) {
            match file.get(name) {
                None => report.missing.push(name.clone()),
                Some(found) if found == wanted => report.matched.push(name.clone()),
                Some(found) => report.unequal.push(ShapeDifference {
                    name: name.clone(),
                    network: wanted.clone(),
                    file: found.clone(),
                }),
            }
        }
        report.unused = file
            .keys()
            .filter(|name| !is_counter(name) && !network.contains_key(*name))
            .cloned()
            .collect();
        report
    }

    /// Whether every tensor of the network was found with its shape, and nothing else.
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.unused.is_empty() && self.unequal.is_empty()
    }

    /// An error if the tensors do not fit exactly.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] that names the missing, unexpected and differently shaped tensors, a missing one
    /// with the unused one whose name is nearest, and says what the differences may mean.
    pub fn check(&self) -> Result<()> {
        if self.is_exact() {
            return Ok(());
        }
        let suggested = |name: &String| match self.suggestion(name) {
            Some(other) => format!("{name}, perhaps the file's {other}"),
            None => name.clone(),
        };
        Err(Error::Mismatch {
            origin: self.origin.clone(),
            missing: self.missing.iter().map(suggested).collect(),
            unexpected: self.unused.clone(),
            unequal: self.unequal.iter().map(ToString::to_string).collect(),
            hint: self.hint(),
        })
    }

    /// The unused name that most likely stands for the missing `name`.
    ///
    /// That is one that ends with it or that it ends with, or else the nearest of those with the same last
    /// part.
    pub fn suggestion(&self, name: &str) -> Option<&str> {
        let field = |name: &str| name.rsplit('.').next().map(str::to_owned);
        let alike = || {
            self.unused
                .iter()
                .map(String::as_str)
                .filter(|other| field(other) == field(name))
        };
        let within = |long: &str, short: &str| {
            long.strip_suffix(short)
                .is_some_and(|before| before.ends_with('.'))
        };
        alike()
            .find(|other| within(other, name) || within(name, other))
            .or_else(|| nearest(name, alike()))
            .or_else(|| {
                // The last layer goes by many names, and is the only one that is a matrix in most networks.
                let last = |name: &str| {
                    LAST_LAYERS
                        .iter()
                        .any(|layer| name.split('.').next() == Some(layer))
                };
                alike().find(|other| last(name) && last(other))
            })
    }

    /// A sentence on what the differences may mean, or nothing.
    fn hint(&self) -> String {
        let mut hints = Vec::new();
        if let Some(prefix) = self.common_prefix() {
            hints.push(format!(
                "the file's names have `{prefix}` before those of the network; give it as the prefix"
            ));
        }
        hints.extend(self.remarks.iter().cloned());
        hints.join("; ")
    }

    /// The prefix of all unused names that end with a missing one.
    fn common_prefix(&self) -> Option<&str> {
        let unused: BTreeSet<&str> = self.unused.iter().map(String::as_str).collect();
        let first = self.missing.first()?;
        let prefix = unused.iter().find_map(|name| {
            name.strip_suffix(first.as_str())
                .filter(|prefix| prefix.ends_with('.'))
        })?;
        let all = self
            .missing
            .iter()
            .all(|name| unused.contains(format!("{prefix}{name}").as_str()));
        all.then_some(prefix)
    }
}

/// Names of the last layer of a classifier.
const LAST_LAYERS: [&str; 6] = ["fc", "linear", "classifier", "head", "out", "output"];

impl fmt::Display for LoadReport {
    /// One line of counts, then a line for each kind of difference and each remark.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (matched, missing, unused, unequal) = (
            self.matched.len(),
            self.missing.len(),
            self.unused.len(),
            self.unequal.len(),
        );
        write!(
            f,
            "tensors: {matched} matched, {missing} missing, {unused} unused, {unequal} of another shape"
        )?;
        for (what, names) in [("missing", &self.missing), ("unused", &self.unused)] {
            if !names.is_empty() {
                write!(f, "\n  {what}: {}", shortened(names))?;
            }
        }
        if !self.unequal.is_empty() {
            let unequal: Vec<String> = self.unequal.iter().map(ToString::to_string).collect();
            write!(f, "\n  of another shape: {}", shortened(&unequal))?;
        }
        for remark in &self.remarks {
            write!(f, "\n  {remark}")?;
        }
        Ok(())
    }
}

pub(crate) fn is_counter(name: &str) -> bool {
    name.rsplit('.').next() == Some(BATCH_COUNTER)
}
