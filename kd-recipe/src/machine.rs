//! The machine that recipes are prepared on: device, folder of data sets, receiver of notices.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kd_core::{DataRoots, DeviceName, Finding, Observer, Result, Topic};

use crate::check::Check;
use crate::context::Context;
use crate::method::CachePlace;
use crate::methods::Recipe;
use crate::notices::Notices;

/// The machine that recipes are prepared on.
///
/// The default computes where the recipe says, finds data sets as [`DataRoots::from_env`] does, and drops
/// notices.
#[derive(Clone, Debug)]
pub struct Machine {
    device: Option<DeviceName>,
    data_dir: Option<PathBuf>,
    threads: Option<usize>,
    notices: Arc<dyn Notices>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            device: None,
            data_dir: None,
            threads: None,
            notices: Arc::new(()),
        }
    }
}

impl Machine {
    /// With another device than the recipes say.
    #[must_use]
    pub fn with_device(mut self, device: Option<DeviceName>) -> Self {
        self.device = device;
        self
    }

    /// With a folder that is searched first for data sets.
    #[must_use]
    pub fn with_data_dir(mut self, folder: Option<PathBuf>) -> Self {
        self.data_dir = folder;
        self
    }

    /// With the number of threads that were asked for, for the record of a run; the pool of threads is the
    /// program's to size.
    #[must_use]
    pub fn with_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = threads;
        self
    }

    /// With a receiver of notices.
    #[must_use]
    pub fn with_notices(mut self, notices: impl Notices + 'static) -> Self {
        self.notices = Arc::new(notices);
        self
    }

    /// The receiver of notices.
    pub(crate) fn notices(&self) -> &dyn Notices {
        self.notices.as_ref()
    }

    /// The threads that were asked for.
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads
    }

    /// The folder that is searched first for data sets.
    pub(crate) fn data_dir(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// What a recipe is prepared with. What `auto` means here is written into the recipe, so that a run goes
    /// on where it was begun.
    pub(crate) fn context(&self, recipe: &mut Recipe) -> Result<Context> {
        let name = match self.device {
            Some(name) => name,
            None => recipe.device().parse()?,
        };
        let name = name.resolve()?;
        recipe.set_device(name.to_string());
        let roots = DataRoots::from_env().with_explicit(self.data_dir.clone());
        let families = recipe.families().clone();
        let notices = Arc::clone(&self.notices);
        Ok(Context::new(
            recipe.seed(),
            name.open()?,
            roots,
            families,
            notices,
        ))
    }
}

impl Recipe {
    /// Looks for what would go wrong and what is suspicious; nothing is trained or written. The recipe can be
    /// prepared after it.
    ///
    /// # Errors
    ///
    /// What keeps it from looking at all, such as data that is not there.
    pub fn check(&mut self, machine: &Machine) -> Result<Check> {
        let at = machine.context(self)?;
        let mut check = self.check_in(&at)?;
        for text in at.inputs().omissions() {
            check.findings.push(Finding::warning(Topic::Data, text));
        }
        Ok(check)
    }

    /// Builds the caches of teachers' answers that a run would read, or goes on with building them, and gives
    /// their files.
    ///
    /// # Errors
    ///
    /// As [`MethodRecipe::build_caches`](crate::MethodRecipe::build_caches).
    pub fn build_caches(
        &mut self,
        machine: &Machine,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let at = machine.context(self)?;
        self.build_caches_in(&at, place, observer, stop)
    }
}
