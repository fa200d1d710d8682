//! The table `[cache]` of a recipe: where a teacher's answers are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cache::description::CacheDtype;
use crate::error::{Error, Result};

/// The place of teacher caches and how they keep numbers: the table `[cache]` of a recipe. Either `dir` or
/// `file`; the folder `caches` where there is neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// A folder of caches, named after their contents, so that all recipes, seeds and teachers can share it.
    /// Answers for the held-out data are kept there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// One file, for one teacher and the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The precision of the numbers; with `f32` a run is the same, byte for byte, as with the teacher itself.
    #[serde(default)]
    pub dtype: CacheDtype,
}

impl CacheConfig {
    /// Caches in this folder.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: Some(dir.into()),
            ..Self::default()
        }
    }

    /// This one file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: Some(file.into()),
            ..Self::default()
        }
    }

    /// With numbers kept like this.
    #[must_use]
    pub fn with_dtype(mut self, dtype: CacheDtype) -> Self {
        self.dtype = dtype;
        self
    }

    /// The folder, if it is not one file.
    pub fn folder(&self) -> Option<PathBuf> {
        let folder = || self.dir.clone().unwrap_or_else(|| "caches".into());
        self.file.is_none().then(folder)
    }

    /// Makes the place absolute, so that it is the same from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there is no working folder.
    pub fn make_absolute(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.dir = self.folder();
        }
        for path in [&mut self.dir, &mut self.file].into_iter().flatten() {
            *path = std::path::absolute(&*path).map_err(Error::io("read", &*path))?;
        }
        Ok(())
    }

    /// Checks it for so many teachers.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] without a teacher, for both `dir` and `file`, and for one file with several
    /// teachers.
    pub fn check(&self, teachers: usize) -> Result<()> {
        let wrong = |field: &str, problem: &str| Err(Error::config(field, problem));
        match (&self.dir, &self.file, teachers) {
            (_, _, 0) => wrong(
                "cache",
                "needs a teacher; name one in the recipe, or leave the table out",
            ),
            (Some(_), Some(_), _) => wrong(
                "cache.file",
                "and `cache.dir` exclude each other; keep one of them",
            ),
            (None, Some(_), 2..) => wrong(
                "cache.file",
                "is one file, and there are several teachers; set `cache.dir` in its place",
            ),
            _ => Ok(()),
        }
    }
}
