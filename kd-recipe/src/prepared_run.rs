//! A prepared run: a recipe with everything that it names, read and checked, ready to begin or to go on.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use kd_core::{
    Costs, EpochLog, Error, ErrorKind, Finding, Grade, Observer, PhaseOutcome, Result, RunFolder,
    Runner, Snapshot, interruptible,
};
use kd_models::NetworkSpec;
use kd_report::TensorBoard;

use crate::environment::Environment;
use crate::input_hashes::{Change, InputHashes, differences};
use crate::inputs::RecipeInputs;
use crate::machine::Machine;
use crate::made_model::MadeModel;
use crate::methods::{Methods, Recipe};
use crate::notices::Notice;
use crate::outcome::Outcome;
use crate::prepared::Prepared;
use crate::recipe::paths::check_utf8;
use crate::report::page;
use crate::report::subject::Subject;

/// A recipe with everything that it names, read and checked.
#[derive(Debug)]
pub struct PreparedRun {
    recipe: Recipe,
    prepared: Prepared,
    pub(crate) hashes: InputHashes,
    inputs: RecipeInputs,
    device: Device,
    machine: Machine,
}

impl Recipe {
    /// Reads everything that the recipe names, and checks that all of it fits.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, in words.
    pub fn prepare(mut self, machine: &Machine) -> Result<PreparedRun> {
        let context = machine.context(&mut self)?;
        let prepared = self.prepare_in(&context)?;
        let inputs = context.inputs();
        for text in inputs.omissions() {
            machine.notices().take(&Notice::Note(text));
        }
        let data_dir = machine.data_dir().or(context.roots().env.as_deref());
        let data_dir = data_dir.map(std::path::absolute).transpose();
        let hashes = InputHashes {
            sha256: inputs.sha256.clone(),
            data_dir: data_dir.map_err(Error::io("read", "."))?,
            recipe: None,
            changes: Vec::new(),
        };
        Ok(PreparedRun {
            recipe: self,
            prepared,
            hashes,
            inputs,
            device: context.device().clone(),
            machine: machine.clone(),
        })
    }
}

/// The list of what was left out of a folder of images, a path a line, where anything was.
const LEFT_OUT_FILE: &str = "left-out.txt";

/// The settings that can be changed while a run is interrupted.
const CHANGEABLE: [&str; 7] = [
    "train.epochs",
    "train.steps",
    "train.log_every",
    "train.checkpoint_every",
    "train.eval_batch_size",
    "train.patience",
    "device",
];

/// Whether a setting can be changed while a run is interrupted.
pub fn is_changeable(key: &str) -> bool {
    CHANGEABLE.contains(&key)
}

/// The setting of a change `KEY=VALUE`.
fn key_of(set: &str) -> &str {
    set.split_once('=').map_or(set, |(key, _)| key).trim()
}

/// Whether a change is of the length of the training.
fn makes_longer(set: &str) -> bool {
    matches!(key_of(set), "train.epochs" | "train.steps")
}

/// Checks that the settings can be changed under way.
fn check_changes(changes: &[String]) -> Result<()> {
    match changes
        .iter()
        .map(|set| key_of(set))
        .find(|key| !CHANGEABLE.contains(key))
    {
        None => Ok(()),
        Some(key) => {
            let can = CHANGEABLE.map(|key| format!("`{key}`")).join(", ");
            let problem =
                format!("cannot be changed in a run that was begun, only {can}; start a new run");
            Err(Error::config(key, problem))
        }
    }
}

impl PreparedRun {
    /// Begins the run in a new folder.
    ///
    /// # Errors
    ///
    /// As [`RunFolder::create`], and if the recipe cannot be written there.
    pub fn begin(&self, path: &Path) -> Result<RunFolder> {
        check_utf8(&std::path::absolute(path).map_err(Error::io("read", path))?)?;
        let folder = RunFolder::create(path)?;
        let resolved = self.recipe.resolved()?;
        let hashes = InputHashes {
            recipe: Some(resolved.clone()),
            ..self.hashes.clone()
        };
        hashes.write(&folder)?;
        let left_out = self.inputs.skipped.iter().chain(&self.inputs.broken);
        let left_out: Vec<String> = left_out.map(|path| path.display().to_string()).collect();
        if !left_out.is_empty() {
            folder.write(LEFT_OUT_FILE, (left_out.join("\n") + "\n").as_bytes())?;
        }
        folder.write("recipe.toml", resolved.as_bytes())?;
        Ok(folder)
    }

    /// Prepares the run of a folder again and checks that what it was made from is still the same.
    ///
    /// # Errors
    ///
    /// As [`Methods::read`] and [`Recipe::prepare`], and [`Error::Run`] if an input has changed.
    pub fn reopen(methods: &Methods, folder: &RunFolder, machine: &Machine) -> Result<Self> {
        Self::reopen_with(methods, folder, machine, &[])
    }

