//! One phase: one step, one evaluation, the whole state.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use kd_core::{
    Error, Loader, LossTerms, Metrics, NamedGradients, Names, Optimizer, Phase, PhaseState, Plan,
    Result, StepContext, Tensors, Training, export, import,
};
use kd_losses::Regressor;

use crate::kept::{ANSWER, DENSE, PhaseMaps, Role};
use crate::layout::Layout;
use crate::objective::{Seen, Term};
use crate::prediction::{Prediction, Targets};
use crate::procedure::PhaseSpec;
use crate::reads::{Reads, placeholder};
use crate::rows::Rows;
use crate::{PrefixMode, StageNetwork, Stagewise};

/// The samples of one role, and what is kept of them.
#[derive(Debug)]
pub(crate) struct Supply {
    pub(crate) role: Role,
    pub(crate) loader: Loader,
    pub(crate) maps: PhaseMaps,
    /// Whether its pixels are needed beside what is kept.
    pub(crate) pixels: bool,
}

/// The part of a network that a phase trains, and what it is trained on.
pub(crate) struct Part<'a, S: StageNetwork> {
    pub(crate) method: &'a Stagewise<S>,
    pub(crate) layout: &'a Layout,
    pub(crate) spec: &'a PhaseSpec,
    /// What the phase's stages read of the frozen ones before them.
    pub(crate) reads: Reads,
}

pub(crate) struct StagePhase<'a, S: StageNetwork> {
    pub(crate) part: Part<'a, S>,
    pub(crate) training: Training,
    pub(crate) plan: Plan,
    pub(crate) student: S,
    /// The student as the phase began, on the plain device: its frozen stages.
    pub(crate) prefix: S,
    pub(crate) regressors: Vec<Option<Regressor>>,
    pub(crate) optimizer: Optimizer,
    pub(crate) train: Supply,
    /// What it is measured on, the samples for selection first.
    pub(crate) measured: Vec<Supply>,
}

/// Some samples of a supply in one view.
struct Drawn {
    ids: Vec<u32>,
    view: u64,
    /// In `[0, 1]`; only where something is not kept.
    pixels: Option<Tensor<4>>,
}

/// What the trained stages begin with, on the plain device.
struct Begin<D> {
    input: Option<Tensor<4>>,
    /// The maps of the frozen stages; placeholders where none is read.
    earlier: Vec<Option<Tensor<4>>>,
    /// In place of everything where the dense representation is frozen.
    dense: Option<D>,
    samples: usize,
}

/// What the student and the teacher gave for some samples.
struct Run<O> {
    student: Vec<Option<Tensor<4>>>,
    teacher: Vec<Option<Tensor<4>>>,
    output: Option<O>,
    answer: Option<O>,
}

