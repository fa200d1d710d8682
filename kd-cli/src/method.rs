//! What a method brings to the command, and the table of methods.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use burn::tensor::{Device, Tensor};
use kd_core::{DataRoots, Error, Method, Result, Split, Subset, read_recipe};
use kd_datafree::{FrozenClassifier, ImageTeacher};
use kd_models::{ModelConfig, ModelNetwork, Network, UNet};
use kd_offline::{FrozenTeacher, Teacher};
use kd_stagewise::{FrozenStages, StageTeacher};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::examination::Examination;
use crate::parts::{
    DataFacts, DataRecipe, LoadedData, LoadedTeacher, NetworkRecipe, NewNetwork, TeacherRecipe,
};
use crate::report::{AskedNetwork, Seen};

/// A recipe that the command can run: one experiment of one method.
///
/// It is a plain struct of what the TOML file holds; unknown keys are refused with `#[serde(deny_unknown_fields)]`. Among
/// its fields are `method`, `seed` and `device`; [`DataRecipe`], [`NetworkRecipe`],
/// [`TeacherRecipe`] and [`kd_core::Training`] are there to be used as further ones. [`Kd::with_method`](crate::Kd::with_method)
/// makes it known to the command; `examples/own-method` of the repository is a whole one.
pub trait MethodRecipe: Serialize + DeserializeOwned + Debug + 'static {
    /// The name of the method, as recipes have it in `method = "..."`.
    const METHOD: &'static str;
    /// One line of what it does.
    const ABOUT: &'static str;
    /// The command that runs it.
    const VERB: Verb = Verb::Distill;

    /// The seed of initial weights, order and views.
    fn seed(&self) -> u64;

    /// Where to compute: `auto`, `cpu`, `cuda`, ...
    fn device(&self) -> &str;

    /// Puts another device in its place: the command line's, or what `auto` turned out to be.
    fn set_device(&mut self, name: String);

    /// Reads everything that the recipe names, checks that it fits, and makes the method.
    ///
    /// What was left to defaults that depend on the data is written into the recipe, and paths are made absolute: the
    /// recipe is stored with the run after this.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, in words.
    fn prepare(&mut self, at: &Context) -> Result<Prepared>;

    /// Looks at what would go wrong and at what is suspicious, for `kd check`; nothing is trained or written.
    ///
    /// What is wrong with the recipe is best a finding, so that the rest is looked at as well. By default the recipe is
    /// prepared, which finds the first thing that does not fit.
    ///
    /// # Errors
    ///
    /// What keeps it from looking at all, such as data that is not there.
    fn examine(&mut self, at: &Context) -> Result<Examination> {
        self.prepare(at)
            .map(|_| Examination::prepared(Self::METHOD))
    }
}

/// The command that runs a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// `kd train`: a network alone.
    Train,
    /// `kd distill`: everything that learns from another network.
    Distill,
}

impl Verb {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Distill => "distill",
        }
    }
}

/// A method that is ready to run.
#[derive(Debug)]
pub struct Prepared {
    /// The method, with everything that it needs.
    pub method: Box<dyn RunnableMethod>,
    /// The networks that it makes: each is written as a model folder when the run is done. The first is the student.
    pub models: Vec<MadeModel>,
    /// Parameters that are trained beside the student and thrown away.
    pub extra_parameters: usize,
}

/// A [`Method`] that can be shown.
pub trait RunnableMethod: Method + Debug {}

impl<M: Method + Debug> RunnableMethod for M {}

/// A network that a method makes.
#[derive(Clone, Debug)]
pub struct MadeModel {
    /// The folder in the run folder: `model` for the student. The one of the best evaluation goes into the folder of this
    /// name with `-best` added.
    pub folder: String,
    /// The phase whose result it is.
    pub phase: String,
    /// What the model folder says of it.
    pub config: ModelConfig,
}

impl MadeModel {
    /// The student, made by `phase`.
    pub fn student(phase: impl Into<String>, config: ModelConfig) -> Self {
        Self {
            folder: crate::job::MODEL.into(),
            phase: phase.into(),
            config,
        }
    }
}

/// What a recipe is prepared with. What is read through it is noted by hash, so that a run does not go on with something else.
#[derive(Debug)]
pub struct Context {
    device: Device,
    roots: DataRoots,
    inputs: RefCell<BTreeMap<String, String>>,
    seen: RefCell<Seen>,
}