    /// As [`PreparedRun::reopen`], with settings (`train.epochs=9`) changed from here on. The recipe of the
    /// run is written anew, and the change is noted with the epoch from which it holds. A finished run goes
    /// on if it is to be trained for longer.
    ///
    /// # Errors
    ///
    /// As [`PreparedRun::reopen`], and [`Error::Config`] for a setting that cannot be changed under way.
    pub fn reopen_with(
        methods: &Methods,
        folder: &RunFolder,
        machine: &Machine,
        changes: &[String],
    ) -> Result<Self> {
        let begun = InputHashes::read(folder.path())?;
        let text = folder.recipe()?;
        begun.finish_change(folder, &text)?;
        begun.check_recipe(folder.path(), &folder.recipe()?)?;
        check_changes(changes)?;
        let recipe = methods.read_file(&folder.path().join("recipe.toml"), changes)?;
        let machine = match machine.data_dir() {
            Some(_) => machine.clone(),
            None => machine.clone().with_data_dir(begun.data_dir.clone()),
        };
        let run = recipe.prepare(&machine)?;
        if let Some(what) = begun.changed(&run.hashes) {
            return Err(Error::Run {
                path: folder.path().to_owned(),
                problem: format!(
                    "{what} has changed since the run was begun; restore it, or start a new run"
                ),
            });
        }
        if !changes.is_empty() {
            run.note_changes(folder, begun, changes)?;
        }
        Ok(run)
    }

    /// Writes the recipe with its changes into the folder, and makes a finished run one that goes on.
    fn note_changes(
        &self,
        folder: &RunFolder,
        begun: InputHashes,
        changes: &[String],
    ) -> Result<()> {
        let phases = self.prepared.method.phases().len();
        if let Some(set) = changes
            .iter()
            .find(|set| makes_longer(set))
            .filter(|_| phases > 1)
        {
            let problem = "cannot be changed in a run of several phases; start a new run";
            return Err(Error::config(key_of(set), problem));
        }
        let epochs = EpochLog::read_all(folder.path())?;
        let done = epochs.last();
        let table: toml::Table = self.recipe.resolved()?.parse().unwrap_or_default();
        let train = |key: &str| table.get("train")?.get(key)?.as_integer();
        let so_far = [
            ("epochs", done.map_or(0, |epoch| epoch.epoch + 1)),
            ("steps", done.map_or(0, |epoch| epoch.step)),
        ];
        for (key, so_far) in so_far {
            let is_changed = changes
                .iter()
                .any(|set| key_of(set) == format!("train.{key}"));
            let wanted = train(key).and_then(|value| usize::try_from(value).ok());
            if let Some(wanted) = wanted.filter(|wanted| is_changed && *wanted < so_far) {
                let problem = format!("is {wanted}, and {so_far} are done; give more");
                return Err(Error::config(format!("train.{key}"), problem));
            }
        }
        let resolved = self.recipe.resolved()?;
        let mut noted = begun;
        let before = noted.recipe.replace(resolved.clone());
        let before = before.map_or_else(|| folder.recipe(), Ok)?;
        noted.changes.extend(changes.iter().map(|set| Change {
            set: set.clone(),
            from_epoch: so_far[0].1 + 1,
            recipe_before: before.clone(),
        }));
        noted.write(folder)?;
        folder.write("recipe.toml", resolved.as_bytes())?;
        if changes.iter().any(|set| makes_longer(set)) {
            folder.reopen_phase()?;
            Outcome::remove(folder.path())?;
        }
        Ok(())
    }

    /// The recipe, with everything that preparing it has made definite.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Checks that the run that lies in `folder` was begun with this recipe.
    ///
    /// # Errors
    ///
    /// [`Error::Run`] that names the settings that differ, and [`Error::Io`] if its recipe cannot be read.
    pub fn check_same_recipe(&self, folder: &Path) -> Result<()> {
        let path = folder.join("recipe.toml");
        let begun = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let differences = differences(&begun, &self.recipe.resolved()?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::Run {
            path: folder.to_owned(),
            problem: format!(
                "was begun with another recipe: {}; remove it, or give another `--out`",
                differences.join(", ")
            ),
        })
    }

    /// The data and the teachers.
    pub fn inputs(&self) -> &RecipeInputs {
        &self.inputs
    }

    /// The name and size of the student, if the method makes one.
    pub fn spec(&self) -> Option<&NetworkSpec> {
        self.prepared.spec.as_ref()
    }

    /// The costs of the student, if the method makes one whose size is known before the run.
    pub fn costs(&self) -> Option<Result<Costs>> {
        let families = self.recipe.families();
        self.spec().map(|spec| families.costs(spec, &self.device))
    }

    /// A title for its progress: the student's name, or else the method's.
    pub fn title(&self) -> String {
        match self.spec() {
            Some(spec) => spec.name.clone(),
            None => self.recipe.method().to_owned(),
        }
    }

