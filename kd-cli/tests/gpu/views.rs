//! Batches: kept on the device and streamed, views, token ids, masks.

use burn::tensor::Device;
use kd_core::{
    Augment, Batch, Dataset, Draws, ImageShape, Loader, LoaderConfig, Samples, Split, Tensors,
    Tokens, ViewPolicy,
};

use crate::compared::Compared;
use crate::devices::{cpu, gpu};

const SAMPLES: usize = 23;

fn bytes(count: usize) -> Vec<u8> {
    let mut draws = Draws::new(1, "test pixels", 0, 0);
    (0..count).map(|_| draws.bits().to_le_bytes()[0]).collect()
}

fn labels() -> Vec<u16> {
    (0..3).cycle().take(SAMPLES).collect()
}

fn images() -> Dataset {
    let shape = ImageShape::new(3, 12, 9);
    let pixels = bytes(SAMPLES * shape.bytes());
    Dataset::new("noise", Split::Train, shape, 3, pixels, labels()).unwrap()
}

fn texts() -> Dataset {
    let ids = bytes(SAMPLES * 7).into_iter().map(u16::from).collect();
    let tokens = Tokens::new(300, 7, ids).unwrap();
    Dataset::texts("reviews", Split::Train, 3, tokens, labels()).unwrap()
}

/// Two epochs of batches of 8 in a drawn order.
fn batches(data: &Dataset, augment: &Augment, resident: bool, device: &Device) -> Vec<Batch> {
    let views = if augment.is_none() {
        ViewPolicy::Fixed
    } else {
        ViewPolicy::Unlimited
    };
    let config = LoaderConfig {
        seed: 11,
        views,
        augment: augment.clone(),
        resident_budget_bytes: if resident { u64::MAX } else { 0 },
        threads: 2,
        ..LoaderConfig::new(8)
    };
    let loader = Loader::new(data, config, device).unwrap();
    assert_eq!(loader.is_resident(), resident);
    let epochs = (0..2).flat_map(|epoch| loader.epoch(epoch));
    epochs.map(Result::unwrap).collect()
}

/// What a batch holds; whole numbers are to be the same.
fn held(batch: Batch) -> (Vec<u32>, Vec<i64>, Tensors) {
    let targets = batch.targets.into_data().iter().collect();
    let samples = match batch.samples {
        Samples::Images(pixels) => pixels.into_data(),
        Samples::Tokens(tokens) => tokens.into_data(),
        other => panic!("{other:?}"),
    };
    let samples = Tensors::from([("samples".to_owned(), samples)]);
    (batch.ids, targets, samples)
}

fn compare(compared: &mut Compared, data: &Dataset, what: &str, augment: &Augment) {
    let expected = batches(data, augment, true, &cpu());
    for resident in [true, false] {
        let name = format!("{what}, resident {resident}");
        compared.part(&name, |compared| {
            let found = batches(data, augment, resident, &gpu());
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(&expected) {
                let (found, expected) = (held(found), held(expected.clone()));
                assert_eq!((&found.0, &found.1), (&expected.0, &expected.1));
                compared.tensors(&name, &found.2, &expected.2);
            }
        });
    }
}

#[test]
fn batches_are_those_of_the_cpu_on_the_device_and_streamed() {
    let none = Augment::none();
    let moved = Augment {
        crop_padding: 2,
        flip: 0.5,
        ..Augment::none()
    };
    let turned = Augment {
        rotate_degrees: 25.0,
        translate_pixels: 1.5,
        ..moved.clone()
    };
    // A division by 255 may be off by the last bit.
    let mut whole = Compared::new("pixels and token ids", 2e-7);
    compare(&mut whole, &images(), "as they are", &none);
    compare(&mut whole, &images(), "cropped and flipped", &moved);
    compare(&mut whole, &texts(), "texts", &none);
    whole.end();
    let mut sampled = Compared::new("pixels turned and shifted", 1e-4);
    compare(&mut sampled, &images(), "turned and shifted", &turned);
    sampled.end();
}
