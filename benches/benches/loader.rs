//! One batch of the loader: 128 images, plain and augmented, resident on the device and streamed to it.
//!
//! Ids are `loader/SHAPE/VIEWS/WHERE`. Batches are asked for one after the other, as training does, so that a
//! streamed loader prepares the next ones meanwhile on its two threads.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::time::Duration;

use burn::tensor::Device;
use criterion::{Criterion, Throughput};
use kd_benches::noise_images;
use kd_core::{Augment, ImageShape, Loader, LoaderConfig, ViewPolicy};

const BATCH_SIZE: usize = 128;
const BATCHES: usize = 40;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let device = Device::flex();
    let crop_flip = Augment {
        crop_padding: 4,
        flip: 0.5,
        ..Augment::none()
    };
    let all = Augment {
        rotate_degrees: 10.0,
        translate_pixels: 2.0,
        ..crop_flip.clone()
    };
    let views = [
        ("plain", ViewPolicy::Fixed, Augment::none()),
        ("crop_flip", ViewPolicy::Unlimited, crop_flip),
        ("all", ViewPolicy::Unlimited, all),
    ];
    let mut group = criterion.benchmark_group("loader");
    group.throughput(Throughput::Elements(BATCH_SIZE as u64));
    for shape in [ImageShape::new(1, 28, 28), ImageShape::new(3, 32, 32)] {
        let data = noise_images(shape, 10, BATCH_SIZE * BATCHES, 0).unwrap();
        for (name, policy, augment) in &views {
            for (place, budget) in [("resident", 1 << 30), ("streamed", 0)] {
                let config = LoaderConfig {
                    views: *policy,
                    augment: augment.clone(),
                    resident_budget_bytes: budget,
                    ..LoaderConfig::new(BATCH_SIZE)
                };
                let loader = Loader::new(&data, config, &device).unwrap();
                assert_eq!(loader.is_resident(), budget > 0);
                let mut step = 0;
                group.bench_function(format!("{shape}/{name}/{place}"), |bencher| {
                    bencher.iter(|| {
                        let batch = loader.batch(step / BATCHES, step % BATCHES).unwrap();
                        device.sync().unwrap();
                        step += 1;
                        batch
                    });
                });
            }
        }
    }
    group.finish();
    criterion.final_summary();
}
