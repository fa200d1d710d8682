//! Checks before the first step: settings, samples, class counts, shapes of maps.

use kd_core::{Answer, Dataset, Error, NetworkOutput, Result, Rows, Subset, Task, TaskNetwork};

use crate::layout::Layout;
use crate::phase_spec::PhaseSpec;
use crate::terms::Term;
use crate::{Procedure, Select, Stagewise, UnequalMaps};

impl<S: TaskNetwork> Stagewise<S> {
    pub(crate) fn check_settings(&self, phases: &[PhaseSpec], names: &[String]) -> Result<()> {
        self.data
            .views
            .check()
            .map_err(|error| error.within("data"))?;
        let asks = phases.iter().find(|phase| phase.objective.reads_teacher());
        if let (Some(phase), None) = (asks, &self.teacher) {
            let problem = format!(
                "is missing: phase `{}` of procedure `{}` learns from one; name it, or set \
                 `stagewise.procedure` to \
                 \"no-teacher\"",
                phase.name,
                self.config.procedure.kind()
            );
            return Err(Error::config("teacher", problem));
        }
        if self.config.fine_tune_epochs == Some(0) {
            let problem = "must be at least 1, got 0; leave it out for no fine-tuning";
            return Err(Error::config("stagewise.fine_tune_epochs", problem));
        }
        if self.config.select == Select::Validation && self.data.validation.is_none() {
            let problem = "is \"validation\", and there are no samples for it; give some, or select on \
                           \"test\" or take \
                           the \"last\" epoch";
            return Err(Error::config("stagewise.select", problem));
        }
        if self.config.teacher_input && !matches!(self.config.procedure, Procedure::Skd {}) {
            let problem = "is for the procedure \"skd\"; the others do not train stage by stage";
            return Err(Error::config("stagewise.teacher_input", problem));
        }
        self.check_names_in_settings(phases, names)
    }

    fn check_names_in_settings(&self, phases: &[PhaseSpec], names: &[String]) -> Result<()> {
        for name in self.config.teacher_stages.keys() {
            if !names.contains(name) {
                let all = names.iter().map(String::as_str);
                return Err(Error::unknown_name("stage of the student", name, all));
            }
        }
        for name in self.config.phases.keys() {
            if !phases.iter().any(|phase| phase.is_called(name)) {
                let all = phases.iter().map(PhaseSpec::short);
                return Err(Error::unknown_name("phase", name, all));
            }
        }
        Ok(())
    }

    /// All samples must be of the student's task, of one shape and of the same classes; those that are
    /// trained on must not be those that select.
    pub(crate) fn check_data(&self) -> Result<()> {
        let data = &self.data;
        let first = data.train.dataset();
        check_task(first, S::Output::TASK)?;
        let others = [
            ("validation", data.validation.as_ref()),
            ("unlabelled", data.unlabelled.as_ref()),
            ("test", Some(&data.test)),
        ];
        for (part, samples) in others {
            let Some(samples) = samples else { continue };
            if samples.is_empty() {
                let problem = format!("has no {part} samples; give at least one");
                return Err(Error::config("data", problem));
            }
            check_task(samples.dataset(), S::Output::TASK)?;
            check_alike(part, samples.dataset(), first)?;
        }
        let Some(kept_back) = &data.validation else {
            return Ok(());
        };
        let mut trained = std::iter::once(&data.train).chain(&data.unlabelled);
        match trained.find_map(|trained| shared_sample(trained, kept_back)) {
            None => Ok(()),
            Some(id) => {
                let problem = format!(
                    "has sample {id} among those to train on and those for validation; give each to one of \
                     them"
                );
                Err(Error::config("data", problem))
            }
        }
    }

    /// Checks the class count of an output.
    pub(crate) fn check_output(&self, who: &str, output: &S::Output) -> Result<()> {
        let data = self.data.train.dataset();
        let found = output.clone().into_output().classes();
        if found == data.classes() {
            return Ok(());
        }
        Err(Error::Shape {
            what: who.into(),
            expected: format!(
                "{} classes, as data set `{}` has",
                data.classes(),
                data.name()
            ),
            found: found.to_string(),
            remedy: "use a network and a data set of the same number of classes".into(),
        })
    }

