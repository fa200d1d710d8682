//! What would go wrong, and what is suspicious, said before anything is trained.
//!
//! [`Offline::check`] stops at the first thing that cannot be. [`Offline::diagnose`] looks at everything that it can look
//! at, measures what a dry run cannot show, and grades what it found. It works on copies: neither the student nor a teacher
//! nor a file is changed.

mod costs;
mod data;
mod finding;
mod losses;
mod normalisation;
mod schedule;
mod statistics;
mod taps;
mod teachers;
mod words;

use burn::tensor::Tensor;
use kd_core::{
    Error, ImageClassifier, Loader, LoaderConfig, Names, Normalisation, Plan, Result, Subset,
    count_parameters, detached_copy, export, hash_tensors,
};
use serde::Serialize;

pub use costs::{CostFacts, MemoryEstimate, TimeEstimate};
pub use data::DataFacts;
pub use finding::{Finding, Grade, Topic};
pub use losses::{Cosine, LossFacts, TermFacts};
pub use schedule::ScheduleFacts;
pub use taps::TapPair;
pub use teachers::{TeacherFacts, Trial};

use words::counted;

use crate::kinds::{DENSE, Seen};
use crate::terms::Terms;
use crate::{Offline, Teacher};

/// How closely [`Offline::diagnose`] looks, and what is known beside the method itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiagnosisOptions {
    /// Held-out samples that each teacher is asked about; 256 unless said otherwise.
    pub samples: usize,
    /// Seed of the choice of these samples.
    pub seed: u64,
    /// The usual constants of the data set; those that are measured on the training images where nothing is said.
    pub constants: Option<Normalisation>,
    /// What is known of the teachers, in their order; those without an entry are called by their number.
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

/// What is known of a teacher beside itself.
#[derive(Clone, Debug, Default)]
pub struct KnownTeacher {
    /// What it is called in texts.
    pub name: String,
    /// The accuracy that is claimed of it on this data, 0 to 1.
    pub accuracy: Option<f64>,
    /// Whether it could not be read, which was said already: a [`MissingTeacher`](crate::MissingTeacher) stands in its
    /// place and is not asked.
    pub missing: bool,
}

/// What [`Offline::diagnose`] found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is well, remarkable, suspicious and wrong, in words, in the order in which it was looked at.
    pub findings: Vec<Finding>,
    /// The data.
    pub data: DataFacts,
    /// The normalisation of the student.
    pub student_normalisation: Normalisation,
    /// The data set's usual constants, or the measured ones.
    pub constants: Normalisation,
    /// The teachers in order.
    pub teachers: Vec<TeacherFacts>,
    /// Every pair of maps that a loss compares.
    pub taps: Vec<TapPair>,
    /// Steps and learning rates; nothing if the settings are wrong.
    pub schedule: Option<ScheduleFacts>,
    /// The losses on one batch; nothing if the run could not begin.
    pub losses: Option<LossFacts>,
    /// Estimates of time and memory; nothing if the run could not begin.
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

/// A student that is shown something, and what it showed.
struct Dry<S> {
    student: S,
    seen: Seen,
    /// One entry a teacher, nothing for one that could not be asked or has other classes.
    looks: Vec<Option<Seen>>,
}

