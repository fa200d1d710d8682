//! The class as a family of networks: kept in model folders with its structure in `config.json`.

use burn::tensor::Device;
use kd_core::{
    Error, NetworkInput, NetworkOutput, Result, SampleKind, Scheme, StagedNetwork, Task, initialise,
};
use kd_models::{ModelNetwork, NetworkSpec, Structure};
use serde::{Deserialize, Serialize};

use crate::class::{Class, HeadOf};
use crate::output::ClassHead;
use crate::student::Student;

/// The most students, and the most units of all chunks: a structure may come from a damaged file.
const STUDENTS: usize = 256;
const FEATURES: usize = 65_536;

/// The structure of a class, as `config.json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassConfig {
    /// The students in order.
    pub students: Vec<ClassStudent>,
    /// Whether the joined chunks pass through a ReLU.
    pub relu: bool,
}

/// A student of a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassStudent {
    /// The length of its chunk: the number of "classes" that it is built for.
    pub length: usize,
    /// The structure of the network.
    pub network: Structure,
}

impl ClassConfig {
    /// The name of the family of classes for images.
    pub const FAMILY: &'static str = "teacher-class";
    /// The name of the family of classes for texts.
    pub const TEXT_FAMILY: &'static str = "teacher-class-text";
    /// The name of the family of classes that output a class for each pixel.
    pub const PIXEL_FAMILY: &'static str = "teacher-class-pixels";

    /// The name of the family by what its students take and what they are for.
    pub const fn family(takes: SampleKind, task: Task) -> &'static str {
        match (takes, task) {
            (SampleKind::Texts, _) => Self::TEXT_FAMILY,
            (_, Task::Segmentation) => Self::PIXEL_FAMILY,
            _ => Self::FAMILY,
        }
    }

    /// The spec of such a class, called `name`, whose family goes by what the students take and are for.
    ///
    /// # Errors
    ///
    /// As [`Structure::of_family`].
    pub fn spec(&self, name: &str, classes: usize, input: [usize; 3]) -> Result<NetworkSpec> {
        let first = self.students.first();
        let takes = first.and_then(|student| student.network.takes());
        let task = first.and_then(|student| student.network.task());
        let family = Self::family(takes.unwrap_or_default(), task.unwrap_or_default());
        let structure = Structure::of_family(family, self)?;
        Ok(NetworkSpec::with_structure(name, structure, classes, input))
    }

    /// Checks what may come from a damaged file.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for no students or too many, or too many units.
    pub fn check(&self) -> Result<()> {
        let students = self.students.len();
        if !(1..=STUDENTS).contains(&students) {
            let problem = format!("must be 1 to {STUDENTS}, got {students}");
            return Err(Error::config("structure.students", problem));
        }
        let lengths = self.students.iter().map(|student| student.length);
        let sum = lengths.fold(0, usize::saturating_add);
        if sum <= FEATURES {
            return Ok(());
        }
        let problem = format!("must have at most {FEATURES} units together, got {sum}");
        Err(Error::config("structure.students", problem))
    }
}

impl<S: ModelNetwork + Student> ModelNetwork for Class<S> {
    const FAMILIES: &'static [&'static str] = &[ClassConfig::family(
        <S::Input as NetworkInput>::KIND,
        <<S as StagedNetwork>::Output as NetworkOutput>::TASK,
    )];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        let config: ClassConfig = spec.config_of(Self::FAMILIES[0])?;
        config.check()?;
        let student = |(index, student): (usize, &ClassStudent)| {
            let (network, length) = (student.network.clone(), student.length);
            let name = format!("student {index}");
            let spec = NetworkSpec::with_structure(name, network, length, spec.input);
            S::blank(&spec, device).map_err(|error| error.within("structure"))
        };
        let students = config.students.iter().enumerate().map(student);
        let students = students.collect::<Result<Vec<S>>>()?;
        let features = config.students.iter().map(|student| student.length).sum();
        let head = HeadOf::<S>::blank(features, spec.classes, device);
        Self::new(students, head, config.relu)
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        initialise(&Self::blank(spec, device)?, Scheme::PyTorch, seed)
    }

    fn portable(self) -> Self {
        let (head, relu) = (self.head().clone(), self.has_relu());
        let students = self.into_students().into_iter().map(ModelNetwork::portable);
        Self::of_parts(students.collect(), head, relu)
    }
}
