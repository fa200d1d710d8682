//! The diagnosis of a run: findings about its settings, data, teachers and losses, before anything is
//! trained.
//!
//! [`Offline::check`] stops at the first thing that cannot be. [`Offline::diagnose`] inspects everything that
//! can be inspected, measures what a dry run cannot show, and grades its findings. It works on copies:
//! neither the student nor a teacher nor a file is changed.

mod costs;
mod data;
mod dry_run;
mod losses;
mod normalisation;
mod run;
mod schedule;
mod statistics;
mod taps;
mod teachers;
mod words;

use kd_core::{CountedWork, Finding, Grade, Loader, LoaderConfig, Normalisation, Plan};
use kd_core::{Preprocessing, Result, Subset, TaskNetwork, Teacher, Topic, tell_counted};
use serde::Serialize;

pub use costs::{CostFacts, MemoryEstimate, TimeEstimate};
pub use data::SampleFacts;
pub use losses::{Cosine, LossFacts, TermFacts};
pub use schedule::ScheduleFacts;
pub use taps::TapPair;
pub use teachers::{TeacherFacts, Trial};

use crate::Offline;
use dry_run::DryRun;

/// Keys of `[train]` on which samples a step sees and how they count; the method heeds all of them.
pub(crate) const KEYS: &[&str] = &["drop_last", "balanced", "class_weights"];

/// The thoroughness of [`Offline::diagnose`], and further knowledge beside the method itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiagnosisOptions {
    /// Held-out samples that each teacher is queried for; 256 by default.
    pub samples: usize,
    /// Seed of the choice of these samples.
    pub seed: u64,
    /// The usual constants of the data set; by default those that are measured on the training images.
    pub constants: Option<Normalisation>,
    /// Further knowledge of the teachers, in their order; those without an entry are called by their number.
    pub teachers: Vec<KnownTeacher>,
}

impl Default for DiagnosisOptions {
    fn default() -> Self {
        Self {
            samples: 256,
            seed: 0,
            constants: None,
            teachers: Vec::new(),
        }
    }
}

/// Knowledge of a teacher beside itself.
#[derive(Clone, Debug, Default)]
pub struct KnownTeacher {
    /// Its name in texts.
    pub name: String,
    /// The accuracy that is claimed of it on this data, 0 to 1.
    pub accuracy: Option<f64>,
    /// Whether it could not be read, which was said already: a [`MissingTeacher`](kd_core::MissingTeacher)
    /// stands in its place and is not queried.
    pub missing: bool,
}

/// The result of [`Offline::diagnose`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Things that are well, remarkable, suspicious and wrong, in words, in the order of inspection.
    pub findings: Vec<Finding>,
    /// The data.
    pub data: SampleFacts,
    /// The normalisation of the student; none if it takes no images.
    pub student_normalisation: Option<Normalisation>,
    /// The data set's usual constants, or the measured ones; none for texts.
    pub constants: Option<Normalisation>,
    /// The teachers in order.
    pub teachers: Vec<TeacherFacts>,
    /// Every pair of maps that a loss compares.
    pub taps: Vec<TapPair>,
    /// Steps and learning rates; none if the settings are wrong.
    pub schedule: Option<ScheduleFacts>,
    /// The losses on one batch; none if the run could not begin.
    pub losses: Option<LossFacts>,
    /// Estimates of time and memory; none if the run could not begin.
    pub costs: Option<CostFacts>,
}

impl Diagnosis {
    /// The worst grade of all findings.
    pub fn worst(&self) -> Grade {
        self.findings
            .iter()
            .map(|found| found.grade)
            .max()
            .unwrap_or(Grade::Ok)
    }

    /// The findings of one grade.
    pub fn of_grade(&self, grade: Grade) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |found| found.grade == grade)
    }
}

impl<S: TaskNetwork> Offline<S> {
    /// Inspects data, schedule, normalisation, teachers, taps, losses and costs; see [`Diagnosis`].
    ///
    /// Some of it is measured: each teacher classifies some held-out samples, with its own normalisation and
    /// with others; each loss is computed on the first training batch with the initial student, forward and
    /// backward by itself; two steps are done on a copy to see how long they take.
    ///
    /// # Errors
    ///
    /// Only failures of the inspection itself, such as those of a device. A mistake of the run is a
    /// [`Finding`].
    pub fn diagnose(&self, options: &DiagnosisOptions) -> Result<Diagnosis> {
        self.check_data(self.data.train.dataset())?;
        let mut parts = Parts::of(self.teachers.len());
        let mut findings = Vec::new();
        let data = data::inspect(&self.data, &self.training, &mut findings)?;
        parts.done();
        let measured = || data.measured.clone();
        let constants = options.constants.clone().or_else(measured);
        let plan = self.plan_of(data.train(), &mut findings);
        let schedule = plan
            .as_ref()
            .map(|plan| schedule::inspect(&self.training, plan, data.train(), &mut findings));
        let mut diagnosis = Diagnosis {
            data,
            student_normalisation: normalisation_of(&self.preprocessing),
            constants,
            teachers: self.known_teachers(options),
            taps: Vec::new(),
            schedule,
            losses: None,
            costs: None,
            findings,
        };
        let Some(dry) = self.dry_run(options, &mut diagnosis) else {
            return Ok(diagnosis);
        };
        diagnosis.compare_normalisations();
        parts.done();
        self.measure_teachers(options, &dry, &mut parts, &mut diagnosis)?;
        let losses_fit = self.try_losses(&dry, &mut diagnosis);
        let all_answered = dry.teachers.iter().all(Option::is_some);
        if losses_fit && all_answered && diagnosis.schedule.is_some() {
            self.measure_run(&mut parts, &mut diagnosis)?;
        } else {
            let text = "gradients, time and memory were not looked at, because the run could not begin; \
                        correct the errors first";
            diagnosis.findings.push(Finding::note(Topic::Costs, text));
        }
        Ok(diagnosis)
    }