impl<S: ImageClassifier> Offline<S> {
    /// Looks at data, schedule, normalisation, teachers, taps, losses and costs; see [`Diagnosis`].
    ///
    /// Of what is looked at, some is measured: each teacher classifies some held-out samples, with its own normalisation
    /// and with others; each loss is computed on the first training batch with the initial student, forward and backward by
    /// itself; two steps are done on a copy to see how long they take.
    ///
    /// # Errors
    ///
    /// Only what stops the looking itself, such as a device that fails. What is wrong with the run is a [`Finding`].
    pub fn diagnose(&self, options: &DiagnosisOptions) -> Result<Diagnosis> {
        let mut findings = Vec::new();
        let data = data::look(&self.data, &mut findings)?;
        let constants = options
            .constants
            .clone()
            .unwrap_or_else(|| data.measured.clone());
        let plan = self.plan_of(data.train(), &mut findings);
        let schedule = plan
            .as_ref()
            .map(|plan| schedule::look(&self.training, plan, data.train(), &mut findings));
        let mut diagnosis = Diagnosis {
            data,
            student_normalisation: self.normalisation.clone(),
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
        self.measure_teachers(options, &dry, &mut diagnosis)?;
        let losses_fit = self.try_losses(&dry, &mut diagnosis);
        let all_asked = dry.looks.iter().all(Option::is_some);
        if losses_fit && all_asked && diagnosis.schedule.is_some() {
            self.measure_run(&dry, &mut diagnosis)?;
        } else {
            let text = "gradients, time and memory were not looked at, because the run could not begin; correct the errors \
                        first";
            diagnosis.findings.push(Finding::note(Topic::Costs, text));
        }
        Ok(diagnosis)
    }

    fn plan_of(&self, samples: usize, findings: &mut Vec<Finding>) -> Option<Plan> {
        let steps = samples.div_ceil(self.training.batch_size.max(1));
        match self.training.plan(steps, None) {
            Ok(plan) => Some(plan),
            Err(error) => {
                findings.push(Finding::error(Topic::Schedule, error.to_string()));
                None
            }
        }
    }

    fn known_teachers(&self, options: &DiagnosisOptions) -> Vec<TeacherFacts> {
        let fact = |(place, teacher): (usize, &dyn Teacher)| {
            let known = options.teachers.get(place);
            TeacherFacts {
                name: known.map_or_else(|| format!("teacher {place}"), |known| known.name.clone()),
                classes: None,
                normalisation: teacher.normalisation().cloned(),
                claimed_accuracy: known.and_then(|known| known.accuracy),
                trials: Vec::new(),
                parameters: teacher.parameters(),
            }
        };
        let teachers = self.teachers.iter().map(AsRef::as_ref);
        teachers.enumerate().map(fact).collect()
    }

    /// Shows everyone one black image, to learn the shapes of maps and logits. Nothing if the student cannot see it.
    fn dry_run(&self, options: &DiagnosisOptions, diagnosis: &mut Diagnosis) -> Option<Dry<S>> {
        let [channels, height, width] = diagnosis.data.shape;
        let pixels = Tensor::zeros([1, channels, height, width], &self.device.clone().inner());
        let input = match self.normalisation.apply(pixels.clone()) {
            Ok(input) => Tensor::from_inner(input),
            Err(error) => {
                let text = format!("student: {error}");
                diagnosis
                    .findings
                    .push(Finding::error(Topic::Normalisation, text));
                return None;
            }
        };
        // The copy is in training form as in a step; what its batch norms make of black goes away with it.
        let student = detached_copy(&self.student);
        let seen = student.forward_traced(&input);
        let classes = diagnosis.data.classes;
        let mut agree = true;
        let mut fits = |who: &str, found: usize, findings: &mut Vec<Finding>| {
            if found == classes {
                return true;
            }
            let text = format!(
                "{who} tells {found} classes apart, data set `{}` has {classes}; use a network and a data set of the same \
                 classes",
                self.data.train.dataset().name()
            );
            findings.push(Finding::error(Topic::Shapes, text));
            agree = false;
            false
        };
        let student_fits = fits(
            "the student",
            seen.output.dims()[1],
            &mut diagnosis.findings,
        );
        let mut looks = Vec::new();
        let known = options
            .teachers
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None));
        for ((teacher, facts), known) in
            self.teachers.iter().zip(&mut diagnosis.teachers).zip(known)
        {
            if known.is_some_and(|known| known.missing) {
                looks.push(None);
                continue;
            }
            let look = match teacher.look(pixels.clone()) {
                Ok(look) => look,
                Err(error) => {
                    let text = format!("{} cannot be asked: {error}", facts.name);
                    diagnosis
                        .findings
                        .push(Finding::error(Topic::Teachers, text));
                    looks.push(None);
                    continue;
                }
            };
            let found = look.output.dims()[1];
            facts.classes = Some(found);
            looks.push(fits(&facts.name, found, &mut diagnosis.findings).then_some(look));
        }
        if agree && looks.iter().all(Option::is_some) {
            let who = if looks.is_empty() {
                "the student tells"
            } else {
                "student and teachers tell"
            };
            let text = format!(
                "images of {channels}x{height}x{width}; {who} {classes} classes apart, as many as there are"
            );
            diagnosis.findings.push(Finding::ok(Topic::Shapes, text));
        }
        student_fits.then_some(Dry {
            student,
            seen,
            looks,
        })
    }

    /// Asks the teachers about held-out samples.
    fn measure_teachers(
        &self,
        options: &DiagnosisOptions,
        dry: &Dry<S>,
        diagnosis: &mut Diagnosis,
    ) -> Result<()> {
        if dry.looks.iter().all(Option::is_none) {
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
        let asked = self
            .teachers
            .iter()
            .zip(&dry.looks)
            .zip(&mut diagnosis.teachers);
        for ((teacher, look), facts) in asked {
            if look.is_some() {
                let constants = &diagnosis.constants;
                let findings = &mut diagnosis.findings;
                teachers::measure(teacher.as_ref(), facts, &samples, constants, findings)?;
            }
        }
        Ok(())
    }

    /// Binds each loss by itself, so that all that does not fit is named. Says whether all do.
    fn try_losses(&self, dry: &Dry<S>, diagnosis: &mut Diagnosis) -> bool {
        let before = diagnosis.findings.len();
        if self.losses.is_empty() {
            let text =
                "`losses` is empty; name at least one, for example `kind = \"cross-entropy\"`";
            diagnosis.findings.push(Finding::error(Topic::Losses, text));
        }
        for (place, loss) in self.losses.iter().enumerate() {
            let name = loss.name();
            let teacher = loss.which_teacher();
            let mut pairs: Vec<TapPair> = loss
                .taps()
                .map(|(ours, theirs)| {
                    let stage = dry.student.tap(ours).ok();
                    let look = dry.looks.get(teacher).and_then(Option::as_ref);
                    let their_stage = self
                        .teachers
                        .get(teacher)
                        .and_then(|of| of.tap(theirs).ok());
                    TapPair {
                        loss: name.clone(),
                        student_tap: ours.to_owned(),
                        student_map: taps::map_at(&dry.seen, ours, stage),
                        teacher,
                        teacher_tap: theirs.to_owned(),
                        teacher_map: look.and_then(|look| taps::map_at(look, theirs, their_stage)),
                        regressor: None,
                    }
                })
                .collect();
            match self.try_loss(place, dry) {
                Ok(Some(terms)) => {
                    // A regressor that only matches sizes has nothing to learn.
                    let learned = Some(terms.parameters())
                        .filter(|parameters| *parameters > 0)
                        .and_then(|parameters| usize::try_from(parameters).ok());
                    if let Some(pair) = pairs.first_mut() {
                        pair.regressor = learned;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    let topic = if pairs.is_empty() {
                        Topic::Losses
                    } else {
                        Topic::Taps
                    };
                    let text = format!("loss {place} (`{name}`): {error}");
                    diagnosis.findings.push(Finding::error(topic, text));
                }
            }
            diagnosis.taps.append(&mut pairs);
        }
        let fit = diagnosis.findings.len() == before;
        if fit && !diagnosis.taps.is_empty() {
            let regressors = diagnosis
                .taps
                .iter()
                .filter(|pair| pair.regressor.is_some())
                .count();
            let text = format!(
                "{} fit, {regressors} of them with a regressor",
                counted(diagnosis.taps.len(), "pair of maps", "pairs of maps")
            );
            diagnosis.findings.push(Finding::ok(Topic::Taps, text));
        }
        fit
    }

    /// Binds and computes one loss; nothing if that cannot be tried because a teacher is wrong, which was said already.
    fn try_loss(&self, place: usize, dry: &Dry<S>) -> Result<Option<Terms>> {
        let loss = &self.losses[place];
        loss.check(place, self.teachers.len())?;
        let stages = dry.student.stage_names();
        let known = || stages.iter().map(String::as_str).chain([DENSE]);
        for (ours, _) in loss.taps() {
            if !known().any(|tap| tap == ours) {
                return Err(Error::unknown_name("tap", ours, known()));
            }
        }
        let looks: Option<Vec<&Seen>> = dry.looks.iter().map(Option::as_ref).collect();
        let Some(looks) = looks else {
            return Ok(None);
        };
        let asked: Vec<(&dyn Teacher, &Seen)> =
            self.teachers.iter().map(AsRef::as_ref).zip(looks).collect();
        let one = std::slice::from_ref(loss);
        let mut binder = self.binder(&dry.student, &dry.seen, &asked);
        binder.index = place;
        let terms = Terms::bind(one, binder)?;
        let [channels, height, width] = self.image();
        let pixels = Tensor::zeros([1, channels, height, width], &self.device.clone().inner());
        let answers = self
            .teachers
            .iter()
            .zip(&terms.asked)
            .map(|(teacher, taps)| teacher.answer(pixels.clone(), taps))
            .collect::<Result<Vec<_>>>()?;
        terms.try_on(&dry.seen, &answers, &self.teachers, self.data.train.ids())?;
        Ok(Some(terms))
    }

    fn image(&self) -> [usize; 3] {
        let shape = self.data.train.dataset().shape();
        [shape.channels, shape.height, shape.width]
    }

    /// Computes each loss on the first batch, does the first steps on a copy, and looks whether anyone changed.
    fn measure_run(&self, dry: &Dry<S>, diagnosis: &mut Diagnosis) -> Result<()> {
        let Some(schedule) = diagnosis.schedule.clone() else {
            return Ok(());
        };
        let student_hash = hash_tensors(&export(&self.student, Names::PyTorch));
        let hashes: Vec<String> = self.teachers.iter().map(|teacher| teacher.hash()).collect();
        let mut phase = self.make()?;
        let batch = phase.train.batch(0, 0)?;
        let shown = losses::Shown {
            answers: phase.ask(&batch)?,
            input: Tensor::from_inner(self.normalisation.apply(batch.pixels)?),
            targets: Tensor::from_inner(batch.targets),
            ids: batch.ids,
        };
        let facts = losses::measure(&phase.student, &phase.terms, &self.teachers, &shown)?;
        losses::judge(
            &facts,
            &self.losses,
            self.training.clip_norm,
            &mut diagnosis.findings,
        );
        let finite = facts.terms.iter().all(|term| term.value.is_finite());
        diagnosis.losses = Some(facts);
        if !finite {
            return Ok(());
        }
        let looks: Vec<Seen> = dry.looks.iter().flatten().cloned().collect();
        let costs = CostFacts {
            student_parameters: count_parameters(&self.student),
            extra_parameters: phase.terms.parameters(),
            memory: costs::memory(&phase, &dry.seen, &looks, &diagnosis.teachers),
            time: costs::time(&mut phase, &schedule, &self.device)?,
        };
        drop(phase);

        for ((teacher, hash), facts) in self.teachers.iter().zip(&hashes).zip(&diagnosis.teachers) {
            let name = &facts.name;
            diagnosis.findings.push(if teacher.hash() == *hash {
                let text = format!(
                    "{name} is frozen: weights and running statistics are the same after {} steps as before (sha256 {}...)",
                    costs::STEPS,
                    &hash[..12.min(hash.len())]
                );
                Finding::ok(Topic::Frozen, text)
            } else {
                let text = format!(
                    "{name} changed when it was asked; its `look` must leave weights and running statistics alone, as that of \
                     `FrozenTeacher` does"
                );
                Finding::error(Topic::Frozen, text)
            });
        }
        if hash_tensors(&export(&self.student, Names::PyTorch)) != student_hash {
            let text = "the initial student changed when a copy of it was trained; its module shares state that it must not";
            diagnosis.findings.push(Finding::error(Topic::Frozen, text));
        }
        let beside = match costs.extra_parameters {
            0 => String::new(),
            extra => format!(" and {extra} of regressors beside it"),
        };
        let text = format!(
            "{} parameters of the student{beside} are trained",
            costs.student_parameters
        );
        diagnosis.findings.push(Finding::ok(Topic::Frozen, text));
        diagnosis.costs = Some(costs);
        Ok(())
    }
}

/// What a teacher says of pixels.
fn logits(teacher: &dyn Teacher, pixels: Tensor<4>) -> Result<Tensor<2>> {
    Ok(teacher.answer(pixels, &[])?.logits)
}
