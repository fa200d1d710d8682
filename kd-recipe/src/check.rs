//! The check of a recipe: what was found about it before anything is trained.

use std::path::{Path, PathBuf};

use kd_core::{Costs, Error, ErrorKind, Finding, Grade, MissingTeacher, Result, Teacher, Topic};
use kd_models::{LoadReport, ModelConfig, ModelNetwork, TrainedModel, WeightFit, Weights};
use kd_report::{Section, percent};
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;

use crate::recipe::loaded::DataFacts;
use crate::recipe::network::NewNetwork;
use crate::recipe::paths::model_folder;
use crate::recipe::teacher::{TeacherClasses, TeacherRecipe};

/// What was found about a recipe.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Check {
    /// One line that says what is trained, on what, and from whom it learns.
    pub title: String,
    /// The networks, the student first.
    pub networks: Vec<CheckedNetwork>,
    /// The weights that were read.
    pub weights: Vec<CheckedWeights>,
    /// The findings, in the order in which they were made.
    pub findings: Vec<Finding>,
    /// Tables of the method's own.
    pub sections: Vec<Section>,
    /// What the method has measured, for other programs; null if nothing.
    pub measured: Value,
}

/// A network and what it costs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CheckedNetwork {
    /// "student", or which teacher.
    pub who: String,
    /// Its name.
    pub network: String,
    /// The number of its classes.
    pub classes: usize,
    /// Its learnable parameters.
    pub parameters: u64,
    /// Its multiply-accumulates for one image.
    pub macs: u64,
    /// Whether it is trained.
    pub trained: bool,
}

/// The weights of a network.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CheckedWeights {
    /// The network that they are of, as in [`CheckedNetwork::who`].
    pub who: String,
    /// The file or folder that they were read from, as the recipe has it.
    pub from: PathBuf,
    /// Which tensors matched, were missing or unused.
    pub report: LoadReport,
}

/// A teacher that a check has read, or a stand-in for one that could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct CheckedTeacher {
    /// What it is called in findings: "teacher 0".
    pub name: String,
    /// The teacher.
    pub teacher: Box<dyn Teacher>,
    /// The accuracy that is claimed of it on these data, 0 to 1.
    pub accuracy: Option<f64>,
    /// Whether it could not be read, which is a finding already.
    pub missing: bool,
}

impl Check {
    /// Of a method that has no checks of its own: its recipe could be prepared.
    pub fn prepared(method: &str) -> Self {
        let text = format!(
            "the recipe and all that it names were read and fit; method `{method}` measures nothing more"
        );
        Self {
            title: format!("method `{method}`"),
            networks: Vec::new(),
            weights: Vec::new(),
            findings: vec![Finding::ok(Topic::Shapes, text)],
            sections: Vec::new(),
            measured: Value::Null,
        }
    }

    /// Of a method that trains this network.
    ///
    /// # Errors
    ///
    /// If the network cannot take the images.
    pub fn of_student<N: ModelNetwork>(student: &NewNetwork<N>, data: &DataFacts) -> Result<Self> {
        let spec = &student.config.network;
        let title = format!(
            "{} on {} ({}, {} classes)",
            spec.name,
            data.name,
            data.sample(),
            data.classes
        );
        let costs = student.network.costs(data.input())?;
        let mut check = Self {
            title,
            networks: vec![network("student", &costs, &spec.title(), data, true)],
            weights: Vec::new(),
            findings: Vec::new(),
            sections: Vec::new(),
            measured: Value::Null,
        };
        if let Some((_, report)) = &student.weights {
            let from = PathBuf::from(&report.origin);
            let fits = check.matched("student", &from, report.clone());
            check.findings.push(fits);
        }
        Ok(check)
    }

    /// Reads the teachers. One that cannot be read or does not fit is a finding, and a stand-in takes its
    /// place.
    ///
    /// # Errors
    ///
    /// If a teacher cannot take the images after all.
    pub fn teachers(
        &mut self,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
        at: &Context,
    ) -> Result<Vec<CheckedTeacher>> {
        self.teachers_as(TeacherClasses::OfData, recipes, data, at)
    }

    /// As [`Check::teachers`], of teachers that need not know the classes of the data.
    ///
    /// # Errors
    ///
    /// As [`Check::teachers`].
    pub fn teachers_as(
        &mut self,
        classes: TeacherClasses,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
        at: &Context,
    ) -> Result<Vec<CheckedTeacher>> {
        let load = |(index, recipe): (usize, &TeacherRecipe)| {
            self.teacher_as(classes, format!("teacher {index}"), recipe, data, at)
        };
        recipes.iter().enumerate().map(load).collect()
    }

    /// Reads one teacher, called `name`, as [`Check::teachers`] does.
    ///
    /// # Errors
    ///
    /// As [`Check::teachers`].
    pub fn teacher(
        &mut self,
        name: String,
        recipe: &TeacherRecipe,
        data: &DataFacts,
        at: &Context,
    ) -> Result<CheckedTeacher> {
        self.teacher_as(TeacherClasses::OfData, name, recipe, data, at)
    }

