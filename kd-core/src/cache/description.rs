//! The description of a cache: its teacher, its samples and views, its fields.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::checksum::CRC_BYTES;
use crate::data::split::Split;
use crate::error::{Error, Result};
use crate::loader::batches::Loader;
use crate::network::tensors::hex;
use crate::views::augment::Augment;
use crate::views::policy::ViewPolicy;

/// What a cache holds, and of what: the JSON in its header.
///
/// Two descriptions that differ in anything but `made_by` and `fields` are of different answers. A cache
/// serves a run if all that the run needs is in it; see [`CacheDescription::serves`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheDescription {
    /// The SHA-256 of who was asked: weights, running statistics, normalisation.
    pub teacher: String,
    /// The samples.
    pub data: CachedData,
    /// How many views each sample has; never unlimited.
    pub views: ViewPolicy,
    /// What the views look like; nothing where there is one view only.
    pub augment: Augment,
    /// The seed of the views; 0 where there is one view only.
    pub view_seed: u64,
    /// How numbers are kept.
    pub dtype: CacheDtype,
    /// What is kept of each view of each sample, in the order of the row.
    pub fields: Vec<CacheField>,
    /// Which kd made it, for people.
    pub made_by: String,
}

/// The samples that a cache is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachedData {
    /// The name of the data set, for people.
    pub name: String,
    /// Its part, for people.
    pub split: Split,
    /// The SHA-256 of pixels, labels and ids; see [`Subset::hash`](crate::Subset::hash).
    pub hash: String,
    /// The number of samples.
    pub samples: u64,
}

/// Something that is kept of each view of each sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheField {
    /// `logits`, or the name of a tap.
    pub name: String,
    /// The shape of one sample's, without the batch: `[num_classes]`, `[channels, height, width]`.
    pub shape: Vec<usize>,
}

/// How numbers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CacheDtype {
    /// As they are, 4 bytes each.
    #[default]
    F32,
    /// Rounded to the nearest half precision number, 2 bytes each: off by at most 2^-11 of the value, or by
    /// 2^-25 where that is more. Values beyond 65504 are refused.
    F16,
}

impl CacheDtype {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

impl fmt::Display for CacheDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

impl CacheField {
    /// A field of this name and shape.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self {
            name: name.into(),
            shape: shape.into(),
        }
    }
}

impl fmt::Display for CacheField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.shape)
    }
}

impl CacheDescription {
    /// What a cache of the answers of `teacher` (a hash) to the views that `loader` gives must hold.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the views are unlimited, or the fields are not usable: none, an empty shape, a
    /// name twice.
    pub fn new(
        teacher: impl Into<String>,
        loader: &Loader,
        fields: Vec<CacheField>,
        dtype: CacheDtype,
    ) -> Result<Self> {
        let config = loader.config();
        if config.views == ViewPolicy::Unlimited {
            let problem = "is \"unlimited\", and nothing that never comes again can be cached; set it to 1, \
                           or to the size of a bank";
            return Err(Error::config("views", problem));
        }
        let dataset = loader.subset().dataset();
        let made = Self {
            teacher: teacher.into(),
            data: CachedData {
                name: dataset.name().to_owned(),
                split: dataset.split(),
                hash: loader.subset().hash().to_owned(),
                samples: loader.subset().len() as u64,
            },
            views: config.views,
            augment: config.applied(),
            view_seed: config.view_seed(),
            dtype,
            fields,
            made_by: format!("kd {}", env!("CARGO_PKG_VERSION")),
        };
        made.check()
            .map_err(|problem| Error::config("cache", problem))?;
        Ok(made)
    }

    /// Rows in the file: one for each view of each sample.
    pub fn rows(&self) -> u64 {
        // `check` has seen that this does not overflow.
        self.data.samples * u64::from(self.views.count().unwrap_or(0))
    }

    /// The SHA-256, in hexadecimal, of all that a cache must agree in to serve this: it names files in a
    /// folder of caches.
    ///
    /// # Errors
    ///
    /// As [`CacheDescription::file_bytes`].
    pub fn key(&self) -> Result<String> {
        let bare = Self {
            data: CachedData {
                name: String::new(),
                ..self.data.clone()
            },
            made_by: String::new(),
            ..self.clone()
        };
        let json = serde_json::to_vec(&bare).map_err(|error| Error::method("cache key", error))?;
        Ok(hex(&Sha256::digest(&json)))
    }

