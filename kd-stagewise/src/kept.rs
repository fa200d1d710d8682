//! What is computed once in a run: the teacher's maps for all phases, and those of the frozen stages for one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Tensor;
use kd_core::{
    Cache, CacheDescription, CacheDtype, Error, Loader, LoaderConfig, Names, Observer, Result,
    Subset, ViewPolicy, export, hash_tensors,
};

use crate::method::Layout;
use crate::procedure::PhaseSpec;
use crate::reads::Reads;
use crate::rows::Rows;
use crate::store::{Field, Making, Store, bytes};
use crate::{PrefixMode, StageNetwork, Stagewise, StagewiseData};

/// The field of the dense representation, and that of the teacher's output. No stage is called so.
pub(crate) const DENSE: &str = "(dense)";
pub(crate) const ANSWER: &str = "(output)";

/// Samples that are asked about together.
const BATCH: usize = 64;

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
        if data.unlabelled.is_some() && !phase.objective.reads_labels() {
            Self::Unlabelled
        } else {
            Self::Train
        }
    }

    pub(crate) fn is_trained_on(self) -> bool {
        matches!(self, Self::Train | Self::Unlabelled)
    }

    fn name(self) -> &'static str {
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
    pub(crate) teacher: Option<Store>,
}

/// What was computed so far.
#[derive(Debug, Default)]
pub(crate) struct KeptMaps {
    teacher: BTreeMap<Role, Store>,
    /// The phase that is under way, and the maps of the stages before it.
    phase: Option<(usize, BTreeMap<Role, Store>)>,
}

impl KeptMaps {
    /// What there is to be kept for phase `index`, which begins with `student`.
    #[expect(clippy::too_many_arguments, reason = "what a run is made of, once")]
    pub(crate) fn of_phase<S: StageNetwork>(
        &mut self,
        method: &Stagewise<S>,
        layout: &Layout,
        index: usize,
        student: &S,
        folder: &Path,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<BTreeMap<Role, PhaseMaps>> {
        if !method.cache.enabled {
            return Ok(BTreeMap::new());
        }
        let phase = &layout.phases[index];
        let trained_on = Role::of(phase, &method.data);
        let mut roles = method.measured_on(phase);
        roles.push(trained_on);
        let asked_of_teacher = |role: Role| {
            // Labels alone are looked at on the samples that a phase with labels is measured on.
            phase.objective.reads_teacher()
                && (role == trained_on || !phase.objective.reads_labels())
        };
        let work = Work {
            method,
            layout,
            index,
            student: student.valid(),
            folder,
        };
        let before = match self.phase.take() {
            Some((of, stores)) if of == index => {
                self.phase = Some((of, stores));
                None
            }
            other => other,
        };
        let held = |before: &Option<(usize, BTreeMap<Role, Store>)>| -> u64 {
            let stores = before.iter().flat_map(|(_, stores)| stores.values());
            stores.map(Store::memory).sum()
        };
        let mut all = BTreeMap::new();
        let mut here: BTreeMap<Role, Store> = BTreeMap::new();
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
            let teacher = if asked_of_teacher(role) {
                if !self.teacher.contains_key(&role) {
                    let used = self.memory()
                        + held(&before)
                        + here.values().map(Store::memory).sum::<u64>();
                    let made = work.teacher_maps(role, &loader, used, &mut making)?;
                    self.teacher.insert(role, made);
                }
                self.teacher.get(&role).cloned()
            } else {
                None
            };
            let done = match &self.phase {
                Some((_, stores)) => stores.get(&role).cloned(),
                None => None,
            };
            let student = match done {
                Some(done) => Some(done),
                None if self.phase.is_some() => None,
                None => {
                    let used = self.memory()
                        + held(&before)
                        + here.values().map(Store::memory).sum::<u64>();
                    let from = before
                        .as_ref()
                        .and_then(|(of, stores)| Some((*of, stores.get(&role)?)));
                    work.student_maps(role, &loader, from, used, &mut making)?
                }
            };
            if let Some(student) = &student {
                here.insert(role, student.clone());
            }
            all.insert(role, PhaseMaps { student, teacher });
        }
        if self.phase.is_none() {
            self.phase = Some((index, here));
        }
        Ok(all)
    }

    /// The bytes that are held in memory.
    fn memory(&self) -> u64 {
        let phase = self.phase.iter().flat_map(|(_, stores)| stores.values());
        self.teacher.values().chain(phase).map(Store::memory).sum()
    }
}

/// What maps are computed with.
struct Work<'a, S: StageNetwork> {
    method: &'a Stagewise<S>,
    layout: &'a Layout,
    index: usize,
    student: S,
    folder: &'a Path,
}

