//! A prepared method: what a recipe makes ready for the runner.

use std::fmt;

use kd_core::{Method, Result, RunFolder};
use kd_models::{ModelConfig, NetworkSpec};

use crate::made_model::MadeModel;
use crate::recipe::paths::MODEL;

/// The models of a run that is done.
type Models = dyn Fn(&RunFolder) -> Result<Vec<MadeModel>>;

/// A method that is ready to run, and what it makes.
pub struct Prepared {
    pub(crate) method: Box<dyn Method>,
    pub(crate) spec: Option<NetworkSpec>,
    pub(crate) models: Box<Models>,
    pub(crate) extra_parameters: usize,
    pub(crate) largest_part_macs: Option<u64>,
    pub(crate) step_macs: Option<u64>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("phases", &self.method.phases())
            .field("spec", &self.spec)
            .field("extra_parameters", &self.extra_parameters)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// A method that makes no model.
    pub fn new(method: impl Method + 'static) -> Self {
        Self {
            method: Box::new(method),
            spec: None,
            models: Box::new(|_| Ok(Vec::new())),
            extra_parameters: 0,
            largest_part_macs: None,
            step_macs: None,
        }
    }

    /// With one model, the student: the result of `phase`, written to `model/`.
    #[must_use]
    pub fn with_student(self, phase: impl Into<String>, config: ModelConfig) -> Self {
        let phase = phase.into();
        let spec = config.network.clone();
        self.with_spec(spec)
            .with_models(move |_| Ok(vec![MadeModel::new(MODEL, &phase, config.clone())]))
    }

    /// With the name and size of the student, known before the run: for titles, tables and the first look at
    /// its cost.
    #[must_use]
    pub fn with_spec(mut self, spec: NetworkSpec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// With the models that the run makes, asked for when it is done: how many there are and what they look
    /// like may depend on the results of its phases.
    #[must_use]
    pub fn with_models(
        mut self,
        models: impl Fn(&RunFolder) -> Result<Vec<MadeModel>> + 'static,
    ) -> Self {
        self.models = Box::new(models);
        self
    }

    /// With so many parameters that are trained beside the student and thrown away.
    #[must_use]
    pub fn with_extra_parameters(mut self, parameters: usize) -> Self {
        self.extra_parameters = parameters;
        self
    }

    /// With the multiply-accumulates, for one image, of the largest of the model's parts that can run at the
    /// same time: what each answer waits for where every part has a machine of its own.
    #[must_use]
    pub fn with_largest_part_macs(mut self, macs: u64) -> Self {
        self.largest_part_macs = Some(macs);
        self
    }

    /// With the multiply-accumulates of a training step, an image: three times those of a forward pass for
    /// what is trained, which are its own and those of both gradients, once for what only answers.
    #[must_use]
    pub fn with_step_macs(mut self, macs: u64) -> Self {
        self.step_macs = Some(macs);
        self
    }
}