    /// Checks the teacher's output for one sample beside the student's.
    pub(crate) fn check_teacher(
        &self,
        answer: &Answer,
        student: &S::Output,
        phases: &[PhaseSpec],
    ) -> Result<()> {
        let output = answer.output_as::<S::Output>()?;
        self.check_output("teacher", &output)?;
        let (own, found) = (student.sample_shape(), output.sample_shape());
        let mut phases = phases.iter();
        let compared = phases.any(|phase| phase.objective.reads_teacher_output());
        if own == found || !compared {
            return Ok(());
        }
        Err(Error::Shape {
            what: "the output of the student".into(),
            expected: format!("{}, as the teacher's is", shown(&found)),
            found: shown(&own),
            remedy: "use networks whose outputs are of one size".into(),
        })
    }

    /// Checks that the maps which a phase compares are there and, unless a regressor stands between them, of
    /// one shape.
    pub(crate) fn check_maps(&self, layout: &Layout<S::Input>, phase: &PhaseSpec) -> Result<()> {
        let compared = phase.objective.taps();
        let mut wanted = compared.clone();
        let fed = self.takes_teacher_input(phase);
        if fed {
            wanted.extend(layout.inputs_of(phase).maps);
        }
        for stage in wanted {
            let Some(found) = layout.teacher_map(stage) else {
                let name = &layout.names[stage];
                let named = self.config.teacher_stages.get(name).unwrap_or(name);
                let known = layout.teacher.iter().flat_map(|teacher| &teacher.names);
                let known = known.map(String::as_str);
                return Err(Error::unknown_name("stage of the teacher", named, known));
            };
            let own = &layout.maps[stage];
            let fits = |term: &Term| self.fits(term, stage, own, &found);
            let terms_fit = phase.objective.terms.iter().all(|(term, _)| fits(term));
            let bridged = (!fed || compared.contains(&stage)) && terms_fit;
            if *own != found && !bridged {
                return Err(unequal_maps(&layout.names[stage], phase, own, &found, fed));
            }
        }
        Ok(())
    }

    /// Whether a term can compare maps of these shapes at a stage.
    fn fits(&self, term: &Term, stage: usize, own: &[usize], found: &[usize]) -> bool {
        match term {
            Term::Map(at) if *at == stage => self.config.unequal_maps == UnequalMaps::Regressor,
            // Its regressor brings channels together, attention maps have none.
            Term::HalfSquare(at) | Term::Attention(at) if *at == stage => own[1..] == found[1..],
            Term::Flow { stages, .. } if stages.contains(&stage) => own[0] == found[0],
            _ => true,
        }
    }
}

fn check_task(data: &Dataset, task: Task) -> Result<()> {
    if data.task() == task {
        return Ok(());
    }
    let (has, outputs) = match data.task() {
        Task::Segmentation => ("a class for each pixel", "image"),
        _ => ("a class for each image", "pixel"),
    };
    let problem = format!(
        "is `{}`, which has {has}, and the student outputs one for each {outputs}; use a network for it",
        data.name()
    );
    Err(Error::config("data", problem))
}

fn check_alike(part: &str, data: &Dataset, first: &Dataset) -> Result<()> {
    if (data.shape(), data.classes()) == (first.shape(), first.classes()) {
        return Ok(());
    }
    let shown = |data: &Dataset| format!("{} and {} classes", data.shape(), data.classes());
    Err(Error::Shape {
        what: format!("the {part} samples"),
        expected: format!("{}, as those to train on", shown(first)),
        found: shown(data),
        remedy: "use parts of one data set".into(),
    })
}

/// A sample that is in both.
fn shared_sample(trained: &Subset, kept_back: &Subset) -> Option<u32> {
    if trained.dataset().hash() != kept_back.dataset().hash() {
        return None;
    }
    let taken = |id: &&u32| kept_back.ids().binary_search(id).is_ok();
    trained.ids().iter().find(taken).copied()
}

/// The error for maps of different shapes; `fed` is whether the student's stages read the teacher's maps.
fn unequal_maps(
    stage: &str,
    phase: &PhaseSpec,
    own: &[usize],
    found: &[usize],
    fed: bool,
) -> Error {
    let mut terms = phase.objective.terms.iter();
    let compares_maps = terms.any(|(term, _)| matches!(term, Term::Map(_)));
    let remedy = if compares_maps && !fed {
        "use a student with the teacher's widths, or set `stagewise.unequal_maps` to \"regressor\"; results \
         are not \
         comparable with the paper's then"
    } else {
        "use a student with the teacher's widths and sizes"
    };
    Error::Shape {
        what: format!("stage `{stage}` of the student in phase `{}`", phase.name),
        expected: format!("a map of {}, as the teacher's is", shown(found)),
        found: shown(own),
        remedy: remedy.into(),
    }
}

fn shown(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    sizes.join("x")
}
