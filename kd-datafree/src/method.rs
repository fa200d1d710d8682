//! The whole method: a generator phase, a bank of its images, a student phase.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{
    Error, ImageClassifier, ImageShape, Snapshot, Loader, LoaderConfig, Method, Observer, Optimizer,
    OptimizerConfig, Phase, Result, RunFolder, Subset, Training, detached_copy,
};
use serde::{Deserialize, Serialize};

use crate::bank::{BANK_FILE, BLOCK, Bank, BankConfig, ImageSource};
use crate::diagnosis::Warning;
use crate::generator::{Generator, GeneratorConfig, OutputKind};
use crate::joint::{self, Game, Joint};
use crate::learning::{Learning, STUDENT_PHASE, Test, loader};
use crate::objective::{Objective, Terms};
use crate::pool::{self, Pooled};
use crate::synthesis::{
    FrozenGenerator, GENERATOR_PHASE, NoiseSource, OtherImages, Synthesis, trained,
};
use crate::teacher::ImageTeacher;

/// Where the images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Synthetic {
    /// A generator that learns first, and is then done.
    Generator {
        /// Its shape.
        #[serde(default)]
        generator: GeneratorConfig,
        /// What it learns for.
        #[serde(default)]
        objective: Objective,
    },
    /// Standard normal noise, pixel by pixel.
    Noise,
    /// Real images of something else; see [`DataFree::with_images`].
    Images,
}

/// A generator learns, is done, and a student learns from its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TwoPhases {
    /// Where the images come from.
    pub synthetic: Synthetic,
    /// How the generator is trained; its batches are of noise, 120 steps are an epoch.
    pub generator_training: Training,
    /// How many images the student learns from.
    pub bank: BankConfig,
    /// What both logits are divided by in the student's loss.
    pub temperature: f64,
    /// How the student is trained.
    pub training: Training,
}

/// Steps of the generator that make an epoch: at the second of each RDSKD remembers its losses.
const GENERATOR_EPOCH: usize = 120;
/// With a momentum of 0.1 running statistics are within 1 % of those of steady batches after 44 steps.
const FEW_STEPS: usize = 50;

/// The training of RDSKD's generator by its public code: 20 epochs of 120 batches of 512, Adam at 1e-3.
pub fn generator_training() -> Training {
    let mut training = Training::for_epochs(20);
    training.batch_size = 512;
    training.lr = 1e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

/// The training of RDSKD's student by its public code for MNIST, but for its length: batches of 512, Adam at 2e-3. The code takes 120,000
/// batches of images that are made for them; here it is 20 epochs of a bank.
pub fn student_training() -> Training {
    let mut training = Training::for_epochs(20);
    training.batch_size = 512;
    training.lr = 2e-3;
    training.optimizer = OptimizerConfig::adam();
    training
}

impl Default for TwoPhases {
    fn default() -> Self {
        Self {
            synthetic: Synthetic::Generator {
                generator: GeneratorConfig::default(),
                objective: Objective::default(),
            },
            generator_training: generator_training(),
            bank: BankConfig::default(),
            temperature: 10.0,
            training: student_training(),
        }
    }
}

/// Checks a training by which nothing is chosen: there is nothing that it could be chosen by.
pub(crate) fn check_training(training: &Training) -> Result<()> {
    training.check()?;
    if training.patience.is_some() {
        let problem = "has no effect here: without data nothing says when to stop; leave it out";
        return Err(Error::config("train.patience", problem));
    }
    Ok(())
}

/// The same error with a field of `train` as one of `generator_training`.
fn of_generator(error: Error) -> Error {
    match error {
        Error::Config { field, problem } => {
            let name = field.strip_prefix("train.").unwrap_or(&field);
            Error::config(format!("generator_training.{name}"), problem)
        }
        other => other,
    }
}

impl TwoPhases {
    /// Checks every value, and that the teacher has what the terms read.
    ///
    /// # Errors
    ///
    /// The first setting out of range.
    pub fn check(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        if let Synthetic::Generator {
            generator,
            objective,
        } = &self.synthetic
        {
            let below = |error: Error| error.within("synthetic");
            generator.check(teacher.image()).map_err(below)?;
            objective.check(teacher).map_err(below)?;
            check_training(&self.generator_training).map_err(of_generator)?;
            let batch = self.generator_training.batch_size;
            objective.check_batch("generator_training.batch_size", batch)?;
        }
        self.bank.check()?;
        check_training(&self.training)?;
        let (batch, images) = (self.training.batch_size, self.bank.blocks() * BLOCK);
        if batch > images {
            let problem =
                format!("must be at most {images}, as many images as the bank has; got {batch}");
            return Err(Error::config("train.batch_size", problem));
        }
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            let problem = format!("must be finite and above 0, got {}", self.temperature);
            return Err(Error::config("temperature", problem));
        }
        Ok(())
    }

    /// The generator before it has learnt anything and how it ends, if there is one.
    fn blank(
        &self,
        image: ImageShape,
        seed: u64,
        device: &Device,
    ) -> Result<Option<(Generator, OutputKind)>> {
        let Synthetic::Generator { generator, .. } = &self.synthetic else {
            return Ok(None);
        };
        let made = generator.init(image, seed, device)?;
        Ok(Some((made.train(), generator.output)))
    }
}

