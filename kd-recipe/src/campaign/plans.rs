//! The plans of a campaign's runs, each made once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kd_core::{Error, Result};

use crate::campaign::one_run::RunEnding;
use crate::campaign::planned_run::PlannedRun;
use crate::campaign::run_plan::RunPlan;
use crate::campaign::starter::Starter;

/// Plans, each made once for all seeds.
#[derive(Debug)]
pub(crate) struct Plans<'a> {
    starter: Starter<'a>,
    made: BTreeMap<(PathBuf, Vec<String>), RunPlan>,
}

impl<'a> Plans<'a> {
    /// No plan yet.
    pub(crate) fn new(starter: Starter<'a>) -> Self {
        Self {
            starter,
            made: BTreeMap::new(),
        }
    }

    /// The plan of a run. One that was made for another seed is taken over; see [`Plans::made_anew`].
    ///
    /// # Errors
    ///
    /// What is wrong with the recipe or its inputs, under the name of the run.
    pub(crate) fn of(&mut self, run: &PlannedRun) -> Result<RunPlan> {
        let key = (run.recipe.clone(), run.overrides.clone());
        let made = self.made.get(&key);
        match made.and_then(|plan| plan.with_seed(run.seed)) {
            Some(plan) => Ok(plan),
            None => self.made_anew(run),
        }
    }

    /// The plan of a run, made for its own seed in any case.
    ///
    /// # Errors
    ///
    /// As [`Plans::of`].
    pub(crate) fn made_anew(&mut self, run: &PlannedRun) -> Result<RunPlan> {
        let plan = match self.starter.run(run, true, &mut |_| {})? {
            RunEnding::Planned(plan) => *plan,
            other => {
                self.starter.not_stopped()?;
                return Err(self.refused(run, other));
            }
        };
        let key = (run.recipe.clone(), run.overrides.clone());
        self.made.insert(key, plan.clone());
        Ok(plan)
    }

    /// The ending of a run as an error of the campaign, of the same kind.
    fn refused(&self, run: &PlannedRun, ending: RunEnding) -> Error {
        let failed = |problem: String| Error::Run {
            path: self.starter.out.join(&run.folder),
            problem,
        };
        match ending {
            RunEnding::Refused(problem) => Error::Recipe {
                origin: run.title.clone(),
                problem,
            },
            RunEnding::NoInput(problem) => Error::Input {
                path: run.recipe.clone(),
                problem: format!("({}): {problem}", run.title),
            },
            RunEnding::Diverged(problem) | RunEnding::Failed(problem) => failed(problem),
            RunEnding::Planned(_) | RunEnding::Done | RunEnding::Interrupted => {
                failed("gave no plan".into())
            }
        }
    }
}