impl Context {
    pub(crate) fn new(device: Device, roots: DataRoots) -> Self {
        Self {
            device,
            roots,
            inputs: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// The device to compute on, in its plain form.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folders with data sets.
    pub fn roots(&self) -> &DataRoots {
        &self.roots
    }

    /// Notes the hash of something that the run is made from; `what` names it in an error, as in "`what` has changed".
    pub fn note_input(&self, what: impl Into<String>, hash: impl Into<String>) {
        self.inputs.borrow_mut().insert(what.into(), hash.into());
    }

    /// Reads the data of a recipe, for a method that learns a class for each image.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::load`].
    pub fn data(&self, recipe: &DataRecipe) -> Result<LoadedData> {
        recipe.facts()?;
        self.data_of_any_task(recipe)
    }

    /// Reads the data of a recipe, for a method that looks at [`DataFacts::task`].
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::load_of_any_task`].
    pub fn data_of_any_task(&self, recipe: &DataRecipe) -> Result<LoadedData> {
        let data = recipe.load_of_any_task(&self.roots)?;
        self.note_input("the training data", data.train.hash());
        self.note_input("the held-out data", data.held_out.hash());
        if let Some(validation) = &data.validation {
            self.note_input("the validation data", validation.hash());
        }
        let mut seen = self.seen.borrow_mut();
        seen.train = Some(data.train.clone());
        seen.held_out = Some(data.held_out.clone());
        Ok(data)
    }

    /// Makes a classifier of a recipe, as [`NetworkRecipe::build`] does, on the context's device.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::build`].
    pub fn network(
        &self,
        recipe: &mut NetworkRecipe,
        data: &LoadedData,
        seed: u64,
    ) -> Result<NewNetwork> {
        self.network_as(recipe, data, seed)
    }

    /// As [`Context::network`], of a [`Network`] or a [`UNet`].
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::build_as`].
    pub fn network_as<N: ModelNetwork>(
        &self,
        recipe: &mut NetworkRecipe,
        data: &LoadedData,
        seed: u64,
    ) -> Result<NewNetwork<N>> {
        let made = recipe.build_as(data, seed, &self.device)?;
        if let Some((hash, _)) = &made.weights {
            self.note_input("the file of the first weights", hash);
        }
        Ok(made)
    }

    /// Reads the teachers of a recipe and freezes them.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::load`].
    pub fn teachers(
        &self,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
    ) -> Result<Vec<Box<dyn Teacher>>> {
        let load = |(index, recipe): (usize, &TeacherRecipe)| {
            let loaded = recipe.load(data, &self.device)?;
            self.saw(recipe, &loaded);
            let LoadedTeacher {
                network, config, ..
            } = loaded;
            let teacher = FrozenTeacher::new(&network, config.normalisation, &self.device);
            self.note_input(format!("teacher {index}"), teacher.hash());
            Ok(Box::new(teacher) as Box<dyn Teacher>)
        };
        recipes.iter().enumerate().map(load).collect()
    }

    /// Reads the teacher of a recipe as a classifier whose stages are asked, and freezes it.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::load`].
    pub fn stage_teacher(
        &self,
        recipe: &TeacherRecipe,
        data: &DataFacts,
    ) -> Result<Box<dyn StageTeacher<Tensor<2>>>> {
        self.stage_teacher_as::<Network>(recipe, data)
    }

    /// As [`Context::stage_teacher`], of a [`UNet`], which says a class of each pixel.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::load_as`].
    pub fn mask_teacher(
        &self,
        recipe: &TeacherRecipe,
        data: &DataFacts,
    ) -> Result<Box<dyn StageTeacher<Tensor<4>>>> {
        self.stage_teacher_as::<UNet>(recipe, data)
    }

    pub(crate) fn stage_teacher_as<N: AskedNetwork>(
        &self,
        recipe: &TeacherRecipe,
        data: &DataFacts,
    ) -> Result<Box<dyn StageTeacher<N::Output>>> {
        let loaded = recipe.load_as::<N>(data, &self.device)?;
        self.saw(recipe, &loaded);
        let LoadedTeacher {
            network, config, ..
        } = loaded;
        let teacher = FrozenStages::new(&network, config.normalisation, &self.device);
        self.note_input("the teacher", StageTeacher::<N::Output>::hash(&teacher));
        Ok(Box::new(teacher))
    }

    /// Reads the teacher of a recipe as a classifier through which images learn, and what is known of its images and classes.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::load`], and [`Error::Config`] for a plain weight file, which does not say what its images are.
    pub fn image_teacher(
        &self,
        recipe: &TeacherRecipe,
    ) -> Result<(Box<dyn ImageTeacher>, DataFacts)> {
        let (loaded, facts) = recipe.load_alone(&self.device)?;
        self.saw(recipe, &loaded);
        let LoadedTeacher {
            network, config, ..
        } = loaded;
        let teacher =
            FrozenClassifier::new(&network, config.normalisation, facts.shape, &self.device)?;
        self.note_input("the teacher", ImageTeacher::hash(&teacher));
        Ok((Box::new(teacher), facts))
    }

    /// Reads the test split of a recipe alone.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts`], and whatever the files are refused for.
    pub fn test_data(&self, recipe: &DataRecipe) -> Result<Subset> {
        recipe.facts()?;
        let test = recipe.source()?.load(Split::Test, &self.roots);
        let test = Subset::all(&test.map_err(|error| error.within("test"))?);
        self.note_input("the test data", test.hash());
        self.seen.borrow_mut().held_out = Some(test.clone());
        Ok(test)
    }