/// What a data-free run is made of, beside teacher and student.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum DataFreeConfig {
    /// A generator first, then a student: RDSKD.
    TwoPhases(TwoPhases),
    /// Generator and student in turns: DAFL, DFAD, ZSKT.
    Joint(Joint),
    /// A pool of images that grows while the student learns: DeepInversion, CMI, Fast-DFKD.
    Pooled(Pooled),
}

impl DataFreeConfig {
    /// What the generator learns for, if that is an objective: not where there is no generator, or where it learns against the student.
    pub fn objective(&self) -> Option<&Objective> {
        match self {
            Self::TwoPhases(TwoPhases {
                synthetic: Synthetic::Generator { objective, .. },
                ..
            })
            | Self::Joint(Joint {
                game: Game::Cooperative { objective, .. },
                ..
            }) => Some(objective),
            _ => None,
        }
    }
}

impl DataFreeConfig {
    /// What is known to go wrong with these settings, before anything is made.
    pub fn warnings(&self) -> Vec<Warning> {
        let Self::TwoPhases(TwoPhases {
            synthetic: Synthetic::Generator { .. },
            generator_training,
            ..
        }) = self
        else {
            return Vec::new();
        };
        let steps = generator_training.plan(GENERATOR_EPOCH, None);
        let steps = steps.map_or(usize::MAX, |plan| plan.total_steps);
        if steps >= FEW_STEPS {
            return Vec::new();
        }
        vec![Warning {
            what: format!(
                "the generator learns for {steps} steps, in which its running statistics, by which it makes the images, are not yet those of its batches"
            ),
            remedy: "give `generator_training` 50 steps or more",
        }]
    }
}

impl From<TwoPhases> for DataFreeConfig {
    fn from(config: TwoPhases) -> Self {
        Self::TwoPhases(config)
    }
}

impl From<Pooled> for DataFreeConfig {
    fn from(config: Pooled) -> Self {
        Self::Pooled(config)
    }
}

impl From<Joint> for DataFreeConfig {
    fn from(config: Joint) -> Self {
        Self::Joint(config)
    }
}

/// Data-free distillation: a student learns from images that are made for it, through a frozen teacher.
pub struct DataFree<S> {
    student: S,
    teacher: Box<dyn ImageTeacher>,
    test: Option<Subset>,
    images: Option<Subset>,
    config: DataFreeConfig,
    seed: u64,
    device: Device,
}

