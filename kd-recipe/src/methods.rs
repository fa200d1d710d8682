//! The table of methods, and recipes read by it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{Error, Observer, Result};
use kd_models::{Families, ModelNetwork};
use schemars::{Schema, SchemaGenerator};

use crate::check::Check;
use crate::context::Context;
use crate::head::{keys_of, read_body, read_head, write};
use crate::method::{CachePlace, MethodRecipe, MethodReport, Parts, Verb};
use crate::prepared::Prepared;

/// Methods that a recipe can name, and types of networks that model folders may hold.
///
/// ```
/// # fn table<Mine: kd_recipe::MethodRecipe>() {
/// let methods = kd_recipe::Methods::new().with::<Mine>();
/// # drop(methods);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Methods {
    known: Vec<KnownMethod>,
    usual: Option<String>,
    families: Families,
}

/// A method as the table has it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct KnownMethod {
    /// Its name.
    pub name: &'static str,
    /// One line that says what it does.
    pub about: &'static str,
    /// The kind of experiment.
    pub verb: Verb,
    read: ReadBody,
    schema: fn(&mut SchemaGenerator) -> Schema,
    keys: fn() -> &'static [&'static str],
}

impl KnownMethod {
    /// The JSON schema of what its recipes hold beside `method`, `seed` and `device`.
    pub(crate) fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }

    /// The keys of its recipes beside those, as the struct that reads them has them.
    pub fn keys(&self) -> &'static [&'static str] {
        (self.keys)()
    }
}

/// Reads what a recipe of one method holds beside its head: where it is from, its text, what is put over it.
type ReadBody = fn(&str, &str, &[String]) -> Result<Box<dyn Body>>;

impl Methods {
    /// No method yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a method; one of the same name is replaced.
    #[must_use]
    pub fn with<R: MethodRecipe>(mut self) -> Self {
        let method = KnownMethod {
            name: R::METHOD,
            about: R::ABOUT,
            verb: R::VERB,
            read: |origin, text, overrides| {
                let body: R = read_body(origin, text, overrides)?;
                check_train_keys(&body)?;
                Ok(Box::new(body))
            },
            schema: R::schema,
            keys: keys_of::<R>,
        };
        match self
            .known
            .iter_mut()
            .find(|known| known.name == method.name)
        {
            Some(known) => *known = method,
            None => self.known.push(method),
        }
        self
    }

    /// With the method of recipes that name none.
    #[must_use]
    pub fn with_usual(mut self, name: impl Into<String>) -> Self {
        self.usual = Some(name.into());
        self
    }

    /// With a further type of networks that model folders may hold.
    #[must_use]
    pub fn with_networks<N: ModelNetwork>(mut self) -> Self {
        self.families = self.families.with::<N>();
        self
    }

    /// The families of networks that model folders may hold.
    pub fn families(&self) -> &Families {
        &self.families
    }

    /// All of them in order.
    pub fn all(&self) -> &[KnownMethod] {
        &self.known
    }

    /// Reads a recipe with `overrides` (`train.epochs=3`) put over it; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] for what cannot be understood, [`Error::Override`] for such an override,
    /// [`Error::UnknownName`] for a method that is not in the table.
    pub fn read(&self, origin: &str, text: &str, overrides: &[String]) -> Result<Recipe> {
        let head = read_head(origin, text, overrides)?;
        let named = head.method.or_else(|| self.usual.clone());
        let names = || self.known.iter().map(|known| known.name);
        let Some(name) = named else {
            let known: Vec<&str> = names().collect();
            return Err(Error::Recipe {
                origin: origin.to_owned(),
                problem: format!("`method` is missing; known: {}", known.join(", ")),
            });
        };
        let method = self.known.iter().find(|known| known.name == name);
        let method = method.ok_or_else(|| Error::unknown_name("method", &name, names()))?;
        Ok(Recipe {
            method: method.name,
            verb: method.verb,
            seed: head.seed,
            device: head.device,
            families: self.families.clone(),
            body: (method.read)(origin, text, overrides)?,
        })
    }

    /// Reads the recipe in a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, and those of [`Methods::read`].
    pub fn read_file(&self, path: &Path, overrides: &[String]) -> Result<Recipe> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        self.read(&path.display().to_string(), &text, overrides)
    }
}

/// Refuses settings of the training that the method does not heed.
fn check_train_keys<R: MethodRecipe>(body: &R) -> Result<()> {
    const SOME: [&str; 3] = ["drop_last", "balanced", "class_weights"];
    let written = toml::Table::try_from(body).unwrap_or_default();
    let train = written.get("train").and_then(toml::Value::as_table);
    let given = SOME.iter().find(|key| {
        !R::TRAIN_KEYS.contains(key) && train.is_some_and(|train| train.contains_key(**key))
    });
    match given {
        None => Ok(()),
        Some(key) => {
            let problem = format!("has no effect in method `{}`; remove it", R::METHOD);
            Err(Error::config(format!("train.{key}"), problem))
        }
    }
}

