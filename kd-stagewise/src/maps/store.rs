//! The place of maps: in memory as long as they fit there, else in files of the run.

use std::path::PathBuf;

use kd_core::{
    CacheField, Error, Loader, Result, Store, StoreBuild, StoreRows, TaskNetwork, memory_limit,
    partial_path, store_bytes,
};

use super::work::PhaseWork;

/// The folder of maps in that of the run.
pub(super) const MAPS_FOLDER: &str = "maps";

/// Samples whose maps are computed together.
pub(crate) const MAPS_BATCH: usize = 64;

impl<S: TaskNetwork> PhaseWork<'_, S> {
    /// Whether `fields` of the samples of `loader` fit into memory beside `used` bytes.
    pub(super) fn fit(&self, fields: &[CacheField], loader: &Loader, used: u64) -> bool {
        let asked = self.method.cache.memory_mib.saturating_mul(1 << 20);
        let limit = memory_limit().map_or(asked, |memory| asked.min(memory / 2));
        store_bytes(fields, loader).saturating_add(used) <= limit
    }

    /// Computes rows and holds them in memory.
    pub(super) fn in_memory(
        &self,
        fields: &[CacheField],
        loader: &Loader,
        build: &mut StoreBuild<'_>,
        rows: &mut StoreRows<'_>,
    ) -> Result<Store> {
        let store = Store::compute(fields, loader, build, rows)?;
        store.ok_or_else(|| self.interrupted())
    }

    /// A file of the run, which goes with it; one that a killed process left and that is of something else is
    /// made again.
    pub(super) fn in_run_file(
        &self,
        name: &str,
        mut make: impl FnMut(&PathBuf) -> Result<Store>,
    ) -> Result<Store> {
        let path = self
            .folder
            .join(MAPS_FOLDER)
            .join(format!("{name}.kdcache"));
        let made = match make(&path) {
            Err(Error::StaleCache { .. } | Error::BadFile { .. }) => {
                for left in [path.clone(), partial_path(&path)] {
                    if left.exists() {
                        std::fs::remove_file(&left).map_err(Error::io("write", &left))?;
                    }
                }
                make(&path)?
            }
            other => other?,
        };
        Ok(made.for_this_run())
    }
}
