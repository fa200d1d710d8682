//! The losses of the catalogue as terms of offline distillation: inputs of each, and its binding to taps and
//! modules.

use std::fmt;

use burn::tensor::Tensor;
use kd_core::{Answer, Error, Result, nearest};
use serde_json::{Map, Value};

use crate::ensemble::average;
use crate::taps::OUTPUT_TAP;
use crate::{Ensemble, LossConfig};

mod binder;
mod bound_loss;
mod features;
mod inputs;
mod logits;
mod memory;
#[cfg(feature = "recipe")]
mod schema;
mod trained;

pub(crate) use binder::Binder;
use binder::Pair;
pub(crate) use bound_loss::BoundLoss;
use bound_loss::{WithModules, below, plain, sum};
use inputs::StudentTap;
pub(crate) use inputs::{PixelTargets, TermInputs};

/// The error of a term.
pub(crate) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The inputs of a loss.
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

/// Checks whether constants, laid over the defaults, have the right types.
type Typed = fn(&Map<String, Value>, &Map<String, Value>) -> std::result::Result<(), String>;

/// A loss of the catalogue as offline distillation takes it.
pub(crate) struct LossKind {
    pub(crate) name: &'static str,
    pub(crate) reads: Reads,
    /// The weight by default, if that is not the usual one of the catalogue.
    own_weight: Option<f64>,
    /// Whether the teacher may have another number of taps than the student.
    pub(crate) any_teacher_taps: bool,
    /// The constants with their default values.
    pub(crate) defaults: fn() -> Map<String, Value>,
    typed: Typed,
    pub(crate) bind: fn(&LossConfig, &mut Binder<'_>) -> Result<Box<dyn BoundLoss>>,
}

impl fmt::Debug for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for LossKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl LossKind {
    /// A kind whose constants are those of the config `C`, which are the values of `defaults`.
    const fn new<C: serde::de::DeserializeOwned>(
        name: &'static str,
        reads: Reads,
        defaults: fn() -> Map<String, Value>,
        bind: fn(&LossConfig, &mut Binder<'_>) -> Result<Box<dyn BoundLoss>>,
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

    /// Checks whether the constants have the right types; names one that has not, in words.
    pub(crate) fn check_types(
        &self,
        settings: &Map<String, Value>,
    ) -> std::result::Result<(), String> {
        (self.typed)(settings, &(self.defaults)())
    }

    /// The weight by default: the usual one of the catalogue, else 1.
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

/// Reads the constants; names one that has a wrong type.
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
pub(crate) fn all() -> impl Iterator<Item = &'static LossKind> {
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
pub(crate) fn find(name: &str) -> Result<&'static LossKind> {
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
    let problem = match nearest(name, all().map(|kind| kind.name)) {
        Some(near) => format!("there is no loss `{name}`; did you mean `{near}`?"),
        None => format!("there is no loss `{name}` in the catalogue"),
    };
    Err(Error::config("kind", problem))
}

/// Checks that a loss can be computed where there is a mask for each image.
///
/// # Errors
///
/// [`Error::Config`] for one that reads logits of each sample or labels.
pub(crate) fn check_for_masks(loss: &LossConfig) -> Result<()> {
    let is_smoothed = loss.label_smoothing().is_some_and(|share| share > 0.0);
    let problem = match loss.kind() {
        "cross-entropy" if is_smoothed => {
            return Err(Error::config(
                "label_smoothing",
                "is for labels of images, and the data have masks; remove it",
            ));
        }
        "cross-entropy" => return Ok(()),
        kind if features::KINDS.iter().any(|known| known.name == kind) => return Ok(()),
        kind => format!(
            "`{kind}` needs a label or an output for each image, and the data have masks; known with masks \
             are cross-entropy and losses of maps, such as pixel-wise and cwd, also at the tap `{OUTPUT_TAP}`"
        ),
    };
    Err(Error::config("kind", problem))
}

/// The averaged logits of the teachers.
fn ensemble_logits(
    inputs: &TermInputs<'_>,
    ensemble: Ensemble,
    temperature: f64,
) -> Result<Tensor<2>, Problem> {
    let logits = inputs.answers.iter().map(Answer::logits);
    let logits: Vec<Tensor<2>> = logits.collect::<Result<_>>()?;
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
