//! Runs of a campaign made in this process, one after the other or in threads of it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kd_core::Result;

use crate::campaign::one_run::{RunEnding, RunProgress, RunRequest, StartRun, make_run};
use crate::machine::Machine;
use crate::methods::Methods;

/// Makes runs in this process: for small ones, and for programs that have no command.
///
/// They share the memory and the threads of the process, and a run that crashes takes all of them with it;
/// [`Processes`] makes each in a process of its own. Paths that are not absolute begin in the folder that the
/// program was started in.
///
/// [`Processes`]: crate::Processes
#[derive(Clone, Debug)]
pub struct InProcess<'a> {
    methods: &'a Methods,
    machine: Machine,
}

impl<'a> InProcess<'a> {
    /// Runs of methods of this table; device and data are those of the campaign, notices go to `machine`'s
    /// receiver.
    pub fn new(methods: &'a Methods, machine: &Machine) -> Self {
        Self {
            methods,
            machine: machine.clone(),
        }
    }
}

impl StartRun for InProcess<'_> {
    fn start(
        &self,
        request: &RunRequest,
        _folder: &Path,
        stop: &AtomicBool,
        heard: &mut dyn FnMut(&RunProgress),
    ) -> Result<RunEnding> {
        let made = make_run(self.methods, request, &self.machine, stop, heard);
        Ok(made.unwrap_or_else(|error| RunEnding::of(&error)))
    }
}
