//! The recipe of the method, and how it is made ready.

use burn::module::Module as _;
use kd_core::{
    Loader, LoaderConfig, Method, Phase, Preprocessing, Result, RunFolder, Selection, Teacher,
    Trained, Training, detached_copy,
};
use kd_models::Network;
use kd_recipe::{
    Context, DataRecipe, MethodRecipe, NetworkRecipe, NewNetwork, Prepared, TeacherRecipe,
};
use serde::{Deserialize, Serialize};

use crate::phase::Regress;

/// `method = "logit-regression"`: the student fits the teacher's centred logits, without labels and without a
/// temperature.
///
/// # References
///
/// Ba and Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv:1312.6184, equation 2.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogitRegression {
    data: DataRecipe,
    student: NetworkRecipe,
    teachers: [TeacherRecipe; 1],
    train: Training,
}

impl MethodRecipe for LogitRegression {
    const METHOD: &'static str = "logit-regression";
    const ABOUT: &'static str =
        "the student fits the teacher's centred logits (Ba and Caruana 2014)";

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        self.train.check()?;
        let facts = at.facts(&self.data)?;
        facts.check_labelled()?;
        self.student.spec(&facts)?;
        let data = at.data(&self.data)?;
        let student: NewNetwork = at.network(&mut self.student, &data, at.seed())?;
        let mut teachers = at.teachers(&self.teachers, &facts)?;
        let config = LoaderConfig {
            seed: at.seed(),
            views: self.data.views,
            augment: self.data.augment.clone(),
            ..LoaderConfig::new(self.train.batch_size)
        };
        let held_out = LoaderConfig::ordered(self.train.eval_batch_size);
        let method = OwnMethod {
            student: student.network,
            preprocessing: student.config.preprocessing.clone(),
            teacher: teachers.remove(0),
            training: self.train.clone(),
            train: Loader::new(data.train, config, at.device())?,
            held_out: Loader::new(data.held_out, held_out, at.device())?,
        };
        self.teachers[0].settle(&facts)?;
        Ok(Prepared::new(method).with_student(PHASE, student.config))
    }
}

const PHASE: &str = "regress";

/// The method as kd's runner takes it: here one phase.
#[derive(Debug)]
struct OwnMethod {
    student: Network,
    preprocessing: Preprocessing,
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
        let student = detached_copy(&self.student).train();
        let selection = Some(Selection::highest("accuracy"));
        Ok(Box::new(Regress {
            student: Trained::new("student", student, self.training.optimizer.clone())?,
            plan: self
                .training
                .plan(self.train.steps_per_epoch(), selection)?,
            preprocessing: &self.preprocessing,
            teacher: self.teacher.as_ref(),
            training: &self.training,
            train: &self.train,
            held_out: &self.held_out,
        }))
    }
}
