//! The images that a data-free run has made, found again in its folder.

use std::path::{Path, PathBuf};

use kd_core::{Dataset, Error, Normalisation, Result, read_recipe};
use kd_datafree::{BANK_FILE, Bank, DataFreeConfig};
use kd_models::ModelConfig;
use kd_report::{ImageRows, SyntheticImages};

use crate::job::MODEL;
use crate::method::MethodRecipe;
use crate::methods::DataFreeRecipe;
use crate::parts::model_folder;

/// Images of a class in the picture.
const SHOWN: usize = 10;
/// Classes in the picture.
const ROWS: usize = 100;

/// The bank of a run and what must be known to use it.
#[derive(Debug)]
pub(crate) struct Synthetic {
    pub(crate) bank: Bank,
    /// The teacher's.
    pub(crate) normalisation: Normalisation,
    /// The teacher's, where it has some.
    pub(crate) class_names: Option<Vec<String>>,
    config: DataFreeConfig,
}

/// Where the bank of a run is, if there is one.
pub(crate) fn bank_file(run: &Path) -> Option<PathBuf> {
    Some(run.join(BANK_FILE)).filter(|file| file.is_file())
}

impl Synthetic {
    /// Reads the bank of a run; its teacher need not be there any more.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = run.join("recipe.toml");
        if !path.is_file() {
            return Err(Error::NoRun {
                path: run.to_owned(),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let head: toml::Table = toml::from_str(&text).unwrap_or_default();
        let method = head.get("method").and_then(toml::Value::as_str);
        let refused = |problem: String| Error::Input {
            path: run.to_owned(),
            problem,
        };
        if method != Some(DataFreeRecipe::METHOD) {
            let problem = format!(
                "is a run of method `{}`, which makes no images; give one of `{}`",
                method.unwrap_or("?"),
                DataFreeRecipe::METHOD
            );
            return Err(refused(problem));
        }
        let recipe: DataFreeRecipe = read_recipe(&path.display().to_string(), &text, &[])?;
        let Some(file) = bank_file(run) else {
            let problem = if run.join("outcome.json").exists() {
                "has no images: an older kd has made it, by a method that kept none; run its recipe again"
            } else {
                "has no images yet, which are made when the generator is done; go on with `kd resume`"
            };
            return Err(refused(problem.into()));
        };
        let normalisation = recipe.student.normalisation.clone().ok_or_else(|| {
            refused("does not say the teacher's normalisation; start the run again".into())
        })?;
        let bank = Bank::read(&file)?;
        // The student has the teacher's names; before it is done the teacher's own folder has them, if it
        // still is where it was.
        let student = ModelConfig::read(&run.join(MODEL));
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

    /// The images as pixels, each with the teacher's class.
    pub(crate) fn pixels(&self) -> Result<Dataset> {
        self.bank.pixels(&self.normalisation)
    }

    /// The share of pixels that are cut for [`Synthetic::pixels`].
    pub(crate) fn cut_share(&self) -> Result<f64> {
        self.bank.cut_share(&self.normalisation)
    }

    /// The names of the classes; numbers of one length where they have none.
    pub(crate) fn names(&self) -> Vec<String> {
        if let Some(names) = &self.class_names {
            return names.clone();
        }
        let classes = self.bank.dataset().classes();
        let digits = classes.saturating_sub(1).to_string().len();
        let name = |class: usize| format!("{class:0digits$}");
        (0..classes).map(name).collect()
    }

    /// Some of the images, what the teacher says of all, and what is wrong with them.
    pub(crate) fn report(&self) -> Result<SyntheticImages> {
        let diagnosis = self.bank.diagnosis();
        let has_objective = self.config.objective().is_some();
        let mut warnings = diagnosis.warnings(self.class_names.as_deref());
        warnings.extend(self.config.warnings());
        let said = warnings.into_iter().map(|warning| {
            // What to do about it is said of objectives.
            if has_objective {
                warning.to_string()
            } else {
                warning.what
            }
        });
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
        let mut measured = diagnosis.metrics();
        measured.insert("cut_pixels".into(), self.cut_share()?);
        Ok(SyntheticImages {
            shown,
            counts: diagnosis.histogram().to_vec(),
            class_names: names,
            measured,
            warnings: said.collect(),
        })
    }
}
