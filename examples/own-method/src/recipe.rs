//! What a recipe of the method says, and how it is made ready.

use burn::module::Module;
use kd_cli::{
    Context, DataRecipe, MadeModel, MethodRecipe, NetworkRecipe, Prepared, TeacherRecipe,
};
use kd_core::{
    Loader, LoaderConfig, Method, Normalisation, Optimizer, Phase, Result, RunFolder, Selection,
    Training, detached_copy,
};
use kd_models::Network;
use kd_offline::Teacher;
use serde::{Deserialize, Serialize};

use crate::phase::Regress;

/// `method = "logit-regression"`: the student fits the teacher's centred logits, without labels and without a temperature.
///
/// # References
///
/// Ba and Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv:1312.6184, equation 2.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogitRegression {
    method: String,
    #[serde(default)]
    seed: u64,
    #[serde(default = "auto")]
    device: String,
    data: DataRecipe,
    student: NetworkRecipe,
    teachers: [TeacherRecipe; 1],
    train: Training,
}

fn auto() -> String {
    "auto".into()
}

impl MethodRecipe for LogitRegression {
    const METHOD: &'static str = "logit-regression";
    const ABOUT: &'static str =
        "the student fits the teacher's centred logits (Ba and Caruana 2014)";

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
        self.train.check()?;
        let data = at.data(&self.data)?;
        let made = at.network(&mut self.student, &data, self.seed)?;
        let mut teachers = at.teachers(&self.teachers, &data.facts)?;
        let config = LoaderConfig {
            seed: self.seed,
            views: self.data.views,
            augment: self.data.augment.clone(),
            ..LoaderConfig::new(self.train.batch_size)
        };
        let held_out = LoaderConfig::ordered(self.train.eval_batch_size);
        let method = OwnMethod {
            student: made.network,
            normalisation: made.config.normalisation.clone(),
            teacher: teachers.remove(0),
            training: self.train.clone(),
            train: Loader::new(data.train, config, at.device())?,
            held_out: Loader::new(data.held_out, held_out, at.device())?,
        };
        self.teachers[0].make_absolute()?;
        Ok(Prepared {
            method: Box::new(method),
            models: vec![MadeModel::student(PHASE, made.config)],
            extra_parameters: 0,
        })
    }
}

const PHASE: &str = "regress";

/// The method as kd's runner takes it: here one phase.
#[derive(Debug)]
struct OwnMethod {
    student: Network,
    normalisation: Normalisation,
    teacher: Box<dyn Teacher>,
    training: Training,
    train: Loader,
    held_out: Loader,
}

impl Method for OwnMethod {
    fn phases(&self) -> Vec<String> {
        vec![PHASE.into()]
    }

    fn start(&self, _index: usize, _earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let plan = self.training.plan(
            self.train.steps_per_epoch(),
            Some(Selection::highest("accuracy")),
        )?;
        Ok(Box::new(Regress {
            student: detached_copy(&self.student).train(),
            optimizer: Optimizer::new(self.training.optimizer.clone())?,
            plan,
            normalisation: &self.normalisation,
            teacher: self.teacher.as_ref(),
            training: &self.training,
            train: &self.train,
            held_out: &self.held_out,
        }))
    }
}
