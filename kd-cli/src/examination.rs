//! A recipe looked at for `kd check`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_core::{Costs, Error, ErrorKind, Result};
use kd_models::{LoadReport, ModelConfig, ModelNetwork, Network, Weights};
use kd_offline::{
    Diagnosis, DiagnosisOptions, Finding, FrozenTeacher, Grade, KnownTeacher, MissingTeacher,
    Offline, Teacher, Topic,
};
use serde::Serialize;

use crate::output::percent;
use crate::parts::{DataFacts, LoadedTeacher, NewNetwork, TeacherRecipe, model_folder};

/// What was found about a recipe.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Examination {
    /// One line that says what is trained, on what, and from whom it learns.
    pub title: String,
    /// The networks, the student first.
    pub networks: Vec<ExaminedNetwork>,
    /// The weights that were read.
    pub weights: Vec<ExaminedWeights>,
    /// What was found beside the diagnosis.
    pub findings: Vec<Finding>,
    /// What offline distillation and ordinary training look at; other methods may have none.
    pub diagnosis: Option<Diagnosis>,
    #[serde(skip)]
    known: Vec<KnownTeacher>,
}

/// A network and what it costs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExaminedNetwork {
    /// "student", or which teacher.
    pub who: String,
    /// Its name, as `kd models` lists it.
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
pub struct ExaminedWeights {
    /// Whose they are.
    pub who: String,
    /// Where they were read, as the recipe has it.
    pub from: PathBuf,
    /// Which tensors matched, were missing or unused.
    pub report: LoadReport,
}