impl<S: StageNetwork> Part<'_, S> {
    /// Whether pixels are needed beside what is kept of some samples.
    pub(crate) fn needs_pixels(&self, maps: &PhaseMaps, teacher: bool) -> bool {
        let frozen = self.reads.input || !self.reads.maps.is_empty();
        let student = match maps.student {
            _ if self.method.takes_teacher_input(self.spec) => self.reads.input,
            Some(_) => self.reads.input && !self.layout.keeps_dense(self.spec),
            None => self.spec.stages.start == 0 || frozen,
        };
        let teacher = teacher && self.spec.objective.reads_teacher();
        student || (teacher && maps.teacher.is_none())
    }

    /// What the trained stages begin with. `moving` is the student whose frozen stages use the statistics of the batch.
    fn begin(
        &self,
        supply: &Supply,
        drawn: &Drawn,
        frozen: &S,
        moving: Option<&S>,
    ) -> Result<Begin<S::Dense>> {
        let first = self.spec.stages.start;
        let normalise = |pixels: &Tensor<4>| self.method.normalisation.apply(pixels.clone());
        let input = drawn.pixels.as_ref().map(normalise).transpose()?;
        let mut earlier = vec![None; first];
        let mut dense = None;
        if self.method.takes_teacher_input(self.spec) {
            let teacher = self.ask_teacher(supply, drawn, &self.reads.maps)?;
            for &stage in &self.reads.maps {
                earlier[stage].clone_from(&teacher[stage]);
            }
        } else if let Some(store) = &supply.maps.student {
            if self.layout.keeps_dense(self.spec) {
                dense = Some(store.read(DENSE, drawn.view, &drawn.ids)?);
            } else {
                for &stage in &self.reads.maps {
                    let name = &self.layout.names[stage];
                    earlier[stage] = Some(store.read(name, drawn.view, &drawn.ids)?);
                }
            }
        } else if let (true, Some(input)) = (first > 0, &input) {
            let maps = match moving {
                None => frozen.forward_maps(input, first),
                Some(student) => {
                    let lifted = input.clone().lifted();
                    let maps = student.forward_maps(&lifted, first);
                    maps.into_iter().map(Tensor::inner).collect()
                }
            };
            earlier = maps.into_iter().map(Some).collect();
        }
        Ok(Begin {
            input,
            earlier,
            dense,
            samples: drawn.ids.len(),
        })
    }

    /// The teacher's maps at the student's `stages`.
    fn ask_teacher(
        &self,
        supply: &Supply,
        drawn: &Drawn,
        stages: &BTreeSet<usize>,
    ) -> Result<Vec<Option<Tensor<4>>>> {
        let mut maps = vec![None; self.layout.names.len()];
        let places: Vec<(usize, usize)> = stages
            .iter()
            .filter_map(|&stage| Some((stage, self.layout.teacher[stage]?)))
            .collect();
        let Some(count) = places.iter().map(|(_, place)| place + 1).max() else {
            return Ok(maps);
        };
        if let Some(store) = &supply.maps.teacher {
            for (stage, place) in places {
                let name = &self.layout.teacher_names[place];
                maps[stage] = Some(store.read(name, drawn.view, &drawn.ids)?);
            }
            return Ok(maps);
        }
        let (Some(teacher), Some(pixels)) = (&self.method.teacher, &drawn.pixels) else {
            return Err(Error::config("teacher", "is missing"));
        };
        let all = teacher.maps(pixels.clone(), count)?;
        for (stage, place) in places {
            maps[stage] = all.get(place).cloned();
        }
        Ok(maps)
    }

    fn ask_answer(&self, supply: &Supply, drawn: &Drawn) -> Result<Option<S::Output>> {
        if !self.spec.objective.reads_answer() {
            return Ok(None);
        }
        if let Some(store) = &supply.maps.teacher {
            return store.read(ANSWER, drawn.view, &drawn.ids).map(Some);
        }
        match (&self.method.teacher, &drawn.pixels) {
            (Some(teacher), Some(pixels)) => teacher.output(pixels.clone()).map(Some),
            _ => Err(Error::config("teacher", "is missing")),
        }
    }

    /// Runs the stages of the phase and, where the objective reads it, the head. `lift` brings what is constant to the device of
    /// `student`.
    fn run(&self, student: &S, begin: Begin<S::Dense>, lifts: bool) -> Run<S::Output> {
        let lift = |map: Tensor<4>| if lifts { map.lifted() } else { map };
        let count = self.layout.names.len();
        let mut seen = vec![None; count];
        let reads_output = self.spec.objective.reads_output();
        if let Some(dense) = begin.dense {
            let dense = if lifts { dense.lifted() } else { dense };
            return Run {
                student: seen,
                teacher: Vec::new(),
                output: reads_output.then(|| student.forward_head(dense)),
                answer: None,
            };
        }
        let device = if lifts {
            self.method.device.clone()
        } else {
            self.method.device.clone().inner()
        };
        let input = match begin.input {
            Some(input) => lift(input),
            None => placeholder(&self.layout.input, begin.samples, &device),
        };
        let missing = |stage: usize| placeholder(&self.layout.maps[stage], begin.samples, &device);
        let mut maps: Vec<Tensor<4>> = begin
            .earlier
            .into_iter()
            .enumerate()
            .map(|(stage, map)| map.map_or_else(|| missing(stage), lift))
            .collect();
        let (first, end) = (self.spec.stages.start, self.spec.end(count));
        for (stage, seen) in (first..end).zip(&mut seen[first..]) {
            let map = student.forward_stage(stage, &input, &maps);
            *seen = Some(map.clone());
            maps.push(map);
        }
        let output =
            reads_output.then(|| student.forward_head(student.forward_dense(&input, &maps)));
        Run {
            student: seen,
            teacher: Vec::new(),
            output,
            answer: None,
        }
    }

    fn targets(&self, supply: &Supply, drawn: &Drawn) -> Result<Option<Targets>> {
        if !self.spec.objective.reads_labels() {
            return Ok(None);
        }
        Targets::of(&supply.loader, drawn.view, &drawn.ids).map(Some)
    }

    /// The stage whose map the phase learns, if that is all it does.
    fn only_map(&self) -> Option<usize> {
        match self.spec.objective.terms.as_slice() {
            [(Term::Map(stage), _)] => Some(*stage),
            _ => None,
        }
    }
}

