//! Starting the runs of a campaign.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kd_core::{Error, Result, RunFolder};

use crate::campaign::one_run::{RunEnding, RunProgress, RunRequest, StartRun};
use crate::campaign::options::CampaignOptions;
use crate::campaign::planned_run::PlannedRun;

/// So long a run that another process still holds is waited for: a campaign that was killed leaves one that
/// is about to write its checkpoint.
const PATIENCE: Duration = Duration::from_mins(1);

/// Starts the runs of a campaign.
#[derive(Clone, Debug)]
pub(crate) struct Starter<'a> {
    /// The way that runs are made.
    pub(crate) way: &'a dyn StartRun,
    /// The folder of the campaign, absolute.
    pub(crate) out: &'a Path,
    /// What the campaign is run with.
    pub(crate) options: &'a CampaignOptions,
    /// Whether it is time to stop.
    pub(crate) stop: &'a AtomicBool,
    /// How many runs share the cores where nothing is said of threads.
    pub(crate) sharing: usize,
}

impl Starter<'_> {
    /// Makes a run, or only its plan. How far it is goes to `heard`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn run(
        &self,
        planned: &PlannedRun,
        plan_only: bool,
        heard: &mut dyn FnMut(&RunProgress),
    ) -> Result<RunEnding> {
        let request = RunRequest {
            overrides: planned.overrides.clone(),
            device: self.options.device,
            threads: self.threads(),
            data_dir: self.options.data_dir.clone(),
            plan_only,
            ..RunRequest::new(
                &planned.recipe,
                planned.seed,
                self.out.join(&planned.folder),
            )
        };
        let folder = &self.options.started_in;
        self.way.start(&request, folder, self.stop, heard)
    }

    /// The threads of one run, if not all cores.
    fn threads(&self) -> Option<u16> {
        let share = || {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            u16::try_from(cores / self.sharing).map_or(u16::MAX, |share| share.max(1))
        };
        let shared = (self.sharing > 1).then(share);
        self.options.threads.or(shared)
    }

    /// Waits until no other process holds the run in `folder`.
    ///
    /// # Errors
    ///
    /// That of opening it, if it is held for long; [`Error::Interrupted`].
    pub(crate) fn wait_for(&self, folder: &Path) -> Result<()> {
        if !folder.join("recipe.toml").is_file() {
            return Ok(());
        }
        let since = Instant::now();
        loop {
            match RunFolder::open(folder) {
                Ok(_) => return Ok(()),
                Err(error) if since.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            self.not_stopped()?;
        }
    }

    /// Whether it is time to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// # Errors
    ///
    /// [`Error::Interrupted`] if it is time to stop.
    pub(crate) fn not_stopped(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Error::Interrupted {
                run: self.options.out.clone(),
                phase: "preparation".into(),
                step: 0,
            });
        }
        Ok(())
    }
}