/// The recipe of the run in a folder, as that of one method: for what the method does with a run that is
/// done.
///
/// # Errors
///
/// [`Error::NoRun`] if it is no run folder, [`Error::Input`] if the run is of another method, and those of
/// [`Methods::read`].
pub fn recipe_of_run<R: MethodRecipe>(run: &Path) -> Result<R> {
    let path = run.join("recipe.toml");
    if !path.is_file() {
        return Err(Error::NoRun {
            path: run.to_owned(),
        });
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let origin = path.display().to_string();
    let head = read_head(&origin, &text, &[])?;
    match head.method {
        Some(method) if method != R::METHOD => Err(Error::Input {
            path: run.to_owned(),
            problem: format!("is a run of method `{method}`; give one of `{}`", R::METHOD),
        }),
        _ => read_body(&origin, &text, &[]),
    }
}

/// A recipe of one of the methods of a table.
#[derive(Debug)]
pub struct Recipe {
    method: &'static str,
    verb: Verb,
    seed: u64,
    device: String,
    families: Families,
    body: Box<dyn Body>,
}

impl Recipe {
    /// The name of its method.
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// The kind of experiment.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// The seed of initial weights, order and views.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The device: `auto`, `cpu`, `cuda`, ...
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The families of networks that model folders may hold.
    pub(crate) fn families(&self) -> &Families {
        &self.families
    }

    /// Puts another device in its place: a program's own choice, or what `auto` turned out to be.
    pub(crate) fn set_device(&mut self, name: String) {
        self.device = name;
    }

    /// The recipe as TOML with every default written out.
    ///
    /// # Errors
    ///
    /// [`Error::Method`] for what TOML cannot hold.
    pub fn resolved(&self) -> Result<String> {
        self.body.write(self.method, self.seed, &self.device)
    }

    /// The names of the metrics that its evaluations may give, if the method says them; in a name `#` is any
    /// number.
    pub fn metrics(&self) -> Option<Vec<String>> {
        self.body.metrics()
    }

    /// The parts that can be run alone, if the method has any.
    pub fn parts(&mut self) -> Option<Parts<'_>> {
        self.body.parts()
    }

    /// Makes it the recipe of one part alone, or of all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the method has no parts, or not so many.
    pub fn set_part(&mut self, part: Option<usize>) -> Result<()> {
        let method = self.method;
        let Some(parts) = self.parts() else {
            let problem = format!("is `{method}`, which has no parts that could be run alone");
            return Err(Error::config("method", problem));
        };
        if let Some(part) = part.filter(|&part| part >= parts.count) {
            let problem = format!(
                "must be 0 to {}, got {part}: there are {}",
                parts.count.saturating_sub(1),
                parts.count
            );
            return Err(Error::config(parts.name, problem));
        }
        *parts.only = part;
        Ok(())
    }

    pub(crate) fn prepare_in(&mut self, at: &Context) -> Result<Prepared> {
        self.body.prepare(at)
    }

    pub(crate) fn check_in(&mut self, at: &Context) -> Result<Check> {
        self.body.check(at)
    }

    pub(crate) fn build_caches_in(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        self.body.build_caches(at, place, observer, stop)
    }

    pub(crate) fn report(&self, run: &Path) -> Result<MethodReport> {
        self.body.report(run)
    }
}

/// A recipe of whatever method, without its head.
trait Body: Debug {
    fn prepare(&mut self, at: &Context) -> Result<Prepared>;
    fn check(&mut self, at: &Context) -> Result<Check>;
    fn report(&self, run: &Path) -> Result<MethodReport>;
    fn metrics(&self) -> Option<Vec<String>>;
    fn parts(&mut self) -> Option<Parts<'_>>;
    fn build_caches(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>>;
    fn write(&self, method: &str, seed: u64, device: &str) -> Result<String>;
}

impl<R: MethodRecipe> Body for R {
    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        MethodRecipe::prepare(self, at)
    }

    fn check(&mut self, at: &Context) -> Result<Check> {
        MethodRecipe::check(self, at)
    }

    fn report(&self, run: &Path) -> Result<MethodReport> {
        MethodRecipe::report(self, run)
    }

    fn build_caches(
        &mut self,
        at: &Context,
        place: &CachePlace,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>> {
        MethodRecipe::build_caches(self, at, place, observer, stop)
    }

    fn metrics(&self) -> Option<Vec<String>> {
        MethodRecipe::metrics(self)
    }

    fn parts(&mut self) -> Option<Parts<'_>> {
        MethodRecipe::parts(self)
    }

    fn write(&self, method: &str, seed: u64, device: &str) -> Result<String> {
        write(method, seed, device, self)
    }
}