impl<S: StageNetwork> Work<'_, S> {
    /// The views of the samples of a role, in order.
    fn loader(&self, role: Role) -> Result<Loader> {
        self.loader_of(role, self.method.samples(role)?)
    }

    fn loader_of(&self, role: Role, samples: Subset) -> Result<Loader> {
        let (method, ordered) = (self.method, LoaderConfig::ordered(BATCH));
        let config = if role.is_trained_on() {
            LoaderConfig {
                bank_seed: method.bank_seed,
                views: method.data.views,
                augment: method.data.augment.clone(),
                ..ordered
            }
        } else {
            ordered
        };
        Loader::new(samples, config, &method.device.clone().inner())
    }

    fn fits(&self, bytes: u64, used: u64) -> bool {
        bytes.saturating_add(used) <= self.method.cache.memory_mib.saturating_mul(1 << 20)
    }

    /// The stages whose maps of the teacher any phase reads of the samples of a role, and whether its output is read.
    fn asked_of_teacher(&self, role: Role) -> (BTreeSet<usize>, bool) {
        let (method, layout) = (self.method, self.layout);
        let concerned = |phase: &&PhaseSpec| {
            if role.is_trained_on() {
                Role::of(phase, &method.data) == role
            } else {
                !phase.objective.reads_labels()
            }
        };
        let (mut stages, mut answer) = (BTreeSet::new(), false);
        for phase in layout.phases.iter().filter(concerned) {
            stages.extend(phase.objective.taps());
            answer |= phase.objective.reads_answer();
            if method.takes_teacher_input(phase) {
                stages.extend(layout.reads_before(phase).maps);
            }
        }
        (stages, answer)
    }

    fn teacher_fields(&self, stages: &BTreeSet<usize>, answer: bool) -> Vec<Field> {
        let layout = self.layout;
        let mut fields = Vec::new();
        for &stage in stages {
            let shape = layout.teacher_maps[stage].clone().unwrap_or_default();
            fields.push(Field::new(&layout.names[stage], shape));
        }
        if answer {
            let shape = layout.answer.clone().unwrap_or_default();
            fields.push(Field::new(ANSWER, shape));
        }
        fields
    }

    /// The maps of the teacher that any phase reads of the samples of a role.
    fn teacher_maps(
        &self,
        role: Role,
        loader: &Loader,
        used: u64,
        making: &mut Making<'_>,
    ) -> Result<Store> {
        let method = self.method;
        let teacher = method.teacher.as_deref();
        let teacher = teacher.ok_or_else(|| Error::config("teacher", "is missing"))?;
        let (stages, answer) = self.asked_of_teacher(role);
        let fields = self.teacher_fields(&stages, answer);
        let places: Vec<usize> = stages
            .iter()
            .filter_map(|&stage| self.layout.teacher[stage])
            .collect();
        let count = places.iter().max().map_or(0, |last| last + 1);
        let ask = |loader: &Loader, view: u64, ids: &[u32]| {
            let pixels = loader.view(view, ids)?.pixels;
            let maps = if count > 0 {
                teacher.maps(pixels.clone(), count)?
            } else {
                Vec::new()
            };
            let map = |&place: &usize| maps[place].clone().into_rows();
            let mut rows: Vec<Tensor<2>> = places.iter().map(map).collect();
            if answer {
                rows.push(teacher.output(pixels)?.into_rows());
            }
            Ok(rows)
        };
        making.what = format!("maps of the teacher, {} samples", role.name());
        let fits = self.fits(bytes(&fields, loader), used);
        let Some(dir) = &method.cache.dir else {
            if fits {
                let made =
                    Store::compute(&fields, loader, making, |view, ids| ask(loader, view, ids))?;
                return made.ok_or_else(|| self.interrupted());
            }
            let path = self
                .folder
                .join("maps")
                .join(format!("teacher-{}.kdcache", role.name()));
            let made = Store::in_file(
                &path,
                &teacher.hash(),
                &fields,
                loader,
                making,
                |view, ids| ask(loader, view, ids),
            )?;
            return Ok(made.for_this_run());
        };
        // Files are for other runs, too, so that they may be of all samples of the split.
        let whole = method.cache.whole_split && role.is_trained_on();
        let shared = if whole {
            let all = Subset::all(loader.subset().dataset());
            self.loader_of(role, all)?
        } else {
            self.loader_of(role, loader.subset().clone())?
        };
        let wanted =
            CacheDescription::new(teacher.hash(), &shared, fields.clone(), CacheDtype::F32)
                .map_err(|error| error.within("data"))?;
        let store = if let Some(cache) = Cache::find(dir, &wanted)? {
            Store::of_cache(cache, shared.subset(), &shared)?
        } else {
            let path = dir.join(wanted.file_name()?);
            Store::in_file(
                &path,
                &teacher.hash(),
                &fields,
                &shared,
                making,
                |view, ids| ask(&shared, view, ids),
            )?
        };
        if !fits {
            return Ok(store);
        }
        let loaded = Store::compute(&fields, loader, making, |view, ids| {
            fields
                .iter()
                .map(|field| store.read::<Tensor<2>>(&field.name, view, ids))
                .collect()
        })?;
        loaded.ok_or_else(|| self.interrupted())
    }

    /// What the stages of the phase read of the frozen ones before them, made from `before` where that suffices.
    fn student_maps(
        &self,
        role: Role,
        loader: &Loader,
        before: Option<(usize, &Store)>,
        used: u64,
        making: &mut Making<'_>,
    ) -> Result<Option<Store>> {
        let (method, layout) = (self.method, self.layout);
        let phase = &layout.phases[self.index];
        let moving = method.config.prefix == PrefixMode::BatchStatistics;
        if phase.stages.start == 0 || moving || method.takes_teacher_input(phase) {
            return Ok(None);
        }
        let reads = layout.reads_before(phase);
        let alone = phase.head_alone();
        let fields: Vec<Field> = if alone {
            vec![Field::new(DENSE, layout.dense.clone())]
        } else {
            let field =
                |&stage: &usize| Field::new(&layout.names[stage], layout.maps[stage].clone());
            reads.maps.iter().map(field).collect()
        };
        if fields.is_empty() {
            return Ok(None);
        }
        let run = Prefix {
            student: &self.student,
            method,
            layout,
            end: phase.stages.start,
        };
        let from = before.filter(|(of, store)| run.suffices(*of, store, &reads, alone));
        let ask = |view: u64, ids: &[u32]| {
            let (input, maps) = if let Some((of, store)) = from {
                run.go_on(of, store, view, ids, loader)?
            } else {
                let pixels = loader.view(view, ids)?.pixels;
                let input = method.normalisation.apply(pixels)?;
                let maps = self.student.forward_maps(&input, run.end);
                (input, maps)
            };
            if alone {
                return Ok(vec![self.student.forward_dense(&input, &maps).into_rows()]);
            }
            let rows = reads
                .maps
                .iter()
                .map(|&stage| maps[stage].clone().into_rows());
            Ok(rows.collect())
        };
        making.what = format!("maps of the frozen stages, {} samples", role.name());
        if self.fits(bytes(&fields, loader), used) {
            let made = Store::compute(&fields, loader, making, ask)?;
            return made.map(Some).ok_or_else(|| self.interrupted());
        }
        let name = format!("{}-{}.kdcache", phase.name, role.name());
        let hash = hash_tensors(&export(&self.student, Names::PyTorch));
        let path = self.folder.join("maps").join(name);
        let made = Store::in_file(&path, &hash, &fields, loader, making, ask)?;
        Ok(Some(made.for_this_run()))
    }

    fn interrupted(&self) -> Error {
        Error::Interrupted {
            run: self.folder.to_owned(),
            phase: self.layout.phases[self.index].name.clone(),
            step: 0,
        }
    }
}

