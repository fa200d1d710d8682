//! The method: a student learns from images that are made through a frozen teacher.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{
    Error, Finding, ImageClassifier, Loader, LoaderConfig, Method, Observer, Phase, Result,
    RunFolder, Snapshot, Subset, Training, detached_copy,
};

use crate::bank::{BANK_FILE, Bank, FrozenGenerator, ImageSource, NoiseSource, OtherImages};
use crate::config::{DataFreeConfig, GENERATOR_EPOCH, Synthetic, TwoPhases};
use crate::findings::{extra_parameters, scope};
use crate::phases::{
    BankSource, GENERATOR_PHASE, GeneratorPhase, JointPhase, PhaseInputs, PoolPhase, STUDENT_PHASE,
    StudentPhase, TestImages, trained_generator,
};
use crate::teacher::ImageTeacher;

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
    /// A student that learns from a teacher. It has the teacher's normalisation, in whose space the images
    /// are made.
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

    /// Real images that teacher and student are measured on. Nothing is learnt from them, and nothing chosen
    /// by them.
    #[must_use]
    pub fn with_test(mut self, test: impl Into<Subset>) -> Self {
        self.test = Some(test.into());
        self
    }

    /// Real images of something else than what the teacher knows, for [`Synthetic::Images`]: the least that
    /// synthetic ones have to beat. Their labels have no effect.
    #[must_use]
    pub fn with_images(mut self, images: impl Into<Subset>) -> Self {
        self.images = Some(images.into());
        self
    }

    /// Checks everything that can be checked before the first step.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a teacher of anything but images, for the first setting out of range, and for
    /// test data that do not fit the teacher.
    pub fn check(&self) -> Result<()> {
        self.teacher.normalisation()?;
        self.config.check_memory(&*self.teacher)?;
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

    /// Checks that images of something else are there where they are the source, and fit.
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
        let problem = "have no effect where synthetic ones are made; leave them out";
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

    /// The source of the bank's images, given the results of the run so far.
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
            generator: trained_generator(&blank, &tensors)?.valid(),
            output,
            normalisation: self.teacher.normalisation()?.clone(),
            seed: self.seed,
            device: self.device.clone(),
        }))
    }

    /// The test data, if there are any.
    fn test_images(&self, training: &Training) -> Result<TestImages> {
        let ordered = LoaderConfig::ordered(training.eval_batch_size);
        let test = self.test.as_ref();
        let test = test.map(|test| Loader::new(test.clone(), ordered, &self.device));
        Ok(TestImages::new(test.transpose()?))
    }

    /// The number of parameters that are trained beside the student and thrown away: those of the generator
    /// and of what learns with it.
    pub fn extra_parameters(&self) -> usize {
        let image = self.teacher.image();
        let generator = match &self.config {
            DataFreeConfig::TwoPhases(config) => {
                let made = config.blank(image, self.seed, &self.device);
                made.map(|made| made.map_or(0, |(generator, _)| generator.parameters()))
            }
            DataFreeConfig::Joint(config) => {
                let made = config.generator.init(image, self.seed, &self.device);
                made.map(|generator| generator.parameters())
            }
            DataFreeConfig::Pooled(config) => {
                Ok(config.extra_parameters(&*self.teacher, &self.device))
            }
        };
        usize::try_from(generator.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// The findings of a check: warnings of the settings, the steps of each phase, the images that are made
    /// or learnt from, their bytes, and the parameters that learn beside the student.
    ///
    /// # Errors
    ///
    /// As [`DataFree::check`].
    pub fn findings(&self) -> Result<Vec<Finding>> {
        self.check()?;
        let mut all = self.config.findings();
        all.extend(scope(&self.config, &*self.teacher)?);
        all.extend(extra_parameters(self.extra_parameters() as u64));
        Ok(all)
    }

    /// The file of a run's bank.
    pub fn bank_path(folder: &RunFolder) -> PathBuf {
        folder.path().join(BANK_FILE)
    }

    fn inputs(&self) -> PhaseInputs<'_> {
        PhaseInputs {
            teacher: &*self.teacher,
            seed: self.seed,
            device: self.device.clone(),
        }
    }

    fn start_generator<'a>(&'a self, config: &'a TwoPhases) -> Result<Box<dyn Phase + 'a>> {
        let blank = config.blank(self.teacher.image(), self.seed, &self.device)?;
        let (Some(generator), Synthetic::Generator { objective, .. }) = (blank, &config.synthetic)
        else {
            return Err(Error::config("synthetic", "has no generator to train"));
        };
        let training = &config.generator_training;
        let inputs = self.inputs();
        let phase = GeneratorPhase::new(generator, objective, training, GENERATOR_EPOCH, inputs)?;
        Ok(Box::new(phase))
    }

    fn start_student<'a>(
        &'a self,
        config: &'a TwoPhases,
        earlier: &RunFolder,
    ) -> Result<Box<dyn Phase + 'a>> {
        let from = BankSource {
            bank: Bank::read(&Self::bank_path(earlier))?,
            config: &config.bank,
            source: self.source(config, earlier)?,
        };
        let test = self.test_images(&config.training)?;
        let phase = StudentPhase::new(config, self.new_student(), from, test, self.inputs())?;
        Ok(Box::new(phase))
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
                let (student, test) = (self.new_student(), self.test_images(&config.training)?);
                let phase = JointPhase::new(config, student, test, self.inputs())?;
                Ok(Box::new(phase))
            }
            DataFreeConfig::Pooled(config) => {
                let (student, test) = (self.new_student(), self.test_images(&config.training)?);
                let run = earlier.path();
                let phase = PoolPhase::new(config, student, test, run, self.inputs())?;
                Ok(Box::new(phase))
            }
        }
    }
}
