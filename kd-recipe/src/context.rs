//! The context of a preparation: reads data, networks and teachers, and notes what was read.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::Device;
use kd_core::{
    DataRoots, DataSource, Error, Finding, Grade, Preprocessing, ResizedTeacher, Result, Split,
    Subset, Teacher,
};
use kd_models::{Families, LoadReport, ModelNetwork, TrainedModel};

use crate::inputs::{RecipeInputs, TeacherInput};
use crate::notices::{Notice, Notices};
use crate::recipe::data::DataRecipe;
use crate::recipe::loaded::{DataFacts, LoadedData};
use crate::recipe::network::{NetworkRecipe, NewNetwork};
use crate::recipe::teacher::{TeacherClasses, TeacherRecipe};

/// What a recipe is prepared and checked with.
///
/// Everything that is read through it is noted by hash, so that a run does not go on with something else, and
/// kept for the report. A folder of images is listed once, however often its data are asked for.
#[derive(Debug)]
pub struct Context {
    seed: u64,
    device: Device,
    roots: DataRoots,
    families: Families,
    notices: Arc<dyn Notices>,
    inputs: RefCell<RecipeInputs>,
    sources: RefCell<Vec<(DataRecipe, DataSource)>>,
}

impl Context {
    pub(crate) fn new(
        seed: u64,
        device: Device,
        roots: DataRoots,
        families: Families,
        notices: Arc<dyn Notices>,
    ) -> Self {
        Self {
            seed,
            device,
            roots,
            families,
            notices,
            inputs: RefCell::default(),
            sources: RefCell::default(),
        }
    }

    /// The seed of initial weights, order and views.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The device to compute on, in its plain form.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folders with data sets.
    pub fn roots(&self) -> &DataRoots {
        &self.roots
    }

    /// The families of networks that model folders may hold.
    pub fn families(&self) -> &Families {
        &self.families
    }

    /// The receiver of notices.
    pub fn notices(&self) -> &dyn Notices {
        self.notices.as_ref()
    }

    /// Says what is suspicious at the start of a run: the warnings and errors among these findings, in a line
    /// each.
    pub fn warn(&self, findings: impl IntoIterator<Item = Finding>) {
        let suspicious = findings
            .into_iter()
            .filter(|found| found.grade >= Grade::Warning);
        for found in suspicious {
            self.notices().take(&Notice::Note(found.text));
        }
    }

    /// Notes the hash of something that the run is made from; `what` names it in an error, as in "`what` has
    /// changed".
    pub fn note_input(&self, what: impl Into<String>, hash: impl Into<String>) {
        let mut inputs = self.inputs.borrow_mut();
        inputs.sha256.insert(what.into(), hash.into());
    }

    /// What was read so far.
    pub fn inputs(&self) -> RecipeInputs {
        self.inputs.borrow().clone()
    }

