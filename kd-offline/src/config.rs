//! The losses of a recipe: the entries of `[[losses]]`.

use kd_core::{Error, Result};
use kd_losses::Schedule;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::kinds::{self, LossKind, Reads};

/// One term of the weighted sum that the student minimises: an entry of `[[losses]]` in a recipe.
///
/// Its `kind` is a name of the catalogue ([`kd_losses::losses`]), and beside the keys that are listed here it
/// takes every constant of that loss by name. A key that a recipe leaves out has the default value of the
/// loss's config, which is the paper's.
///
/// | key | losses that have it | default |
/// |---|---|---|
/// | `kind` | all | must be there |
/// | `weight` | all: a number, or a table, see [`kd_losses::Schedule`] | the catalogue's usual one, else 1 |
/// | `name` | all: the name in logs | the kind |
/// | `temperature` | those that have it: a number; of logits also a table, as `weight` | the loss's |
/// | `standardise` | of two logits: true standardises both, see [`kd_losses::standardised`] | false |
/// | `student_tap`, `student_taps` | of features: stages, or `dense`, the input of the head | must be there |
/// | `teacher_tap`, `teacher_taps` | the same, one for each of the student's | the same names |
/// | `teacher` | of features: the index of the teacher, from 0 | 0 |
///
/// The default weight of `kd` and `hint` is 1.
///
/// ```
/// let toml = "kind = \"dkd\"\nbeta = 2.0\nweight = { kind = \"warm-up\", to = 1.0, epochs = 20 }";
/// let loss: kd_offline::LossConfig = toml::from_str(toml).unwrap();
/// assert_eq!(loss.kind(), "dkd");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LossConfig {
    kind: &'static LossKind,
    name: Option<String>,
    weight: Schedule,
    standardise: bool,
    /// The temperature over time, where it changes; the constant has what it is at first.
    temperature: Option<Schedule>,
    teacher: usize,
    student_taps: Vec<String>,
    teacher_taps: Option<Vec<String>>,
    /// Every constant of the loss.
    settings: Map<String, Value>,
}

/// The use of a learned 1x1 convolution from the student's channels to the teacher's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Widths {
    /// Never: maps of different width are an error.
    None,
    /// If the widths differ.
    #[default]
    WhenWidthsDiffer,
    /// Always.
    Always,
}

const TAPS: [&str; 5] = [
    "student_tap",
    "student_taps",
    "teacher_tap",
    "teacher_taps",
    "teacher",
];

impl LossConfig {
    /// A loss by its name in the catalogue, all else by default. Losses of features need [`LossConfig::at`],
    /// too.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the nearest name for a name that the catalogue does not have, and for a loss of
    /// the catalogue that has no place in offline distillation.
    pub fn of(kind: &str) -> Result<Self> {
        let kind = kinds::find(kind)?;
        Ok(Self {
            kind,
            name: None,
            weight: Schedule::from(kind.weight()),
            standardise: false,
            temperature: None,
            teacher: 0,
            student_taps: Vec::new(),
            teacher_taps: None,
            settings: (kind.defaults)(),
        })
    }

    /// Cross-entropy without smoothing.
    pub fn cross_entropy(weight: f64) -> Self {
        Self::smoothed_cross_entropy(weight, 0.0)
    }

    /// Cross-entropy with label smoothing, a share in `[0, 1)`.
    pub fn smoothed_cross_entropy(weight: f64, label_smoothing: f64) -> Self {
        Self::known("cross-entropy")
            .with_weight(weight)
            .set("label_smoothing", label_smoothing)
    }

    /// Hinton's distillation.
    pub fn kd(weight: f64, temperature: f64) -> Self {
        Self::known("kd")
            .with_weight(weight)
            .set("temperature", temperature)
    }

    /// Whether it reads the logits of the teachers.
    pub(crate) fn reads_logits(&self) -> bool {
        self.kind.reads == Reads::Logits
    }

    fn set(mut self, constant: &str, value: f64) -> Self {
        self.settings.insert(constant.into(), value.into());
        self
    }

