//! The losses of the catalogue as terms of offline distillation: what each reads, and how it is bound to taps and modules.

use std::fmt;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Int, Tensor};
use kd_core::{
    Draws, Error, NamedGradients, Names, Optimizer, Result, Tensors, Trace, count_parameters,
    export, import, nearest,
};
use serde_json::{Map, Value};

use crate::teacher::average;
use crate::{Answer, Ensemble, LossConfig, Taps, Teacher};

mod features;
mod logits;
mod memory;
mod trained;

/// What a network shows of a batch.
pub(crate) type Seen = Trace<Tensor<4>, Tensor<2>, Tensor<2>>;

/// What went wrong in a term.
pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The tap of the dense representation, which is `[batch_size, features, 1, 1]` there.
pub(crate) const DENSE: &str = "dense";

/// What a loss reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The student's logits, and perhaps labels.
    Labels,
    /// The logits of student and teachers, and perhaps labels.
    Logits,
    /// Taps of the student and of one teacher.
    Taps { at_least: usize, at_most: usize },
}

impl Reads {
    pub(crate) const PAIRS: Self = Self::Taps {
        at_least: 1,
        at_most: usize::MAX,
    };
    pub(crate) const SEVERAL: Self = Self::Taps {
        at_least: 2,
        at_most: usize::MAX,
    };
    pub(crate) const ONE: Self = Self::Taps {
        at_least: 1,
        at_most: 1,
    };
}

/// Whether constants, laid over the defaults, have the right types.
type Typed = fn(&Map<String, Value>, &Map<String, Value>) -> std::result::Result<(), String>;

/// A loss of the catalogue as offline distillation takes it.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) reads: Reads,
    /// The weight where a recipe says nothing, if that is not the usual one of the catalogue.
    own_weight: Option<f64>,
    /// Whether the teacher may have another number of taps than the student.
    pub(crate) any_teacher_taps: bool,
    /// The constants with their default values.
    pub(crate) defaults: fn() -> Map<String, Value>,
    typed: Typed,
    pub(crate) bind: fn(&LossConfig, &mut Binder<'_>) -> Result<Box<dyn Bound>>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Kind {
    /// A kind whose constants are those of the config `C`, which are the values of `defaults`.
    const fn new<C: serde::de::DeserializeOwned>(
        name: &'static str,
        reads: Reads,
        defaults: fn() -> Map<String, Value>,
        bind: fn(&LossConfig, &mut Binder<'_>) -> Result<Box<dyn Bound>>,
    ) -> Self {
        Self {
            name,
            reads,
            own_weight: None,
            any_teacher_taps: false,
            defaults,
            typed: typed::<C>,
            bind,
        }
    }

    const fn with_weight(mut self, weight: f64) -> Self {
        self.own_weight = Some(weight);
        self
    }

    /// Whether the constants have the right types; if not, which one has not, in words.
    pub(crate) fn check_types(
        &self,
        settings: &Map<String, Value>,
    ) -> std::result::Result<(), String> {
        (self.typed)(settings, &(self.defaults)())
    }

    /// The weight where a recipe says nothing: the usual one of the catalogue, else 1.
    pub(crate) fn weight(&self) -> f64 {
        let usual = || kd_losses::find_loss(self.name)?.usual_weight;
        self.own_weight
            .or_else(|| usual().map(|usual| usual.value))
            .unwrap_or(1.0)
    }

    const fn with_any_teacher_taps(mut self) -> Self {
        self.any_teacher_taps = true;
        self
    }
}

/// Tries the constants; where they have wrong types, says which one.
fn typed<C: serde::de::DeserializeOwned>(
    settings: &Map<String, Value>,
    defaults: &Map<String, Value>,
) -> std::result::Result<(), String> {
    let read = |settings: Map<String, Value>| serde_json::from_value::<C>(Value::Object(settings));
    let Err(whole) = read(settings.clone()) else {
        return Ok(());
    };
    for (key, value) in settings {
        let mut one = defaults.clone();
        one.insert(key.clone(), value.clone());
        if let Err(error) = read(one) {
            return Err(format!("`{key}` of the loss: {error}"));
        }
    }
    Err(whole.to_string())
}

/// Reads the constants of a loss and makes it.
fn made<C: serde::de::DeserializeOwned, L>(
    loss: &LossConfig,
    init: impl FnOnce(&C) -> kd_losses::Result<L>,
) -> Result<L> {
    init(&loss.settings::<C>()?).map_err(constant_error)
}

/// The values of a config with its defaults.
fn json<C: serde::Serialize>(config: C) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// A config of a loss that has no constants.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoConstants {}

/// Every kind, in the order of the catalogue.
pub(crate) fn all() -> impl Iterator<Item = &'static Kind> {
    let tables = [
        logits::KINDS,
        features::KINDS,
        trained::KINDS,
        memory::KINDS,
    ];
    kd_losses::losses().filter_map(move |loss| {
        let mut kinds = tables.into_iter().flatten();
        kinds.find(|kind| kind.name == loss.name)
    })
}