impl Examination {
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
            diagnosis: None,
            known: Vec::new(),
        }
    }

    /// Of a method that trains this network.
    ///
    /// # Errors
    ///
    /// If the network cannot take the images.
    pub fn new<N: ModelNetwork>(student: &NewNetwork<N>, data: &DataFacts) -> Result<Self> {
        let spec = &student.config.network;
        let title = format!(
            "{} on {} ({}, {} classes)",
            spec.name, data.name, data.shape, data.classes
        );
        let costs = student.network.costs(data.input())?;
        let networks = vec![examined("student", &costs, &spec.name, data, true)];
        let mut examination = Self {
            title,
            networks,
            weights: Vec::new(),
            findings: Vec::new(),
            diagnosis: None,
            known: Vec::new(),
        };
        if let Some((_, report)) = &student.weights {
            let from = PathBuf::from(&report.origin);
            let fits = examination.matched("student", &from, report.clone());
            examination.findings.push(fits);
        }
        Ok(examination)
    }

    /// Reads the teachers. One that cannot be read or does not fit is a finding, and a stand-in takes its place.
    ///
    /// # Errors
    ///
    /// If a teacher cannot take the images after all.
    pub fn teachers(
        &mut self,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
        device: &Device,
    ) -> Result<Vec<Box<dyn Teacher>>> {
        let load = |(place, recipe): (usize, &TeacherRecipe)| -> Result<Box<dyn Teacher>> {
            let name = format!("teacher {place}");
            let folder = recipe.model.as_deref();
            let fits = folder.and_then(|folder| self.compare(&name, folder, device));
            match recipe.load(data, device) {
                Ok(loaded) => {
                    self.findings.extend(fits);
                    if let Some(report) = &loaded.report {
                        let fits = self.matched(&name, recipe.path(), report.clone());
                        self.findings.push(fits);
                    }
                    self.take(name, loaded, data, device)
                }
                Err(error) => {
                    self.miss(&name, &error);
                    Ok(Box::new(MissingTeacher { name }))
                }
            }
        };
        recipes.iter().enumerate().map(load).collect()
    }

    /// Compares the names and shapes of a weight file with those of its network. Nothing if it cannot be read, which
    /// loading it says in words.
    fn compare(&mut self, name: &str, from: &Path, device: &Device) -> Option<Finding> {
        let weights = Weights::read(&model_folder(from).ok()?).ok()?;
        let network = Network::build(&weights.config.as_ref()?.network, 0, device).ok()?;
        Some(self.matched(name, from, weights.compare(&network)))
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
        self.weights.push(ExaminedWeights {
            who: name.to_owned(),
            from: from.to_owned(),
            report,
        });
        finding
    }

    fn take(
        &mut self,
        name: String,
        loaded: LoadedTeacher,
        data: &DataFacts,
        device: &Device,
    ) -> Result<Box<dyn Teacher>> {
        let LoadedTeacher {
            network, config, ..
        } = loaded;
        self.frozen(&name, &config, data, device)?;
        self.known.push(KnownTeacher {
            name,
            accuracy: config
                .provenance
                .accuracy
                .filter(|_| trained_on(&config, data)),
            missing: false,
        });
        let teacher = FrozenTeacher::new(&network, config.normalisation, device);
        Ok(Box::new(teacher))
    }

    /// Notes a teacher, what the student is beside it, and where it was trained.
    pub(crate) fn frozen(
        &mut self,
        name: &str,
        config: &ModelConfig,
        data: &DataFacts,
        device: &Device,
    ) -> Result<()> {
        let costs = config.network.costs(device)?;
        let examined = examined(name, &costs, &config.network.name, data, false);
        let student = &self.networks[0];
        let share = |of: u64, whole: u64| of as f64 / whole.max(1) as f64;
        let parameters = share(student.parameters, examined.parameters);
        let macs = share(student.macs, examined.macs);
        self.findings.push(if parameters > 1.0 {
            let text = format!("the student has {parameters:.2} times the parameters of {name}: nothing is compressed");
            Finding::note(Topic::Costs, text)
        } else {
            let text = format!(
                "the student has {} of the parameters and {} of the multiply-accumulates of {name}: {:.2} and {:.2} times \
                 compressed",
                percent(parameters),
                percent(macs),
                parameters.recip(),
                macs.recip()
            );
            Finding::ok(Topic::Costs, text)
        });
        let elsewhere = config.provenance.data.as_ref();
        if let Some(trained) = elsewhere.filter(|_| !trained_on(config, data)) {
            let text = format!(
                "{name} was trained on `{trained}`, the data here is `{}`; right if the classes are the same in the same order",
                data.name
            );
            self.findings.push(Finding::note(Topic::Teachers, text));
        }
        self.networks.push(examined);
        Ok(())
    }

    fn miss(&mut self, name: &str, error: &Error) {
        let topic = match error.kind() {
            ErrorKind::Usage => Topic::Shapes,
            _ => Topic::Weights,
        };
        self.findings
            .push(Finding::error(topic, format!("{name}: {error}")));
        self.known.push(KnownTeacher {
            name: name.to_owned(),
            accuracy: None,
            missing: true,
        });
    }

    /// Looks at everything else.
    ///
    /// # Errors
    ///
    /// As [`Offline::diagnose`].
    pub fn diagnose(
        &mut self,
        offline: &Offline<Network>,
        data: &DataFacts,
        seed: u64,
    ) -> Result<()> {
        let mut options = DiagnosisOptions::default();
        options.seed = seed;
        options.constants.clone_from(&data.normalisation);
        options.teachers.clone_from(&self.known);
        self.diagnosis = Some(offline.diagnose(&options)?);
        Ok(())
    }

    /// Everything that was found, the worst last.
    pub fn all_findings(&self) -> Vec<&Finding> {
        let diagnosed = self
            .diagnosis
            .iter()
            .flat_map(|diagnosis| &diagnosis.findings);
        let mut all: Vec<&Finding> = self.findings.iter().chain(diagnosed).collect();
        all.sort_by_key(|found| found.grade);
        all
    }

    /// How many findings have this grade.
    pub fn count(&self, grade: Grade) -> usize {
        self.all_findings()
            .iter()
            .filter(|found| found.grade == grade)
            .count()
    }
}

/// Whether a network was trained on these data, as far as is known.
fn trained_on(config: &ModelConfig, data: &DataFacts) -> bool {
    let trained = config.provenance.data.as_ref();
    trained.is_none_or(|trained| *trained == data.name)
}

fn examined(
    who: &str,
    costs: &Costs,
    name: &str,
    data: &DataFacts,
    trained: bool,
) -> ExaminedNetwork {
    ExaminedNetwork {
        who: who.to_owned(),
        network: name.to_owned(),
        classes: data.classes,
        parameters: costs.params(),
        macs: costs.macs(),
        trained,
    }
}
