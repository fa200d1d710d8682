//! Recipes drafted from data: what is written, for which network, with which settings.

mod data;
mod networks;
mod settings;
mod teacher;
mod text;
mod texts;
mod trial;

use kd_core::{Grade, Result, Task};
use kd_recipe::{Machine, Methods, Verb};

use self::data::DataDraft;
use self::settings::Settings;
use self::teacher::TeacherDraft;
use crate::args::DraftOptions;
use crate::output;

/// A recipe that was drafted.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The recipe with its comments.
    pub(crate) text: String,
    /// The command that runs it.
    pub(crate) verb: Verb,
    /// What it is called: the data, and who is trained.
    pub(crate) name: String,
}

/// Minutes where nothing is said.
const MINUTES: f64 = 10.0;

/// Drafts a recipe for the data and the teacher of `options`; `student` is the network to be trained.
///
/// # Errors
///
/// If data or teacher cannot be read, or there is no network for them.
pub(crate) fn draft(
    methods: &Methods,
    machine: &Machine,
    options: &DraftOptions,
    student: Option<&str>,
) -> Result<Draft> {
    let minutes = options.minutes.unwrap_or(MINUTES);
    settings::check(minutes, options.held_out)?;
    let teacher = options
        .teacher
        .as_deref()
        .map(TeacherDraft::of)
        .transpose()?;
    let mut data = DataDraft::of(options, teacher.as_ref())?;
    for note in &data.notes {
        output::notice(&format!("note: {note}"));
    }
    let student = networks::student(student, teacher.as_ref(), &data)?;
    let mut settings = Settings::of(&data, &student);
    let text = |data: &DataDraft, settings: &Settings| {
        text::recipe(data, teacher.as_ref(), &student, settings, minutes)
    };
    // What is to be known of the recipe is said once, by its check.
    let silent = machine.clone().with_notices(());
    let first = text(&data, &settings);
    match data.task {
        Task::Segmentation => trial::of_run(methods, &silent, &first, &mut settings)?,
        _ => data.train = trial::of_step(methods, &silent, &first, &mut settings)?,
    }
    settings.fit_last_batch(data.train);
    settings.take_time(minutes, &data);
    let text = text(&data, &settings);
    let mut recipe = methods.read("the drafted recipe", &text, &[])?;
    for finding in recipe.check(machine)?.sorted_findings() {
        if finding.grade >= Grade::Warning {
            output::notice(&format!("{}: {}", finding.grade.word(), finding.text));
        }
    }
    let who = if teacher.is_none() {
        "teacher"
    } else {
        "student"
    };
    Ok(Draft {
        text,
        verb: recipe.verb(),
        name: format!("{}-{who}", data.stem),
    })
}