    /// Reads the training split of a recipe alone, for a method that does not look at its labels.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::facts`], and whatever the files are refused for.
    pub fn other_images(&self, recipe: &DataRecipe) -> Result<Subset> {
        recipe.facts()?;
        let images = recipe.source()?.load(Split::Train, &self.roots);
        let images = Subset::all(&images.map_err(|error| error.within("images"))?);
        self.note_input("the images", images.hash());
        Ok(images)
    }

    /// Keeps a teacher for the report.
    fn saw<N: AskedNetwork>(&self, recipe: &TeacherRecipe, loaded: &LoadedTeacher<N>) {
        let from = recipe.path().display().to_string();
        let teacher = N::kept(loaded.clone());
        self.seen.borrow_mut().teachers.push((from, teacher));
    }

    /// What was read so far, for the report.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// What was read so far, by hash.
    pub(crate) fn inputs(&self) -> BTreeMap<String, String> {
        self.inputs.borrow().clone()
    }
}

/// A recipe of whatever method.
pub(crate) trait AnyRecipe: Debug {
    fn seed(&self) -> u64;
    fn device(&self) -> &str;
    fn set_device(&mut self, name: String);
    fn prepare(&mut self, at: &Context) -> Result<Prepared>;
    fn examine(&mut self, at: &Context) -> Result<Examination>;
    fn method(&self) -> &'static str;
    /// The recipe as TOML with every default written out.
    fn resolved(&self) -> Result<String>;
}

impl<R: MethodRecipe> AnyRecipe for R {
    fn seed(&self) -> u64 {
        MethodRecipe::seed(self)
    }

    fn device(&self) -> &str {
        MethodRecipe::device(self)
    }

    fn set_device(&mut self, name: String) {
        MethodRecipe::set_device(self, name);
    }

    fn prepare(&mut self, at: &Context) -> Result<Prepared> {
        MethodRecipe::prepare(self, at)
    }

    fn examine(&mut self, at: &Context) -> Result<Examination> {
        MethodRecipe::examine(self, at)
    }

    fn method(&self) -> &'static str {
        R::METHOD
    }

    fn resolved(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::method("the resolved recipe", error))
    }
}

/// Reads a recipe of one method: where it is from, its text, what is put over it.
type ReadRecipe = fn(&str, &str, &[String]) -> Result<Box<dyn AnyRecipe>>;

/// A method as the table has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownMethod {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) verb: Verb,
    read: ReadRecipe,
}

/// The methods that the command knows.
#[derive(Clone, Debug)]
pub(crate) struct Methods(Vec<KnownMethod>);

/// The first look at a recipe, which takes everything.
#[derive(Deserialize)]
struct Head {
    method: Option<String>,
}

impl Methods {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a method; one of the same name is replaced.
    pub(crate) fn add<R: MethodRecipe>(&mut self) {
        let method = KnownMethod {
            name: R::METHOD,
            about: R::ABOUT,
            verb: R::VERB,
            read: |origin, text, overrides| {
                let recipe: R = read_recipe(origin, text, overrides)?;
                Ok(Box::new(recipe))
            },
        };
        match self.0.iter_mut().find(|known| known.name == method.name) {
            Some(known) => *known = method,
            None => self.0.push(method),
        }
    }

    pub(crate) fn all(&self) -> &[KnownMethod] {
        &self.0
    }

    /// The method of a recipe: the one that it names, or the usual one of the command that was typed.
    pub(crate) fn of(
        &self,
        origin: &str,
        text: &str,
        overrides: &[String],
        verb: Option<Verb>,
    ) -> Result<&KnownMethod> {
        let head: Head = read_recipe(origin, text, overrides)?;
        let usual = match verb {
            Some(Verb::Train) => "train",
            _ => "offline",
        };
        let name = head.method.as_deref().unwrap_or(usual);
        let method = self.0.iter().find(|known| known.name == name);
        let method = method.ok_or_else(|| {
            Error::unknown_name("method", name, self.0.iter().map(|known| known.name))
        })?;
        match verb {
            Some(verb) if verb != method.verb => Err(Error::Recipe {
                origin: origin.into(),
                problem: format!(
                    "its method is `{name}`; run it with `kd {}`",
                    method.verb.name()
                ),
            }),
            _ => Ok(method),
        }
    }

    /// Reads a recipe with `overrides` put over it.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] for what cannot be understood, [`Error::UnknownName`] for a method that is not known.
    pub(crate) fn read(
        &self,
        origin: &str,
        text: &str,
        overrides: &[String],
        verb: Option<Verb>,
    ) -> Result<Box<dyn AnyRecipe>> {
        let method = self.of(origin, text, overrides, verb)?;
        (method.read)(origin, text, overrides)
    }
}
