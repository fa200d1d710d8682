//! The computing of maps: the teacher's answers, and the maps of the frozen stages.

use std::collections::BTreeSet;
use std::path::PathBuf;

use burn::tensor::Tensor;
use kd_core::{
    CacheConfig, CacheDtype, CacheField, CacheRequest, DENSE_TAP, Error, KeptAnswers, Loader,
    Names, NetworkInput, Requested, Result, Rows, Store, StoreBuild, Subset, TaskNetwork, export,
    hash_tensors,
};

use super::store::MAPS_BATCH;
use super::work::PhaseWork;
use crate::PrefixMode;
use crate::data::Role;
use crate::dependencies::{StageInputs, placeholder};
use crate::phase_spec::PhaseSpec;

impl<S: TaskNetwork> PhaseWork<'_, S> {
    /// The answers that any phase asks of the teacher about the samples of a role.
    fn requested(&self, role: Role) -> Requested {
        let (method, layout) = (self.method, self.layout);
        let concerned = |phase: &&PhaseSpec| {
            if role.is_trained_on() {
                method.data.trained_on(phase) == role
            } else {
                !phase.objective.reads_output()
            }
        };
        let (mut stages, mut output) = (BTreeSet::new(), false);
        for phase in layout.phases.iter().filter(concerned) {
            stages.extend(method.teacher_maps_of(layout, phase));
            output |= phase.objective.reads_teacher_output();
        }
        let names = layout.teacher.iter().flat_map(|teacher| &teacher.names);
        let names: Vec<&String> = names.collect();
        let stages: BTreeSet<usize> = stages
            .into_iter()
            .filter_map(|stage| layout.teacher_stage(stage))
            .collect();
        let requested = Requested::at_taps(stages.into_iter().map(|stage| names[stage]));
        if output {
            requested.with_output()
        } else {
            requested
        }
    }

    /// The teacher's answers for the samples of a role, beside `used` bytes of memory.
    pub(super) fn teacher_answers(
        &self,
        role: Role,
        loader: &Loader,
        used: u64,
        build: &mut StoreBuild<'_>,
    ) -> Result<KeptAnswers> {
        let missing = || Error::config("teacher", "is missing");
        let teacher = self.method.teacher.as_deref().ok_or_else(missing)?;
        let layout = self.layout.teacher.as_ref().ok_or_else(missing)?;
        let requested = self.requested(role);
        let blank = layout.blank(&requested);
        let of = |loader| {
            CacheRequest::new(
                teacher,
                &requested,
                &blank,
                loader,
                MAPS_BATCH,
                CacheDtype::F32,
            )
        };
        let request = of(loader)?;
        let fields = &request.description().fields;
        let fits = self.fit(fields, loader, used);
        build.what = format!("maps of the teacher, {} samples", role.name());
        match &self.method.cache.dir {
            None if fits => request
                .in_memory(&build.what, &mut *build.observer, build.stop)?
                .ok_or_else(|| self.interrupted()),
            None => {
                let make = |path: &PathBuf| {
                    let cache = request.build(path, &mut *build.observer, build.stop)?;
                    Store::of_cache(cache, loader)
                };
                let store = self.in_run_file(&format!("teacher-{}", role.name()), make)?;
                Ok(KeptAnswers::new(store))
            }
            Some(dir) => {
                let whole = self.whole_split(role, loader)?;
                let request = of(whole.as_ref().unwrap_or(loader))?;
                let place = CacheConfig::dir(dir);
                let kept = request.open(&place, &mut *build.observer, build.stop)?;
                if fits {
                    self.loaded(kept.store(), fields, loader, build)
                } else {
                    Ok(kept)
                }
            }
        }
    }

    /// A loader of the whole split that the samples of a role are part of, if files are to be of it: they are
    /// for other runs, too.
    fn whole_split(&self, role: Role, loader: &Loader) -> Result<Option<Loader>> {
        if !self.method.cache.whole_split || !role.is_trained_on() {
            return Ok(None);
        }
        let whole = Subset::all(loader.subset().dataset());
        Loader::new(whole, loader.config().clone(), loader.device()).map(Some)
    }

    /// The samples of `loader` read from a file into memory.
    fn loaded(
        &self,
        file: &Store,
        fields: &[CacheField],
        loader: &Loader,
        build: &mut StoreBuild<'_>,
    ) -> Result<KeptAnswers> {
        let mut rows = |view: u64, ids: &[u32]| {
            let field = |field: &CacheField| file.read::<Tensor<2>>(&field.name, view, ids);
            fields.iter().map(field).collect()
        };
        let store = self.in_memory(fields, loader, build, &mut rows)?;
        Ok(KeptAnswers::new(store))
    }

    /// The inputs that the stages of the phase read of the frozen ones before them, made from what was kept
    /// for the phase `before` where that suffices. None where there are none, or they change from step to
    /// step.
    pub(super) fn prefix_maps(
        &self,
        role: Role,
        loader: &Loader,
        before: Option<(usize, &Store)>,
        used: u64,
        build: &mut StoreBuild<'_>,
    ) -> Result<Option<Store>> {
        let (method, layout, phase) = (self.method, self.layout, self.phase());
        let moving = method.config.prefix == PrefixMode::BatchStatistics;
        if phase.stages.start == 0 || moving || method.takes_teacher_input(phase) {
            return Ok(None);
        }
        let inputs = layout.inputs_of(phase);
        let fields = self.prefix_fields(&inputs);
        if fields.is_empty() {
            return Ok(None);
        }
        let from = before.filter(|(of, store)| self.suffices(*of, store, &inputs));
        let mut rows = |view: u64, ids: &[u32]| self.prefix_rows(&inputs, from, view, ids, loader);
        build.what = format!("maps of the frozen stages, {} samples", role.name());
        if self.fit(&fields, loader, used) {
            let store = self.in_memory(&fields, loader, build, &mut rows)?;
            return Ok(Some(store));
        }
        let hash = hash_tensors(&export(&self.student, Names::PyTorch));
        let make = |path: &PathBuf| Store::in_file(path, &hash, &fields, loader, build, &mut rows);
        let store = self.in_run_file(&format!("{}-{}", phase.name, role.name()), make)?;
        Ok(Some(store))
    }

    /// The fields that are kept of the frozen stages: the maps that are read, or the dense representation.
    fn prefix_fields(&self, inputs: &StageInputs) -> Vec<CacheField> {
        let layout = self.layout;
        if layout.keeps_dense(self.phase()) {
            return vec![CacheField::new(DENSE_TAP, layout.dense.clone())];
        }
        let field =
            |&stage: &usize| CacheField::new(&layout.names[stage], layout.maps[stage].clone());
        inputs.maps.iter().map(field).collect()
    }

    /// The rows of [`PhaseWork::prefix_fields`] for some samples.
    fn prefix_rows(
        &self,
        inputs: &StageInputs,
        from: Option<(usize, &Store)>,
        view: u64,
        ids: &[u32],
        loader: &Loader,
    ) -> Result<Vec<Tensor<2>>> {
        let (input, maps) = if let Some((of, store)) = from {
            self.go_on(of, store, view, ids, loader)?
        } else {
            let input = self.input(view, ids, loader)?;
            let end = self.phase().stages.start;
            let maps = self.student.forward_maps(&input, end);
            (input, maps)
        };
        if self.layout.keeps_dense(self.phase()) {
            return Ok(vec![self.student.forward_dense(&input, &maps).into_rows()]);
        }
        let rows = inputs
            .maps
            .iter()
            .map(|&stage| maps[stage].clone().into_rows());
        Ok(rows.collect())
    }

    fn input(&self, view: u64, ids: &[u32], loader: &Loader) -> Result<S::Input> {
        let batch = loader.view(view, ids)?;
        self.method.preprocessing.input(&batch)
    }

    /// Whether the maps of this phase can be made of those kept for phase `of`.
    fn suffices(&self, of: usize, store: &Store, inputs: &StageInputs) -> bool {
        let layout = self.layout;
        let (first, end) = (layout.phases[of].stages.start, self.phase().stages.start);
        let mut missing = layout.dependencies.before(first, end, true);
        let earlier = inputs.maps.iter().filter(|&&map| map < first);
        missing.maps.extend(earlier);
        let mut names = missing.maps.iter().map(|&map| &layout.names[map]);
        first < end && !store.has(DENSE_TAP) && names.all(|name| store.has(name))
    }

    /// Runs the stages from the first one of phase `of` on, with what was kept for that phase: the input and
    /// all maps.
    fn go_on(
        &self,
        of: usize,
        store: &Store,
        view: u64,
        ids: &[u32],
        loader: &Loader,
    ) -> Result<(S::Input, Vec<Tensor<4>>)> {
        let layout = self.layout;
        let (first, end) = (layout.phases[of].stages.start, self.phase().stages.start);
        let input = if layout.dependencies.before(first, end, true).input {
            self.input(view, ids, loader)?
        } else {
            layout.blank.placeholder(ids.len())
        };
        let mut maps = Vec::with_capacity(end);
        for stage in 0..first {
            let name = &layout.names[stage];
            maps.push(if store.has(name) {
                store.read(name, view, ids)?
            } else {
                placeholder(&layout.maps[stage], ids.len(), loader.device())
            });
        }
        for stage in first..end {
            maps.push(self.student.forward_stage(stage, &input, &maps));
        }
        Ok((input, maps))
    }
}
