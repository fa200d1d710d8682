//! The method: a phase for each student, one more for a student that has collapsed, and one for the head.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use burn::tensor::{Device, Tensor};
use kd_core::{
    Augment, Batch, CachedTeacher, Draws, Error, KeptAnswers, Loader, LoaderConfig, Method, Names,
    Observer, Phase, Preprocessing, Result, RunFolder, Snapshot, Subset, Teacher, Training,
    ViewPolicy, import,
};

use crate::class::{Class, stage_name};
use crate::config::TeacherClassConfig;
use crate::kept::Features;
use crate::measure::NmseSums;
use crate::split::{Chunk, split_by_index};
use crate::student::Student;
use crate::teacher_head::{TeacherHead, dense};

/// The name of the last phase, whose result is the class.
pub const HEAD_PHASE: &str = "head";

/// Samples on which it is seen whether the teacher's dense vector is ever negative, and which units are dead.
const FIRST_SAMPLES: usize = 256;

/// A student that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewStudent {
    /// The units that it learns: it is built for as many classes.
    pub chunk: Chunk,
    /// The seed of its weights: see [`student_seed`].
    pub seed: u64,
}

/// The seed of student `student` of a run: of its weights, its order and its draws. `attempt` is 0, and 1 for
/// a student that is trained once more.
pub fn student_seed(seed: u64, student: usize, attempt: usize) -> u64 {
    Draws::new(seed, "student of a class", student as u64, attempt as u64).bits()
}

/// Makes a student, on the plain form of the device or the autodiff one.
type MakeStudent<S> = dyn Fn(&NewStudent) -> Result<S>;

/// A class of students, each of which learns a chunk of a teacher's dense vector; then the head.
///
/// Students share nothing: student `k` with this seed is the same whatever other students there are to train.
pub struct TeacherClass<S: Student> {
    pub(crate) teacher: Box<dyn Teacher>,
    make: Box<MakeStudent<S>>,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) data: [Subset; 2],
    views: (ViewPolicy, Augment, u64),
    pub(crate) config: TeacherClassConfig,
    pub(crate) training: Training,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    layout: OnceLock<Layout>,
    kept: OnceLock<[KeptAnswers; 2]>,
    pub(crate) features: Mutex<Option<(String, Features)>>,
}

/// What is asked of the teacher before the first step.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) head: TeacherHead,
    pub(crate) relu: bool,
}

