//! The memory that the settings of a data-free run ask for at least.

use kd_core::{ImageShape, Result, check_memory};

use super::{DataFreeConfig, Joint, Pooled, Search, Synthetic, TwoPhases};
use crate::generator::GeneratorConfig;
use crate::teacher::ImageTeacher;

/// Bytes of a number.
const FLOAT: u64 = 4;

impl DataFreeConfig {
    /// Checks that bank or pool, and a batch of images with the generator's maps, fit into the memory there
    /// is. What student and teacher take beside them is not counted.
    pub(crate) fn check_memory(&self, teacher: &dyn ImageTeacher) -> Result<()> {
        let image = teacher.image();
        match self {
            Self::TwoPhases(config) => config.check_memory(image, teacher.classes()),
            Self::Joint(config) => config.check_memory(image),
            Self::Pooled(config) => config.check_memory(image),
        }
    }
}

impl TwoPhases {
    fn check_memory(&self, image: ImageShape, classes: usize) -> Result<()> {
        if let Synthetic::Generator { generator, .. } = &self.synthetic {
            let batch = self.generator_training.batch_size;
            of_generator(generator, "synthetic.generator", image)?;
            of_batch(
                Some(generator),
                "generator_training.batch_size",
                batch,
                image,
            )?;
        }
        let row = (image.bytes() + 4 * classes) as u64;
        let bytes = row.saturating_mul(self.bank.images as u64);
        check_memory("bank.images", "the images of the bank", bytes)?;
        of_batch(None, "train.batch_size", self.training.batch_size, image)
    }
}

impl Joint {
    fn check_memory(&self, image: ImageShape) -> Result<()> {
        of_generator(&self.generator, "generator", image)?;
        let batch = self.training.batch_size;
        of_batch(Some(&self.generator), "train.batch_size", batch, image)
    }
}

impl Pooled {
    fn check_memory(&self, image: ImageShape) -> Result<()> {
        let generator = match &self.search {
            Search::Generator(search) => Some(&search.generator),
            Search::Pixels(_) => None,
        };
        if let Some(generator) = generator {
            of_generator(generator, "search.generator", image)?;
        }
        of_batch(generator, "batch", self.batch, image)?;
        of_batch(None, "train.batch_size", self.training.batch_size, image)
    }
}

/// The weights of a generator and their gradients.
fn of_generator(config: &GeneratorConfig, field: &str, image: ImageShape) -> Result<()> {
    let [deep, shallow] = config.widths.map(|width| width as u64);
    let corner = (image.height as u64 / 4).saturating_mul(image.width as u64 / 4);
    let linear = product([config.noise as u64, deep, corner]);
    let convolutions = product([9, deep, deep.saturating_add(shallow)]);
    let numbers = linear.saturating_add(convolutions);
    let bytes = numbers.saturating_mul(2 * FLOAT);
    let field = format!("{field}.widths");
    check_memory(&field, "the generator's weights", bytes)
}

/// A batch of images, and the maps of the generator that makes them.
fn of_batch(
    generator: Option<&GeneratorConfig>,
    field: &str,
    batch: usize,
    image: ImageShape,
) -> Result<()> {
    let pixels = (image.height as u64).saturating_mul(image.width as u64);
    let maps = generator.map_or(0, |generator| {
        let [deep, shallow] = generator.widths.map(|width| width as u64);
        product([deep, pixels / 4]).saturating_add(product([shallow, pixels]))
    });
    let numbers = maps.saturating_add(image.bytes() as u64);
    let bytes = product([batch as u64, numbers, FLOAT]);
    check_memory(field, &format!("a batch of {batch} images"), bytes)
}

fn product<const N: usize>(factors: [u64; N]) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}
