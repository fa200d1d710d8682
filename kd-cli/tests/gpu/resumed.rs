//! Runs stopped and gone on with: the same as undisturbed ones.

use kd_benches::{PAIRS, Setup, noise_images};
use kd_core::testing::stopped_at_every_step;
use kd_core::{Augment, ImageShape, ViewPolicy};

use crate::devices::gpu;

/// Two epochs of two steps of a small student, with views.
fn setup() -> Setup {
    let pair = PAIRS[0];
    let mut setup = pair.setup(16, &gpu()).unwrap();
    let [channels, height, width] = pair.input;
    let shape = ImageShape::new(channels, height, width);
    setup.data.train = noise_images(shape, 10, 32, 0).unwrap().into();
    setup.data.views = ViewPolicy::Unlimited;
    setup.data.augment = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    setup.training.epochs = Some(2);
    setup
}

#[test]
fn stopped_at_every_step_is_not_stopped() {
    let setup = setup();
    stopped_at_every_step(|| setup.method()).unwrap();
}
