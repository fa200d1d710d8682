//! The three sources of a bank: a generator, noise, and images of something else.

use burn::tensor::{Device, Tensor};
use kd_core::{Draws, ImageShape, Loader, LoaderConfig, Metrics, Normalisation, Result, Subset};

use super::source::{BLOCK, ImageSource, pixel_range};
use crate::generator::{Generator, OutputKind};
use crate::measures::BankMeasures;
use crate::noise::noise;
use crate::teacher::ImageTeacher;

/// Images that a generator is measured by.
const MEASURED: usize = 8 * BLOCK;

/// Purposes of noise.
const BANK: &str = "data-free bank noise";
const MEASURE: &str = "data-free look noise";

/// A generator that is done: it makes images of noise, and learns no more.
#[derive(Debug)]
pub(crate) struct FrozenGenerator {
    /// On the plain form of its device, as at inference.
    pub(crate) generator: Generator,
    pub(crate) output: OutputKind,
    /// The teacher's.
    pub(crate) normalisation: Normalisation,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl FrozenGenerator {
    /// The measures of some of its images by a teacher.
    pub(crate) fn measure(&self, teacher: &dyn ImageTeacher) -> Result<Metrics> {
        let mut measures = BankMeasures::new(teacher.classes());
        for block in 0..MEASURED / BLOCK {
            let images = self.make(MEASURE, block as u64, 0)?;
            measures.add(&images, &teacher.inspect(images.clone()));
        }
        Ok(measures.metrics())
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

/// Gaussian noise in place of images, as far as four standard deviations: the least that a generator has to
/// beat.
#[derive(Debug)]
pub(crate) struct NoiseSource {
    pub(crate) image: ImageShape,
    pub(crate) seed: u64,
    pub(crate) device: Device,
}

impl ImageSource for NoiseSource {
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>> {
        let ImageShape {
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

/// Real images of something else, in a random order that begins anew when all have been used.
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
            normalisation: teacher.normalisation()?.clone(),
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
        self.normalisation
            .apply(self.loader.view(0, &ids)?.pixels()?)
    }

    fn range(&self) -> Result<[Vec<f64>; 2]> {
        Ok(pixel_range(&self.normalisation))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kd_core::{Dataset, Split};

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
        let made = |blocks: [(u64, u64); 2]| -> BTreeSet<[u32; 2]> {
            let of = |(block, generation)| {
                let images = source.images(block, generation).unwrap().into_data();
                let values: Vec<u32> = images.iter::<f32>().map(f32::to_bits).collect();
                values.as_chunks().0.to_vec()
            };
            blocks.into_iter().flat_map(of).collect()
        };
        let [first, second, third] =
            [0, 1, 2].map(|generation| made([(0, generation), (1, generation)]));
        let all = [&first, &second].map(BTreeSet::len);
        assert_eq!(all, [2 * BLOCK; 2]);
        assert!(first.is_disjoint(&second));
        // Then all have been used, and it begins anew.
        assert_eq!(third.intersection(&first).count(), BLOCK);
    }
}
