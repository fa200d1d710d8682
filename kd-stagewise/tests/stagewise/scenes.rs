//! A pair of small U-Nets and images with masks.

use burn::tensor::Device;
use kd_core::{Dataset, Draws, FrozenTeacher, ImageShape, Masks, Normalisation, Split, Subset};
use kd_models::{SkdResNetConfig, StemKind, UNet, UNetConfig};
use kd_stagewise::{Stagewise, StagewiseData, segmentation_training};

/// A U-Net with so many blocks in the first stage of its encoder.
fn unet(depth: usize, seed: u64) -> UNet {
    let encoder = SkdResNetConfig {
        blocks: [depth, 1, 1, 1],
        widths: [4, 4, 6, 6],
        stem: StemKind::Large,
    };
    let config = UNetConfig {
        encoder,
        decoder: [6, 4, 4, 3, 3],
        head: 3,
    };
    UNet::new(&config, [3, 32, 32], 3, seed, &Device::flex()).unwrap()
}

/// Images of noise with masks of noise.
fn scenes(split: Split, count: usize, seed: u64) -> Subset {
    let mut draws = Draws::new(seed, "scenes", 0, 0);
    let mut byte = |below: u64| draws.below(below).to_le_bytes()[0];
    let images = (0..count * 3 * 1024).map(|_| byte(255)).collect();
    // 3 is the value of pixels without a class.
    let masks = (0..count * 1024).map(|_| byte(4)).collect();
    let masks = Masks::new(3, Some(3), masks).unwrap();
    let shape = ImageShape::new(3, 32, 32);
    Subset::all(&Dataset::segmentation("scenes", split, shape, images, masks).unwrap())
}

/// One epoch a phase, a student of one block and a teacher of two.
pub(crate) fn segmentation() -> Stagewise<UNet> {
    let device = Device::flex();
    let data = StagewiseData::new(scenes(Split::Train, 9, 1), scenes(Split::Test, 3, 2))
        .with_validation(scenes(Split::Validation, 3, 3));
    let mut training = segmentation_training();
    training.epochs = Some(1);
    training.batch_size = 4;
    let plain = Normalisation::identity(3);
    let teacher = FrozenTeacher::new(&unet(2, 2), plain.clone(), &device);
    Stagewise::new(&unet(1, 1), plain, data, training, &device).with_teacher(Box::new(teacher))
}
