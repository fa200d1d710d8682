//! `method = "data-free"`: a student for a teacher whose training data is gone.

use kd_core::{Error, Result};
use kd_datafree::{DataFree, DataFreeConfig, STUDENT_PHASE};
use kd_models::{ModelConfig, Network};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::auto;
use crate::method::{Context, MadeModel, MethodRecipe, Prepared};
use crate::parts::{DataRecipe, NetworkRecipe, TeacherRecipe};

/// A recipe of data-free distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFreeRecipe {
    /// Always `data-free`.
    pub method: String,
    /// Seed of initial weights, noise and order.
    #[serde(default)]
    pub seed: u64,
    /// Where to compute.
    #[serde(default = "auto")]
    pub device: String,
    /// The teacher: its model folder says the images and the classes.
    pub teacher: TeacherRecipe,
    /// The student. It has the teacher's normalisation.
    pub student: NetworkRecipe,
    /// Real images to measure both on, if there are any; nothing is learnt from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<DataRecipe>,
    /// Real images of something else, for `kind = "images"`: their training split is taken, without its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<DataRecipe>,
    /// How images are made: `kind`, and what is put over its published settings.
    #[serde(default)]
    pub synthesis: Map<String, Value>,
    /// What is put over the published training of the student.
    #[serde(default)]
    pub train: Map<String, Value>,
}

/// The way of making images where the recipe does not say one.
const USUAL: &str = "rdskd";

impl MethodRecipe for DataFreeRecipe {
    const METHOD: &'static str = "data-free";
    const ABOUT: &'static str =
        "a student from synthetic images alone, for a teacher whose data is gone (2011.03749)";

    fn seed(&self) -> u64 {
        self.seed
    }

    fn device(&self) -> &str {
        &self.device
    }

    fn set_device(&mut self, name: String) {
        self.device = name;
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        let config = self.settle()?;
        let (teacher, facts) = at.image_teacher(&self.teacher)?;
        self.teacher.make_absolute()?;
        let normalisation = teacher.normalisation().clone();
        if self
            .student
            .normalisation
            .as_ref()
            .is_some_and(|own| *own != normalisation)
        {
            let problem =
                "must be the teacher's, as synthetic images are made in its space; leave it out";
            return Err(Error::config("student.normalisation", problem));
        }
        let usual = normalisation.clone();
        let mut student =
            self.student
                .build_for::<Network>(&facts, || Ok(usual), self.seed, at.device())?;
        if student.config.normalisation != normalisation {
            let problem = "have another normalisation than the teacher, in whose space synthetic images are made";
            return Err(Error::config("student.weights", problem));
        }
        if let Some((hash, _)) = &student.weights {
            at.note_input("the file of the first weights", hash);
        }
        student.config.class_names.clone_from(&facts.class_names);
        let mut method =
            DataFree::new(&student.network, teacher, config, at.device()).with_seed(self.seed);
        if let Some(test) = &self.test {
            method = method.with_test(at.test_data(test)?);
        }
        if let Some(images) = &self.images {
            method = method.with_images(at.other_images(images)?);
        }
        method.check().map_err(in_recipe)?;
        Ok(prepared(method, student.config))
    }
}

/// The same error with the field as a recipe has it: all but the training and the data is in `[synthesis]`.
fn in_recipe(error: Error) -> Error {
    match &error {
        Error::Config { field, .. }
            if !field.starts_with("train.") && field != "test" && field != "images" =>
        {
            error.within("synthesis")
        }
        _ => error,
    }
}

fn prepared(method: DataFree<Network>, config: ModelConfig) -> Prepared {
    Prepared {
        extra_parameters: method.extra_parameters(),
        method: Box::new(method),
        models: vec![MadeModel::student(STUDENT_PHASE, config)],
    }
}

impl DataFreeRecipe {
    /// The settings of the run; every default is written into the recipe.
    fn settle(&mut self) -> Result<DataFreeConfig> {
        let kind = self.kind()?;
        let config = self.config()?;
        [self.synthesis, self.train] = config.tables()?;
        self.synthesis.insert(KIND.to_owned(), Value::String(kind));
        Ok(config)
    }

    /// The settings of the run.
    pub(crate) fn config(&self) -> Result<DataFreeConfig> {
        let mut synthesis = self.synthesis.clone();
        synthesis.remove(KIND);
        DataFreeConfig::named(&self.kind()?, &synthesis, &self.train)
    }

    /// The way of making images.
    fn kind(&self) -> Result<String> {
        match self.synthesis.get(KIND) {
            Some(Value::String(kind)) => Ok(kind.clone()),
            None => Ok(USUAL.to_owned()),
            Some(other) => {
                let problem = format!("must be a name such as \"{USUAL}\", got {other}");
                Err(Error::config("synthesis.kind", problem))
            }
        }
    }
}

const KIND: &str = "kind";