impl<S: StageNetwork> StagePhase<'_, S> {
    /// The loss of a phase that does not read the student's output on a supply, the student as at inference.
    fn map_loss(&self, supply: &Supply) -> Result<Metrics> {
        let student = self.student.valid();
        let regressors: Vec<Option<Regressor>> = self
            .regressors
            .iter()
            .map(|regressor| regressor.as_ref().map(burn::module::Module::valid))
            .collect();
        let (mut sum, mut samples) = (0.0, 0.0);
        let mut spread = Spread::default();
        let taps = self.part.spec.objective.taps();
        let alone = self.part.only_map();
        let alone = alone.filter(|&stage| self.regressors[stage].is_none());
        for drawn in supply.whole() {
            let drawn = drawn?;
            let begin = self.part.begin(supply, &drawn, &student, None)?;
            let mut run = self.part.run(&student, begin, false);
            run.teacher = self.part.ask_teacher(supply, &drawn, &taps)?;
            let seen = Seen {
                names: &self.part.layout.names,
                student: &run.student,
                teacher: &run.teacher,
                regressors: &regressors,
                output: run.output.as_ref(),
                answer: None,
                targets: None,
            };
            let (total, _) = self.part.spec.objective.value(&seen)?;
            let weight = drawn.ids.len() as f64;
            sum += f64::from(total.into_scalar::<f32>()) * weight;
            samples += weight;
            if let Some(map) = alone.and_then(|stage| run.teacher[stage].clone()) {
                spread.add(map);
            }
        }
        let loss = sum / samples;
        let mut metrics = Metrics::from([("map_loss".to_owned(), loss)]);
        if let Some(variance) = spread.variance().filter(|variance| *variance > 0.0) {
            metrics.insert("relative_error".into(), loss / variance);
        }
        Ok(metrics)
    }

    /// How well the student answers on a supply.
    fn answers(&self, supply: &Supply) -> Result<Metrics> {
        let student = self.student.valid();
        let mut tally = S::Output::tally(supply.loader.subset().dataset())?;
        for drawn in supply.whole() {
            let drawn = drawn?;
            let begin = self.part.begin(supply, &drawn, &student, None)?;
            if let Some(output) = self.part.run(&student, begin, false).output {
                output.count(&mut tally, &supply.loader, &drawn.ids)?;
            }
        }
        S::Output::metrics(tally)
    }
}

impl Supply {
    /// Batch `step` of `epoch`, with its pixels where they are needed.
    fn draw(&self, epoch: usize, step: usize) -> Result<Drawn> {
        if self.pixels {
            let batch = self.loader.batch(epoch, step)?;
            return Ok(Drawn {
                ids: batch.ids,
                view: batch.view,
                pixels: Some(batch.pixels),
            });
        }
        let (ids, view) = self.loader.samples(epoch, step)?;
        Ok(Drawn {
            ids,
            view,
            pixels: None,
        })
    }