impl<S: Student> fmt::Debug for TeacherClass<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TeacherClass")
            .field("teacher", &self.teacher)
            .field("config", &self.config)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<S: Student> TeacherClass<S> {
    /// Students made by `make`, that are trained on the first of `data` and measured on the second, with four
    /// students; [`TeacherClass::with_config`] says otherwise. `preprocessing` is that of the students.
    pub fn new(
        teacher: Box<dyn Teacher>,
        make: impl Fn(&NewStudent) -> Result<S> + 'static,
        preprocessing: impl Into<Preprocessing>,
        data: [Subset; 2],
        training: Training,
        device: &Device,
    ) -> Self {
        Self {
            teacher,
            make: Box::new(make),
            preprocessing: preprocessing.into(),
            data,
            views: (ViewPolicy::Fixed, Augment::none(), 0),
            config: TeacherClassConfig::default(),
            training,
            seed: 0,
            device: device.clone().inner(),
            layout: OnceLock::new(),
            kept: OnceLock::new(),
            features: Mutex::new(None),
        }
    }

    /// With these settings.
    #[must_use]
    pub fn with_config(mut self, config: TeacherClassConfig) -> Self {
        self.config = config;
        self.layout = OnceLock::new();
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With a bank of recorded views of the training samples in place of the samples as they are; `seed` is
    /// that of the bank.
    #[must_use]
    pub fn with_views(mut self, views: ViewPolicy, augment: Augment, seed: u64) -> Self {
        self.views = (views, augment, seed);
        self.kept = OnceLock::new();
        self
    }

    /// Checks everything that can be checked before the first step: settings, teacher, chunks, and that each
    /// student has as many outputs as its chunk has units.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        let layout = self.layout()?;
        let sample = self.sample()?;
        for chunk in &layout.chunks {
            let student = self.student(chunk, 0)?;
            let output = student.forward(&self.preprocessing.input(&sample)?);
            if output.dims() != [1, chunk.length] {
                return Err(Error::Shape {
                    what: format!("output of student {}", chunk.student),
                    expected: format!("[1, {}]", chunk.length),
                    found: format!("{:?}", output.dims()),
                    remedy: "build the student for as many classes as its chunk is long".into(),
                });
            }
        }
        Ok(())
    }

    /// The chunks, one for each student.
    ///
    /// # Errors
    ///
    /// If the teacher has no dense vector or not a linear head, or there are too many students.
    pub fn chunks(&self) -> Result<Vec<Chunk>> {
        Ok(self.layout()?.chunks.clone())
    }

    /// Whether the joined chunks pass through a ReLU.
    ///
    /// # Errors
    ///
    /// As [`TeacherClass::chunks`].
    pub fn has_relu(&self) -> Result<bool> {
        Ok(self.layout()?.relu)
    }

    /// The class of a run that is done, on the plain device.
    ///
    /// # Errors
    ///
    /// If the run is not done, or is one of another class.
    pub fn class(&self, folder: &RunFolder, snapshot: Snapshot) -> Result<Class<S>> {
        let layout = self.layout()?;
        let students = layout.chunks.iter().map(|chunk| self.student(chunk, 0));
        let students = students.collect::<Result<Vec<S>>>()?;
        let blank = Class::with_teacher_head(students, &layout.head, layout.relu)?;
        let tensors = folder.result(HEAD_PHASE, snapshot)?;
        import(&blank, &tensors, Names::PyTorch, "the run's result")
    }

    pub(crate) fn layout(&self) -> Result<&Layout> {
        if let Some(layout) = self.layout.get() {
            return Ok(layout);
        }
        let made = self.make_layout()?;
        Ok(self.layout.get_or_init(|| made))
    }

    fn make_layout(&self) -> Result<Layout> {
        self.config.check()?;
        self.training.check()?;
        if self.views.0.count().is_none() {
            let problem = "is \"unlimited\", and targets and features of a class are computed once; set 1, \
                           or the number of views of a bank";
            return Err(Error::config("data.views", problem));
        }
        for data in &self.data {
            data.dataset().check_labelled()?;
        }
        let first = dense(self.teacher.as_ref(), &self.sample()?)?;
        let features = first.dims()[1];
        let chunks = split_by_index(features, self.config.students)?;
        let head = TeacherHead::of(self.teacher.as_ref(), features, &self.device)?;
        let relu = match self.config.relu {
            Some(relu) => relu,
            None => !self.is_signed()?,
        };
        Ok(Layout { chunks, head, relu })
    }

    /// The first training sample.
    fn sample(&self) -> Result<Batch> {
        self.train_loader(0)?.view(0, &self.data[0].ids()[..1])
    }

    /// Whether the dense vector of one of the first training samples is somewhere negative.
    pub(crate) fn is_signed(&self) -> Result<bool> {
        Ok(self.first_dense()?.min().into_scalar::<f32>() < 0.0)
    }

    /// The dense vectors of the first training samples, `[samples, features]`.
    fn first_dense(&self) -> Result<Tensor<2>> {
        let loader = self.train_loader(0)?;
        let ids = self.data[0].ids();
        let ids = &ids[..ids.len().min(FIRST_SAMPLES)];
        dense(self.teacher.as_ref(), &loader.view(0, ids)?)
    }

    /// The number of units that are the same for the first training samples.
    #[cfg(feature = "recipe")]
    pub(crate) fn dead_units(&self) -> Result<usize> {
        let dense = self.first_dense()?;
        let mut sums = NmseSums::new(dense.dims()[1]);
        sums.add(dense.clone(), dense);
        Ok(sums.dead())
    }

    /// A new student, on the plain device.
    pub(crate) fn student(&self, chunk: &Chunk, attempt: usize) -> Result<S> {
        let seed = student_seed(self.seed, chunk.student, attempt);
        let chunk = *chunk;
        let student = (self.make)(&NewStudent { chunk, seed })?;
        Ok(student.valid().to_device(&self.device))
    }

    /// The training samples in the order of `seed`.
    pub(crate) fn train_loader(&self, seed: u64) -> Result<Loader> {
        let (views, augment, bank_seed) = self.views.clone();
        let config = LoaderConfig {
            seed,
            bank_seed,
            views,
            augment,
            ..LoaderConfig::new(self.training.batch_size)
        };
        Loader::new(self.data[0].clone(), config, &self.device)
    }

    pub(crate) fn held_out_loader(&self) -> Result<Loader> {
        let config = LoaderConfig::ordered(self.training.eval_batch_size);
        Loader::new(self.data[1].clone(), config, &self.device)
    }

    /// The teacher, which reads what is kept of it.
    pub(crate) fn asked(&self) -> CachedTeacher<&dyn Teacher> {
        let teacher = CachedTeacher::new(self.teacher.as_ref());
        let kept = self.kept.get().into_iter().flatten().cloned();
        kept.fold(teacher, CachedTeacher::with)
    }

    /// The error of a student, on the plain device, on held-out data.
    pub(crate) fn measure(
        &self,
        student: &S,
        chunk: &Chunk,
        held_out: &Loader,
    ) -> Result<NmseSums> {
        let teacher = self.asked();
        let mut sums = NmseSums::new(chunk.length);
        for batch in held_out.epoch(0) {
            let batch = batch?;
            let target = dense(&teacher, &batch)?.narrow(1, chunk.start, chunk.length);
            sums.add(student.forward(&self.preprocessing.input(&batch)?), target);
        }
        Ok(sums)
    }

    /// The phase at `index`: a student with its attempt, or the head.
    fn part(&self, index: usize) -> Option<(usize, usize)> {
        (index < 2 * self.config.students).then_some((index / 2, index % 2))
    }

    /// The student as a phase has left it, on the plain device.
    fn finished(&self, chunk: &Chunk, phase: &str, folder: &RunFolder) -> Result<S> {
        let tensors = folder.result(phase, Snapshot::Last)?;
        import(
            &self.student(chunk, 0)?,
            &tensors,
            Names::PyTorch,
            "the run's result",
        )
    }

    /// The student that a phase has left, unless it counts as collapsed.
    fn sound(&self, chunk: &Chunk, phase: &str, folder: &RunFolder) -> Result<Option<S>> {
        let student = self.finished(chunk, phase, folder)?;
        let sums = self.measure(&student, chunk, &self.held_out_loader()?)?;
        // An error that is no number is a collapse, too.
        let is_sound = sums.nmse().is_none_or(|nmse| nmse <= self.config.collapse);
        Ok(is_sound.then_some(student))
    }

    /// The student that goes into the class.
    ///
    /// # Errors
    ///
    /// If it has collapsed twice.
    pub(crate) fn chosen(&self, chunk: &Chunk, folder: &RunFolder) -> Result<S> {
        for phase in [stage_name(chunk.student), again(chunk.student)] {
            if let Some(student) = self.sound(chunk, &phase, folder)? {
                return Ok(student);
            }
        }
        Err(Error::Run {
            path: folder.path().to_owned(),
            problem: format!(
                "has a student {} that has collapsed twice: its normalised error on held-out data is \
                 above {} from two seeds. Train longer or with another rate, use a larger student, or raise \
                 `teacher-class.collapse`",
                chunk.student, self.config.collapse
            ),
        })
    }

    /// Keeps what the teacher says of all samples, if that is wanted.
    fn keep_dense(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        if !self.config.keep || self.kept.get().is_some() {
            return Ok(());
        }
        let train = crate::kept::keep(self, &self.train_loader(0)?, observer, stop)?;
        let held_out = crate::kept::keep(self, &self.held_out_loader()?, observer, stop)?;
        self.kept.get_or_init(|| [train, held_out]);
        Ok(())
    }
}

/// The phase of a student that is trained once more.
pub(crate) fn again(student: usize) -> String {
    format!("{}-again", stage_name(student))
}

impl<S: Student> Method for TeacherClass<S> {
    fn phases(&self) -> Vec<String> {
        let students = (0..self.config.students).flat_map(|k| [stage_name(k), again(k)]);
        students.chain([HEAD_PHASE.into()]).collect()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        match self.part(index) {
            Some((student, 1)) => {
                let chunk = self.layout()?.chunks[student];
                let sound = self.sound(&chunk, &stage_name(student), earlier)?;
                Ok(sound.is_some())
            }
            _ => Ok(false),
        }
    }

    fn make_ready(
        &self,
        index: usize,
        earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.layout()?;
        self.keep_dense(observer, stop)?;
        match self.part(index) {
            Some(_) => Ok(()),
            None => self.keep_features(earlier, observer, stop).map(drop),
        }
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        match self.part(index) {
            Some((student, attempt)) => Ok(Box::new(self.student_phase(student, attempt)?)),
            None => Ok(Box::new(self.head_phase(earlier)?)),
        }
    }
}