    /// The device that the run computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The number of parameters that are trained beside the student.
    pub fn extra_parameters(&self) -> usize {
        self.prepared.extra_parameters
    }

    /// The multiply-accumulates of the largest of the model's parts that can run at the same time, if the
    /// method makes such a model.
    pub fn largest_part_macs(&self) -> Option<u64> {
        self.prepared.largest_part_macs
    }

    /// The multiply-accumulates of a training step, an image, if the method counts them.
    pub fn step_macs(&self) -> Option<u64> {
        self.prepared.step_macs
    }

    /// Runs to the end, writes the models and the report, and gives the outcome.
    ///
    /// # Errors
    ///
    /// As [`Runner::run`], and if a model cannot be written. A report that cannot be written is a notice.
    pub fn run(
        &self,
        folder: &RunFolder,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let environment = Environment::here(self.recipe.device(), self.machine.threads());
        environment.note(folder)?;
        let method = self.prepared.method.as_ref();
        let mut events = TensorBoard::new(folder.path());
        let phases = Runner::new(folder, stop).run(method, &mut (&mut *observer, &mut events));
        if let Err(error) = events.finish() {
            self.notify(&Notice::EventsEnded(error.into()));
        }
        let phases = phases?;
        let outcome = Outcome::of(folder.path(), &phases, self.prepared.extra_parameters);
        let outcome = outcome.ok_or_else(|| Error::Run {
            path: folder.path().into(),
            problem: "has no phase".into(),
        })?;
        for model in (self.prepared.models)(folder)? {
            self.write_model(folder, &model, &phases)?;
        }
        outcome.write()?;
        observer.working("writing the report");
        // The run is done, whatever becomes of its report.
        match interruptible(stop, || self.write_report(folder.path())) {
            Ok(findings) => {
                for finding in findings {
                    if finding.grade >= Grade::Warning {
                        self.notify(&Notice::Finding(finding));
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Err(Error::Interrupted {
                    run: folder.path().to_owned(),
                    phase: "report".into(),
                    step: 0,
                });
            }
            Err(error) => self.notify(&Notice::NoReport {
                run: folder.path().to_owned(),
                error,
            }),
        }
        Ok(outcome)
    }

    /// Writes a model of the last step and, if there is one, of the best evaluation.
    fn write_model(
        &self,
        folder: &RunFolder,
        model: &MadeModel,
        phases: &[PhaseOutcome],
    ) -> Result<()> {
        let phase = phases.iter().find(|phase| phase.phase == model.phase());
        let last = phase.map(|phase| &phase.last);
        let families = self.recipe.families();
        model.write(folder, Snapshot::Last, last, families, &self.device)?;
        match phase.and_then(|phase| phase.best.as_ref()) {
            Some(best) => {
                let metrics = Some(&best.metrics);
                model.write(folder, Snapshot::Best, metrics, families, &self.device)
            }
            None => Ok(()),
        }
    }

    /// Writes the report of the run in a folder, and gives what is suspicious about the run.
    ///
    /// # Errors
    ///
    /// If a file of the folder cannot be read, or the report not be written.
    pub fn write_report(&self, folder: &Path) -> Result<Vec<Finding>> {
        let subject = Subject {
            inputs: &self.inputs,
            spec: self.spec(),
            families: self.recipe.families(),
            device: &self.device,
        };
        page::write(folder, Some(&self.recipe), Ok(subject))
    }

    fn notify(&self, notice: &Notice) {
        self.machine.notices().take(notice);
    }
}

/// Checks that the recipe in the folder of a run is the one that it was begun with.
///
/// # Errors
///
/// [`Error::Run`] that names the settings that differ, and [`Error::Io`] if the folder cannot be read.
pub fn check_recipe(folder: &RunFolder) -> Result<()> {
    InputHashes::read(folder.path())?.check_recipe(folder.path(), &folder.recipe()?)
}

/// Writes the report of the run in a folder again, also of one that is under way or cannot be prepared any
/// more: it then says what the folder alone tells. Gives what is suspicious about the run.
///
/// # Errors
///
/// [`Error::NoRun`] if it is no run folder, and those of [`PreparedRun::write_report`].
pub fn write_report(methods: &Methods, run: &Path, machine: &Machine) -> Result<Vec<Finding>> {
    let folder = RunFolder::open(run);
    let prepared = match folder {
        Ok(ref folder) => PreparedRun::reopen(methods, folder, machine),
        // A run that is under way is not disturbed, and its networks are not there yet.
        Err(error @ Error::Run { .. }) => Err(error),
        Err(other) => return Err(other),
    };
    match prepared {
        Ok(prepared) => prepared.write_report(run),
        Err(error) => {
            let recipe = methods.read_file(&run.join("recipe.toml"), &[]).ok();
            page::write(run, recipe.as_ref(), Err(&error))
        }
    }
}
