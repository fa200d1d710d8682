//! Data sets with masks: what they hold, how parts are drawn, what the loader gives, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::{Device, Tensor};
use kd_core::{
    Augment, Batch, Dataset, Draws, ErrorKind, ImageShape, Loader, LoaderConfig, Masks, Split,
    Subset, Task, ViewPolicy, evaluate, evaluate_segmentation,
};

const SHAPE: ImageShape = ImageShape {
    channels: 2,
    height: 4,
    width: 3,
};
const PIXELS: usize = 12;

fn noise(samples: usize) -> Dataset {
    let mut draws = Draws::new(5, "test masks", 0, 0);
    let mut byte = || draws.bits().to_le_bytes()[0];
    let images = (0..samples * SHAPE.bytes()).map(|_| byte()).collect();
    let values = (0..samples * PIXELS).map(|_| byte() % 4).collect();
    let masks = Masks::new(3, Some(3), values).unwrap();
    Dataset::segmentation("streets", Split::Train, SHAPE, images, masks).unwrap()
}

/// The ids, and the masks as bytes.
fn plain(batch: Batch) -> (Vec<u32>, Vec<u8>) {
    let masks = batch.masks.unwrap();
    assert_eq!(masks.dims(), [batch.ids.len(), SHAPE.height, SHAPE.width]);
    let masks = masks.into_data().convert::<u8>();
    (batch.ids, masks.try_to_vec::<u8>().unwrap())
}

#[test]
fn a_data_set_knows_the_mask_of_each_image() {
    let data = noise(5);
    assert_eq!((data.len(), data.classes()), (5, 3));
    assert_eq!(data.task(), Task::Segmentation);
    assert_eq!(data.labels(), [0; 5]);
    let masks = data.masks().unwrap();
    assert_eq!((masks.classes(), masks.void()), (3, Some(3)));
    assert_eq!(data.mask(2).unwrap(), &masks.values()[24..36]);
    assert_eq!(data.mask(5), None);
    let counts = masks.pixel_counts();
    let void: usize = masks
        .values()
        .iter()
        .map(|value| usize::from(*value == 3))
        .sum();
    assert_eq!(counts.len(), 3);
    assert_eq!(counts.iter().sum::<u64>(), (5 * PIXELS - void) as u64);
    let named = data.clone().with_class_names(["a", "b", "c"]).unwrap();
    assert_eq!(named.masks(), data.masks());
    assert!(format!("{data:?}").contains("Segmentation"));
}

