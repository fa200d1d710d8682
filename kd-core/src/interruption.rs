//! Interruption of work that goes through a loader: evaluations and reports end between two batches.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crate::error::{Error, Result};

thread_local! {
    /// The flag that ends the work of this thread, while there is one.
    static STOPPED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// The time after which a change of the flag is seen at the latest.
const PAUSE: Duration = Duration::from_millis(20);

/// Does `work`, in which every [`Loader`](crate::Loader) of this thread gives [`Error::Interrupted`] in place
/// of a batch once `stop` is true. So work that takes batch after batch need not know of the flag.
///
/// The error names no run; who knows it puts it there.
pub fn interruptible<T>(stop: &AtomicBool, work: impl FnOnce() -> T) -> T {
    let seen = Arc::new(AtomicBool::new(stop.load(Ordering::Relaxed)));
    let is_done = AtomicBool::new(false);
    // The flag lives as long as it likes; what the thread keeps must be its own.
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                if stop.load(Ordering::Relaxed) {
                    seen.store(true, Ordering::Relaxed);
                }
                std::thread::park_timeout(PAUSE);
            }
        });
        let before = STOPPED.with(|stopped| stopped.replace(Some(Arc::clone(&seen))));
        let end = End {
            before,
            is_done: &is_done,
            watcher: watcher.thread().clone(),
        };
        let result = work();
        drop(end);
        result
    })
}

/// The end of the work, also where it panics: the flag of before is put back, the watcher ends.
struct End<'a> {
    before: Option<Arc<AtomicBool>>,
    is_done: &'a AtomicBool,
    watcher: Thread,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        STOPPED.with(|stopped| stopped.replace(self.before.take()));
        self.is_done.store(true, Ordering::Relaxed);
        self.watcher.unpark();
    }
}

/// An error if the work of this thread is to end.
pub(crate) fn check() -> Result<()> {
    let is_stopped = STOPPED.with(|stopped| {
        let stopped = stopped.borrow();
        stopped
            .as_ref()
            .is_some_and(|stopped| stopped.load(Ordering::Relaxed))
    });
    if !is_stopped {
        return Ok(());
    }
    Err(Error::Interrupted {
        run: PathBuf::new(),
        phase: String::new(),
        step: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_work_inside_is_interrupted() {
        let stop = AtomicBool::new(true);
        check().unwrap();
        let (inside, nested, after) = interruptible(&stop, || {
            let nested = interruptible(&AtomicBool::new(false), check);
            (check(), nested, check())
        });
        assert!(inside.is_err() && nested.is_ok() && after.is_err());
        check().unwrap();
    }

    #[test]
    fn a_flag_that_turns_under_way_is_seen() {
        let stop = AtomicBool::new(false);
        interruptible(&stop, || {
            check().unwrap();
            stop.store(true, Ordering::Relaxed);
            // However busy the machine is.
            let seen = (0..1000).any(|_| {
                std::thread::sleep(PAUSE / 2);
                check().is_err()
            });
            assert!(seen);
        });
    }

    #[test]
    fn a_panic_leaves_no_flag_behind() {
        let panics = || interruptible(&AtomicBool::new(true), || panic!("of the test"));
        assert!(std::panic::catch_unwind(panics).is_err());
        check().unwrap();
    }
}
