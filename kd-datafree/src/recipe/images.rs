//! The images that a data-free run has made, found again in its folder.

use std::path::Path;

use kd_core::{Dataset, Error, Finding, Normalisation, Result};
use kd_models::ModelConfig;
use kd_recipe::{model_folder, recipe_of_run};
use kd_report::{ImageRows, Section, SyntheticImages};

use super::DataFreeRecipe;
use crate::bank::{BANK_FILE, Bank};
use crate::config::DataFreeConfig;
use crate::measures::BankMeasures;

/// Images of a class in the picture.
const SHOWN: usize = 10;
/// Classes in the picture.
const ROWS: usize = 100;

/// The bank of a run and what must be known to use it.
#[derive(Debug)]
pub struct RunImages {
    bank: Bank,
    /// The teacher's.
    normalisation: Normalisation,
    /// The teacher's, where it has some.
    class_names: Option<Vec<String>>,
    config: DataFreeConfig,
}

impl RunImages {
    /// Reads the bank of the run in a folder; its teacher need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`], [`Error::Input`] for a run of another method or without images, and those of
    /// [`Bank::read`].
    pub fn read(run: &Path) -> Result<Self> {
        Self::of(&recipe_of_run(run)?, run)
    }

    /// Those of a run whose recipe is known.
    pub(super) fn of(recipe: &DataFreeRecipe, run: &Path) -> Result<Self> {
        let refused = |problem: &str| Error::Input {
            path: run.to_owned(),
            problem: problem.to_owned(),
        };
        let file = run.join(BANK_FILE);
        if !file.is_file() {
            let problem = if run.join("outcome.json").exists() {
                "has no images: an older kd has made it, by a method that kept none; run its recipe again"
            } else {
                "has no images yet, which are made when the generator is done; go on with the run"
            };
            return Err(refused(problem));
        }
        let normalisation = recipe.student.normalisation.clone().ok_or_else(|| {
            refused("does not say the teacher's normalisation; start the run again")
        })?;
        let bank = Bank::read(&file)?;
        // The student has the teacher's names; before it is done the teacher's own folder has them, if it
        // still is where it was.
        let student = ModelConfig::read(&run.join("model"));
        let teacher = || ModelConfig::read(&model_folder(recipe.teacher.path())?);
        let names = student.or_else(|_| teacher()).ok();
        let names = names.and_then(|config| config.class_names);
        Ok(Self {
            class_names: names.filter(|names| names.len() == bank.dataset().classes()),
            config: recipe.config()?,
            normalisation,
            bank,
        })
    }

    /// Only the first `images`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there are none or not so many.
    pub fn first(mut self, images: usize) -> Result<Self> {
        self.bank = self.bank.first(images)?;
        Ok(self)
    }

    /// The bank: the images beyond the range of pixels, with the teacher's logits.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// The images as pixels, each with the teacher's class.
    ///
    /// # Errors
    ///
    /// As [`Bank::pixels`].
    pub fn pixels(&self) -> Result<Dataset> {
        self.bank.pixels(&self.normalisation)
    }

    /// The share of pixels that are cut for [`RunImages::pixels`].
    ///
    /// # Errors
    ///
    /// As [`Bank::cut_share`].
    pub fn cut_share(&self) -> Result<f64> {
        self.bank.cut_share(&self.normalisation)
    }

    /// The measures of the images, by the teacher's logits.
    pub fn measures(&self) -> BankMeasures {
        self.bank.measures()
    }

    /// The names of the classes; numbers of one length where they have none.
    pub fn names(&self) -> Vec<String> {
        if let Some(names) = &self.class_names {
            return names.clone();
        }
        let classes = self.bank.dataset().classes();
        let digits = classes.saturating_sub(1).to_string().len();
        let name = |class: usize| format!("{class:0digits$}");
        (0..classes).map(name).collect()
    }

    /// The section of a report, with warnings of settings as well, and what is wrong with the images. What is
    /// known of the settings was told before the run.
    pub(super) fn report(&self) -> Result<(Section, Vec<Finding>)> {
        let measures = self.measures();
        let findings = measures.findings(self.class_names.as_deref(), self.config.objective());
        let of_settings = self.config.findings();
        let warnings = findings.iter().chain(&of_settings);
        let warnings = warnings.map(|found| found.text.clone()).collect();
        let pixels = self.pixels()?;
        let names = self.names();
        let shape = pixels.shape();
        let mut shown = ImageRows::new([shape.height, shape.width])?;
        for (class, name) in (0_u16..).zip(names.iter().take(ROWS)) {
            let ids = (0_u32..).zip(pixels.labels());
            let ids = ids.filter(|(_, label)| **label == class).take(SHOWN);
            let images: Vec<&[u8]> = ids.filter_map(|(id, _)| pixels.image(id)).collect();
            shown = shown.with_row(name.clone(), &images)?;
        }
        let mut measured = measures.metrics();
        measured.insert("cut_pixels".into(), self.cut_share()?);
        let images = SyntheticImages {
            shown,
            counts: measures.histogram().to_vec(),
            class_names: names,
            measured,
            warnings,
        };
        Ok((images.section()?, findings))
    }
}
