//! The first phase: a generator that learns through the frozen teacher, without an image to learn from.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Draws, Error, Loader, LoaderConfig, LossTerms, Metrics, NamedGradients, Names, Normalisation,
    Optimizer, Phase, PhaseState, Plan, Result, StepContext, Subset, Tensors, Training, export,
    import,
};

use crate::bank::{BLOCK, ImageSource};
use crate::diagnosis::Diagnosis;
use crate::generator::{Generator, OutputKind};
use crate::noise::noise;
use crate::objective::Terms;
use crate::teacher::ImageTeacher;

/// The name of the phase; its result is the generator.
pub const GENERATOR_PHASE: &str = "generator";

/// Images that a generator is looked at by.
const LOOKED_AT: usize = 8 * BLOCK;

/// Purposes of noise.
const TRAINING: &str = "data-free training noise";
const BANK: &str = "data-free bank noise";
const LOOK: &str = "data-free look noise";

pub(crate) struct Synthesis<'a> {
    pub(crate) generator: Generator,
    pub(crate) terms: Terms,
    pub(crate) optimizer: Optimizer,
    pub(crate) plan: Plan,
    pub(crate) training: &'a Training,
    pub(crate) teacher: &'a dyn ImageTeacher,
    pub(crate) output: OutputKind,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl Phase for Synthesis<'_> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let shape = [self.training.batch_size, self.generator.noise()];
        let noise = noise(
            (self.seed, TRAINING, at.step as u64),
            0,
            shape,
            &self.device,
        );
        let noise = Tensor::from_inner(noise);
        let images = self.generator.forward(noise.clone());
        let images = self.output.as_taken(images, self.teacher.normalisation())?;
        let seen = self.teacher.look(images.clone());
        let (report, total) = self
            .terms
            .forward(&images, &noise, seen, at.step_in_epoch)?;
        let mut raw = total.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("generator", &self.generator, &mut raw);
        self.training.clip(&mut gradients);
        self.generator =
            self.optimizer
                .step("generator", self.generator.clone(), at.lr, &gradients);
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let source = self.source();
        let mut diagnosis = Diagnosis::new(self.teacher.classes());
        for block in 0..LOOKED_AT / BLOCK {
            let images = source.make(LOOK, block as u64, 0)?;
            let seen = self.teacher.look(images.clone());
            diagnosis.add(&images, &seen);
        }
        Ok(diagnosis.metrics())
    }

    fn result(&self) -> Tensors {
        export(&self.generator, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("generator", export(&self.generator, Names::Burn));
        self.terms.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let generator = state.part("generator");
        self.generator = import(&self.generator, &generator, Names::Burn, "checkpoint")?;
        self.terms.restore(state, &self.device)?;
        state.restore_optimizer(&mut self.optimizer, &self.device)
    }
}

impl Synthesis<'_> {
    fn source(&self) -> FrozenGenerator {
        FrozenGenerator {
            generator: self.generator.valid(),
            output: self.output,
            normalisation: self.teacher.normalisation().clone(),
            seed: self.seed,
            device: self.device.clone(),
        }
    }
}

/// A generator that is done: it makes images of noise, and learns no more.
#[derive(Debug)]
pub(crate) struct FrozenGenerator {
    /// As at inference.
    pub(crate) generator: Generator,
    pub(crate) output: OutputKind,
    /// The teacher's.
    pub(crate) normalisation: Normalisation,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl FrozenGenerator {
    /// One block of images for `purpose`, as the teacher takes them.
    fn make(&self, purpose: &str, block: u64, generation: u64) -> Result<Tensor<4>> {
        let shape = [BLOCK, self.generator.noise()];
        let key = (self.seed, purpose, generation);
        let noise = noise(key, block * BLOCK as u64, shape, &self.device);
        let images = self.generator.forward(noise);
        self.output.as_taken(images, &self.normalisation)
    }
}

impl ImageSource for FrozenGenerator {
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>> {
        self.make(BANK, block, generation)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        match self.output {
            OutputKind::Sigmoid => {
                let Normalisation { mean, std } = &self.normalisation;
                let end = |pixel: f64| mean.iter().zip(std).map(|(m, s)| (pixel - m) / s).collect();
                Ok([end(0.0), end(1.0)])
            }
            OutputKind::TanhNorm | OutputKind::Norm => self.generator.range(),
        }
    }
}

/// Gaussian noise in the place of images, as far as four standard deviations: what a generator has to be better than.
#[derive(Debug)]
pub(crate) struct NoiseSource {
    pub(crate) image: kd_core::ImageShape,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl ImageSource for NoiseSource {
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>> {
        let kd_core::ImageShape {
            channels,
            height,
            width,
        } = self.image;
        let shape = [BLOCK, channels * height * width];
        let key = (self.seed, BANK, generation);
        let noise = noise(key, block * BLOCK as u64, shape, &self.device);
        Ok(noise.reshape([BLOCK, channels, height, width]))
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        let channels = self.image.channels;
        Ok([vec![-4.0; channels], vec![4.0; channels]])
    }
}

/// Real images of something else, in a random order that begins anew when all have been seen.
#[derive(Debug)]
pub(crate) struct OtherImages {
    loader: Loader,
    normalisation: Normalisation,
    order: Vec<u32>,
}

impl OtherImages {
    pub(crate) fn new(
        images: Subset,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let (found, wanted) = (images.dataset().shape(), teacher.image());
        if found != wanted {
            let problem = format!("are of {found}, and the teacher takes {wanted}; choose others");
            return Err(Error::config("images", problem));
        }
        let mut order = images.ids().to_vec();
        Draws::new(seed, BANK, 0, 0).shuffle(&mut order);
        Ok(Self {
            loader: Loader::new(images, LoaderConfig::ordered(BLOCK), device)?,
            normalisation: teacher.normalisation().clone(),
            order,
        })
    }
}

impl ImageSource for OtherImages {
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>> {
        // Later generations go on where a bank of any size would end.
        let first = (block + generation * self.order.len() as u64) * BLOCK as u64;
        let all = self.order.len() as u64;
        let id =
            |place: u64| self.order[usize::try_from((first + place) % all).unwrap_or_default()];
        let ids: Vec<u32> = (0..BLOCK as u64).map(id).collect();
        self.normalisation.apply(self.loader.view(0, &ids)?.pixels)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        let Normalisation { mean, std } = &self.normalisation;
        let end = |pixel: f64| mean.iter().zip(std).map(|(m, s)| (pixel - m) / s).collect();
        Ok([end(0.0), end(1.0)])
    }
}

/// The generator that phase [`GENERATOR_PHASE`] left in a run folder.
pub(crate) fn trained(blank: &Generator, tensors: &Tensors) -> Result<Generator> {
    import(blank, tensors, Names::PyTorch, "the generator of the run")
        .map_err(|error| Error::method("the generator of the run", error))
}
