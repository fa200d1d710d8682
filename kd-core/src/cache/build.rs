//! Building a cache: every view of every sample, computed once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use burn::tensor::TensorData;

use crate::cache::description::CacheDescription;
use crate::cache::read::Cache;
use crate::cache::room::check_room;
use crate::cache::write::CacheWriter;
use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::loader::batches::Loader;
use crate::training::observer::Observer;

/// How often a cache that another process builds is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Builds the cache that `description` describes at `path`, going on with what was begun there before; if
/// there is a cache, it is opened. While another process builds it, this one waits.
///
/// `answer` is asked about batches of at most `batch_size` samples of one view, which `loader` makes, and
/// gives for each field of the description `[batch_size, ...]`. What it says of a sample must not depend on
/// the batch that the sample stands in.
///
/// When it returns, every row has been brought to the disk, read back and compared with its checksum. If
/// `stop` turns true, it ends after the batch that is under way; what is done stays, and the next call goes
/// on from there. So it does after a kill.
///
/// # Errors
///
/// [`Error::CacheInterrupted`], those of [`CacheWriter`], of the loader and of `answer`.
pub fn build_cache(
    path: &Path,
    description: CacheDescription,
    loader: &Loader,
    batch_size: usize,
    mut answer: impl FnMut(&Batch) -> Result<Vec<TensorData>>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Cache> {
    let ids = loader.subset().ids();
    let mut answer = |view: u64, ids: &[u32]| answer(&loader.view(view, ids)?);
    fill_cache(
        path,
        description,
        ids,
        batch_size,
        &mut answer,
        observer,
        stop,
    )
}

/// The rows of each field for some samples of one view.
pub(super) type FilledRows<'a> = dyn FnMut(u64, &[u32]) -> Result<Vec<TensorData>> + 'a;

/// Builds a cache as [`build_cache`] does, of rows for the samples `ids`; `answer` is given a view and some
/// of the ids.
pub(super) fn fill_cache(
    path: &Path,
    description: CacheDescription,
    ids: &[u32],
    batch_size: usize,
    answer: &mut FilledRows<'_>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Cache> {
    let bytes = description.file_bytes()?;
    if !path.exists() {
        check_room(path, bytes)?;
    }
    let mut writer = loop {
        if path.exists() {
            return Cache::open_for(path, &description);
        }
        match CacheWriter::open_free(path, description.clone(), &mut (), stop)? {
            // Another process may have ended between the two looks.
            Some(writer) if path.exists() => writer.abandon()?,
            Some(writer) => break writer,
            None if stop.load(Ordering::Relaxed) => {
                return Err(Error::CacheInterrupted {
                    path: path.to_owned(),
                    done: 0,
                    rows: description.rows(),
                });
            }
            None => std::thread::sleep(LOOK),
        }
    };
    observer.cache_begun(path, bytes, writer.done(), writer.rows());
    let samples = ids.len() as u64;
    while writer.done() < writer.rows() {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::CacheInterrupted {
                path: path.to_owned(),
                done: writer.done(),
                rows: writer.rows(),
            });
        }
        let view = writer.done() / samples;
        let first = usize::try_from(writer.done() % samples).unwrap_or(ids.len());
        let last = (first + batch_size.max(1)).min(ids.len());
        writer.append(&answer(view, &ids[first..last])?)?;
        observer.cache_built(writer.done(), writer.rows());
    }
    writer.finish(observer, stop)
}