/// The frozen stages before `end`.
struct Prefix<'a, S: StageNetwork> {
    student: &'a S,
    method: &'a Stagewise<S>,
    layout: &'a Layout,
    end: usize,
}

impl<S: StageNetwork> Prefix<'_, S> {
    /// What the stages between an earlier phase and this one read of what was kept for that phase.
    fn missing(&self, of: usize, reads: &Reads, dense: bool) -> Reads {
        let first = self.layout.phases[of].stages.start;
        let mut missing = Reads::before(&self.layout.reads, first, self.end, dense);
        missing
            .maps
            .extend(reads.maps.iter().filter(|&&map| map < first));
        missing
    }

    /// Whether the maps of this phase can be made of those kept for phase `of`.
    fn suffices(&self, of: usize, store: &Store, reads: &Reads, dense: bool) -> bool {
        let first = self.layout.phases[of].stages.start;
        let missing = self.missing(of, reads, dense);
        first < self.end
            && first > 0
            && !self.layout.phases[of].head_alone()
            && missing
                .maps
                .iter()
                .all(|&map| store.has(&self.layout.names[map]))
    }

    /// Runs the stages from where phase `of` began; what they do not read is a placeholder.
    fn go_on(
        &self,
        of: usize,
        store: &Store,
        view: u64,
        ids: &[u32],
        loader: &Loader,
    ) -> Result<(Tensor<4>, Vec<Tensor<4>>)> {
        let first = self.layout.phases[of].stages.start;
        let reads = Reads::before(&self.layout.reads, first, self.end, true);
        let nothing = Tensor::<4>::zeros([1, 1, 1, 1], loader.device());
        let input = if reads.input {
            self.method
                .normalisation
                .apply(loader.view(view, ids)?.pixels)?
        } else {
            nothing.clone()
        };
        let mut maps = Vec::with_capacity(self.end);
        for stage in 0..first {
            let name = &self.layout.names[stage];
            maps.push(if store.has(name) {
                store.read(name, view, ids)?
            } else {
                nothing.clone()
            });
        }
        for stage in first..self.end {
            maps.push(self.student.forward_stage(stage, &input, &maps));
        }
        Ok((input, maps))
    }
}