    #[expect(
        clippy::expect_used,
        reason = "the two names above are in the table, which a test asserts"
    )]
    fn known(kind: &str) -> Self {
        Self::of(kind).expect("a name in the table")
    }

    /// With this weight in all epochs.
    #[must_use]
    pub fn with_weight(mut self, weight: f64) -> Self {
        self.weight = Schedule::from(weight);
        self
    }

    /// With a constant of the loss set to `value`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] if the loss has no such constant, [`Error::Config`] if it takes no such value.
    pub fn with(mut self, constant: &str, value: impl Into<Value>) -> Result<Self> {
        if !self.settings.contains_key(constant) {
            let known = self.settings.keys().map(String::as_str);
            return Err(Error::unknown_name("constant", constant, known));
        }
        self.settings.insert(constant.to_owned(), value.into());
        self.kind
            .check_types(&self.settings)
            .map_err(|problem| Error::config(constant, problem))?;
        Ok(self)
    }

    /// At these taps of the student and of teacher 0.
    #[must_use]
    pub fn at(mut self, student_taps: &[&str], teacher_taps: &[&str]) -> Self {
        let owned = |taps: &[&str]| taps.iter().map(|&tap| tap.to_owned()).collect();
        self.student_taps = owned(student_taps);
        self.teacher_taps = Some(owned(teacher_taps));
        self
    }

    /// The names of all kinds, in the order of the catalogue.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        kinds::all().map(|kind| kind.name)
    }

    /// Its entry in a recipe, as TOML with the default values and with taps to be replaced.
    pub fn example(&self) -> String {
        let mut loss = self.clone();
        if let Reads::Taps { at_least, .. } = loss.reads()
            && loss.student_taps.is_empty()
        {
            let taps = (0..at_least).map(|number| format!("layer{}", number + 1));
            loss.student_taps = taps.collect();
        }
        let line = |(key, value): (String, Value)| format!("{key} = {value}\n");
        match serde_json::to_value(&loss) {
            Ok(Value::Object(table)) => table.into_iter().map(line).collect(),
            _ => String::new(),
        }
    }

    /// The name of the loss in the catalogue.
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// The name under which the term is logged.
    pub fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let kind = self.kind.name.replace('-', "_");
        match self.student_taps.as_slice() {
            [tap] if self.kind.name == "hint" => format!("{kind}_{tap}"),
            _ => kind,
        }
    }

    /// The weight over time.
    pub fn weight(&self) -> &Schedule {
        &self.weight
    }

    /// The constants of the loss, as a config of kd-losses or of a kind reads them.
    pub(crate) fn settings<C: serde::de::DeserializeOwned>(&self) -> Result<C> {
        serde_json::from_value(Value::Object(self.settings.clone())).map_err(|error| {
            Error::method(format!("the constants of loss `{}`", self.name()), error)
        })
    }

    /// The temperature at an epoch, if the loss has one.
    pub(crate) fn temperature_at(&self, epoch: f64) -> Option<f64> {
        match self.temperature {
            Some(schedule) => Some(schedule.at(epoch)),
            None => self.settings.get("temperature").and_then(Value::as_f64),
        }
    }

    /// The loss with its constants as they are at an epoch; none if they never change.
    pub(crate) fn at_epoch(&self, epoch: f64) -> Option<Self> {
        let schedule = self.temperature?;
        Some(self.clone().set("temperature", schedule.at(epoch)))
    }

    /// With a temperature that changes over the epochs, of a loss of logits that has one.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the loss has none, or the schedule leaves the numbers above 0.
    pub fn with_temperature(mut self, schedule: Schedule) -> Result<Self> {
        self.set_temperature(schedule)
            .map_err(|problem| Error::config("temperature", problem))?;
        Ok(self)
    }

    fn set_temperature(&mut self, schedule: Schedule) -> std::result::Result<(), String> {
        if self.reads() != Reads::Logits || !self.settings.contains_key("temperature") {
            return Err("is no constant of this loss that can change with time".into());
        }
        schedule.check().map_err(|error| error.to_string())?;
        // The ends are the extremes of every kind that stays above 0.
        let stays = [0.0, f64::MAX]
            .iter()
            .all(|&epoch| schedule.at(epoch) > 0.0);
        if !stays || matches!(schedule, Schedule::Window { .. }) {
            return Err("must stay above 0; use the kinds `linear` or `cosine`".into());
        }
        self.settings
            .insert("temperature".into(), schedule.at(0.0).into());
        self.temperature = (!schedule.is_constant()).then_some(schedule);
        Ok(())
    }

    /// The share of the target that is spread over all classes, if the loss has it.
    pub(crate) fn label_smoothing(&self) -> Option<f64> {
        self.settings.get("label_smoothing").and_then(Value::as_f64)
    }

    pub(crate) fn standardise(&self) -> bool {
        self.standardise
    }

    pub(crate) fn reads(&self) -> Reads {
        self.kind.reads
    }

    pub(crate) fn which_teacher(&self) -> usize {
        self.teacher
    }

    /// The student's taps and the teacher's.
    pub(crate) fn each_taps(&self) -> (&[String], &[String]) {
        let theirs = self.teacher_taps.as_ref().unwrap_or(&self.student_taps);
        (&self.student_taps, theirs)
    }

    /// The student's taps, and for each the teacher's.
    pub(crate) fn taps(&self) -> impl Iterator<Item = (&str, &str)> {
        let (ours, theirs) = self.each_taps();
        let ours = ours.iter().map(String::as_str);
        ours.zip(theirs.iter().map(String::as_str))
    }

    pub(crate) fn bind(&self, binder: &mut kinds::Binder<'_>) -> Result<Box<dyn kinds::BoundLoss>> {
        (self.kind.bind)(self, binder)
    }

    /// Checks what can be checked without a network, for the loss at `index` and so many teachers.
    pub(crate) fn check(&self, index: usize, teachers: usize) -> Result<()> {
        let field = |name: &str| format!("losses.{index}.{name}");
        if let Some(name) = &self.name {
            check_name(name).map_err(|problem| Error::config(field("name"), problem))?;
        }
        if let Schedule::Constant { value: weight } = self.weight
            && (!weight.is_finite() || weight < 0.0)
        {
            let problem = format!("must be finite and not negative, got {weight}");
            return Err(Error::config(field("weight"), problem));
        }
        self.weight
            .check()
            .map_err(|error| Error::config(field("weight"), error.to_string()))?;
        if self.reads() != Reads::Labels && self.teacher >= teachers {
            let given = self.teacher;
            let problem = match teachers {
                0 => "needs a teacher; add one under `[[teachers]]`".into(),
                1 => format!("is {given}, but there is only 1 teacher, counted from 0"),
                _ => format!("is {given}, but there are only {teachers} teachers, counted from 0"),
            };
            return Err(Error::config(field("teacher"), problem));
        }
        self.check_taps(field)
    }

    fn check_taps(&self, field: impl Fn(&str) -> String) -> Result<()> {
        let Reads::Taps { at_least, at_most } = self.reads() else {
            return Ok(());
        };
        let ours = self.student_taps.len();
        let theirs = self.teacher_taps.as_ref().map_or(ours, Vec::len);
        if theirs != ours && !self.kind.any_teacher_taps {
            let problem = format!(
                "needs as many teacher taps as student taps, at least one, got {theirs} and {ours}"
            );
            return Err(Error::config(field("teacher_taps"), problem));
        }
        let kind = self.kind.name;
        if ours == 0 {
            let problem = format!(
                "is missing; loss `{kind}` compares feature maps: name stages of the student, or `dense` for \
                 what goes into its head"
            );
            return Err(Error::config(field("student_taps"), problem));
        }
        if ours < at_least || ours > at_most || theirs == 0 {
            let wanted = if ours < at_least || theirs == 0 {
                format!("at least {at_least}")
            } else {
                format!("at most {at_most}")
            };
            let problem = format!("has {ours} entries; loss `{kind}` needs {wanted}");
            return Err(Error::config(field("student_taps"), problem));
        }
        Ok(())
    }
}