    /// What is suspicious about data and schedule, which nothing has to be computed for.
    ///
    /// # Errors
    ///
    /// As [`Offline::diagnose`].
    pub fn warnings(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let data = data::inspect(&self.data, &self.training, &mut findings)?;
        if let Some(plan) = self.plan_of(data.train(), &mut findings) {
            schedule::inspect(&self.training, &plan, data.train(), &mut findings);
        }
        findings.retain(|finding| finding.grade >= Grade::Warning);
        Ok(findings)
    }

    fn plan_of(&self, samples: usize, findings: &mut Vec<Finding>) -> Option<Plan> {
        let size = self.training.batch_size.max(1);
        let steps = if self.training.drop_last {
            samples / size
        } else {
            samples.div_ceil(size)
        };
        match self.training.plan(steps, None) {
            Ok(plan) => Some(plan),
            Err(error) => {
                findings.push(Finding::error(Topic::Schedule, error.to_string()));
                None
            }
        }
    }

    fn known_teachers(&self, options: &DiagnosisOptions) -> Vec<TeacherFacts> {
        let fact = |(index, teacher): (usize, &dyn Teacher)| {
            let known = options.teachers.get(index);
            TeacherFacts {
                name: known.map_or_else(|| format!("teacher {index}"), |known| known.name.clone()),
                classes: None,
                normalisation: teacher.preprocessing().and_then(normalisation_of),
                claimed_accuracy: known.and_then(|known| known.accuracy),
                trials: Vec::new(),
                parameters: teacher.parameters(),
            }
        };
        let teachers = self.teachers.iter().map(AsRef::as_ref);
        teachers.enumerate().map(fact).collect()
    }

    /// Queries the teachers for held-out samples.
    fn measure_teachers(
        &self,
        options: &DiagnosisOptions,
        dry: &DryRun,
        parts: &mut Parts,
        diagnosis: &mut Diagnosis,
    ) -> Result<()> {
        if dry.teachers.iter().all(Option::is_none) || dry.student.is_of_pixels {
            return Ok(());
        }
        let chosen = teachers::choose(self.data.held_out.ids(), options);
        let subset = Subset::from_ids(self.data.held_out.dataset(), chosen.clone())?;
        let config = LoaderConfig::ordered(teachers::AT_ONCE);
        let loader = Loader::new(subset, config, &self.device.clone().inner())?;
        // In the order of the choice: a part of them must not be a part of the classes.
        let views = chosen
            .chunks(teachers::AT_ONCE)
            .map(|ids| loader.view(0, ids));
        let samples = views.collect::<Result<Vec<_>>>()?;
        let Diagnosis {
            teachers: facts,
            constants,
            findings,
            ..
        } = diagnosis;
        let teachers = self.teachers.iter().zip(&dry.teachers).zip(facts);
        for ((teacher, answer), facts) in teachers {
            // Of other classes nothing can be said.
            let known =
                |answer: &&crate::taps::FullAnswer| answer.shapes.classes == dry.student.classes;
            if answer.as_ref().as_ref().is_some_and(known) {
                let constants = constants.as_ref();
                teachers::measure(teacher.as_ref(), facts, &samples, constants, findings)?;
            }
            parts.done();
        }
        Ok(())
    }
}

/// The parts of a diagnosis, each of which takes its time: the data, one sample, each teacher, the losses,
/// and the steps.
#[derive(Debug)]
struct Parts {
    done: usize,
    all: usize,
}

impl Parts {
    fn of(teachers: usize) -> Self {
        let parts = Self {
            done: 0,
            all: 3 + teachers + costs::STEPS,
        };
        parts.tell();
        parts
    }

    /// One more is done.
    fn done(&mut self) {
        self.done += 1;
        self.tell();
    }

    fn tell(&self) {
        tell_counted(CountedWork {
            what: "trying the recipe",
            unit: "parts",
            done: self.done as u64,
            total: self.all as u64,
        });
    }
}

/// The normalisation of images; none where samples are no images.
fn normalisation_of(preprocessing: &Preprocessing) -> Option<Normalisation> {
    preprocessing.normalisation().ok().cloned()
}
