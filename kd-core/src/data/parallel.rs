//! Work on many files, on all cores.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::counted_work::{CountedWork, tell_counted};
use crate::error::{Error, Result};

/// Threads that decode; more gain little and each holds a whole image.
const MOST_THREADS: usize = 16;

/// Does `work` for each of `count` jobs, which are images. What is said of it, as "reading images", is told
/// as [`CountedWork`].
///
/// The error is that of the first bad job, whatever the threads do: jobs are handed out in order, and those
/// before a bad one are finished.
pub(super) fn for_each<T>(
    said: Option<&str>,
    count: usize,
    jobs: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let jobs = Mutex::new(jobs.enumerate());
    let first_bad = AtomicUsize::new(usize::MAX);
    let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let done = AtomicUsize::new(0);
    let tell = || {
        let Some(what) = said else { return };
        tell_counted(CountedWork {
            what,
            unit: "images",
            done: done.load(Ordering::Relaxed) as u64,
            total: count as u64,
        });
    };
    tell();
    // Only the thread of the caller has somebody who listens.
    let worker = |tell: &dyn Fn()| {
        loop {
            let Some((at, job)) = lock(&jobs).next() else {
                return;
            };
            if at > first_bad.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = work(job) {
                first_bad.fetch_min(at, Ordering::Relaxed);
                let mut failure = lock(&failure);
                if failure.as_ref().is_none_or(|(other, _)| at < *other) {
                    *failure = Some((at, error));
                }
            }
            done.fetch_add(1, Ordering::Relaxed);
            tell();
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 1..cores.min(MOST_THREADS).min(count) {
            scope.spawn(|| worker(&|| ()));
        }
        worker(&tell);
    });
    tell();
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// No thread panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
