//! Pairs of a teacher and a student, with all that one step of distilling needs.

use burn::tensor::Device;
use kd_core::{
    Augment, Dataset, Draws, Error, FrozenTeacher, ImageShape, Loader, LoaderConfig, Normalisation,
    OptimizerConfig, Result, Split, StepContext, Subset, Training, ViewPolicy,
};
use kd_models::{Network, NetworkSpec};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData};

/// Classes of the made-up data.
pub const CLASSES: usize = 10;
/// The learning rate of every step.
pub const LR: f64 = 0.05;
/// The momentum of SGD, not Nesterov's.
pub const MOMENTUM: f64 = 0.9;
/// The weight decay of SGD.
pub const WEIGHT_DECAY: f64 = 5e-4;
/// The weight of the cross-entropy.
pub const CE_WEIGHT: f64 = 0.1;
/// The weight of the distillation term.
pub const KD_WEIGHT: f64 = 0.9;
/// The temperature of the distillation term.
pub const TEMPERATURE: f64 = 4.0;

/// Samples of the made-up training data: 32 batches of 64.
const SAMPLES: usize = 2048;

/// A teacher and a student by name, and the images that both take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What the pair is called in results: `teacher_to_student`, with the image size where it would be
    /// ambiguous.
    pub name: &'static str,
    /// The teacher's name in kd-models.
    pub teacher: &'static str,
    /// The student's name in kd-models.
    pub student: &'static str,
    /// Channels, height and width of the images.
    pub input: [usize; 3],
}

/// The pairs that are measured.
pub const PAIRS: [Pair; 4] = [
    Pair {
        name: "lenet5_to_lenet5_half",
        teacher: "lenet5",
        student: "lenet5-half",
        input: [1, 28, 28],
    },
    Pair {
        name: "lenet5_to_lenet5_half_rgb",
        teacher: "lenet5",
        student: "lenet5-half",
        input: [3, 32, 32],
    },
    Pair {
        name: "resnet20_to_resnet8",
        teacher: "resnet20",
        student: "resnet8",
        input: [3, 32, 32],
    },
    Pair {
        name: "resnet32x4_to_resnet8x4",
        teacher: "resnet32x4",
        student: "resnet8x4",
        input: [3, 32, 32],
    },
];

impl Pair {
    /// The pair that goes by `name`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    pub fn find(name: &str) -> Result<Self> {
        PAIRS
            .into_iter()
            .find(|pair| pair.name == name)
            .ok_or_else(|| Error::unknown_name("pair", name, PAIRS.iter().map(|pair| pair.name)))
    }

    /// Networks with initial weights, data and settings for steps of `batch_size` on `device`, its plain
    /// form.
    ///
    /// # Errors
    ///
    /// If `batch_size` is 0 or more than the 2048 samples of the data.
    pub fn setup(self, batch_size: usize, device: &Device) -> Result<Setup> {
        let [channels, height, width] = self.input;
        let shape = ImageShape::new(channels, height, width);
        let network = |name: &str, seed| {
            Network::build(&NetworkSpec::new(name, CLASSES, self.input), seed, device)
        };
        let held_out = noise_images(shape, CLASSES, CLASSES, 1)?;
        Ok(Setup {
            pair: self,
            device: device.clone(),
            teacher: network(self.teacher, 1)?,
            student: network(self.student, 2)?,
            // Two that differ, as kd allows: each network normalises for itself.
            teacher_normalisation: Normalisation::new(vec![0.5; channels], vec![0.25; channels])?,
            student_normalisation: Normalisation::new(vec![0.45; channels], vec![0.3; channels])?,
            data: OfflineData {
                train: noise_images(shape, CLASSES, SAMPLES, 0)?.into(),
                held_out: held_out.into(),
                views: ViewPolicy::Fixed,
                augment: Augment::none(),
            },
            training: training(batch_size),
        })
    }
}

/// A pair made ready: initial networks, data, settings.
#[derive(Debug)]
pub struct Setup {
    /// Which pair.
    pub pair: Pair,
    /// The plain form of the device.
    pub device: Device,
    /// The teacher.
    pub teacher: Network,
    /// The student with its initial weights.
    pub student: Network,
    /// What the teacher makes of pixels in `[0, 1]`.
    pub teacher_normalisation: Normalisation,
    /// What the student makes of pixels in `[0, 1]`.
    pub student_normalisation: Normalisation,
    /// The made-up data, without augmentation.
    pub data: OfflineData,
    /// Batch size, optimizer and learning rate.
    pub training: Training,
}

impl Setup {
    /// The method under test: the teacher live, `0.1 cross-entropy + 0.9 distillation at temperature 4`.
    pub fn method(&self) -> Offline<Network> {
        Offline::new(
            &self.student,
            self.student_normalisation.clone(),
            self.data.clone(),
            self.training.clone(),
            &self.device,
        )
        .with_teachers(vec![Box::new(self.frozen_teacher())], Ensemble::Logits)
        .with_losses(vec![
            LossConfig::cross_entropy(CE_WEIGHT),
            LossConfig::kd(KD_WEIGHT, TEMPERATURE),
        ])
    }

    /// The teacher as the method holds it.
    pub fn frozen_teacher(&self) -> FrozenTeacher<Network> {
        FrozenTeacher::new(
            &self.teacher,
            self.teacher_normalisation.clone(),
            &self.device,
        )
    }

    /// A loader of the same batches as the method's own.
    ///
    /// # Errors
    ///
    /// As [`Loader::new`].
    pub fn loader(&self) -> Result<Loader> {
        let config = LoaderConfig::new(self.training.batch_size);
        Loader::new(self.data.train.clone(), config, &self.device)
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.data.train.len().div_ceil(self.training.batch_size)
    }

    /// The training data.
    pub fn train(&self) -> &Subset {
        &self.data.train
    }
}

/// Batch size, optimizer and learning rate of every step.
pub fn training(batch_size: usize) -> Training {
    let mut training = Training::for_epochs(1_000_000);
    training.batch_size = batch_size;
    training.lr = LR;
    training.optimizer = OptimizerConfig::Sgd {
        momentum: MOMENTUM,
        weight_decay: WEIGHT_DECAY,
        nesterov: false,
    };
    training
}

/// The context of step `step`.
pub fn step_at(step: usize, steps_per_epoch: usize) -> StepContext {
    StepContext {
        step,
        epoch: step / steps_per_epoch,
        step_in_epoch: step % steps_per_epoch,
        lr: LR,
        momentum: None,
    }
}

/// Images of uniform noise with uniform labels, a function of `seed`.
///
/// # Errors
///
/// If a size is 0.
pub fn noise_images(
    shape: ImageShape,
    classes: usize,
    samples: usize,
    seed: u64,
) -> Result<Dataset> {
    let mut draws = Draws::new(seed, "bench images", 0, 0);
    let bytes = shape.bytes() * samples;
    let images = std::iter::repeat_with(|| draws.bits().to_le_bytes())
        .flatten()
        .take(bytes)
        .collect();
    let mut draws = Draws::new(seed, "bench labels", 0, 0);
    let labels = (0..samples)
        .map(|_| u16::try_from(draws.below(classes as u64)).unwrap_or_default())
        .collect();
    Dataset::new("noise", Split::Train, shape, classes, images, labels)
}
