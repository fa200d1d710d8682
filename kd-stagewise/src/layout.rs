//! What is the same for all phases of a run, and whether everything fits.

use burn::tensor::Tensor;
use kd_core::{Dataset, Error, Result, Subset, Task};

use crate::kept::{ANSWER, DENSE};
use crate::objective::Term;
use crate::prediction::Prediction;
use crate::procedure::PhaseSpec;
use crate::reads::{Parts, Reads, take_apart};
use crate::rows::Rows;
use crate::{Procedure, Select, StageNetwork, Stagewise, UnequalMaps};

/// A look at student and teacher.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) names: Vec<String>,
    pub(crate) phases: Vec<PhaseSpec>,
    pub(crate) parts: Parts,
    /// The shapes of a sample: of the student's input, its maps and its dense representation.
    pub(crate) input: [usize; 3],
    pub(crate) maps: Vec<Vec<usize>>,
    pub(crate) dense: Vec<usize>,
    /// The teacher's stage of each of the student's; none where there is no such stage, or no teacher is asked.
    pub(crate) teacher: Vec<Option<usize>>,
    /// The teacher's own stages, and the shapes of their maps.
    pub(crate) teacher_names: Vec<String>,
    pub(crate) teacher_maps: Vec<Vec<usize>>,
    pub(crate) answer: Option<Vec<usize>>,
}

impl Layout {
    /// What the stages that a phase runs read of what is frozen before them.
    pub(crate) fn reads_before(&self, phase: &PhaseSpec) -> Reads {
        let end = phase.end(self.names.len());
        let dense = phase.objective.reads_output();
        self.parts.before(phase.stages.start, end, dense)
    }

    /// Whether the dense representation is frozen in a phase, so that it is what is kept for it.
    pub(crate) fn keeps_dense(&self, phase: &PhaseSpec) -> bool {
        phase.head && phase.stages.is_empty() && !self.parts.dense_learns
    }

    /// The shape of the teacher's map at a stage of the student.
    pub(crate) fn teacher_map(&self, stage: usize) -> Option<&Vec<usize>> {
        self.teacher_maps.get(self.teacher[stage]?)
    }
}

fn shown(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    sizes.join("x")
}

impl<S: StageNetwork> Stagewise<S> {
    /// The phases of the run.
    pub(crate) fn specs(&self) -> Result<Vec<PhaseSpec>> {
        let names = self.student.stage_names();
        if names.is_empty() {
            let problem = "has no stages; name at least one in `stage_names`";
            return Err(Error::config("student", problem));
        }
        let mut sorted = names.clone();
        sorted.sort();
        if let Some([name, _]) = sorted.array_windows().find(|[one, other]| one == other) {
            let problem = format!("has two stages of the name `{name}`; names must be unique");
            return Err(Error::config("student", problem));
        }
        if let Some(name) = names
            .iter()
            .find(|name| [DENSE, ANSWER].contains(&name.as_str()))
        {
            let problem = format!(
                "has a stage of the name `{name}`, which stands for something else; rename it"
            );
            return Err(Error::config("student", problem));
        }
        let mut phases = self.config.procedure.phases(&names)?;
        if self.config.fine_tune_epochs.is_some() {
            phases.push(PhaseSpec::rest("fine-tune", 0..names.len()));
        }
        Ok(phases)
    }