/// The kind of this name.
pub(crate) fn find(name: &str) -> Result<&'static Kind> {
    if let Some(kind) = all().find(|kind| kind.name == name) {
        return Ok(kind);
    }
    if let Some(loss) = kd_losses::find_loss(name) {
        let problem = format!(
            "`{name}` ({}) reads what offline distillation does not make; it is there for method crates",
            loss.title
        );
        return Err(Error::config("kind", problem));
    }
    let hint = nearest(name, all().map(|kind| kind.name))
        .map(|near| format!("did you mean `{near}`? "))
        .unwrap_or_default();
    let problem = format!("there is no loss `{name}`; {hint}`kd losses` lists all");
    Err(Error::config("kind", problem))
}

/// Everything a term may look at in one step.
pub(crate) struct Scene<'a> {
    pub(crate) student: &'a Seen,
    pub(crate) answers: &'a [Answer],
    pub(crate) teachers: &'a [Box<dyn Teacher>],
    /// On the autodiff device.
    pub(crate) targets: &'a Tensor<1, Int>,
    /// Of the samples, in their data set.
    pub(crate) ids: &'a [u32],
    /// The step, for what is drawn at random.
    pub(crate) step: u64,
    /// Whether this is only a trial, which must leave nothing behind.
    pub(crate) trial: bool,
}

impl Scene<'_> {
    fn at(&self, place: At) -> Tensor<4> {
        match place {
            At::Map(index) => self.student.maps[index].clone(),
            At::Dense => as_map(self.student.dense.clone()),
        }
    }

    /// The two maps of a pair.
    fn pair(&self, pair: &Pair) -> (Tensor<4>, Tensor<4>) {
        let theirs = self.answers[pair.teacher].maps[pair.map].clone();
        (self.at(pair.student), theirs)
    }

    /// The two maps of a pair as vectors `[batch_size, features]`.
    fn vectors(&self, pair: &Pair) -> (Tensor<2>, Tensor<2>) {
        let (ours, theirs) = self.pair(pair);
        (ours.flatten(1, 3), theirs.flatten(1, 3))
    }
}

/// `[batch_size, features]` as `[batch_size, features, 1, 1]`.
pub(crate) fn as_map(dense: Tensor<2>) -> Tensor<4> {
    let [batch_size, features] = dense.dims();
    dense.reshape([batch_size, features, 1, 1])
}

/// A place in the student.
#[derive(Clone, Copy, Debug)]
enum At {
    Map(usize),
    Dense,
}

/// A place in the student and one in what a teacher was asked for.
#[derive(Clone, Copy, Debug)]
struct Pair {
    student: At,
    teacher: usize,
    /// In the answer.
    map: usize,
    /// Of the map of one sample: channels, height, width.
    student_shape: [usize; 3],
    teacher_shape: [usize; 3],
}

