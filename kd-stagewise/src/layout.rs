//! The layout of a run: its phases, and the shapes of student and teacher, found once and the same for all
//! phases.

use kd_core::{
    Answer, Batch, DENSE_TAP, Error, NetworkInput, OUTPUT_FIELD, Requested, Result, Rows,
    TaskNetwork, Teacher,
};

use crate::dependencies::{Dependencies, StageInputs};
use crate::phase_spec::PhaseSpec;
use crate::{Stagewise, StagewiseConfig};

/// The facts about student and teacher that all phases go by.
#[derive(Clone, Debug)]
pub(crate) struct Layout<I> {
    /// The names of the student's stages.
    pub(crate) names: Vec<String>,
    pub(crate) phases: Vec<PhaseSpec>,
    pub(crate) dependencies: Dependencies,
    /// The student's input for one blank sample, on the plain device.
    pub(crate) blank: I,
    /// The shapes of a sample's maps and dense representation in the student.
    pub(crate) maps: Vec<Vec<usize>>,
    pub(crate) dense: Vec<usize>,
    /// None where no phase reads a teacher.
    pub(crate) teacher: Option<TeacherLayout>,
}

/// The facts about the teacher.
#[derive(Clone, Debug)]
pub(crate) struct TeacherLayout {
    /// The names of its stages.
    pub(crate) names: Vec<String>,
    /// Its stage for each of the student's; none where it has no such stage.
    of_student: Vec<Option<usize>>,
    /// Its answer for one blank sample: the maps of all stages, and its output.
    blank: Answer,
}

impl<I: NetworkInput> Layout<I> {
    /// The inputs that the stages which a phase runs read of what is frozen before them.
    pub(crate) fn inputs_of(&self, phase: &PhaseSpec) -> StageInputs {
        let end = phase.end(self.names.len());
        let dense = phase.objective.reads_output();
        self.dependencies.before(phase.stages.start, end, dense)
    }

    /// Whether the dense representation is frozen in a phase, so that it is what is kept for it.
    pub(crate) fn keeps_dense(&self, phase: &PhaseSpec) -> bool {
        phase.head && phase.stages.is_empty() && !self.dependencies.dense_learns
    }

    /// The teacher's stage for a stage of the student.
    pub(crate) fn teacher_stage(&self, stage: usize) -> Option<usize> {
        self.teacher.as_ref()?.of_student[stage]
    }

    /// The name of the teacher's stage for a stage of the student.
    pub(crate) fn teacher_name(&self, stage: usize) -> Option<&String> {
        self.teacher.as_ref()?.names.get(self.teacher_stage(stage)?)
    }

    /// The shape of the teacher's map at a stage of the student.
    pub(crate) fn teacher_map(&self, stage: usize) -> Option<Vec<usize>> {
        let map = self
            .teacher
            .as_ref()?
            .blank
            .maps
            .get(self.teacher_stage(stage)?)?;
        Some(map.sample_shape())
    }
}

impl TeacherLayout {
    /// Asks a teacher for everything about one blank sample.
    fn of(
        teacher: &dyn Teacher,
        blank: &Batch,
        students: &[String],
        config: &StagewiseConfig,
    ) -> Result<Self> {
        let names = teacher.stage_names();
        let everything = Requested::at_taps(&names).with_output();
        let of_student = students.iter().map(|name| {
            let named = config.teacher_stages.get(name).unwrap_or(name);
            names.iter().position(|known| known == named)
        });
        Ok(Self {
            of_student: of_student.collect(),
            blank: teacher.answer(blank, &everything)?,
            names,
        })
    }

    /// The part of the blank answer that is requested.
    pub(crate) fn blank(&self, requested: &Requested) -> Answer {
        let map = |tap: &String| {
            let stage = self.names.iter().position(|name| name == tap)?;
            self.blank.maps.get(stage).cloned()
        };
        let output = requested.has_output().then(|| self.blank.output.clone());
        let maps = requested.taps().iter().filter_map(map);
        Answer::new(output.flatten(), maps.collect())
    }
}

impl<S: TaskNetwork> Stagewise<S> {
    /// The phases of the run.
    pub(crate) fn specs(&self) -> Result<Vec<PhaseSpec>> {
        let names = self.student.stage_names();
        check_names(&names)?;
        let mut phases = self.config.procedure.phases(&names)?;
        if self.config.fine_tune_epochs.is_some() {
            phases.push(PhaseSpec::rest("fine-tune", 0..names.len()));
        }
        Ok(phases)
    }

    /// The layout, found once.
    pub(crate) fn layout(&self) -> Result<&Layout<S::Input>> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let found = self.find_layout()?;
        Ok(self.layout.get_or_init(|| found))
    }

    fn find_layout(&self) -> Result<Layout<S::Input>> {
        let names = self.student.stage_names();
        let phases = self.specs()?;
        self.check_settings(&phases, &names)?;
        self.check_data()?;
        let dataset = self.data.train.dataset();
        let (kind, shape) = (dataset.kind(), dataset.shape());
        let shape = [shape.channels, shape.height, shape.width];
        let batch = Batch::blank(kind, shape, 1, &self.device);
        let blank = self.preprocessing.input::<S::Input>(&batch)?;
        let noise = Batch::drawn(kind, shape, 2, &self.device);
        let noise = self.preprocessing.input::<S::Input>(&noise)?;
        let trace = self.student.valid().forward_traced(&blank);
        self.check_output("student", &trace.output)?;
        let mut layout = Layout {
            maps: trace.maps.iter().map(Rows::sample_shape).collect(),
            dense: trace.dense.sample_shape(),
            dependencies: Dependencies::of(&self.student, noise)?,
            teacher: None,
            blank,
            names,
            phases,
        };
        let mut phases = layout.phases.iter();
        let asks = phases.any(|phase| phase.objective.reads_teacher());
        if let (true, Some(teacher)) = (asks, self.teacher.as_deref()) {
            let teacher = TeacherLayout::of(teacher, &batch, &layout.names, &self.config)?;
            self.check_teacher(&teacher.blank, &trace.output, &layout.phases)?;
            layout.teacher = Some(teacher);
        }
        for phase in &layout.phases {
            self.check_maps(&layout, phase)?;
        }
        Ok(layout)
    }
}

/// Stages need names that are their own and stand for nothing else.
fn check_names(names: &[String]) -> Result<()> {
    if names.is_empty() {
        let problem = "has no stages; name at least one in `stage_names`";
        return Err(Error::config("student", problem));
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    if let Some([name, _]) = sorted.array_windows().find(|[one, other]| one == other) {
        let problem = format!("has two stages of the name `{name}`; names must be unique");
        return Err(Error::config("student", problem));
    }
    let reserved = |name: &&String| [DENSE_TAP, OUTPUT_FIELD].contains(&name.as_str());
    if let Some(name) = names.iter().find(reserved) {
        let problem =
            format!("has a stage of the name `{name}`, which stands for something else; rename it");
        return Err(Error::config("student", problem));
    }
    Ok(())
}
