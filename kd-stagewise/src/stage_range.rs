//! The range of stages that a phase trains: what enters it, and its forward pass.

use burn::tensor::Tensor;
use kd_core::{Batch, DENSE_TAP, NetworkInput, Result, Rows, Store, TaskNetwork};

use crate::Stagewise;
use crate::dependencies::{StageInputs, placeholder};
use crate::layout::Layout;
use crate::phase_spec::PhaseSpec;
use crate::role_batches::RoleBatches;

/// The range of stages that a phase trains.
pub(crate) struct StageRange<'a, S: TaskNetwork> {
    pub(crate) method: &'a Stagewise<S>,
    pub(crate) layout: &'a Layout<S::Input>,
    pub(crate) spec: &'a PhaseSpec,
    /// The inputs that the stages read of the frozen ones before them.
    pub(crate) inputs: StageInputs,
}

/// The tensors that enter a range of stages.
pub(crate) enum Entry<S: TaskNetwork> {
    /// The network's input and the maps of all stages before the range, with placeholders for those that are
    /// not read.
    Stages {
        input: S::Input,
        earlier: Vec<Tensor<4>>,
    },
    /// The dense representation, where the head alone is trained.
    Dense(S::Dense),
}

/// The tensors that a range of stages made.
pub(crate) struct RangeOutputs<O> {
    /// The maps by stage; those of stages that were not run are missing.
    pub(crate) maps: Vec<Option<Tensor<4>>>,
    /// The output, where the objective reads it.
    pub(crate) output: Option<O>,
}

impl<S: TaskNetwork> Entry<S> {
    /// The same on the autodiff form of the device.
    pub(crate) fn lifted(self) -> Self {
        match self {
            Self::Stages { input, earlier } => Self::Stages {
                input: input.lifted(),
                earlier: earlier.into_iter().map(Rows::lifted).collect(),
            },
            Self::Dense(dense) => Self::Dense(dense.lifted()),
        }
    }
}

impl<S: TaskNetwork> StageRange<'_, S> {
    /// Whether the student's input is needed beside the maps that are kept.
    pub(crate) fn reads_input(&self, prefix: Option<&Store>) -> bool {
        if self.method.takes_teacher_input(self.spec) {
            return self.inputs.input;
        }
        match prefix {
            Some(_) => self.inputs.input && !self.layout.keeps_dense(self.spec),
            None => self.spec.stages.start == 0 || !self.inputs.is_nothing(),
        }
    }

    /// The tensors that enter the range for a batch, on the plain device. `teacher` are the teacher's maps;
    /// `moving` is the student whose frozen stages use the statistics of the batch, `frozen` the one whose do
    /// not.
    pub(crate) fn enter(
        &self,
        batches: &RoleBatches,
        batch: &Batch,
        teacher: &[Option<Tensor<4>>],
        frozen: &S,
        moving: Option<&S>,
    ) -> Result<Entry<S>> {
        let prefix = batches.prefix.as_ref();
        let mut input = None;
        if self.reads_input(prefix) {
            input = Some(self.method.preprocessing.input::<S::Input>(batch)?);
        }
        let first = self.spec.stages.start;
        let mut earlier = vec![None; first];
        if self.method.takes_teacher_input(self.spec) {
            for &stage in &self.inputs.maps {
                earlier[stage].clone_from(&teacher[stage]);
            }
        } else if let Some(store) = prefix {
            if self.layout.keeps_dense(self.spec) {
                let dense = store.read(DENSE_TAP, batch.view, &batch.ids)?;
                return Ok(Entry::Dense(dense));
            }
            for &stage in &self.inputs.maps {
                let name = &self.layout.names[stage];
                earlier[stage] = Some(store.read(name, batch.view, &batch.ids)?);
            }
        } else if let (true, Some(input)) = (first > 0, &input) {
            let maps = prefix_maps(input, first, frozen, moving);
            earlier = maps.into_iter().map(Some).collect();
        }
        Ok(self.filled(input, earlier, batch.len()))
    }

    /// With placeholders for what is not read.
    fn filled(
        &self,
        input: Option<S::Input>,
        earlier: Vec<Option<Tensor<4>>>,
        samples: usize,
    ) -> Entry<S> {
        let device = self.method.device.clone().inner();
        let missing = |stage: usize| placeholder(&self.layout.maps[stage], samples, &device);
        let earlier = earlier.into_iter().enumerate();
        Entry::Stages {
            input: input.unwrap_or_else(|| self.layout.blank.placeholder(samples)),
            earlier: earlier
                .map(|(stage, map)| map.unwrap_or_else(|| missing(stage)))
                .collect(),
        }
    }

    /// Runs the stages of the phase and, where the objective reads it, the head.
    pub(crate) fn run(&self, student: &S, entry: Entry<S>) -> RangeOutputs<S::Output> {
        let count = self.layout.names.len();
        let reads_output = self.spec.objective.reads_output();
        let mut made = vec![None; count];
        let (input, mut maps) = match entry {
            Entry::Dense(dense) => {
                let output = reads_output.then(|| student.forward_head(dense));
                return RangeOutputs { maps: made, output };
            }
            Entry::Stages { input, earlier } => (input, earlier),
        };
        let (first, end) = (self.spec.stages.start, self.spec.end(count));
        for (stage, made) in (first..end).zip(&mut made[first..]) {
            let map = student.forward_stage(stage, &input, &maps);
            *made = Some(map.clone());
            maps.push(map);
        }
        let output = || student.forward_head(student.forward_dense(&input, &maps));
        RangeOutputs {
            maps: made,
            output: reads_output.then(output),
        }
    }
}

/// The maps of the first `count` stages, without a graph.
fn prefix_maps<S: TaskNetwork>(
    input: &S::Input,
    count: usize,
    frozen: &S,
    moving: Option<&S>,
) -> Vec<Tensor<4>> {
    match moving {
        None => frozen.forward_maps(input, count),
        Some(student) => {
            let maps = student.forward_maps(&input.clone().lifted(), count);
            maps.into_iter().map(Tensor::inner).collect()
        }
    }
}