    /// Facts about the data of a recipe, for which the recipe can be checked before the data are read.
    ///
    /// A method that learns a class for each image asks [`DataFacts::check_labelled`].
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::source`] and [`DataRecipe::facts`].
    pub fn facts(&self, recipe: &DataRecipe) -> Result<DataFacts> {
        recipe.facts(&self.source(recipe)?)
    }

    /// Reads the data of a recipe.
    ///
    /// # Errors
    ///
    /// As [`DataRecipe::source`] and [`DataRecipe::load`].
    pub fn data(&self, recipe: &DataRecipe) -> Result<LoadedData> {
        let data = recipe.load(self.source(recipe)?, &self.roots)?;
        self.note_input("the training data", data.train.hash());
        self.note_input("the held-out data", data.held_out.hash());
        if let Some(validation) = &data.validation {
            self.note_input("the validation data", validation.hash());
        }
        self.note_broken(&data.source);
        let mut inputs = self.inputs.borrow_mut();
        inputs.train = Some(data.train.clone());
        inputs.held_out = Some(data.held_out.clone());
        Ok(data)
    }

    /// Reads one whole split of the data of a recipe, noted as `what`. The test split counts as what the
    /// student is measured on.
    ///
    /// # Errors
    ///
    /// As [`Context::facts`], [`Error::Config`] for settings of parts and views, which would have no effect,
    /// and whatever the files are refused for.
    pub fn split(&self, recipe: &DataRecipe, split: Split, what: &str) -> Result<Subset> {
        recipe.check_whole()?;
        let source = self.source(recipe)?;
        recipe.facts(&source)?;
        let samples = Subset::all(&source.load(split, &self.roots)?);
        self.note_broken(&source);
        self.note_input(what, samples.hash());
        if split == Split::Test {
            self.inputs.borrow_mut().held_out = Some(samples.clone());
        }
        Ok(samples)
    }

    /// Notes the images that were left out because they cannot be read.
    fn note_broken(&self, source: &DataSource) {
        let broken = match source {
            DataSource::Folder(folder) => folder.broken(),
            DataSource::Masks(folder) => folder.broken(),
            _ => return,
        };
        self.inputs.borrow_mut().broken = broken;
    }

    /// The source of the data of a recipe, opened once.
    fn source(&self, recipe: &DataRecipe) -> Result<DataSource> {
        let opened = self.sources.borrow();
        let known = opened.iter().find(|(known, _)| known == recipe);
        if let Some((_, source)) = known {
            return Ok(source.clone());
        }
        drop(opened);
        let source = recipe.source_in(&self.roots)?;
        if let DataSource::Folder(folder) = &source {
            let skipped = folder.skipped().into_iter().map(Path::to_owned);
            self.inputs.borrow_mut().skipped.extend(skipped);
        }
        let entry = (recipe.clone(), source.clone());
        self.sources.borrow_mut().push(entry);
        Ok(source)
    }

    /// Makes a network of a recipe, as [`NetworkRecipe::build`] does, on the context's device. Its weights
    /// are a function of `seed`, which is [`Context::seed`] unless a method makes several networks.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::build`].
    pub fn network<N: ModelNetwork>(
        &self,
        recipe: &mut NetworkRecipe,
        data: &LoadedData,
        seed: u64,
    ) -> Result<NewNetwork<N>> {
        let mut made = self.built(recipe, &data.facts, || data.preprocessing(), seed)?;
        made.config.class_names = data.train.dataset().class_names().map(<[String]>::to_vec);
        made.config.provenance.data = Some(data.facts.name.clone());
        Ok(made)
    }

    /// As [`Context::network`], for images of which nothing but `facts` is known.
    ///
    /// # Errors
    ///
    /// As [`NetworkRecipe::build`], and [`Error::Config`] if no normalisation is known.
    pub fn network_without_data<N: ModelNetwork>(
        &self,
        recipe: &mut NetworkRecipe,
        facts: &DataFacts,
        seed: u64,
    ) -> Result<NewNetwork<N>> {
        let usual = || {
            let missing = || Error::config("normalisation", "is missing; give mean and std");
            let known = facts.normalisation.clone().map(Preprocessing::Images);
            known.ok_or_else(missing)
        };
        let mut made = self.built(recipe, facts, usual, seed)?;
        made.config.class_names.clone_from(&facts.class_names);
        Ok(made)
    }

    fn built<N: ModelNetwork>(
        &self,
        recipe: &mut NetworkRecipe,
        facts: &DataFacts,
        usual: impl FnOnce() -> Result<Preprocessing>,
        seed: u64,
    ) -> Result<NewNetwork<N>> {
        let made = recipe.build(facts, usual, seed, &self.device, self.notices())?;
        if let Some((hash, _)) = &made.weights {
            self.note_input("the file of the first weights", hash);
        }
        Ok(made)
    }

    /// Reads the teachers of a recipe, for the task of the data, and freezes them.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn teachers(
        &self,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
    ) -> Result<Vec<Box<dyn Teacher>>> {
        self.teachers_as(TeacherClasses::OfData, recipes, data)
    }

    /// As [`Context::teachers`], of teachers that need not know the classes of the data.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn teachers_as(
        &self,
        classes: TeacherClasses,
        recipes: &[TeacherRecipe],
        data: &DataFacts,
    ) -> Result<Vec<Box<dyn Teacher>>> {
        let load = |(index, recipe)| {
            let what = format!("teacher {index}");
            let opened = self.open_resized(classes, recipe, data, &what)?;
            Ok(opened.teacher(&self.device))
        };
        recipes.iter().enumerate().map(load).collect()
    }

    /// Reads the one teacher of a recipe, for the task of the data, and freezes it.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn teacher(&self, recipe: &TeacherRecipe, data: &DataFacts) -> Result<Box<dyn Teacher>> {
        let opened = self.open_resized(TeacherClasses::OfData, recipe, data, "the teacher")?;
        Ok(opened.teacher(&self.device))
    }

    /// Reads a teacher, for the task of the data, for a method that needs more of it than its answers; noted
    /// as `what`.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn open_teacher(
        &self,
        recipe: &TeacherRecipe,
        data: &DataFacts,
        what: &str,
    ) -> Result<OpenTeacher> {
        self.open_teacher_as(TeacherClasses::OfData, recipe, data, what)
    }

    /// As [`Context::open_teacher`], of a teacher that need not know the classes of the data.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open`].
    pub fn open_teacher_as(
        &self,
        classes: TeacherClasses,
        recipe: &TeacherRecipe,
        data: &DataFacts,
        what: &str,
    ) -> Result<OpenTeacher> {
        if recipe.resize {
            let problem =
                "cannot be used here: the method needs more of the teacher than answers; remove it";
            return Err(Error::config("teacher.resize", problem));
        }
        self.open_resized(classes, recipe, data, what)
    }

    /// As [`Context::open_teacher_as`], of a teacher that may take images of another size.
    pub(crate) fn open_resized(
        &self,
        classes: TeacherClasses,
        recipe: &TeacherRecipe,
        data: &DataFacts,
        what: &str,
    ) -> Result<OpenTeacher> {
        let (device, notices) = (&self.device, self.notices());
        let opened = recipe.open_as(classes, &self.families, data, device, notices);
        let (model, report) = opened?;
        Ok(self.note_teacher(recipe, model, report, what))
    }

    /// Reads the one teacher of a recipe where there are no data: its model folder says what its images and
    /// classes are.
    ///
    /// # Errors
    ///
    /// As [`TeacherRecipe::open_alone`].
    pub fn teacher_without_data(&self, recipe: &TeacherRecipe) -> Result<(OpenTeacher, DataFacts)> {
        let (model, facts) = recipe.open_alone(&self.families, &self.device)?;
        Ok((self.note_teacher(recipe, model, None, "the teacher"), facts))
    }

    fn note_teacher(
        &self,
        recipe: &TeacherRecipe,
        model: Box<dyn TrainedModel>,
        report: Option<LoadReport>,
        what: &str,
    ) -> OpenTeacher {
        self.note_input(what, model.hash());
        let model: Rc<dyn TrainedModel> = Rc::from(model);
        let from = recipe.path().display().to_string();
        let opened = OpenTeacher {
            from: from.clone(),
            model: Rc::clone(&model),
            report,
            is_resized: recipe.resize,
        };
        self.inputs
            .borrow_mut()
            .teachers
            .push(TeacherInput { from, model });
        opened
    }
}

/// A teacher that was read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenTeacher {
    /// Where it comes from, as the recipe has it.
    pub from: String,
    /// The trained network.
    pub model: Rc<dyn TrainedModel>,
    /// How its weights fitted, if they came from a plain weight file.
    pub report: Option<LoadReport>,
    /// Whether it takes images of another size than the data's.
    is_resized: bool,
}

impl OpenTeacher {
    /// The teacher that it is, on the plain form of `device`.
    pub(crate) fn teacher(&self, device: &Device) -> Box<dyn Teacher> {
        let teacher = self.model.teacher(device);
        if !self.is_resized {
            return teacher;
        }
        let [_, height, width] = self.model.config().network.input;
        Box::new(ResizedTeacher::new(teacher, [height, width]))
    }

    /// The network as the type that it is.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] if it is of another type.
    pub fn network<N: ModelNetwork>(&self) -> Result<&N> {
        let other = || {
            let config = self.model.config();
            let problem = format!(
                "is of `{}`, and the method needs one of the families {}",
                config.network.title(),
                N::FAMILIES.join(", ")
            );
            Error::Input {
                path: self.from.clone().into(),
                problem,
            }
        };
        self.model.network().ok_or_else(other)
    }
}
