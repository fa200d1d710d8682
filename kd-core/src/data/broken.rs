//! Files of samples that cannot be read: all named at once, or left out and listed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::data::parallel::for_each;
use crate::error::{Error, Result};

/// The files that could not be read and were left out, where that was asked for; clones share the list.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut(Option<Arc<Mutex<BTreeSet<PathBuf>>>>);

impl LeftOut {
    /// Leaves such files out if `skip` is true.
    pub(super) fn where_asked(skip: bool) -> Self {
        Self(skip.then(Arc::default))
    }

    /// The files that were left out so far, sorted.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let files = self.0.as_ref();
        files.map_or_else(Vec::new, |files| lock(files).iter().cloned().collect())
    }

    /// Reads each of the `count` samples of a split below `folder` on all cores, and gives the places of
    /// those that are left out.
    ///
    /// # Errors
    ///
    /// Where nothing is left out, [`Error::BadFile`] for the one broken file or [`Error::Input`] that names
    /// all of them; [`Error::Input`] where no file can be read; and other errors of `read`.
    pub(super) fn read_each<T>(
        &self,
        folder: &Path,
        count: usize,
        jobs: impl Iterator<Item = T> + Send,
        read: impl Fn(T) -> Result<()> + Sync,
    ) -> Result<BTreeSet<usize>> {
        let broken = Mutex::new(Vec::new());
        for_each(
            Some("reading images"),
            count,
            jobs.enumerate(),
            |(at, job)| match read(job) {
                Err(error @ Error::BadFile { .. }) => {
                    lock(&broken).push((at, error));
                    Ok(())
                }
                other => other,
            },
        )?;
        let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
        broken.sort_by_key(|(at, _)| *at);
        let Some(left_out) = &self.0 else {
            check_broken(folder, count, broken)?;
            return Ok(BTreeSet::new());
        };
        let places: BTreeSet<usize> = broken.iter().map(|(at, _)| *at).collect();
        if !places.is_empty() && places.len() == count {
            return Err(Error::Input {
                path: folder.to_owned(),
                problem: "has no image that can be read; replace them".to_owned(),
            });
        }
        lock(left_out).extend(broken.into_iter().filter_map(|(_, error)| match error {
            Error::BadFile { path, .. } => Some(path),
            _ => None,
        }));
        Ok(places)
    }
}

/// Takes the rows at `places` out of rows of `size` values each.
pub(super) fn drop_rows<T: Copy>(rows: &mut Vec<T>, size: usize, places: &BTreeSet<usize>) {
    if places.is_empty() || size == 0 {
        return;
    }
    let mut next = 0;
    for at in (0..rows.len() / size).filter(|at| !places.contains(at)) {
        rows.copy_within(at * size..(at + 1) * size, next * size);
        next += 1;
    }
    rows.truncate(next * size);
}

/// An error that names the images of a folder that cannot be read, the first few of them by what is wrong.
fn check_broken(folder: &Path, images: usize, mut broken: Vec<(usize, Error)>) -> Result<()> {
    const SHOWN: usize = 10;
    if broken.len() < 2 {
        return match broken.pop() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        };
    }
    let count = broken.len();
    let shown = broken.iter().take(SHOWN).map(|(_, error)| match error {
        Error::BadFile { path, problem, .. } => format!("`{}` ({problem})", path.display()),
        other => other.to_string(),
    });
    let shown: Vec<String> = shown.collect();
    let more = match count.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::Input {
        path: folder.to_owned(),
        problem: format!(
            "has {count} images of {images} that cannot be read: {}{more}; replace them, remove them, or \
             leave them out with `skip_broken = true`",
            shown.join(", ")
        ),
    })
}

/// No thread panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
