//! A cache read by view and sample id.

use std::path::Path;

use burn::tensor::TensorData;

use crate::cache::description::CacheDescription;
use crate::cache::read::Cache;
use crate::data::subset::Subset;
use crate::error::{Error, Result};

/// A cache together with the samples that it is of.
#[derive(Debug)]
pub struct CacheReader {
    cache: Cache,
    samples: Subset,
}

impl CacheReader {
    /// Opens a cache that must hold what `wanted` asks for, of `samples`.
    ///
    /// # Errors
    ///
    /// As [`Cache::open_for`].
    pub fn open(path: &Path, wanted: &CacheDescription, samples: &Subset) -> Result<Self> {
        Self::new(Cache::open_for(path, wanted)?, samples)
    }

    /// A reader of an open cache.
    ///
    /// # Errors
    ///
    /// [`Error::StaleCache`] if the cache is of other samples.
    pub fn new(cache: Cache, samples: &Subset) -> Result<Self> {
        let data = &cache.description().data;
        if data.hash != samples.hash() {
            return Err(Error::StaleCache {
                path: cache.path().to_owned(),
                what: "the data",
                found: super::description::short(&data.hash),
                wanted: super::description::short(samples.hash()),
            });
        }
        Ok(Self {
            cache,
            samples: samples.clone(),
        })
    }

    /// The samples that the cache is of.
    pub fn samples(&self) -> &Subset {
        &self.samples
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What is kept under `field` of view `view` of the samples `ids`, in the order given.
    ///
    /// # Shapes
    ///
    /// `[ids, ...]` with the shape of the field, in single precision.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a view or a sample that is not in the cache, and those of [`Cache::read`].
    pub fn read(&self, field: usize, view: u64, ids: &[u32]) -> Result<TensorData> {
        let description = self.cache.description();
        let views = u64::from(description.views.count().unwrap_or(0));
        if view >= views {
            let problem = format!("must be below {views} (the views in the cache), got {view}");
            return Err(Error::config("view", problem));
        }
        let row = |id: &u32| {
            let position = self.samples.ids().binary_search(id).map_err(|_| {
                Error::config(
                    "ids",
                    format!("must be among the samples of the cache, got {id}"),
                )
            })?;
            Ok(view * description.data.samples + position as u64)
        };
        let rows = ids.iter().map(row).collect::<Result<Vec<_>>>()?;
        let numbers = self.cache.read(field, &rows)?;
        let mut shape = vec![ids.len()];
        shape.extend_from_slice(&description.fields[field].shape);
        Ok(TensorData::new(numbers, shape))
    }
}