impl Pair {
    /// The widths, student first.
    fn channels(&self) -> [usize; 2] {
        [self.student_shape[0], self.teacher_shape[0]]
    }

    /// The number of features of the flattened maps, student first.
    fn features(&self) -> [usize; 2] {
        [
            self.student_shape.iter().product(),
            self.teacher_shape.iter().product(),
        ]
    }
}

/// What a loss is bound with.
pub(crate) struct Binder<'a> {
    pub(crate) stages: Vec<String>,
    pub(crate) student: &'a Seen,
    pub(crate) teachers: &'a [(&'a dyn Teacher, &'a Seen)],
    pub(crate) asked: Vec<Taps>,
    pub(crate) ensemble: Ensemble,
    /// The seed of the run.
    pub(crate) seed: u64,
    /// The place of the loss in the recipe.
    pub(crate) index: usize,
    /// The autodiff device.
    pub(crate) device: &'a Device,
    pub(crate) batch_size: usize,
    /// Ids of the samples in their data set, and the labels of all its samples.
    pub(crate) ids: &'a [u32],
    pub(crate) labels: &'a [u16],
}

impl Binder<'_> {
    /// The pairs of taps of a loss. Adds what the teacher is to be asked for.
    fn pairs(&mut self, loss: &LossConfig) -> Result<Vec<Pair>> {
        let teacher = loss.which_teacher();
        loss.taps()
            .map(|(ours, theirs)| {
                let (student, student_shape) = self.ours(ours)?;
                let (map, teacher_shape) = self.theirs(teacher, theirs)?;
                Ok(Pair {
                    student,
                    teacher,
                    map,
                    student_shape,
                    teacher_shape,
                })
            })
            .collect()
    }

    /// The places of one side each, where the sides may have different numbers of taps.
    fn sides(&mut self, loss: &LossConfig) -> Result<Sides> {
        let teacher = loss.which_teacher();
        let (ours, theirs) = loss.each_taps();
        let ours = ours.iter().map(|tap| self.ours(tap));
        let ours: Vec<(At, [usize; 3])> = ours.collect::<Result<_>>()?;
        let mut maps = Vec::new();
        for tap in theirs {
            maps.push(self.theirs(teacher, tap)?);
        }
        Ok(Sides {
            student: ours,
            teacher,
            maps,
        })
    }

    fn ours(&self, tap: &str) -> Result<(At, [usize; 3])> {
        let shape = |map: &Tensor<4>| {
            let [_, channels, height, width] = map.dims();
            [channels, height, width]
        };
        if let Some(stage) = self.stages.iter().position(|known| known == tap) {
            return Ok((At::Map(stage), shape(&self.student.maps[stage])));
        }
        if tap == DENSE {
            return Ok((At::Dense, [self.student.dense.dims()[1], 1, 1]));
        }
        let known = self.stages.iter().map(String::as_str);
        Err(Error::unknown_name("tap", tap, known.chain([DENSE])))
    }

    /// The place of the map in the teacher's answer, and its shape.
    fn theirs(&mut self, teacher: usize, tap: &str) -> Result<(usize, [usize; 3])> {
        let (of, seen) = self.teachers[teacher];
        let shape = match of.tap(tap) {
            Ok(stage) => {
                let [_, channels, height, width] = seen.maps[stage].dims();
                [channels, height, width]
            }
            Err(_) if tap == DENSE => [seen.dense.dims()[1], 1, 1],
            Err(error) => return Err(error),
        };
        let asked = &mut self.asked[teacher];
        let place = asked.iter().position(|known| known == tap);
        let place = place.unwrap_or_else(|| {
            asked.push(tap.to_owned());
            asked.len() - 1
        });
        Ok((place, shape))
    }

    /// The seed of module `number` of this loss.
    fn module_seed(&self, number: usize) -> u64 {
        Draws::new(self.seed, "regressor", self.index as u64, number as u64).bits()
    }

    /// The seed of what this loss draws in its steps.
    fn draw_seed(&self) -> u64 {
        Draws::new(self.seed, "loss", self.index as u64, 0).bits()
    }
}

