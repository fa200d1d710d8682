//! The trait of a method's recipe: what a method brings to be run from files.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{CacheConfig, CacheDtype, Error, Finding, Observer, Result};
use kd_report::Section;
use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::context::Context;
use crate::prepared::Prepared;

/// The recipe of a method: one experiment, as a TOML file holds it.
///
/// It is a plain struct of what the file holds beside the head (`method`, `seed`, `device`), which the
/// framework reads; unknown keys are refused with `#[serde(deny_unknown_fields)]`.
/// [`DataRecipe`](crate::DataRecipe), [`NetworkRecipe`](crate::NetworkRecipe),
/// [`TeacherRecipe`](crate::TeacherRecipe) and [`kd_core::Training`] are there to be used as fields.
/// [`Methods`](crate::Methods) is the table that a recipe's method is looked up in.
///
/// Only [`prepare`](MethodRecipe::prepare) is needed; the other functions are hooks with defaults.
pub trait MethodRecipe: Serialize + DeserializeOwned + Debug + 'static {
    /// The name of the method, as recipes have it in `method = "..."`.
    const METHOD: &'static str;
    /// One line that says what it does.
    const ABOUT: &'static str;
    /// The kind of experiment.
    const VERB: Verb = Verb::Distill;
    /// Those of the keys `drop_last`, `balanced` and `class_weights` of its [`kd_core::Training`] that it
    /// heeds; the others are refused.
    const TRAIN_KEYS: &'static [&'static str] = &[];

    /// The JSON schema of what the recipe holds beside its head, for `kd explain` and for editors; with
    /// `schemars::JsonSchema` derived it is `generator.subschema_for::<Self>()`. By default nothing is known
    /// of its keys.
    fn schema(_generator: &mut SchemaGenerator) -> Schema {
        Schema::default()
    }

    /// Reads everything that the recipe names, checks that it fits, and makes the method.
    ///
    /// What was left to defaults that depend on the data is written into the recipe, and paths are made
    /// absolute: the recipe is stored with the run after this.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, in words.
    fn prepare(&mut self, at: &Context) -> Result<Prepared>;

    /// Looks for what would go wrong and what is suspicious; nothing is trained or written.
    ///
    /// What is wrong with the recipe is best a finding, so that the rest is looked at as well. By default the
    /// recipe is prepared, which finds the first thing that does not fit.
    ///
    /// # Errors
    ///
    /// What keeps it from looking at all, such as data that is not there.
    fn check(&mut self, at: &Context) -> Result<Check> {
        self.prepare(at).map(|_| Check::prepared(Self::METHOD))
    }

    /// Adds to the report of the run in the folder `run`, which may be under way still. The recipe is as the
    /// run has it, but it need not have been prepared: data and teachers may be gone. By default there is
    /// nothing to add.
    ///
    /// # Errors
    ///
    /// What keeps it from adding what there should be; the report says so.
    fn report(&self, _run: &Path) -> Result<MethodReport> {
        Ok(MethodReport::default())
    }

    /// The names of the metrics that its evaluations may give, so that a campaign which asks for another is
    /// refused before anything is trained; in a name `#` is any number. None where it does not say, which is
    /// the default.
    fn metrics(&self) -> Option<Vec<String>> {
        None
    }

    /// The parts that can be run alone, of which [`merge_runs`](crate::merge_runs) makes the whole. By
    /// default there are none.
    fn parts(&mut self) -> Option<Parts<'_>> {
        None
    }

    /// Builds the caches of teachers' answers that a run would read, or goes on with building them, and gives
    /// their files. `place` is put over the recipe's own. By default no teacher is cached.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if no teacher is cached, and whatever keeps a cache from being built.
    fn build_caches(
        &mut self,
        _at: &Context,
        _place: &CachePlace,
        _observer: &mut dyn Observer,
        _stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        let problem = format!(
            "is `{}`, which asks no teacher that could be cached",
            Self::METHOD
        );
        Err(Error::config("method", problem))
    }
}

/// The parts of a method that share nothing, each of which can be run alone: on another machine, in another
/// process.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What a part is called: `student`.
    pub name: &'static str,
    /// How many there are.
    pub count: usize,
    /// The part that alone is run; all and what joins them without one.
    pub only: &'a mut Option<usize>,
}

/// The kind of an experiment: a network alone, or one that learns from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// A network alone.
    Train,
    /// Everything that learns from another network.
    Distill,
}

impl Verb {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Distill => "distill",
        }
    }
}

/// What a method adds to the report of a run.
#[derive(Clone, Debug, Default)]
pub struct MethodReport {
    /// Sections after those that every report has.
    pub sections: Vec<Section>,
    /// Lines of the table of costs: what, and how much.
    pub costs: Vec<(String, String)>,
    /// What is suspicious about the run. Warnings and errors are also said when the run ends.
    pub findings: Vec<Finding>,
}

/// What is put over the table `[cache]` of a recipe.
#[derive(Clone, Debug, Default)]
pub struct CachePlace {
    /// One file in place of a folder.
    pub file: Option<PathBuf>,
    /// The precision of the numbers.
    pub dtype: Option<CacheDtype>,
}

impl CachePlace {
    /// Puts it over what a recipe says.
    pub fn over(&self, recipe: Option<CacheConfig>) -> CacheConfig {
        let mut config = recipe.unwrap_or_default();
        if let Some(file) = &self.file {
            config = CacheConfig::file(file).with_dtype(config.dtype);
        }
        match self.dtype {
            Some(dtype) => config.with_dtype(dtype),
            None => config,
        }
    }
}