/// Names are names in logs and of metrics.
fn check_name(name: &str) -> std::result::Result<(), String> {
    const MOST: usize = 60;
    if name == "total" {
        return Err("is `total`, which is the sum of all losses; choose another".into());
    }
    let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '/');
    if name.trim().is_empty()
        || name.chars().count() > MOST
        || !name.chars().all(good)
        || name.contains("..")
    {
        return Err(format!(
            "must be 1 to {MOST} letters, digits, spaces, `-`, `_`, `/` and single dots, got {name:?}"
        ));
    }
    Ok(())
}

impl Serialize for LossConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut table = Map::new();
        table.insert("kind".into(), self.kind.name.into());
        if let Some(name) = &self.name {
            table.insert("name".into(), name.as_str().into());
        }
        let weight =
            serde_json::to_value(self.weight).map_err(<S::Error as serde::ser::Error>::custom)?;
        table.insert("weight".into(), weight);
        if self.standardise {
            table.insert("standardise".into(), true.into());
        }
        if let Reads::Taps { .. } = self.reads() {
            let mut put = |one: &str, many: &str, taps: &[String]| match taps {
                [tap] => table.insert(one.into(), tap.as_str().into()),
                taps => table.insert(many.into(), taps.to_vec().into()),
            };
            put("student_tap", "student_taps", &self.student_taps);
            if let Some(taps) = &self.teacher_taps {
                put("teacher_tap", "teacher_taps", taps);
            }
            table.insert("teacher".into(), self.teacher.into());
        }
        table.extend(self.settings.clone());
        if let Some(schedule) = self.temperature {
            let schedule =
                serde_json::to_value(schedule).map_err(<S::Error as serde::ser::Error>::custom)?;
            table.insert("temperature".into(), schedule);
        }
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LossConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = Map::<String, Value>::deserialize(deserializer)?;
        let kind = table.remove("kind");
        let kind = kind.ok_or_else(|| <D::Error as serde::de::Error>::missing_field("kind"))?;
        let kind = kind.as_str().ok_or_else(|| {
            <D::Error as serde::de::Error>::custom(
                "`kind` of a loss must be a string, such as \"kd\"",
            )
        })?;
        let mut loss = Self::of(kind).map_err(<D::Error as serde::de::Error>::custom)?;
        for (key, value) in table {
            loss.read(&key, value)
                .map_err(<D::Error as serde::de::Error>::custom)?;
        }
        loss.kind
            .check_types(&loss.settings)
            .map_err(<D::Error as serde::de::Error>::custom)?;
        Ok(loss)
    }
}

