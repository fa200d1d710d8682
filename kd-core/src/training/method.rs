//! A method: a list of phases.

use std::sync::atomic::AtomicBool;

use crate::error::Result;
use crate::training::observer::Observer;
use crate::training::phase::Phase;
use crate::training::run_folder::RunFolder;

/// A method: phases, each of which may use what those before it left.
///
/// Supervised distillation is one phase. Stagewise KD is one phase a stage, each of which begins with the
/// best result of the one before it. Data-free distillation is a generator phase, for which there is no data
/// set, and then a student phase. The runner drives them all.
pub trait Method {
    /// The names of the phases in order; they name folders, too.
    fn phases(&self) -> Vec<String>;

    /// Whether phase `index` is not needed, given the results of all phases before it: as a phase that
    /// lengthens another until a goal is met. It is then left out, and has no result. By default no phase is.
    ///
    /// It must be a pure function of the method and those results.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being known.
    fn skips(&self, _index: usize, _earlier: &RunFolder) -> Result<bool> {
        Ok(false)
    }

    /// Does the long work that phase `index` needs before it can start, as building the cache of a teacher's
    /// answers.
    ///
    /// The runner calls it before each [`start`](Self::start); after an interruption again, and then it goes
    /// on where it was. By default there is nothing to do.
    ///
    /// # Errors
    ///
    /// One of the kind [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) if `stop` turns true, and
    /// whatever keeps the work from being done.
    fn make_ready(
        &self,
        _index: usize,
        _earlier: &RunFolder,
        _observer: &mut dyn Observer,
        _stop: &AtomicBool,
    ) -> Result<()> {
        Ok(())
    }

    /// Makes phase `index`, given the results of all phases before it.
    ///
    /// It must be a pure function of the method and those results: after an interruption it is called again.
    ///
    /// # Errors
    ///
    /// Whatever keeps the phase from being made.
    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>>;
}

impl<M: Method + ?Sized> Method for Box<M> {
    fn phases(&self) -> Vec<String> {
        (**self).phases()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        (**self).skips(index, earlier)
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        (**self).make_ready(index, earlier, observer, stop)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        (**self).start(index, earlier)
    }
}
