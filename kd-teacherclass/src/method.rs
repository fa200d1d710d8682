//! The method: a phase for each student, one more for a student that has collapsed, and one for the head.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, OnceLock};

use burn::tensor::Device;
use kd_core::{
    Augment, Batch, CacheConfig, Dataset, Draws, Error, Finding, KeptAnswers, Loader, LoaderConfig,
    Method, Metrics, Names, NetworkOutput, Observer, Phase, PhaseOutcome, Preprocessing, Result,
    Rows, RunFolder, Snapshot, Subset, Task, Teacher, Training, ViewPolicy, import,
};

use crate::class::{Class, stage_name};
use crate::config::{ChunkLoss, TeacherClassConfig};
use crate::kept::Features;
use crate::measure::NmseSums;
use crate::output::ChunkOutput;
use crate::split::{Chunk, DenseStatistics, Division, SplitKind};
use crate::student::Student;
use crate::teacher_head::{TeacherHead, dense};

/// The name of the last phase, whose result is the class.
pub const HEAD_PHASE: &str = "head";

/// Samples on which it is seen whether the teacher's dense vector is ever negative, and which units are dead.
const FIRST_SAMPLES: usize = 256;

/// Training samples whose dense vectors say how units are dealt out, where that is not by index.
const SPLIT_SAMPLES: usize = 4096;

/// Images in place of both where each of their pixels has a vector.
const FIRST_IMAGES: usize = 32;

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

/// A class of students, each of which learns a chunk of a teacher's dense vector; then the head. Of networks
/// for segmentation each pixel has such a vector, which is ours and not the paper's.
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
    pub(crate) cache: Option<CacheConfig>,
    /// Of the training data, and of the held-out data.
    pub(crate) kept: OnceLock<Vec<KeptAnswers>>,
    pub(crate) features: Mutex<Option<(String, Features)>>,
}