impl LossConfig {
    /// Takes one key of a recipe; the errors begin as those of serde do, so that a recipe's reader knows
    /// them.
    fn read(&mut self, key: &str, value: Value) -> std::result::Result<(), String> {
        fn typed<T: serde::de::DeserializeOwned>(
            key: &str,
            value: Value,
        ) -> std::result::Result<T, String> {
            serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
        }
        // TOML has no null: this was `nan` or `inf`.
        if value.is_null() {
            return Err(format!("`{key}` must be finite"));
        }
        let has_taps = matches!(self.reads(), Reads::Taps { .. });
        match key {
            "weight" => self.weight = typed(key, value)?,
            "temperature" if value.is_object() => {
                let set = self.set_temperature(typed(key, value)?);
                set.map_err(|problem| format!("`{key}` {problem}"))?;
            }
            "name" => self.name = Some(typed(key, value)?),
            "standardise" if self.reads() == Reads::Logits => self.standardise = typed(key, value)?,
            "teacher" if has_taps => self.teacher = typed(key, value)?,
            "student_tap" if has_taps => self.student_taps = vec![typed(key, value)?],
            "student_taps" if has_taps => self.student_taps = typed(key, value)?,
            "teacher_tap" if has_taps => self.teacher_taps = Some(vec![typed(key, value)?]),
            "teacher_taps" if has_taps => self.teacher_taps = Some(typed(key, value)?),
            _ => {
                let Some(setting) = self.settings.get_mut(key) else {
                    let known: Vec<String> =
                        self.keys().iter().map(|key| format!("`{key}`")).collect();
                    let known = known.join(", ");
                    return Err(format!("unknown field `{key}`, expected one of {known}"));
                };
                *setting = value;
            }
        }
        Ok(())
    }

    /// All keys that a recipe may set.
    fn keys(&self) -> Vec<&str> {
        let mut keys = vec!["kind", "weight", "name"];
        match self.reads() {
            Reads::Logits => keys.push("standardise"),
            Reads::Taps { .. } => keys.extend(TAPS),
            Reads::Labels => {}
        }
        keys.extend(self.settings.keys().map(String::as_str));
        keys
    }
}
