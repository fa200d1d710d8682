//! The settings of a run of students that teach each other: the table `[online]` of a recipe.

use kd_core::{Error, Result};
use kd_losses::Schedule;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::diversification::{Diversification, PredictionPenalty};
use crate::kinds::Objective;

/// The settings of a run: an objective, the branches, and the terms that any objective can have.
///
/// In a recipe it is one table. Its `kind` names the objective, whose keys stand beside the others; a key
/// that is left out has the value of the public codes, and a key of another kind is refused.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `kind` | must be there | see [`Objective`] |
/// | `branches` | 3; `dml` and `kdcl` 2; `okddip` 4, its leader included; `single` 1 | number of students |
/// | `shared` | nothing: whole networks | the last stage that all branches share |
/// | `views` | `same`; `pcl` and `kdcl` `own` | one view of a sample for all branches, or one for each |
/// | `temperature` | 3; `dml` 1 | of the divergences between students |
/// | `kd_weight` | 1 | of these divergences, at the end of the ramp-up |
/// | `ramp_up_epochs` | 80/300 of the run; `dml`, `kdcl` 0 | epochs until `kd_weight` is reached |
/// | `target_epsilon` | 0 | added to the target's probabilities; the codes of ONE and `OKDDip` have 1e-7 |
/// | `diversification` | off | penalty on the likeness of classifiers: `literal`, `working` or a table |
/// | `prediction_penalty` | off | penalty on the likeness of predictions: a table with `weight` |
/// | `teacher` | off | a frozen teacher's answers as one more target of all students |
///
/// ```
/// let toml = "kind = \"okdmde\"\nshared = \"layer2\"\ndiversification = \"working\"";
/// let config: kd_online::OnlineConfig = toml::from_str(toml).unwrap();
/// assert_eq!((config.branches, config.temperature), (3, 3.0));
/// assert!(toml::from_str::<kd_online::OnlineConfig>("kind = \"one\"\nleader = true").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OnlineConfig {
    /// What the students learn from each other.
    #[serde(flatten)]
    pub objective: Objective,
    /// The number of students, a leader included.
    pub branches: usize,
    /// The name of the last stage that all branches share; whole networks without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
    /// The views that the branches see of a sample.
    pub views: BranchViews,
    /// The temperature of the divergences between students, finite and above 0.
    pub temperature: f64,
    /// The weight of these divergences at the end of the ramp-up; not negative.
    pub kd_weight: f64,
    /// Epochs until `kd_weight` is reached, along `exp(-5 (1 - t)^2)`; 0 turns the ramp-up off. By default 80
    /// of 300 epochs, in whole ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_up_epochs: Option<f64>,
    /// Added to each probability of a target before its logarithm is taken; only to compare with the codes of
    /// ONE and `OKDDip`, which have 1e-7.
    pub target_epsilon: f64,
    /// A penalty on the likeness of the classifiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversification: Option<Diversification>,
    /// A penalty on the likeness of the predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction_penalty: Option<PredictionPenalty>,
    /// A frozen teacher's answers as one more target of all students.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherTerm>,
}

/// The views that the branches see of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BranchViews {
    /// The same for all branches: what they share is run once.
    #[default]
    Same,
    /// One for each branch: what they share is run for each view.
    Own,
}

/// A frozen teacher's answers as one more target: `weight * sum over students of T^2 KL(teacher || student)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "recipe", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TeacherTerm {
    /// The weight of the term; not negative.
    #[cfg_attr(feature = "recipe", schemars(range(min = 0.0)))]
    pub weight: f64,
    /// The temperature of teacher and student, finite and above 0.
    #[cfg_attr(feature = "recipe", schemars(extend("exclusiveMinimum" = 0)))]
    pub temperature: f64,
}

impl Default for TeacherTerm {
    fn default() -> Self {
        Self {
            weight: 1.0,
            temperature: 4.0,
        }
    }
}

/// The most students of a run: each is a whole network in memory.
const MOST_BRANCHES: usize = 256;

/// Keys that may be missing from the settings of any kind.
const OPTIONAL: [&str; 5] = [
    "shared",
    "ramp_up_epochs",
    "diversification",
    "prediction_penalty",
    "teacher",
];

