//! What is kept in a run: the teacher's maps for all phases, and those of the frozen stages for one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{Observer, Result, ViewPolicy};

use crate::making::Work;
use crate::procedure::PhaseSpec;
use crate::store::{Making, Store};
use crate::{StageNetwork, StagewiseData};

/// The fields of the dense representation and of the teacher's output. Stages are not called so, which is checked.
pub(crate) const DENSE: &str = "dense";
pub(crate) const ANSWER: &str = "logits";

/// Samples that are asked about together.
pub(crate) const BATCH: usize = 64;

/// Which samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Train,
    Unlabelled,
    Validation,
    Test,
}

impl Role {
    /// What a phase is trained on.
    pub(crate) fn of(phase: &PhaseSpec, data: &StagewiseData) -> Self {
        if data.unlabelled.is_some() && !phase.objective.reads_output() {
            Self::Unlabelled
        } else {
            Self::Train
        }
    }

    pub(crate) fn is_trained_on(self) -> bool {
        matches!(self, Self::Train | Self::Unlabelled)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Unlabelled => "unlabelled",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// What is kept for a phase of the samples of one role; what is not is computed in every step.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhaseMaps {
    /// Maps of the frozen stages, or the dense representation where the head alone is trained.
    pub(crate) student: Option<Store>,
    /// Maps of the teacher by its own stages.
    pub(crate) teacher: Option<Store>,
}

/// What was computed so far.
#[derive(Debug, Default)]
pub(crate) struct KeptMaps {
    /// The run that it is of.
    folder: PathBuf,
    teacher: BTreeMap<Role, Store>,
    /// The phase that is under way, and its maps.
    phase: Option<(usize, BTreeMap<Role, PhaseMaps>)>,
}

impl KeptMaps {
    /// What is kept for a phase; what is missing is computed.
    ///
    /// # Errors
    ///
    /// One of the kind `Interrupted` if `stop` turns true; those of the teacher, of the student and of files.
    pub(crate) fn of_phase<S: StageNetwork>(
        &mut self,
        work: &Work<'_, S>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<BTreeMap<Role, PhaseMaps>> {
        let (method, phase) = (work.method, work.phase());
        if !method.cache.enabled {
            return Ok(BTreeMap::new());
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
        let phases = &work.layout.phases[work.index..];
        if !phases.iter().any(|phase| phase.objective.reads_teacher()) {
            self.teacher.clear();
        }
        let trained_on = Role::of(phase, &method.data);
        let mut roles = method.measured_on(phase);
        roles.push(trained_on);
        let mut here: BTreeMap<Role, PhaseMaps> = BTreeMap::new();
        for role in roles {
            let loader = work.loader(role)?;
            if loader.config().views == ViewPolicy::Unlimited {
                continue;
            }
            let mut making = Making {
                what: String::new(),
                observer: &mut *observer,
                stop,
                batch_size: BATCH,
            };
            // A phase with labels is measured by its answers alone.
            let asks = phase.objective.reads_teacher()
                && (role == trained_on || !phase.objective.reads_output());
            if asks && !self.teacher.contains_key(&role) {
                let used = self.memory(before.as_ref(), &here);
                let made = work.teacher_maps(role, &loader, used, &mut making)?;
                self.teacher.insert(role, made);
            }
            let teacher = self.teacher.get(&role).filter(|_| asks).cloned();
            let used = self.memory(before.as_ref(), &here);
            let from = before
                .as_ref()
                .and_then(|(of, maps)| Some((*of, maps.get(&role)?.student.as_ref()?)));
            let student = work.student_maps(role, &loader, from, used, &mut making)?;
            here.insert(role, PhaseMaps { student, teacher });
        }
        drop(before);
        self.remove_other_files(work.folder, &here);
        self.phase = Some((work.index, here.clone()));
        Ok(here)
    }

    /// The bytes that are held in memory.
    fn memory(
        &self,
        before: Option<&(usize, BTreeMap<Role, PhaseMaps>)>,
        here: &BTreeMap<Role, PhaseMaps>,
    ) -> u64 {
        let before = before.into_iter().flat_map(|(_, maps)| maps.values());
        let students = before
            .chain(here.values())
            .filter_map(|maps| maps.student.as_ref());
        self.teacher
            .values()
            .chain(students)
            .map(Store::memory)
            .sum()
    }

    /// Removes the files that a killed process left in the run's folder and that nobody will read.
    fn remove_other_files(&self, folder: &Path, here: &BTreeMap<Role, PhaseMaps>) {
        let students = here.values().filter_map(|maps| maps.student.as_ref());
        let wanted: Vec<&Path> = self
            .teacher
            .values()
            .chain(students)
            .filter_map(Store::path)
            .collect();
        let Ok(entries) = std::fs::read_dir(folder.join(MAPS)) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if !wanted.contains(&path.as_path()) {
                // What cannot be removed is tried again before the next phase.
                drop(std::fs::remove_file(path));
            }
        }
    }
}

/// The folder of maps in that of the run.
pub(crate) const MAPS: &str = "maps";
