//! The maps of a run that were computed so far, and those of the phase that is under way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{KeptAnswers, Result, Store, StoreBuild, TaskNetwork, ViewPolicy};

use super::store::{MAPS_BATCH, MAPS_FOLDER};
use super::work::PhaseWork;
use crate::data::Role;

/// The maps that are kept for a phase, by the role of the samples; what is not kept is computed in every
/// step.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhaseMaps {
    /// Answers of the teacher.
    pub(crate) answers: BTreeMap<Role, KeptAnswers>,
    /// Maps of the frozen stages, or the dense representation where the head alone is trained.
    pub(crate) prefix: BTreeMap<Role, Store>,
}

/// The maps that were computed so far.
#[derive(Debug, Default)]
pub(crate) struct MapCache {
    /// The folder of the run that they are of.
    folder: PathBuf,
    /// Answers of the teacher, for all phases.
    answers: BTreeMap<Role, KeptAnswers>,
    /// The phase that is under way, and its maps.
    phase: Option<(usize, PhaseMaps)>,
}

impl MapCache {
    /// The maps that are kept for a phase; those that are missing are computed.
    ///
    /// # Errors
    ///
    /// One of the kind `Interrupted` if the build is stopped; those of the teacher, of the student and of
    /// files.
    pub(crate) fn of_phase<S: TaskNetwork>(
        &mut self,
        work: &PhaseWork<'_, S>,
        build: &mut StoreBuild<'_>,
    ) -> Result<PhaseMaps> {
        if !work.method.cache.enabled {
            return Ok(PhaseMaps::default());
        }
        if self.folder != work.folder {
            *self = Self {
                folder: work.folder.to_owned(),
                ..Self::default()
            };
        }
        if let Some((of, maps)) = &self.phase
            && *of == work.index
        {
            return Ok(maps.clone());
        }
        let before = self.phase.take();
        if !work.teacher_is_still_read() {
            self.answers.clear();
        }
        let mut here = PhaseMaps::default();
        for role in work.roles() {
            self.add_role(role, work, before.as_ref(), &mut here, build)?;
        }
        drop(before);
        self.remove_other_files(work.folder, &here);
        self.phase = Some((work.index, here.clone()));
        Ok(here)
    }

    /// Adds the maps of one role to those of a phase; `before` are those of the phase before it.
    fn add_role<S: TaskNetwork>(
        &mut self,
        role: Role,
        work: &PhaseWork<'_, S>,
        before: Option<&(usize, PhaseMaps)>,
        here: &mut PhaseMaps,
        build: &mut StoreBuild<'_>,
    ) -> Result<()> {
        let loader = work.method.ordered_loader(role, MAPS_BATCH)?;
        if loader.config().views == ViewPolicy::Unlimited {
            return Ok(());
        }
        if work.asks_teacher(role) {
            if !self.answers.contains_key(&role) {
                let used = self.memory(before, here);
                let answers = work.teacher_answers(role, &loader, used, build)?;
                self.answers.insert(role, answers);
            }
            let answers = self.answers.get(&role).cloned();
            here.answers.extend(answers.map(|answers| (role, answers)));
        }
        let used = self.memory(before, here);
        let from = before.and_then(|(of, maps)| Some((*of, maps.prefix.get(&role)?)));
        let prefix = work.prefix_maps(role, &loader, from, used, build)?;
        here.prefix.extend(prefix.map(|prefix| (role, prefix)));
        Ok(())
    }

    /// The stores of the teacher and of two phases.
    fn stores<'a>(
        &'a self,
        before: Option<&'a (usize, PhaseMaps)>,
        here: &'a PhaseMaps,
    ) -> impl Iterator<Item = &'a Store> {
        let before = before
            .into_iter()
            .flat_map(|(_, maps)| maps.prefix.values());
        let answers = self.answers.values().map(KeptAnswers::store);
        answers.chain(before).chain(here.prefix.values())
    }

    /// The bytes that are held in memory.
    fn memory(&self, before: Option<&(usize, PhaseMaps)>, here: &PhaseMaps) -> u64 {
        self.stores(before, here).map(Store::memory).sum()
    }

    /// Removes the files that a killed process left in the run's folder and that are read no more.
    fn remove_other_files(&self, folder: &Path, here: &PhaseMaps) {
        let wanted: Vec<&Path> = self.stores(None, here).filter_map(Store::path).collect();
        let Ok(entries) = std::fs::read_dir(folder.join(MAPS_FOLDER)) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if !wanted.contains(&path.as_path()) {
                // A file that cannot be removed is tried again before the next phase.
                drop(std::fs::remove_file(path));
            }
        }
    }
}