/// What is asked of the teacher before the first step.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) division: Division,
    /// The teacher's head for the targets of the students.
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
            cache: None,
            kept: OnceLock::new(),
            features: Mutex::new(None),
        }
    }

    /// With students made by `make` in place of what made them before.
    #[must_use]
    pub fn with_students(mut self, make: impl Fn(&NewStudent) -> Result<S> + 'static) -> Self {
        self.make = Box::new(make);
        self
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

    /// With the teacher's dense vectors read from caches, at the place that `config` says, in place of
    /// memory.
    #[must_use]
    pub fn with_cache(mut self, config: CacheConfig) -> Self {
        self.cache = Some(config);
        self.layout = OnceLock::new();
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
        self.check_memory()?;
        let sample = self.sample()?;
        let whole: S::Output = self.targets()?.all(&sample)?;
        self.check_features(&whole.sample_shape())?;
        for chunk in layout.division.chunks() {
            let student = self.student(chunk, 0)?;
            let output = student.forward(&self.preprocessing.input(&sample)?);
            let expected = whole
                .clone()
                .units(chunk.start, chunk.length)
                .sample_shape();
            let found = output.sample_shape();
            if expected != found {
                return Err(Error::Shape {
                    what: format!("output of student {}", chunk.student),
                    expected: format!("{expected:?}"),
                    found: format!("{found:?}"),
                    remedy: "build the student for as many classes as its chunk is long, with outputs as \
                             large as the teacher's last map where it has one"
                        .into(),
                });
            }
        }
        Ok(())
    }

    /// What is suspicious about samples, batches and rates of the students.
    ///
    /// # Errors
    ///
    /// As [`Training::plan`].
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let [train, held_out] = &self.data;
        self.training.findings(train, held_out, &[])
    }

    /// The chunks, one for each student.
    ///
    /// # Errors
    ///
    /// If the teacher has no dense vector or not a linear head, or there are too many students.
    pub fn chunks(&self) -> Result<Vec<Chunk>> {
        Ok(self.division()?.chunks().to_vec())
    }

    /// How the dense vector is divided among the students.
    ///
    /// # Errors
    ///
    /// As [`TeacherClass::chunks`].
    pub fn division(&self) -> Result<&Division> {
        Ok(&self.layout()?.division)
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
        let chunks = layout.division.chunks().iter();
        let students = chunks.map(|chunk| self.student(chunk, 0));
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
        if let Some(cache) = &self.cache {
            cache.check(1)?;
        }
        if self.views.0.count().is_none() {
            let problem = "is \"unlimited\", and targets and features of a class are computed once; set 1, \
                           or the number of views of a bank";
            return Err(Error::config("data.views", problem));
        }
        for data in &self.data {
            check_labels::<S::Output>(data.dataset())?;
        }
        if is_of_pixels::<S::Output>() && self.config.loss != ChunkLoss::Mse {
            let problem = "is an adversarial one, whose discriminators judge the vector of a sample, and the \
                           students output a chunk for each pixel; use `mse`";
            return Err(Error::config("teacher-class.loss", problem));
        }
        let first: S::Output = dense(self.teacher.as_ref(), &self.sample()?)?;
        let features = first.sample_shape()[0];
        let head = S::Output::teacher_head(self.teacher.as_ref(), features, &self.device)?;
        let division = self.divide(features)?;
        let relu = match self.config.relu {
            Some(relu) => relu,
            None => division.kind().keeps_units() && !self.is_signed()?,
        };
        Ok(Layout {
            head: division.head(&head),
            division,
            relu,
        })
    }

    /// Divides a dense vector of so many units, by what the first training samples say if it must be.
    fn divide(&self, features: usize) -> Result<Division> {
        let students = self.config.students;
        if self.config.split == SplitKind::Index {
            return Division::by_index(features, students);
        }
        let mut statistics = DenseStatistics::new(features);
        self.first_dense(SPLIT_SAMPLES, |dense| statistics.add(&dense.vectors()))?;
        Division::of(self.config.split, &statistics, students, &self.device)
    }

    /// The first training sample.
    pub(crate) fn sample(&self) -> Result<Batch> {
        self.train_loader(0)?.view(0, &self.data[0].ids()[..1])
    }

    /// Whether the dense vector of one of the first training samples is somewhere negative.
    pub(crate) fn is_signed(&self) -> Result<bool> {
        let mut least = f32::INFINITY;
        self.first_dense(FIRST_SAMPLES, |dense| {
            least = least.min(dense.vectors().min().into_scalar::<f32>());
        })?;
        Ok(least < 0.0)
    }

    /// Passes the dense representations of the first training samples on, batch by batch: of `samples`, or
    /// of fewer where each pixel has one.
    fn first_dense(&self, samples: usize, mut with: impl FnMut(S::Output)) -> Result<()> {
        let (samples, together) = if is_of_pixels::<S::Output>() {
            (FIRST_IMAGES, self.training.eval_batch_size)
        } else {
            (samples, FIRST_SAMPLES)
        };
        let loader = self.train_loader(0)?;
        let ids = self.data[0].ids();
        for ids in ids[..ids.len().min(samples)].chunks(together) {
            with(dense(self.teacher.as_ref(), &loader.view(0, ids)?)?);
        }
        Ok(())
    }

    /// The number of units that are the same for the first training samples.
    #[cfg(feature = "recipe")]
    pub(crate) fn dead_units(&self) -> Result<usize> {
        let units = self.chunks()?.iter().map(|chunk| chunk.length).sum();
        let mut sums = NmseSums::new(units);
        self.first_dense(FIRST_SAMPLES, |dense| {
            let vectors = dense.vectors();
            sums.add(vectors.clone(), vectors);
        })?;
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

    /// The error of a student, on the plain device, on held-out data.
    pub(crate) fn measure(
        &self,
        student: &S,
        chunk: &Chunk,
        held_out: &Loader,
    ) -> Result<NmseSums> {
        let targets = self.targets()?;
        let mut sums = NmseSums::new(chunk.length);
        for batch in held_out.epoch(0) {
            let batch = batch?;
            let target: S::Output = targets.chunk(&batch, chunk)?;
            let output = student.forward(&self.preprocessing.input(&batch)?);
            sums.add(output.vectors(), target.vectors());
        }
        Ok(sums)
    }

    /// The phase at `index`: a student with its attempt, or the head.
    fn part(&self, index: usize) -> Option<(usize, usize)> {
        let students = self.trained_students();
        (index < 2 * students.len()).then(|| (students.start + index / 2, index % 2))
    }

    /// The students that are trained: all, or one alone.
    fn trained_students(&self) -> Range<usize> {
        match self.config.only {
            Some(only) => only..only + 1,
            None => 0..self.config.students,
        }
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

    /// Whether the student of a phase has learnt its chunk, as its last evaluation says. A chunk whose units
    /// are all dead has no error.
    fn is_sound(&self, outcome: &PhaseOutcome) -> bool {
        let nmse = outcome.last.get("nmse");
        nmse.is_none_or(|&nmse| nmse <= self.config.collapse)
    }

    /// The student that goes into the class, and its last evaluation.
    ///
    /// # Errors
    ///
    /// If it has collapsed twice.
    pub(crate) fn chosen(&self, chunk: &Chunk, folder: &RunFolder) -> Result<(S, Metrics)> {
        for phase in [stage_name(chunk.student), again(chunk.student)] {
            let outcome = trained(&phase, folder)?;
            if let Some(outcome) = outcome.filter(|outcome| self.is_sound(outcome)) {
                return Ok((self.finished(chunk, &phase, folder)?, outcome.last));
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
}

/// Whether outputs have a chunk for each pixel.
pub(crate) fn is_of_pixels<O: NetworkOutput>() -> bool {
    O::TASK == Task::Segmentation
}

/// Checks that the data set has labels for what the students output.
fn check_labels<O: NetworkOutput>(dataset: &Dataset) -> Result<()> {
    if !is_of_pixels::<O>() {
        return dataset.check_labelled();
    }
    if let Some(masks) = dataset.masks() {
        if masks.pixel_counts().iter().any(|&count| count > 0) {
            return Ok(());
        }
        let problem = format!(
            "has masks (`{}`) in which no pixel has a class",
            dataset.name()
        );
        return Err(Error::config("data", problem));
    }
    let problem = format!(
        "must have a mask for each image, `{}` has a class for each; use classifiers as students",
        dataset.name()
    );
    Err(Error::config("data", problem))
}

/// The outcome of a phase of a student, unless it was skipped.
fn trained(phase: &str, folder: &RunFolder) -> Result<Option<PhaseOutcome>> {
    let outcome = folder.outcome(phase)?;
    Ok(outcome.filter(|outcome| !outcome.skipped))
}

/// The phase of a student that is trained once more.
pub(crate) fn again(student: usize) -> String {
    format!("{}-again", stage_name(student))
}

impl<S: Student> Method for TeacherClass<S> {
    fn phases(&self) -> Vec<String> {
        let students = self.trained_students();
        let phases = students.flat_map(|k| [stage_name(k), again(k)]);
        let head = self.config.only.is_none().then(|| HEAD_PHASE.to_owned());
        phases.chain(head).collect()
    }

    fn skips(&self, index: usize, earlier: &RunFolder) -> Result<bool> {
        match self.part(index) {
            Some((student, 1)) => {
                let first = trained(&stage_name(student), earlier)?;
                Ok(first.is_some_and(|first| self.is_sound(&first)))
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
        if self.part(index).is_some() {
            return self.open_caches(observer, stop);
        }
        // The head learns from the students' features; where the teacher's answers are not kept, it is asked
        // once more about the held-out samples.
        let (class, _) = self.merged(earlier)?;
        self.keep_features(&class, earlier, observer, stop)?;
        Ok(())
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        match self.part(index) {
            Some((student, attempt)) => Ok(Box::new(self.student_phase(student, attempt)?)),
            None => Ok(Box::new(self.head_phase(earlier)?)),
        }
    }
}