impl OnlineConfig {
    /// The settings of the public codes for `objective`.
    pub fn new(objective: Objective) -> Self {
        let (branches, temperature) = match objective {
            Objective::Single { .. } => (1, 3.0),
            Objective::Dml { .. } => (2, 1.0),
            Objective::Kdcl { .. } => (2, 3.0),
            Objective::Okddip { leader: true, .. } | Objective::Okdmde { leader: true, .. } => {
                (4, 3.0)
            }
            _ => (3, 3.0),
        };
        let at_once = matches!(objective, Objective::Dml { .. } | Objective::Kdcl { .. });
        let own = matches!(objective, Objective::Pcl { .. } | Objective::Kdcl { .. });
        Self {
            branches,
            shared: None,
            views: if own {
                BranchViews::Own
            } else {
                BranchViews::Same
            },
            temperature,
            kd_weight: 1.0,
            ramp_up_epochs: at_once.then_some(0.0),
            target_epsilon: 0.0,
            diversification: None,
            prediction_penalty: None,
            teacher: None,
            objective,
        }
    }

    /// The settings of the public codes for the objective of this name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    pub fn of(kind: &str) -> Result<Self> {
        Objective::of(kind).map(Self::new)
    }

    /// With so many students, a leader included.
    #[must_use]
    pub fn with_branches(mut self, branches: usize) -> Self {
        self.branches = branches;
        self
    }

    /// With the stages up to `stage` shared by all branches.
    #[must_use]
    pub fn with_shared(mut self, stage: impl Into<String>) -> Self {
        self.shared = Some(stage.into());
        self
    }

    /// With a key of the kind set to `value`, as a recipe has it: `"attention"` to `"per-peer"`.
    ///
    /// ```
    /// # use kd_online::OnlineConfig;
    /// let config = OnlineConfig::of("okdmde")?.with("attention", "per-peer")?.with("leader", true)?;
    /// assert_eq!(config.branches, 4);
    /// assert!(config.with("atention", "gate").is_err());
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the kind has no such key, or the key takes no such value.
    pub fn with(self, key: &str, value: impl Into<Value>) -> Result<Self> {
        let failed = |error: serde_json::Error| Error::config(key, error.to_string());
        let Value::Object(mut table) = serde_json::to_value(&self).map_err(failed)? else {
            return Ok(self);
        };
        // What is as usual follows the kind: a leader is one branch more.
        if self.branches == Self::new(self.objective).branches {
            table.remove("branches");
        }
        table.insert(key.to_owned(), value.into());
        serde_json::from_value(Value::Object(table)).map_err(failed)
    }

    /// With a penalty on the likeness of the classifiers.
    #[must_use]
    pub fn with_diversification(mut self, diversification: Diversification) -> Self {
        self.diversification = Some(diversification);
        self
    }

    /// The weight of the divergences between students over a run of so many epochs.
    pub fn kd_schedule(&self, epochs: usize) -> Schedule {
        match self.ramp_up_epochs {
            None => Schedule::ramp_up(self.kd_weight, epochs),
            Some(epochs) if epochs > 0.0 => Schedule::RampUp {
                to: self.kd_weight,
                epochs,
            },
            Some(_) => Schedule::from(self.kd_weight),
        }
    }

    /// The number of students that learn from each other: all but the leader.
    pub fn peers(&self) -> usize {
        self.branches - usize::from(self.objective.has_leader() && self.branches > 0)
    }

    /// The student that is deployed: the leader where there is one, branch 0 otherwise.
    pub fn student(&self) -> usize {
        if self.objective.has_leader() {
            self.branches.saturating_sub(1)
        } else {
            0
        }
    }

    /// Checks everything that can be checked without networks and data.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value that cannot be used, by its key in the table.
    pub fn check(&self) -> Result<()> {
        self.check_numbers()?;
        self.objective.check()?;
        self.check_branches()?;
        self.check_divergence()?;
        if let Some(term) = &self.diversification {
            term.check()?;
            if term.leader && !self.objective.has_leader() {
                let problem =
                    "compares the leader's classifier too, and there is no leader; leave it out";
                return Err(Error::config("diversification.leader", problem));
            }
        }
        if let Some(penalty) = &self.prediction_penalty {
            penalty.check()?;
        }
        let alone = self.peers() < 2;
        if alone && self.diversification.is_some() {
            let problem = "compares the classifiers of several students, and there is one";
            return Err(Error::config("diversification", problem));
        }
        if alone && self.prediction_penalty.is_some() {
            let problem = "compares the predictions of several students, and there is one";
            return Err(Error::config("prediction_penalty", problem));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let positive = |name: &str, value: f64| {
            let problem = format!("must be finite and above 0, got {value}");
            let fits = value.is_finite() && value > 0.0;
            fits.then_some(())
                .ok_or_else(|| Error::config(name, problem))
        };
        let not_negative = |name: &str, value: f64| {
            let problem = format!("must be finite and not negative, got {value}");
            let fits = value.is_finite() && value >= 0.0;
            fits.then_some(())
                .ok_or_else(|| Error::config(name, problem))
        };
        positive("temperature", self.temperature)?;
        not_negative("kd_weight", self.kd_weight)?;
        not_negative("ramp_up_epochs", self.ramp_up_epochs.unwrap_or(0.0))?;
        if !(0.0..=1e-3).contains(&self.target_epsilon) {
            let problem = format!(
                "must be from 0 to 0.001, got {}; leave it out, or set 1e-7 to compare with the code of ONE",
                self.target_epsilon
            );
            return Err(Error::config("target_epsilon", problem));
        }
        if let Some(term) = &self.teacher {
            not_negative("teacher.weight", term.weight)?;
            positive("teacher.temperature", term.temperature)?;
        }
        Ok(())
    }

    /// Attention that the divergences alone train needs them, and more than one peer to choose from.
    fn check_divergence(&self) -> Result<()> {
        if self.kd_weight == 0.0 && self.objective.learns_by_divergence() {
            let problem = "is 0: nothing would train the attention; for students that learn from nobody use \
                           kind `independent`";
            return Err(Error::config("kd_weight", problem));
        }
        if self.objective.masks_self() && self.peers() == 2 {
            let problem = "leaves each of two peers one other, whatever the attention says, so that nothing \
                           would train it; leave it out, or use more branches";
            return Err(Error::config("mask_self", problem));
        }
        Ok(())
    }

    fn check_branches(&self) -> Result<()> {
        let kind = self.objective.name();
        if self.branches > MOST_BRANCHES {
            let problem = format!("must be at most {MOST_BRANCHES}, got {}", self.branches);
            return Err(Error::config("branches", problem));
        }
        if matches!(self.objective, Objective::Single { .. }) {
            if self.branches != 1 {
                let problem = format!("must be 1 for kind `single`, got {}", self.branches);
                return Err(Error::config("branches", problem));
            }
            if self.shared.is_some() {
                let problem = "is for branches, and kind `single` has one network; leave it out";
                return Err(Error::config("shared", problem));
            }
            return Ok(());
        }
        if self.branches < 2 {
            let problem = format!(
                "must be at least 2 for kind `{kind}`, got {}; for one network alone use kind `single`",
                self.branches
            );
            return Err(Error::config("branches", problem));
        }
        if self.peers() < 2 {
            let problem = format!(
                "must be at least 3 with a leader, which follows two or more peers, got {}",
                self.branches
            );
            return Err(Error::config("branches", problem));
        }
        if self.objective.reads_trunk() && self.shared.is_none() {
            let problem = format!(
                "is missing; kind `{kind}` reads what the branches share: name the last shared stage"
            );
            return Err(Error::config("shared", problem));
        }
        Ok(())
    }
}

