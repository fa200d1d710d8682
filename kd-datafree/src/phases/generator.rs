//! The first phase: a generator that learns through the frozen teacher, without an image to learn from.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Draws, Error, Loader, LoaderConfig, LossTerms, Metrics, NamedGradients, Names, Normalisation,
    Optimizer, Phase, PhaseState, Plan, Result, StepContext, Subset, Tensors, Training, export,
    import,
};

use crate::bank::{BLOCK, ImageSource, pixel_range};
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
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        self.generator =
            self.optimizer
                .step("generator", self.generator.clone(), at.lr, &gradients);
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let frozen = FrozenGenerator {
            generator: self.generator.valid(),
            output: self.output,
            normalisation: self.teacher.normalisation().clone(),
            seed: self.seed,
            device: self.device.clone(),
        };
        frozen.look(self.teacher)
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
    /// What a teacher says of its images.
    pub(crate) fn look(&self, teacher: &dyn ImageTeacher) -> Result<Metrics> {
        let mut diagnosis = Diagnosis::new(teacher.classes());
        for block in 0..LOOKED_AT / BLOCK {
            let images = self.make(LOOK, block as u64, 0)?;
            let seen = teacher.look(images.clone());
            diagnosis.add(&images, &seen);
        }
        Ok(diagnosis.metrics())
    }

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
            OutputKind::Sigmoid => Ok(pixel_range(&self.normalisation)),
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
    /// Images of a bank.
    bank: u64,
}

impl OtherImages {
    /// For banks of `blocks` blocks.
    pub(crate) fn new(
        images: Subset,
        blocks: usize,
        teacher: &dyn ImageTeacher,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let mut order = images.ids().to_vec();
        Draws::new(seed, BANK, 0, 0).shuffle(&mut order);
        Ok(Self {
            loader: Loader::new(images, LoaderConfig::ordered(BLOCK), device)?,
            normalisation: teacher.normalisation().clone(),
            order,
            bank: (blocks * BLOCK) as u64,
        })
    }
}

impl ImageSource for OtherImages {
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>> {
        // A later generation goes on where the one before has ended.
        let first = generation * self.bank + block * BLOCK as u64;
        let all = self.order.len() as u64;
        let id =
            |place: u64| self.order[usize::try_from((first + place) % all).unwrap_or_default()];
        let ids: Vec<u32> = (0..BLOCK as u64).map(id).collect();
        self.normalisation.apply(self.loader.view(0, &ids)?.pixels)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        Ok(pixel_range(&self.normalisation))
    }
}

/// The generator that phase [`GENERATOR_PHASE`] left in a run folder.
pub(crate) fn trained(blank: &Generator, tensors: &Tensors) -> Result<Generator> {
    import(blank, tensors, Names::PyTorch, "the generator of the run")
        .map_err(|error| Error::method("the generator of the run", error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kd_core::{Dataset, ImageShape, Split};

    use super::*;

    #[test]
    fn later_generations_of_other_images_go_on_where_a_bank_ends() {
        // Each image is its own number, in two pixels.
        let count = u16::try_from(5 * BLOCK).unwrap();
        let pixels = (0..count).flat_map(u16::to_be_bytes).collect();
        let shape = ImageShape::new(1, 1, 2);
        let labels = vec![0; usize::from(count)];
        let data = Dataset::new("t", Split::Train, shape, 2, pixels, labels).unwrap();
        let device = Device::flex();
        let images = Subset::all(&data);
        let source = OtherImages {
            order: images.ids().to_vec(),
            loader: Loader::new(images, LoaderConfig::ordered(BLOCK), &device).unwrap(),
            normalisation: Normalisation::new(vec![0.0], vec![1.0 / 255.0]).unwrap(),
            bank: 2 * BLOCK as u64,
        };
        let seen = |blocks: [(u64, u64); 2]| -> BTreeSet<[u32; 2]> {
            let of = |(block, generation)| {
                let images = source.images(block, generation).unwrap().into_data();
                let values: Vec<u32> = images.iter::<f32>().map(f32::to_bits).collect();
                values.as_chunks().0.to_vec()
            };
            blocks.into_iter().flat_map(of).collect()
        };
        let [first, second, third] =
            [0, 1, 2].map(|generation| seen([(0, generation), (1, generation)]));
        let all = [&first, &second].map(BTreeSet::len);
        assert_eq!(all, [2 * BLOCK; 2]);
        assert!(first.is_disjoint(&second));
        // Then all have been seen, and it begins anew.
        assert_eq!(third.intersection(&first).count(), BLOCK);
    }
}