/// The taps of both sides.
#[derive(Debug)]
struct Sides {
    student: Vec<(At, [usize; 3])>,
    teacher: usize,
    maps: Vec<(usize, [usize; 3])>,
}

impl Sides {
    fn maps(&self, scene: &Scene<'_>) -> (Vec<Tensor<4>>, Vec<Tensor<4>>) {
        let ours = self.student.iter().map(|(at, _)| scene.at(*at)).collect();
        let answer = &scene.answers[self.teacher];
        let theirs = self.maps.iter().map(|(map, _)| answer.maps[*map].clone());
        (ours, theirs.collect())
    }

    /// The widths of the student's maps and of the teacher's.
    fn channels(&self) -> [Vec<usize>; 2] {
        [
            self.student.iter().map(|(_, shape)| shape[0]).collect(),
            self.maps.iter().map(|(_, shape)| shape[0]).collect(),
        ]
    }
}

/// A loss that knows where to look, with what is trained beside the student for it.
pub(crate) trait Bound: fmt::Debug {
    /// The unweighted value.
    fn value(&self, scene: &Scene<'_>) -> Result<Tensor<1>, Problem>;

    /// A further term of weight 1 that trains only what is beside the student, and its name.
    fn beside(&self, _scene: &Scene<'_>) -> Result<Option<(&'static str, Tensor<1>)>, Problem> {
        Ok(None)
    }

    /// The smallest batch on which it can be tried.
    fn trial_batch(&self) -> usize {
        1
    }

    /// The trained parameters.
    fn parameters(&self) -> u64 {
        0
    }

    /// Takes the gradients of what is trained, under names that begin with `prefix`.
    fn collect(&self, _prefix: &str, _into: &mut NamedGradients, _raw: &mut Gradients) {}

    /// Does a step of the optimizer.
    fn step(&mut self, _: &str, _: &mut Optimizer, _lr: f64, _: &NamedGradients) {}

    /// Weights and memories, for a checkpoint.
    fn state(&self) -> Tensors {
        Tensors::new()
    }

    /// Takes back what [`Bound::state`] gave.
    fn restore(&mut self, _state: &Tensors) -> Result<()> {
        Ok(())
    }
}

/// The value of a term that has nothing to train.
type Formula = Box<dyn Fn(&Scene<'_>) -> Result<Tensor<1>, Problem>>;

/// A term that has nothing to train.
struct Plain {
    name: &'static str,
    formula: Formula,
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Bound for Plain {
    fn value(&self, scene: &Scene<'_>) -> Result<Tensor<1>, Problem> {
        (self.formula)(scene)
    }
}

/// A term from a formula.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the last line of functions that bind a loss"
)]
fn plain(
    loss: &LossConfig,
    formula: impl Fn(&Scene<'_>) -> Result<Tensor<1>, Problem> + 'static,
) -> Result<Box<dyn Bound>> {
    Ok(Box::new(Plain {
        name: loss.kind(),
        formula: Box::new(formula),
    }))
}

/// The value of a term with modules.
type ModuleFormula<M> = Box<dyn Fn(&[M], &Scene<'_>) -> Result<Tensor<1>, Problem>>;
/// What else its modules learn from.
type ModuleBeside<M> = Box<dyn Fn(&[M], &Scene<'_>) -> Result<(&'static str, Tensor<1>), Problem>>;

/// A term with modules that are trained beside the student.
struct WithModules<M> {
    name: &'static str,
    modules: Vec<M>,
    trial_batch: usize,
    formula: ModuleFormula<M>,
    beside: Option<ModuleBeside<M>>,
}

impl<M: Module> fmt::Debug for WithModules<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} parameters", self.name, self.parameters())
    }
}