    /// All samples in order.
    fn whole(&self) -> impl Iterator<Item = Result<Drawn>> {
        (0..self.loader.steps_per_epoch()).map(|step| self.draw(0, step))
    }
}

/// The variance of all elements of many maps.
#[derive(Default)]
struct Spread {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, map: Tensor<4>) {
        let count = map.dims().iter().product::<usize>() as f64;
        let moments = Tensor::cat(vec![map.clone().mean(), map.square().mean()], 0);
        let moments: Vec<f64> = moments.into_data().iter::<f64>().collect();
        self.count += count;
        self.sum += moments[0] * count;
        self.squares += moments[1] * count;
    }

    fn variance(&self) -> Option<f64> {
        let mean = self.sum / self.count;
        (self.count > 0.0).then(|| self.squares / self.count - mean * mean)
    }
}

impl<S: StageNetwork> Phase for StagePhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let drawn = self.train.draw(at.epoch, at.step_in_epoch)?;
        let (part, supply) = (&self.part, &self.train);
        let mode = part.method.config.prefix;
        let moving = (mode == PrefixMode::BatchStatistics).then_some(&self.student);
        let begin = part.begin(supply, &drawn, &self.prefix, moving)?;
        let mut run = part.run(&self.student, begin, true);
        run.teacher = part.ask_teacher(supply, &drawn, &part.spec.objective.taps())?;
        for map in run.teacher.iter_mut().flatten() {
            *map = map.clone().lifted();
        }
        run.answer = part.ask_answer(supply, &drawn)?.map(Rows::lifted);
        let targets = part.targets(supply, &drawn)?.map(Targets::lifted);
        let seen = Seen {
            names: &part.layout.names,
            student: &run.student,
            teacher: &run.teacher,
            regressors: &self.regressors,
            output: run.output.as_ref(),
            answer: run.answer.as_ref(),
            targets: targets.as_ref(),
        };
        let (total, report) = part.spec.objective.value(&seen)?;

        let mut raw = total.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &self.student, &mut raw);
        for (stage, regressor) in self.regressors.iter().enumerate() {
            if let Some(regressor) = regressor {
                gradients.collect(&regressor_name(stage), regressor, &mut raw);
            }
        }
        self.training.clip(&mut gradients);
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        self.student = self
            .optimizer
            .step("student", self.student.clone(), at.lr, &gradients);
        for (stage, regressor) in self.regressors.iter_mut().enumerate() {
            if let Some(old) = regressor.take() {
                let name = regressor_name(stage);
                *regressor = Some(self.optimizer.step(&name, old, at.lr, &gradients));
            }
        }
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        if !self.part.spec.objective.reads_output() {
            return match self.measured.first() {
                Some(supply) => self.map_loss(supply),
                None => Ok(Metrics::new()),
            };
        }
        let mut all = Metrics::new();
        for supply in &self.measured {
            let metrics = self.answers(supply)?;
            let name = |name: String| match supply.role {
                Role::Validation => format!("validation_{name}"),
                _ => name,
            };
            all.extend(
                metrics
                    .into_iter()
                    .map(|(metric, value)| (name(metric), value)),
            );
        }
        Ok(all)
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        for (stage, regressor) in self.regressors.iter().enumerate() {
            if let Some(regressor) = regressor {
                state.put(&regressor_name(stage), export(regressor, Names::Burn));
            }
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let student = state.part("student");
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        for (stage, regressor) in self.regressors.iter_mut().enumerate() {
            if let Some(old) = regressor {
                let tensors = state.part(&regressor_name(stage));
                *old = import(old, &tensors, Names::Burn, "checkpoint")?;
            }
        }
        let device = &self.part.method.device;
        state.restore_optimizer(&mut self.optimizer, device)
    }
}

/// Under which name the regressor of a stage is in gradients and checkpoints.
fn regressor_name(stage: usize) -> String {
    format!("regressor{stage}")
}