    /// The look at student and teacher, made once.
    pub(crate) fn layout(&self) -> Result<&Layout> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let made = self.look()?;
        Ok(self.layout.get_or_init(|| made))
    }

    fn look(&self) -> Result<Layout> {
        let names = self.student.stage_names();
        let phases = self.specs()?;
        self.check_settings(&phases, &names)?;
        self.check_data()?;
        let shape = self.data.train.dataset().shape();
        let input = [shape.channels, shape.height, shape.width];
        let plain = self.device.clone().inner();
        let pixels = Tensor::<4>::zeros([1, input[0], input[1], input[2]], &plain);
        let normalised = self.normalisation.apply(pixels.clone())?;
        let trace = self.student.valid().forward_traced(&normalised);
        self.check_output("student", &trace.output)?;
        let mut layout = Layout {
            maps: trace.maps.iter().map(Rows::sample_shape).collect(),
            dense: trace.dense.sample_shape(),
            parts: take_apart(&self.student, input, &self.device)?,
            teacher: vec![None; names.len()],
            teacher_names: Vec::new(),
            teacher_maps: Vec::new(),
            answer: None,
            input,
            names,
            phases,
        };
        let asks = layout
            .phases
            .iter()
            .any(|phase| phase.objective.reads_teacher());
        if let (true, Some(teacher)) = (asks, &self.teacher) {
            let known = teacher.stage_names();
            let seen = teacher.maps(pixels.clone(), known.len())?;
            let output = teacher.output(pixels)?;
            self.check_output("teacher", &output)?;
            let (own, found) = (trace.output.sample_shape(), output.sample_shape());
            if own != found
                && layout
                    .phases
                    .iter()
                    .any(|phase| phase.objective.reads_answer())
            {
                return Err(Error::Shape {
                    what: "the output of the student".into(),
                    expected: format!("{}, as the teacher's is", shown(&found)),
                    found: shown(&own),
                    remedy: "use networks whose outputs are of one size".into(),
                });
            }
            layout.answer = Some(found);
            layout.teacher_maps = seen.iter().map(Rows::sample_shape).collect();
            for (stage, name) in layout.names.iter().enumerate() {
                let named = self.config.teacher_stages.get(name).unwrap_or(name);
                layout.teacher[stage] = known.iter().position(|known| known == named);
            }
            layout.teacher_names = known;
        }
        for phase in &layout.phases {
            self.check_maps(&layout, phase)?;
        }
        Ok(layout)
    }

    fn check_settings(&self, phases: &[PhaseSpec], names: &[String]) -> Result<()> {
        self.data
            .views
            .check()
            .map_err(|error| error.within("data"))?;
        let asks = phases.iter().find(|phase| phase.objective.reads_teacher());
        if let (Some(phase), None) = (asks, &self.teacher) {
            let problem = format!(
                "is missing: phase `{}` of procedure `{}` learns from one; name it, or set `stagewise.procedure` to \"no-teacher\"",
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
            let problem = "is \"validation\", and there are no samples for it; give some, or select on \"test\" or take the \"last\" epoch";
            return Err(Error::config("stagewise.select", problem));
        }
        let known = |name: &str| names.iter().map(String::as_str).any(|known| known == name);
        for name in self.config.teacher_stages.keys() {
            if !known(name) {
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
        if self.config.teacher_input && !matches!(self.config.procedure, Procedure::Skd {}) {
            let problem = "is for the procedure \"skd\"; the others do not train stage by stage";
            return Err(Error::config("stagewise.teacher_input", problem));
        }
        Ok(())
    }

    /// All samples must be of the student's task, of one shape and of the same classes; those that are trained on must not be those
    /// that select.
    fn check_data(&self) -> Result<()> {
        let first = self.data.train.dataset();
        let task = |data: &Dataset| {
            if data.task() == S::Output::TASK {
                return Ok(());
            }
            let (has, says) = match data.task() {
                Task::Segmentation => ("a class for each pixel", "image"),
                _ => ("a class for each image", "pixel"),
            };
            let problem = format!(
                "is `{}`, which has {has}, and the student says one for each {says}; use a network for it",
                data.name()
            );
            Err(Error::config("data", problem))
        };
        task(first)?;
        let others = [&self.data.validation, &self.data.unlabelled]
            .into_iter()
            .flatten();
        for (part, samples) in others
            .zip(["validation", "unlabelled"])
            .map(|(samples, part)| (part, samples))
            .chain([("test", &self.data.test)])
        {
            let data = samples.dataset();
            if samples.is_empty() {
                let problem = format!("has no {part} samples; give at least one");
                return Err(Error::config("data", problem));
            }
            task(data)?;
            if (data.shape(), data.classes()) != (first.shape(), first.classes()) {
                return Err(Error::Shape {
                    what: format!("the {part} samples"),
                    expected: format!(
                        "{} and {} classes, as those to train on",
                        first.shape(),
                        first.classes()
                    ),
                    found: format!("{} and {} classes", data.shape(), data.classes()),
                    remedy: "use parts of one data set".into(),
                });
            }
        }
        let Some(kept_back) = &self.data.validation else {
            return Ok(());
        };
        let shares = |trained: &Subset| {
            let same = trained.dataset().hash() == kept_back.dataset().hash();
            let taken = |id: &&u32| kept_back.ids().binary_search(id).is_ok();
            same.then(|| trained.ids().iter().find(taken).copied())
                .flatten()
        };
        let mut trained = std::iter::once(&self.data.train).chain(&self.data.unlabelled);
        match trained.find_map(shares) {
            None => Ok(()),
            Some(id) => {
                let problem = format!(
                    "has sample {id} among those to train on and those for validation; give each to one of them"
                );
                Err(Error::config("data", problem))
            }
        }
    }

    fn check_output(&self, who: &str, output: &S::Output) -> Result<()> {
        let data = self.data.train.dataset();
        if output.classes() == data.classes() {
            return Ok(());
        }
        Err(Error::Shape {
            what: who.into(),
            expected: format!(
                "{} classes, as data set `{}` has",
                data.classes(),
                data.name()
            ),
            found: output.classes().to_string(),
            remedy: "use a network and a data set of the same number of classes".into(),
        })
    }

    /// The maps that a phase compares must be there and, unless a regressor stands between them, of one shape.
    fn check_maps(&self, layout: &Layout, phase: &PhaseSpec) -> Result<()> {
        let mut wanted = phase.objective.taps();
        let fed = self.takes_teacher_input(phase);
        if fed {
            wanted.extend(layout.reads_before(phase).maps);
        }
        for stage in wanted {
            let name = &layout.names[stage];
            let Some(found) = layout.teacher_map(stage) else {
                let named = self.config.teacher_stages.get(name).unwrap_or(name);
                let known = layout.teacher_names.iter().map(String::as_str);
                return Err(Error::unknown_name("stage of the teacher", named, known));
            };
            let own = &layout.maps[stage];
            if own == found {
                continue;
            }
            let regressor = self.config.unequal_maps == UnequalMaps::Regressor;
            let fits = |term: &Term| match term {
                Term::Map(at) if *at == stage => regressor,
                // Its regressor brings channels together, attention maps have none.
                Term::HalfSquare(at) | Term::Attention(at) if *at == stage => {
                    own[1..] == found[1..]
                }
                Term::Flow { stages, .. } if stages.contains(&stage) => own[0] == found[0],
                _ => true,
            };
            let compared = phase.objective.taps().contains(&stage);
            if (!fed || compared) && phase.objective.terms.iter().all(|(term, _)| fits(term)) {
                continue;
            }
            let remedy = if phase
                .objective
                .terms
                .iter()
                .any(|(term, _)| matches!(term, Term::Map(_)))
                && !fed
            {
                "use a student with the teacher's widths, or set `stagewise.unequal_maps` to \"regressor\"; results are not \
                 comparable with the paper's then"
            } else {
                "use a student with the teacher's widths and sizes"
            };
            return Err(Error::Shape {
                what: format!("stage `{name}` of the student in phase `{}`", phase.name),
                expected: format!("a map of {}, as the teacher's is", shown(found)),
                found: shown(own),
                remedy: remedy.into(),
            });
        }
        Ok(())
    }
}
