//! The losses of the catalogue as terms of offline distillation: what each reads, and how it is bound to taps and modules.

use std::fmt;

use burn::tensor::Tensor;
use kd_core::{Error, Result, Trace, nearest};
use serde_json::{Map, Value};

use crate::teacher::average;
use crate::{Ensemble, LossConfig};

mod bound;
mod features;
mod logits;
mod memory;
mod places;
mod trained;

pub(crate) use bound::Bound;
use bound::{WithModules, plain, sum};
use places::Pair;
pub(crate) use places::{Binder, Scene, as_map};

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