/// [`OnlineConfig`] with every key as it is read, after the defaults of its kind were laid under it.
#[derive(Deserialize)]
struct Whole {
    #[serde(flatten)]
    objective: Objective,
    branches: usize,
    shared: Option<String>,
    views: BranchViews,
    temperature: f64,
    kd_weight: f64,
    ramp_up_epochs: Option<f64>,
    target_epsilon: f64,
    diversification: Option<Diversification>,
    prediction_penalty: Option<PredictionPenalty>,
    teacher: Option<TeacherTerm>,
}

/// Reads a whole table; an error names the key whose value cannot be read beside the usual ones.
fn read(
    usual: &Map<String, Value>,
    table: &Map<String, Value>,
) -> std::result::Result<Whole, String> {
    let whole = |table: &Map<String, Value>| serde_json::from_value(Value::Object(table.clone()));
    whole(table).map_err(|error: serde_json::Error| {
        let odd = table.iter().find(|(key, value)| {
            let mut alone = usual.clone();
            alone.insert((*key).clone(), (*value).clone());
            whole(&alone).is_err()
        });
        match odd {
            Some((key, value)) => format!("`{key}` cannot be {value}: {error}"),
            None => error.to_string(),
        }
    })
}

impl<'de> Deserialize<'de> for OnlineConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error as _;
        let given = Map::<String, Value>::deserialize(deserializer)?;
        let kind = given.get("kind").and_then(Value::as_str);
        let kind = kind.ok_or_else(|| D::Error::missing_field("kind"))?;
        let mut config = Self::of(kind).map_err(D::Error::custom)?;
        // A leader changes the usual number of branches.
        if let Some(leader) = given.get("leader").and_then(Value::as_bool) {
            config = Self::new(config.objective.with_leader(leader));
        }
        let defaults = serde_json::to_value(&config).map_err(D::Error::custom)?;
        let Value::Object(mut table) = defaults else {
            return Err(D::Error::custom("the defaults are no table"));
        };
        let usual = table.clone();
        let optional = config.objective.optional_keys().iter().chain(&OPTIONAL);
        let optional: Vec<&str> = optional.copied().collect();
        for (key, value) in given {
            if !table.contains_key(&key) && !optional.contains(&key.as_str()) {
                let mut known: Vec<&str> = table.keys().map(String::as_str).collect();
                for key in optional {
                    if !known.contains(&key) {
                        known.push(key);
                    }
                }
                let what = "key of `online`";
                return Err(D::Error::custom(Error::unknown_name(what, &key, known)));
            }
            table.insert(key, value);
        }
        let whole: Whole = read(&usual, &table).map_err(D::Error::custom)?;
        Ok(Self {
            objective: whole.objective,
            branches: whole.branches,
            shared: whole.shared,
            views: whole.views,
            temperature: whole.temperature,
            kd_weight: whole.kd_weight,
            ramp_up_epochs: whole.ramp_up_epochs,
            target_epsilon: whole.target_epsilon,
            diversification: whole.diversification,
            prediction_penalty: whole.prediction_penalty,
            teacher: whole.teacher,
        })
    }
}

