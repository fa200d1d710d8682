//! Notices: what a user should know beside the result, handed to whoever shows it.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use kd_core::{Error, Finding};

/// Something that a user should know beside the result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A remark on what was read, in words.
    Note(String),
    /// A finding of a run that is done, graded a warning or worse.
    Finding(Finding),
    /// The event files for TensorBoard end before the run does.
    EventsEnded(Error),
    /// The run is done, and its report could not be written.
    NoReport {
        /// The folder of the run.
        run: PathBuf,
        /// The reason.
        error: Error,
    },
}

/// A receiver of notices: a program shows them as it likes.
pub trait Notices: Debug + Send + Sync {
    /// Takes a notice.
    fn take(&self, notice: &Notice);
}

/// Drops every notice.
impl Notices for () {
    fn take(&self, _notice: &Notice) {}
}

impl<N: Notices + ?Sized> Notices for Arc<N> {
    fn take(&self, notice: &Notice) {
        (**self).take(notice);
    }
}