impl<S: Module> fmt::Debug for DataFree<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataFree")
            .field("teacher", &self.teacher)
            .field("config", &self.config)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<S: ImageClassifier> DataFree<S> {
    /// `student` learns what `teacher` knows. The student takes what the teacher takes: images after the teacher's normalisation.
    pub fn new(
        student: &S,
        teacher: Box<dyn ImageTeacher>,
        config: impl Into<DataFreeConfig>,
        device: &Device,
    ) -> Self {
        Self {
            student: detached_copy(student),
            teacher,
            test: None,
            images: None,
            config: config.into(),
            seed: 0,
            device: device.clone().inner(),
        }
    }

    /// The seed of the generator's first weights, of all noise and of the order of the bank; 0 otherwise.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Real images that teacher and student are measured on. Nothing is learnt from them, and nothing chosen by them.
    #[must_use]
    pub fn with_test(mut self, test: impl Into<Subset>) -> Self {
        self.test = Some(test.into());
        self
    }

    /// Real images of something else than what the teacher knows, for [`Synthetic::Images`]: what synthetic ones have to be better than.
    /// Their labels are not looked at.
    #[must_use]
    pub fn with_images(mut self, images: impl Into<Subset>) -> Self {
        self.images = Some(images.into());
        self
    }

    /// Checks everything that can be checked before the first step.
    ///
    /// # Errors
    ///
    /// The first setting out of range, and test data that do not fit the teacher.
    pub fn check(&self) -> Result<()> {
        match &self.config {
            DataFreeConfig::TwoPhases(config) => {
                config.check(&*self.teacher)?;
                self.check_images(config)?;
            }
            DataFreeConfig::Joint(config) => {
                config.check(&*self.teacher)?;
                self.check_no_images()?;
            }
            DataFreeConfig::Pooled(config) => {
                config.check(&*self.teacher)?;
                self.check_no_images()?;
            }
        }
        if let Some(test) = &self.test {
            let (image, classes) = (test.dataset().shape(), test.dataset().classes());
            if image != self.teacher.image() || classes != self.teacher.classes() {
                let problem = format!(
                    "has images of {image} in {classes} classes, and the teacher takes {} in {}",
                    self.teacher.image(),
                    self.teacher.classes()
                );
                return Err(Error::config("test", problem));
            }
        }
        Ok(())
    }

    /// Images of something else must be there where they are asked for, and fit.
    fn check_images(&self, config: &TwoPhases) -> Result<()> {
        if config.synthetic != Synthetic::Images {
            return self.check_no_images();
        }
        let (found, wanted) = (self.images()?.dataset().shape(), self.teacher.image());
        if found != wanted {
            let problem = format!("are of {found}, and the teacher takes {wanted}; choose others");
            return Err(Error::config("images", problem));
        }
        Ok(())
    }

    fn check_no_images(&self) -> Result<()> {
        let problem = "are not looked at by a way that makes its own; leave them out";
        match self.images {
            Some(_) => Err(Error::config("images", problem)),
            None => Ok(()),
        }
    }

    fn images(&self) -> Result<&Subset> {
        let problem = "are not there; give a data set of images of something else";
        let images = self.images.as_ref();
        images.ok_or_else(|| Error::config("images", problem))
    }

    /// What makes the images of the bank, given what the run has left so far.
    fn source(&self, config: &TwoPhases, earlier: &RunFolder) -> Result<Box<dyn ImageSource>> {
        if config.synthetic == Synthetic::Images {
            self.check_images(config)?;
            return Ok(Box::new(OtherImages::new(
                self.images()?.clone(),
                config.bank.blocks(),
                &*self.teacher,
                self.seed,
                &self.device,
            )?));
        }
        let blank = config.blank(self.teacher.image(), self.seed, &self.device)?;
        let Some((blank, output)) = blank else {
            return Ok(Box::new(NoiseSource {
                image: self.teacher.image(),
                seed: self.seed,
                device: self.device.clone(),
            }));
        };
        let tensors = earlier.result(GENERATOR_PHASE, Snapshot::Last)?;
        Ok(Box::new(FrozenGenerator {
            generator: trained(&blank, &tensors)?.valid(),
            output,
            normalisation: self.teacher.normalisation().clone(),
            seed: self.seed,
            device: self.device.clone(),
        }))
    }

    /// The test data, if there are any.
    fn measured(&self, training: &Training) -> Result<Test> {
        let ordered = LoaderConfig::ordered(training.eval_batch_size);
        let test = self.test.as_ref();
        let test = test.map(|test| Loader::new(test.clone(), ordered, &self.device));
        Ok(Test::new(test.transpose()?))
    }

    /// Parameters that are trained beside the student and thrown away: the generator's.
    pub fn extra_parameters(&self) -> usize {
        let generator = match &self.config {
            DataFreeConfig::TwoPhases(config) => {
                let made = config.blank(self.teacher.image(), self.seed, &self.device);
                made.map(|made| made.map(|(generator, _)| generator))
            }
            DataFreeConfig::Joint(config) => {
                let made = config
                    .generator
                    .init(self.teacher.image(), self.seed, &self.device);
                made.map(Some)
            }
            DataFreeConfig::Pooled(config) => {
                return config.extra_parameters(&*self.teacher, &self.device);
            }
        };
        let generator = generator.ok().flatten();
        generator.map_or(0, |generator| {
            usize::try_from(generator.parameters()).unwrap_or(usize::MAX)
        })
    }

    /// Where the bank of a run is kept.
    pub fn bank_path(folder: &RunFolder) -> PathBuf {
        folder.path().join(BANK_FILE)
    }

    fn start_generator<'a>(&'a self, config: &'a TwoPhases) -> Result<Box<dyn Phase + 'a>> {
        let blank = config.blank(self.teacher.image(), self.seed, &self.device)?;
        let (Some((generator, output)), Synthetic::Generator { objective, .. }) =
            (blank, &config.synthetic)
        else {
            return Err(Error::config("synthetic", "has no generator to train"));
        };
        let training = &config.generator_training;
        Ok(Box::new(Synthesis {
            generator,
            terms: Terms::new(objective)?,
            optimizer: Optimizer::new(training.optimizer.clone())?,
            plan: training.plan(GENERATOR_EPOCH, None)?,
            training,
            teacher: &*self.teacher,
            output,
            seed: self.seed,
            device: self.device.clone(),
        }))
    }

    fn start_student<'a>(
        &'a self,
        config: &'a TwoPhases,
        earlier: &RunFolder,
    ) -> Result<Box<dyn Phase + 'a>> {
        let training = &config.training;
        let bank = Bank::read(&Self::bank_path(earlier))?;
        let loader = loader(&bank, training, self.seed, &self.device)?;
        Ok(Box::new(Learning {
            student: self.new_student(),
            optimizer: Optimizer::new(training.optimizer.clone())?,
            plan: training.plan(loader.steps_per_epoch(), None)?,
            training,
            temperature: config.temperature,
            teacher: &*self.teacher,
            source: self.source(config, earlier)?,
            bank_config: &config.bank,
            bank,
            bank_epoch: 0,
            loader,
            test: self.measured(training)?,
            seed: self.seed,
            device: self.device.clone(),
        }))
    }

    fn new_student(&self) -> S {
        self.student.valid().to_device(&self.device).train()
    }
}