    fn teacher_as(
        &mut self,
        classes: TeacherClasses,
        name: String,
        recipe: &TeacherRecipe,
        data: &DataFacts,
        at: &Context,
    ) -> Result<CheckedTeacher> {
        let folder = recipe.model.as_deref();
        let fits = folder.and_then(|folder| self.compare(&name, folder, at));
        let opened = match at.open_resized(classes, recipe, data, &name) {
            Ok(opened) => opened,
            Err(error) => return Ok(self.miss(name, &error)),
        };
        self.findings.extend(fits);
        let teacher = opened.teacher(at.device());
        if let Some(report) = opened.report {
            let fits = self.matched(&name, recipe.path(), report);
            self.findings.push(fits);
        }
        self.frozen(&name, opened.model.as_ref(), data)?;
        let config = opened.model.config();
        let accuracy = config.provenance.accuracy;
        Ok(CheckedTeacher {
            accuracy: accuracy.filter(|_| trained_on(config, data)),
            teacher,
            name,
            missing: false,
        })
    }

    /// Compares the names and shapes of a weight file with those of its network. Nothing if it cannot be
    /// read, which loading it says in words.
    fn compare(&mut self, name: &str, from: &Path, at: &Context) -> Option<Finding> {
        let weights = Weights::read(&model_folder(from).ok()?).ok()?;
        let config = weights.config.clone()?;
        let blank = at.families().blank(config, at.device()).ok()?;
        // Whatever fits: loading it says what is wrong.
        let (_, report) = blank.with_weights(&weights, WeightFit::Partial).ok()?;
        Some(self.matched(name, from, report))
    }

    /// Notes how the names and shapes in a file fit.
    fn matched(&mut self, name: &str, from: &Path, report: LoadReport) -> Finding {
        let text = format!(
            "{name}: {} tensors of `{}` matched, {} missing, {} unused, {} of another shape",
            report.matched.len(),
            from.display(),
            report.missing.len(),
            report.unused.len(),
            report.unequal.len()
        );
        let finding = if report.is_exact() {
            Finding::ok(Topic::Weights, text)
        } else {
            Finding::warning(Topic::Weights, text)
        };
        self.weights.push(CheckedWeights {
            who: name.to_owned(),
            from: from.to_owned(),
            report,
        });
        finding
    }

    /// Notes a frozen network beside the student: what it costs, and where it was trained.
    ///
    /// # Errors
    ///
    /// If the network cannot take the images.
    pub fn frozen(&mut self, name: &str, model: &dyn TrainedModel, data: &DataFacts) -> Result<()> {
        let config = model.config();
        let mut frozen = network(name, &model.costs()?, &config.network.title(), data, false);
        frozen.classes = config.network.classes;
        if let Some(student) = self.networks.first() {
            let finding = compression(student, &frozen);
            self.findings.push(finding);
        }
        let elsewhere = config.provenance.data.as_ref();
        if let Some(trained) = elsewhere.filter(|_| !trained_on(config, data)) {
            let text = format!(
                "{name} was trained on `{trained}`, the data here is `{}`; right if the classes are the same \
                 in the same order",
                data.name
            );
            self.findings.push(Finding::note(Topic::Teachers, text));
        }
        self.networks.push(frozen);
        Ok(())
    }

    fn miss(&mut self, name: String, error: &Error) -> CheckedTeacher {
        let topic = match error.kind() {
            ErrorKind::Usage => Topic::Shapes,
            _ => Topic::Weights,
        };
        let finding = Finding::error(topic, format!("{name}: {error}"));
        self.findings.push(finding);
        CheckedTeacher {
            teacher: Box::new(MissingTeacher { name: name.clone() }),
            name,
            accuracy: None,
            missing: true,
        }
    }

    /// All findings, the worst last.
    pub fn sorted_findings(&self) -> Vec<&Finding> {
        let mut all: Vec<&Finding> = self.findings.iter().collect();
        all.sort_by_key(|found| found.grade);
        all
    }

    /// How many findings have this grade.
    pub fn count(&self, grade: Grade) -> usize {
        let graded = self.findings.iter().filter(|found| found.grade == grade);
        graded.count()
    }
}

/// How much smaller the student is than another network.
fn compression(student: &CheckedNetwork, other: &CheckedNetwork) -> Finding {
    let share = |of: u64, whole: u64| of as f64 / whole.max(1) as f64;
    let parameters = share(student.parameters, other.parameters);
    let macs = share(student.macs, other.macs);
    let name = &other.who;
    if parameters > 1.0 {
        let text = format!(
            "the student has {parameters:.2} times the parameters of {name}: nothing is compressed"
        );
        return Finding::note(Topic::Costs, text);
    }
    let text = format!(
        "the student has {} of the parameters and {} of the multiply-accumulates of {name}: {:.2} and {:.2} \
         times \
         compressed",
        percent(parameters),
        percent(macs),
        parameters.recip(),
        macs.recip()
    );
    Finding::ok(Topic::Costs, text)
}

/// Whether a network was trained on these data, as far as is known.
fn trained_on(config: &ModelConfig, data: &DataFacts) -> bool {
    let trained = config.provenance.data.as_ref();
    trained.is_none_or(|trained| *trained == data.name)
}

fn network(
    who: &str,
    costs: &Costs,
    name: &str,
    data: &DataFacts,
    trained: bool,
) -> CheckedNetwork {
    CheckedNetwork {
        who: who.to_owned(),
        network: name.to_owned(),
        classes: data.classes,
        parameters: costs.params(),
        macs: costs.macs(),
        trained,
    }
}