#[test]
fn masks_that_do_not_fit_are_refused_in_words() {
    let text = |classes, void, values: &[u8]| {
        let error = Masks::new(classes, void, values.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        error.to_string()
    };
    assert_eq!(
        text(0, None, &[]),
        "`masks: classes` must be 1 to 256, got 0"
    );
    assert_eq!(
        text(3, Some(2), &[]),
        "`masks: void` must be no class, got 2; classes are 0 to 2"
    );
    assert_eq!(
        text(3, Some(9), &[0, 1, 9, 3]),
        "`masks` must be 0 to 2 or 9 (no class), got 3 for pixel 3 of all"
    );
    assert_eq!(
        text(3, None, &[9]),
        "`masks` must be 0 to 2, got 9 for pixel 0 of all"
    );
    let made = |images: usize, values: usize| {
        let masks = Masks::new(3, None, vec![0; values]).unwrap();
        Dataset::segmentation("streets", Split::Test, SHAPE, vec![0; images], masks)
    };
    assert_eq!(
        made(48, 12).unwrap_err().to_string(),
        "data set `streets`: masks: expected 2 masks of 4x3 pixels, got 12 pixels; give one mask for each \
         image, of its \
         height and width"
    );
    let error = made(25, 12).unwrap_err().to_string();
    assert!(error.contains("images"), "{error}");
    assert!(made(0, 0).is_err());
}

#[test]
fn masks_enter_the_hash() {
    let with = |void, first| {
        let mut values = vec![0; PIXELS];
        values[0] = first;
        let masks = Masks::new(3, void, values).unwrap();
        let data = Dataset::segmentation("a", Split::Train, SHAPE, vec![0; SHAPE.bytes()], masks);
        data.unwrap().hash().to_owned()
    };
    let labels = Dataset::new("a", Split::Train, SHAPE, 3, vec![0; SHAPE.bytes()], vec![0]);
    let hashes = [
        with(None, 0),
        with(None, 1),
        with(Some(3), 0),
        with(Some(4), 0),
        labels.unwrap().hash().to_owned(),
    ];
    for (at, hash) in hashes.iter().enumerate() {
        assert!(!hashes[..at].contains(hash), "{at}");
    }
    assert_eq!(with(None, 1), hashes[1]);
}

#[test]
fn parts_are_drawn_without_regard_to_classes() {
    let data = noise(367);
    let all = Subset::all(&data);
    assert_eq!(all.class_counts(), [367]);
    let lengths = [0.1, 0.2, 0.3, 0.4].map(|part| all.fraction(part, 1).unwrap().len());
    assert_eq!(lengths, [37, 73, 110, 147]);
    let tenth = all.per_class(36, 1).unwrap();
    assert_eq!(tenth.len(), 36);
    let more = all.fraction(0.1, 1).unwrap();
    assert!(tenth.ids().iter().all(|id| more.ids().contains(id)));
    let (train, held_out) = all.split(0.25, 3).unwrap();
    assert_eq!((train.len(), held_out.len()), (275, 92));
    let error = all.per_class(368, 1).unwrap_err().to_string();
    assert!(error.contains("368"), "{error}");
}

#[test]
fn a_batch_has_the_masks_of_its_images_wherever_the_data_lies() {
    let data = noise(11);
    let part = Subset::from_ids(&data, vec![1, 2, 4, 6, 7, 9, 10]).unwrap();
    // Two bytes a pixel in the image, one in the mask.
    let whole = (7 * (SHAPE.bytes() + PIXELS)) as u64;
    let loader = |resident_budget_bytes, threads| {
        let config = LoaderConfig {
            seed: 3,
            threads,
            resident_budget_bytes,
            ..LoaderConfig::new(3)
        };
        Loader::new(part.clone(), config, &Device::flex()).unwrap()
    };
    let resident = loader(whole, 0);
    assert!(resident.is_resident());
    let expected: Vec<_> = resident
        .epoch(1)
        .map(|batch| plain(batch.unwrap()))
        .collect();
    for (ids, masks) in &expected {
        let all: Vec<&[u8]> = ids.iter().map(|id| data.mask(*id).unwrap()).collect();
        assert_eq!(masks, &all.concat());
    }
    assert_eq!(expected.iter().map(|(ids, _)| ids.len()).sum::<usize>(), 7);
    for threads in [0, 2] {
        let streamed = loader(whole - 1, threads);
        assert!(!streamed.is_resident());
        let batches: Vec<_> = streamed
            .epoch(1)
            .map(|batch| plain(batch.unwrap()))
            .collect();
        assert_eq!(batches, expected);
        assert_eq!(plain(streamed.batch(1, 2).unwrap()), expected[2]);
        let view = streamed.view(0, &[9, 1]).unwrap();
        let both = [data.mask(9).unwrap(), data.mask(1).unwrap()].concat();
        assert_eq!(plain(view), (vec![9, 1], both));
    }
}

#[test]
fn a_set_of_labels_has_no_masks() {
    let data = Dataset::new("a", Split::Train, SHAPE, 3, vec![0; SHAPE.bytes()], vec![2]);
    let data = data.unwrap();
    assert_eq!(data.task(), Task::Classification);
    assert!(data.masks().is_none() && data.mask(0).is_none());
    data.check_labelled().unwrap();
    let loader = Loader::new(&data, LoaderConfig::ordered(1), &Device::flex()).unwrap();
    assert!(loader.batch(0, 0).unwrap().masks.is_none());
    let error = evaluate_segmentation(&loader, Batch::pixels).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`data` must have a mask for each image, `a` has a class for each; use `evaluate`"
    );
}

#[test]
fn what_masks_cannot_be_used_for_is_said() {
    let data = noise(4);
    let config = LoaderConfig {
        views: ViewPolicy::Unlimited,
        augment: Augment {
            flip: 0.5,
            ..Augment::none()
        },
        ..LoaderConfig::new(2)
    };
    let error = Loader::new(&data, config, &Device::flex()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`augment` cannot be used with masks, which would have to be moved with the images, and `streets` \
         has masks; remove \
         it"
    );
    let loader = Loader::new(&data, LoaderConfig::ordered(2), &Device::flex()).unwrap();
    let error = evaluate(&loader, None, |batch| {
        Ok(Tensor::zeros([batch.len(), 3], &Device::flex()))
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "`data` must have a class for each image, `streets` has a mask for each; use a method that learns \
         masks"
    );
}
