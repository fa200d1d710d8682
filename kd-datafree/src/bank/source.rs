//! The source of a bank's images, block by block.

use burn::tensor::Tensor;
use kd_core::{Normalisation, Result};

/// Images that are made together. A block is the unit that is made anew; in always the same number of rows a
/// sample is the same to the last bit.
pub(crate) const BLOCK: usize = 128;

/// A maker of images.
pub(crate) trait ImageSource {
    /// The images of block `block` in its generation `generation`, as the teacher takes them:
    /// `[128, channels, height, width]`.
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>>;

    /// The smallest and the largest value of each channel.
    fn range(&self) -> Result<[Vec<f64>; 2]>;
}

/// Black and white after the teacher's normalisation: the range of images that are pixels.
pub(crate) fn pixel_range(teacher: &Normalisation) -> [Vec<f64>; 2] {
    let end = |pixel: f64| {
        let channels = teacher.mean.iter().zip(&teacher.std);
        channels.map(|(mean, std)| (pixel - mean) / std).collect()
    };
    [end(0.0), end(1.0)]
}
