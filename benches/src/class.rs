//! A class of students of one teacher, with all that one step of each of them needs.

use burn::tensor::Device;
use kd_core::{
    Dataset, FrozenTeacher, ImageShape, Method as _, Normalisation, OptimizerConfig, Phase, Result,
    RunFolder, Subset, Training,
};
use kd_models::{Budget, ChunkCnnConfig, Network, NetworkSpec, Structure, fit_widths};
use kd_teacherclass::{NewStudent, TeacherClass, TeacherClassConfig};

use crate::pair::{CLASSES, noise_images};

/// The number of students.
pub const CLASS_STUDENTS: usize = 4;
/// Units of the teacher's dense vector.
pub const CLASS_FEATURES: usize = 256;
/// Channels, height and width of the images.
pub const CLASS_INPUT: [usize; 3] = [1, 28, 28];
/// Samples of a step.
pub const CLASS_BATCH: usize = 128;
/// The learning rate of Adam.
pub const CLASS_LR: f64 = 1e-3;

/// Parameters of the class, its head among them.
const PARAMETERS: f64 = 30_000.0;
/// Samples of the made-up data: 16 batches.
const SAMPLES: usize = 2048;

/// A class made ready: the teacher and the widths of recipes/bench-class.toml, images of noise.
#[derive(Debug)]
pub struct ClassSetup {
    /// The teacher with initial weights.
    pub teacher: Network,
    /// The widths of each student.
    pub widths: ChunkCnnConfig,
    /// What teacher and students make of pixels in `[0, 1]`.
    pub normalisation: Normalisation,
    /// The samples to train on and to measure on.
    pub data: [Subset; 2],
    /// The plain form of the device.
    pub device: Device,
}

impl ClassSetup {
    /// A class with its 2,048 samples on `device`, its plain form.
    ///
    /// # Errors
    ///
    /// None for the sizes of this module.
    pub fn new(device: &Device) -> Result<Self> {
        let widths = ChunkCnnConfig {
            blocks: vec![vec![32, 64]],
            hidden: vec![CLASS_FEATURES; 2],
            padded: false,
            ..ChunkCnnConfig::template()
        };
        let structure = Structure::ChunkCnn(widths);
        let spec = NetworkSpec::with_structure("teacher", structure, CLASSES, CLASS_INPUT);
        Ok(Self {
            teacher: Network::build(&spec, 1, device)?,
            widths: student_widths()?,
            normalisation: Normalisation::new(vec![0.286], vec![0.353])?,
            data: [noise(SAMPLES, 0)?.into(), noise(CLASS_BATCH, 1)?.into()],
            device: device.clone(),
        })
    }

    /// The method under test, its targets kept or computed in each step, its head tuned for `head_epochs`.
    pub fn method(&self, keep: bool, head_epochs: usize) -> TeacherClass<Network> {
        let (structure, device) = (
            Structure::ChunkCnn(self.widths.clone()),
            self.device.clone(),
        );
        let make = move |new: &NewStudent| {
            let (structure, outputs) = (structure.clone(), new.chunk.length);
            let spec = NetworkSpec::with_structure("student", structure, outputs, CLASS_INPUT);
            Network::build(&spec, new.seed, &device)
        };
        let teacher = FrozenTeacher::new(&self.teacher, self.normalisation.clone(), &self.device);
        let mut config = TeacherClassConfig::of(CLASS_STUDENTS);
        config.keep = keep;
        config.head.epochs = head_epochs;
        // Students of noise learn next to nothing, and are none the worse for it here.
        config.collapse = 1e9;
        let (data, normalisation) = (self.data.clone(), self.normalisation.clone());
        TeacherClass::new(
            Box::new(teacher),
            make,
            normalisation,
            data,
            training(),
            &self.device,
        )
        .with_config(config)
    }

    /// The same with so many samples to train on.
    ///
    /// # Errors
    ///
    /// If there are none.
    pub fn with_samples(mut self, samples: usize) -> Result<Self> {
        self.data[0] = noise(samples, 0)?.into();
        Ok(self)
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.data[0].len().div_ceil(CLASS_BATCH)
    }
}

/// The phases of the first `count` students, ready for their first step.
///
/// # Errors
///
/// Those of the method.
pub fn student_phases<'a>(
    method: &'a TeacherClass<Network>,
    count: usize,
    folder: &RunFolder,
) -> Result<Vec<Box<dyn Phase + 'a>>> {
    method.open_caches(&mut (), &std::sync::atomic::AtomicBool::new(false))?;
    let names = method.phases();
    let is_first = |name: &&String| name.starts_with("student-") && !name.ends_with("-again");
    let indices = (0..names.len()).filter(|&index| is_first(&&names[index]));
    indices
        .take(count)
        .map(|index| method.start(index, folder))
        .collect()
}

/// Batch size, optimizer and rate of every student; one epoch.
fn training() -> Training {
    let mut training = Training::for_epochs(1);
    training.batch_size = CLASS_BATCH;
    training.lr = CLASS_LR;
    training.optimizer = OptimizerConfig::adam();
    training
}

fn noise(samples: usize, seed: u64) -> Result<Dataset> {
    let [channels, height, width] = CLASS_INPUT;
    noise_images(
        ImageShape::new(channels, height, width),
        CLASSES,
        samples,
        seed,
    )
}

/// Widths with which the class has its parameters.
fn student_widths() -> Result<ChunkCnnConfig> {
    let wanted = Budget::parameters(PARAMETERS).wanted(None)?;
    let (students, head) = (CLASS_STUDENTS as u64, (CLASS_FEATURES * CLASSES) as u64);
    fit_widths(&ChunkCnnConfig::template(), wanted, |widths| {
        let [parameters, macs] = widths.counts(CLASS_INPUT, CLASS_FEATURES / CLASS_STUDENTS)?;
        Some([
            students * parameters + head + CLASSES as u64,
            students * macs + head,
        ])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_student_has_a_phase() {
        let setup = ClassSetup::new(&Device::flex()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(folder.path()).unwrap();
        let method = setup.method(false, 0);
        method.check().unwrap();
        assert_eq!(
            student_phases(&method, CLASS_STUDENTS, &folder)
                .unwrap()
                .len(),
            CLASS_STUDENTS
        );
        assert_eq!(setup.steps_per_epoch(), 16);
    }
}