/// The keys that every kind has, with their docs.
#[cfg(feature = "recipe")]
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "read by the derive")]
struct CommonKeys {
    /// The number of students, a leader included; 3, for some kinds another.
    #[schemars(range(min = 1, max = 256))]
    branches: Option<usize>,
    /// The name of the last stage that all branches share; whole networks without one.
    shared: Option<String>,
    /// The views that the branches see of a sample; the same, and `own` for `pcl` and `kdcl`.
    views: Option<BranchViews>,
    /// The temperature of the divergences between students; 3, and 1 for `dml`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    temperature: Option<f64>,
    /// The weight of these divergences at the end of the ramp-up; 1.
    #[schemars(range(min = 0.0))]
    kd_weight: Option<f64>,
    /// Epochs until `kd_weight` is reached; 80 of 300, and 0, which turns it off, for `dml` and `kdcl`.
    #[schemars(range(min = 0.0), extend("x-unit" = "epochs"))]
    ramp_up_epochs: Option<f64>,
    /// Added to each probability of a target before its logarithm is taken; 0.
    #[schemars(range(min = 0.0, max = 0.001))]
    target_epsilon: Option<f64>,
    /// A penalty on the likeness of the classifiers.
    diversification: Option<Diversification>,
    /// A penalty on the likeness of the predictions.
    prediction_penalty: Option<PredictionPenalty>,
    /// A frozen teacher's answers as one more target of all students.
    teacher: Option<TeacherTerm>,
}

#[cfg(feature = "recipe")]
impl schemars::JsonSchema for OnlineConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnlineConfig".into()
    }

    /// Each kind with its own keys and those that all have.
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let common = CommonKeys::json_schema(generator).to_value();
        let mut schema = Objective::json_schema(generator);
        let kinds = schema.get_mut("oneOf").and_then(Value::as_array_mut);
        for kind in kinds.into_iter().flatten() {
            if let (Some(keys), Some(more)) = (
                kind.get_mut("properties").and_then(Value::as_object_mut),
                common["properties"].as_object(),
            ) {
                keys.extend(more.clone());
            }
            kind["additionalProperties"] = false.into();
        }
        schema
    }
}