    /// A name for the file of such a cache in a folder of caches: the teacher, the data, the rest.
    ///
    /// # Errors
    ///
    /// As [`CacheDescription::key`].
    pub fn file_name(&self) -> Result<String> {
        let (teacher, data, key) = (short(&self.teacher), short(&self.data.hash), self.key()?);
        Ok(format!("{teacher}-{data}-{}.kdcache", short(&key)))
    }

    /// Whether a cache of this description has all that `wanted` asks: the same answers, and at least its
    /// fields.
    pub fn serves(&self, wanted: &Self) -> bool {
        self.difference(wanted).is_none()
    }

    /// The first thing in which a cache of this description does not serve `wanted`: what, what it is here,
    /// what is wanted.
    pub(super) fn difference(&self, wanted: &Self) -> Option<(&'static str, String, String)> {
        let json = |augment: &Augment| serde_json::to_string(augment).unwrap_or_default();
        let pairs = [
            (
                "the teacher",
                short(&self.teacher),
                short(&wanted.teacher),
                self.teacher == wanted.teacher,
            ),
            (
                "the data",
                short(&self.data.hash),
                short(&wanted.data.hash),
                self.data.hash == wanted.data.hash,
            ),
            (
                "the number of samples",
                self.data.samples.to_string(),
                wanted.data.samples.to_string(),
                self.data.samples == wanted.data.samples,
            ),
            (
                "the number of views",
                self.views.to_string(),
                wanted.views.to_string(),
                self.views == wanted.views,
            ),
            (
                "the augmentation",
                json(&self.augment),
                json(&wanted.augment),
                self.augment == wanted.augment,
            ),
            (
                "the seed of the views",
                self.view_seed.to_string(),
                wanted.view_seed.to_string(),
                self.view_seed == wanted.view_seed,
            ),
            (
                "the precision",
                self.dtype.to_string(),
                wanted.dtype.to_string(),
                self.dtype == wanted.dtype,
            ),
        ];
        let first = pairs.into_iter().find(|(.., same)| !same);
        if let Some((what, found, wanted, _)) = first {
            return Some((what, found, wanted));
        }
        let lacking = wanted
            .fields
            .iter()
            .find(|field| !self.fields.contains(field))?;
        let found = self
            .fields
            .iter()
            .map(CacheField::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        Some(("what is kept", found, lacking.to_string()))
    }

    /// What is wrong with a description that was read or made, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        let views = self.views.count().ok_or("the views are unlimited")?;
        self.views.check().map_err(|error| error.to_string())?;
        self.augment.check().map_err(|error| error.to_string())?;
        if self.data.samples == 0 || self.fields.is_empty() {
            return Err("there is nothing to keep".into());
        }
        for (index, field) in self.fields.iter().enumerate() {
            if field.shape.is_empty() || field.shape.contains(&0) {
                return Err(format!("`{}` has the shape {:?}", field.name, field.shape));
            }
            if self.fields[..index]
                .iter()
                .any(|other| other.name == field.name)
            {
                return Err(format!("`{}` is there twice", field.name));
            }
        }
        let size = || {
            let mut row = 0_u64;
            for field in &self.fields {
                let mut bytes = self.dtype.bytes() as u64;
                for &side in &field.shape {
                    bytes = bytes.checked_mul(u64::try_from(side).ok()?)?;
                }
                row = row.checked_add(bytes)?.checked_add(CRC_BYTES as u64)?;
            }
            let rows = self.data.samples.checked_mul(u64::from(views))?;
            let all = row.checked_mul(rows)?;
            // Half of what can be counted is left for the header.
            (all < u64::MAX / 2 && usize::try_from(row).is_ok()).then_some(all)
        };
        size()
            .map(drop)
            .ok_or_else(|| "its rows are too large to be counted".into())
    }
}

/// The first twelve digits of a hash, which is enough to tell one from another.
pub(super) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}