impl<M: Module> WithModules<M> {
    fn new(
        loss: &LossConfig,
        modules: Vec<M>,
        formula: impl Fn(&[M], &Scene<'_>) -> Result<Tensor<1>, Problem> + 'static,
    ) -> Self {
        Self {
            name: loss.kind(),
            modules,
            trial_batch: 1,
            formula: Box::new(formula),
            beside: None,
        }
    }

    /// How module `number` is called under `prefix`.
    fn path(prefix: &str, number: usize) -> String {
        match number {
            0 => prefix.to_owned(),
            _ => format!("{prefix}.{number}"),
        }
    }
}

impl<M: Module> Bound for WithModules<M> {
    fn value(&self, scene: &Scene<'_>) -> Result<Tensor<1>, Problem> {
        (self.formula)(&self.modules, scene)
    }

    fn beside(&self, scene: &Scene<'_>) -> Result<Option<(&'static str, Tensor<1>)>, Problem> {
        let beside = self.beside.as_ref();
        beside
            .map(|beside| beside(&self.modules, scene))
            .transpose()
    }

    fn trial_batch(&self) -> usize {
        self.trial_batch
    }

    fn parameters(&self) -> u64 {
        self.modules.iter().map(count_parameters).sum()
    }

    fn collect(&self, prefix: &str, into: &mut NamedGradients, raw: &mut Gradients) {
        for (number, module) in self.modules.iter().enumerate() {
            into.collect(&Self::path(prefix, number), module, raw);
        }
    }

    fn step(
        &mut self,
        prefix: &str,
        optimizer: &mut Optimizer,
        lr: f64,
        gradients: &NamedGradients,
    ) {
        for (number, module) in self.modules.iter_mut().enumerate() {
            let path = Self::path(prefix, number);
            *module = optimizer.step(&path, module.clone(), lr, gradients);
        }
    }

    fn state(&self) -> Tensors {
        let mut all = Tensors::new();
        for (number, module) in self.modules.iter().enumerate() {
            let tensors = export(module, Names::Burn).into_iter();
            all.extend(tensors.map(|(name, data)| (format!("{number}/{name}"), data)));
        }
        all
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        for (number, module) in self.modules.iter_mut().enumerate() {
            let prefix = format!("{number}/");
            let part = state.iter().filter_map(|(name, data)| {
                let name = name.strip_prefix(&prefix)?;
                Some((name.to_owned(), data.clone()))
            });
            *module = import(module, &part.collect(), Names::Burn, "checkpoint")?;
        }
        Ok(())
    }
}

/// The sum of a formula over pairs of taps.
fn sum(values: impl Iterator<Item = Result<Tensor<1>, Problem>>) -> Result<Tensor<1>, Problem> {
    let mut sum: Option<Tensor<1>> = None;
    for value in values {
        let value = value?;
        sum = Some(match sum {
            Some(sum) => sum + value,
            None => value,
        });
    }
    sum.ok_or_else(|| "there are no taps to compare".into())
}

/// The averaged logits of the teachers.
fn ensemble_logits(
    scene: &Scene<'_>,
    ensemble: Ensemble,
    temperature: f64,
) -> Result<Tensor<2>, Problem> {
    let logits: Vec<Tensor<2>> = scene.answers.iter().map(|a| a.logits.clone()).collect();
    average(&logits, ensemble, temperature).ok_or_else(|| "there is no teacher".into())
}

/// An error of kd-losses about a constant as one of the recipe.
fn constant_error(error: kd_losses::Error) -> Error {
    match error {
        kd_losses::Error::OutOfRange {
            name,
            range,
            value,
            advice,
        } => Error::config(name, format!("must be {range}, got {value}; {advice}")),
        other => Error::method("the loss", other),
    }
}