impl<S: ImageClassifier> Method for DataFree<S> {
    fn phases(&self) -> Vec<String> {
        let names: &[&str] = match &self.config {
            DataFreeConfig::TwoPhases(TwoPhases {
                synthetic: Synthetic::Generator { .. },
                ..
            }) => &[GENERATOR_PHASE, STUDENT_PHASE],
            _ => &[STUDENT_PHASE],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        let DataFreeConfig::TwoPhases(config) = &self.config else {
            return Ok(());
        };
        let path = Self::bank_path(earlier);
        if index + 1 < self.phases().len() || path.exists() {
            return Ok(());
        }
        let source = self.source(config, earlier)?;
        let made = Bank::make(&config.bank, 0, &*source, &*self.teacher, observer, stop)?;
        let made = made.ok_or_else(|| Error::Interrupted {
            run: earlier.path().to_owned(),
            phase: "synthetic images".into(),
            step: 0,
        })?;
        made.write(&path)
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        match &self.config {
            DataFreeConfig::TwoPhases(config) if index + 1 < self.phases().len() => {
                self.start_generator(config)
            }
            DataFreeConfig::TwoPhases(config) => self.start_student(config, earlier),
            DataFreeConfig::Joint(config) => {
                let test = self.measured(&config.training)?;
                let student = self.new_student();
                let (teacher, seed) = (&*self.teacher, self.seed);
                let rounds = joint::start(config, student, teacher, test, seed, &self.device)?;
                Ok(Box::new(rounds))
            }
            DataFreeConfig::Pooled(config) => {
                let test = self.measured(&config.training)?;
                let from = (self.seed, &self.device);
                let (student, teacher) = (self.new_student(), &*self.teacher);
                let growing = pool::start(config, student, teacher, test, earlier.path(), from)?;
                Ok(Box::new(growing))
            }
        }
    }
}
