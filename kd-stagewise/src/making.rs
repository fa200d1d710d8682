//! How the maps that are kept are computed.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Tensor;
use kd_core::{
    Cache, CacheDescription, CacheDtype, Error, Loader, LoaderConfig, Names, Result, Subset,
    export, hash_tensors, partial_path,
};

use crate::kept::{ANSWER, BATCH, DENSE, MAPS, Role};
use crate::layout::Layout;
use crate::procedure::PhaseSpec;
use crate::reads::{Reads, placeholder};
use crate::rows::Rows;
use crate::store::{Field, Making, Store, bytes};
use crate::{PrefixMode, StageNetwork, Stagewise};

/// What the maps of a phase are computed with.
pub(crate) struct Work<'a, S: StageNetwork> {
    pub(crate) method: &'a Stagewise<S>,
    pub(crate) layout: &'a Layout,
    pub(crate) index: usize,
    /// The student with which the phase begins, on the plain device.
    pub(crate) student: S,
    pub(crate) folder: &'a Path,
}

impl<S: StageNetwork> Work<'_, S> {
    pub(crate) fn phase(&self) -> &PhaseSpec {
        &self.layout.phases[self.index]
    }

    /// The views of the samples of a role, in order.
    pub(crate) fn loader(&self, role: Role) -> Result<Loader> {
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

    /// The teacher's stages whose maps any phase reads of the samples of a role, and whether its output is read.
    fn asked_of_teacher(&self, role: Role) -> (BTreeSet<usize>, bool) {
        let (method, layout) = (self.method, self.layout);
        let concerned = |phase: &&PhaseSpec| {
            if role.is_trained_on() {
                Role::of(phase, &method.data) == role
            } else {
                !phase.objective.reads_output()
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
        let places = stages.into_iter();
        (
            places.filter_map(|stage| layout.teacher[stage]).collect(),
            answer,
        )
    }

    /// The maps of the teacher that any phase reads of the samples of a role, in fields named as its own stages.
    pub(crate) fn teacher_maps(
        &self,
        role: Role,
        loader: &Loader,
        used: u64,
        making: &mut Making<'_>,
    ) -> Result<Store> {
        let (method, layout) = (self.method, self.layout);
        let teacher = method.teacher.as_deref();
        let teacher = teacher.ok_or_else(|| Error::config("teacher", "is missing"))?;
        let (places, answer) = self.asked_of_teacher(role);
        let field = |&place: &usize| {
            Field::new(
                &layout.teacher_names[place],
                layout.teacher_maps[place].clone(),
            )
        };
        let mut fields: Vec<Field> = places.iter().map(field).collect();
        if answer {
            fields.push(Field::new(
                ANSWER,
                layout.answer.clone().unwrap_or_default(),
            ));
        }
        let count = places.last().map_or(0, |last| last + 1);
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
            let ask = |view: u64, ids: &[u32]| ask(loader, view, ids);
            let name = format!("teacher-{}", role.name());
            return self.keep(fits, &name, &teacher.hash(), &fields, loader, making, ask);
        };
        // Files are for other runs, too, so that they may be of all samples of the split.
        let shared = if method.cache.whole_split && role.is_trained_on() {
            self.loader_of(role, Subset::all(loader.subset().dataset()))?
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
            let ask = |view: u64, ids: &[u32]| ask(&shared, view, ids);
            Store::in_file(&path, &teacher.hash(), &fields, &shared, making, ask)?
        };
        if !fits {
            return Ok(store);
        }
        let loaded = Store::compute(&fields, loader, making, |view, ids| {
            let field = |field: &Field| store.read::<Tensor<2>>(&field.name, view, ids);
            fields.iter().map(field).collect()
        })?;
        loaded.ok_or_else(|| self.interrupted())
    }

    /// What the stages of the phase read of the frozen ones before them, made from what was kept for the phase `before` where that
    /// suffices. None where there is nothing, or it changes from step to step.
    pub(crate) fn student_maps(
        &self,
        role: Role,
        loader: &Loader,
        before: Option<(usize, &Store)>,
        used: u64,
        making: &mut Making<'_>,
    ) -> Result<Option<Store>> {
        let (method, layout, phase) = (self.method, self.layout, self.phase());
        let moving = method.config.prefix == PrefixMode::BatchStatistics;
        if phase.stages.start == 0 || moving || method.takes_teacher_input(phase) {
            return Ok(None);
        }
        let reads = layout.reads_before(phase);
        let alone = layout.keeps_dense(phase);
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
        let end = phase.stages.start;
        let from = before.filter(|(of, store)| self.suffices(*of, store, &reads));
        let ask = |view: u64, ids: &[u32]| {
            let (input, maps) = if let Some((of, store)) = from {
                self.go_on(of, store, view, ids, loader)?
            } else {
                let pixels = loader.view(view, ids)?.pixels;
                let input = method.normalisation.apply(pixels)?;
                let maps = self.student.forward_maps(&input, end);
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
        let fits = self.fits(bytes(&fields, loader), used);
        let name = format!("{}-{}", phase.name, role.name());
        let hash = if fits {
            String::new()
        } else {
            hash_tensors(&export(&self.student, Names::PyTorch))
        };
        self.keep(fits, &name, &hash, &fields, loader, making, ask)
            .map(Some)
    }

    /// In memory, or in a file of the run; one that a killed process left and that is of something else is made again.
    #[expect(clippy::too_many_arguments, reason = "one place, two callers")]
    fn keep(
        &self,
        fits: bool,
        name: &str,
        hash: &str,
        fields: &[Field],
        loader: &Loader,
        making: &mut Making<'_>,
        ask: impl Fn(u64, &[u32]) -> Result<Vec<Tensor<2>>>,
    ) -> Result<Store> {
        if fits {
            let made = Store::compute(fields, loader, making, &ask)?;
            return made.ok_or_else(|| self.interrupted());
        }
        let path = self.folder.join(MAPS).join(format!("{name}.kdcache"));
        let made = Store::in_file(&path, hash, fields, loader, making, &ask);
        let made = match made {
            Err(Error::StaleCache { .. } | Error::BadFile { .. }) => {
                for left in [path.clone(), partial_path(&path)] {
                    if left.exists() {
                        std::fs::remove_file(&left).map_err(Error::io("write", &left))?;
                    }
                }
                Store::in_file(&path, hash, fields, loader, making, &ask)?
            }
            other => other?,
        };
        Ok(made.for_this_run())
    }

    /// Whether the maps of this phase can be made of those kept for phase `of`.
    fn suffices(&self, of: usize, store: &Store, reads: &Reads) -> bool {
        let layout = self.layout;
        let (first, end) = (layout.phases[of].stages.start, self.phase().stages.start);
        let mut missing = layout.parts.before(first, end, true);
        missing
            .maps
            .extend(reads.maps.iter().filter(|&&map| map < first));
        first < end
            && !store.has(DENSE)
            && missing
                .maps
                .iter()
                .all(|&map| store.has(&layout.names[map]))
    }

    /// Runs the stages from where phase `of` began.
    fn go_on(
        &self,
        of: usize,
        store: &Store,
        view: u64,
        ids: &[u32],
        loader: &Loader,
    ) -> Result<(Tensor<4>, Vec<Tensor<4>>)> {
        let layout = self.layout;
        let (first, end) = (layout.phases[of].stages.start, self.phase().stages.start);
        let device = loader.device();
        let input = if layout.parts.before(first, end, true).input {
            let pixels = loader.view(view, ids)?.pixels;
            self.method.normalisation.apply(pixels)?
        } else {
            placeholder(&layout.input, ids.len(), device)
        };
        let mut maps = Vec::with_capacity(end);
        for stage in 0..first {
            let name = &layout.names[stage];
            maps.push(if store.has(name) {
                store.read(name, view, ids)?
            } else {
                placeholder(&layout.maps[stage], ids.len(), device)
            });
        }
        for stage in first..end {
            maps.push(self.student.forward_stage(stage, &input, &maps));
        }
        Ok((input, maps))
    }

    fn interrupted(&self) -> Error {
        Error::Interrupted {
            run: self.folder.to_owned(),
            phase: self.phase().name.clone(),
            step: 0,
        }
    }
}
