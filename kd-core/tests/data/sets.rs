//! Data sets and their parts: what is checked, what stays the same, what is drawn.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;

use kd_core::{DataRoots, Dataset, DatasetInfo, Error, ImageShape, Split, Subset};
use proptest::prelude::*;

const PIXEL: ImageShape = ImageShape {
    channels: 1,
    height: 1,
    width: 1,
};

/// A data set of one pixel a sample with these labels.
fn toy(classes: usize, labels: &[u16]) -> Dataset {
    let images = (0..labels.len())
        .map(|i| u8::try_from(i % 256).unwrap())
        .collect();
    Dataset::new("toy", Split::Train, PIXEL, classes, images, labels.to_vec()).unwrap()
}

fn make(
    shape: ImageShape,
    classes: usize,
    bytes: usize,
    labels: &[u16],
) -> Result<Dataset, String> {
    Dataset::new(
        "toy",
        Split::Train,
        shape,
        classes,
        vec![0; bytes],
        labels.to_vec(),
    )
    .map_err(|error| error.to_string())
}

#[test]
fn what_does_not_fit_together_is_refused_in_words() {
    let square = ImageShape::new(1, 2, 2);
    let cases = [
        (
            make(square, 2, 9, &[0, 1]),
            "data set `toy`: images: expected 2 images of 1x2x2 = 4 bytes each, got 9 bytes; give one image \
             for each label",
        ),
        (
            make(square, 2, 8, &[0, 2]),
            "`data set `toy`: labels` must be below 2 (the number of classes), got 2 for sample 1",
        ),
        (
            make(square, 0, 4, &[0]),
            "`data set `toy`: classes` must be 1 to 65536, got 0",
        ),
        (
            make(square, 2, 0, &[]),
            "`data set `toy`: labels` must be 1 to 4294967295 samples, got 0",
        ),
        (
            make(ImageShape::new(1, 0, 2), 2, 0, &[0]),
            "`data set `toy`: shape` must have at least one pixel and fit into memory, got 1x0x2",
        ),
    ];
    for (outcome, text) in cases {
        assert_eq!(outcome.unwrap_err(), text);
    }
    assert!(make(ImageShape::new(usize::MAX, 2, 2), 2, 0, &[0]).is_err());
    let names = toy(2, &[0, 1]).with_class_names(["one"]).unwrap_err();
    assert_eq!(
        names.to_string(),
        "`data set `toy`: class names` must be 2 names, one a class, got 1"
    );
}

#[test]
fn the_hash_covers_shape_classes_images_and_labels_and_nothing_else() {
    let new = |name: &str, shape, classes, images: [u8; 4], labels: [u16; 2]| {
        Dataset::new(
            name,
            Split::Train,
            shape,
            classes,
            images.into(),
            labels.into(),
        )
        .unwrap()
    };
    let (wide, high) = (ImageShape::new(1, 1, 2), ImageShape::new(1, 2, 1));
    let first = new("a", wide, 2, [1, 2, 3, 4], [0, 1]);
    assert_eq!(
        first.hash(),
        new("b", wide, 2, [1, 2, 3, 4], [0, 1])
            .with_class_names(["x", "y"])
            .unwrap()
            .hash()
    );
    let others = [
        new("a", high, 2, [1, 2, 3, 4], [0, 1]),
        new("a", wide, 3, [1, 2, 3, 4], [0, 1]),
        new("a", wide, 2, [1, 2, 3, 5], [0, 1]),
        new("a", wide, 2, [1, 2, 3, 4], [1, 0]),
    ];
    let hashes: BTreeSet<_> = others
        .iter()
        .map(Dataset::hash)
        .chain([first.hash()])
        .collect();
    assert_eq!(hashes.len(), 5);
}

#[test]
fn the_shipped_set_is_whole_balanced_and_the_same_everywhere() {
    let info = DatasetInfo::find("fashion-mnist-mini").unwrap();
    // From hashlib.sha256 over struct.pack("<5Q", samples, 1, 28, 28, 10), the pixels, and the labels as
    // "<H".
    let known = [
        (
            Split::Train,
            5000,
            "fbe1e8d807063c48feaa0f89185ce07735eda4ee4687be618fe433494b88da48",
        ),
        (
            Split::Test,
            2000,
            "451b6c8ba629de5a29dccbd1c5a7d25c4b580cc8d9f2149e5ec6802756c3d3b0",
        ),
    ];
    for (split, samples, hash) in known {
        let data = info.load(split, &DataRoots::default()).unwrap();
        assert_eq!(
            (data.len(), data.split(), data.shape()),
            (samples, split, info.shape)
        );
        assert_eq!(Subset::all(&data).class_counts(), vec![samples / 10; 10]);
        assert_eq!(
            data.class_names().map(|names| names[9].as_str()),
            Some("ankle boot")
        );
        assert_eq!(data.hash(), hash);
    }
}

#[test]
fn a_subset_keeps_the_ids_of_the_whole() {
    let data = toy(2, &[0, 0, 1, 1, 0, 1]);
    let part = Subset::from_ids(&data, vec![5, 1, 3]).unwrap();
    assert_eq!(
        (part.ids(), part.class_counts()),
        (&[1, 3, 5][..], vec![1, 2])
    );
    let ones = part.per_class(1, 0).unwrap();
    assert!(ones.ids().iter().all(|id| part.ids().contains(id)));
    assert_ne!(part.hash(), Subset::all(&data).hash());
    assert_eq!(
        part.hash(),
        Subset::from_ids(&data, vec![3, 5, 1]).unwrap().hash()
    );
    assert!(Subset::from_ids(&data, Vec::new()).unwrap().is_empty());
}

#[test]
fn what_cannot_be_drawn_is_refused_in_words() {
    let all = Subset::all(&toy(2, &[0, 0, 0, 0, 1, 1]));
    let text = |outcome: Result<Subset, Error>| outcome.unwrap_err().to_string();
    assert_eq!(
        text(all.per_class(3, 0)),
        "`per_class` asks for 3 samples of each class, but class 1 of `toy` has 2 here; ask for fewer"
    );
    assert_eq!(
        text(all.per_class(0, 0)),
        "`per_class` must be at least 1 sample of each class, got 0"
    );
    for bad in [0.0, -0.1, 1.1, f64::NAN] {
        assert_eq!(
            text(all.fraction(bad, 0)),
            format!("`fraction` must be above 0 and at most 1, got {bad}")
        );
    }
    assert_eq!(
        text(all.fraction(0.2, 0)),
        "`fraction` of 0.2 leaves nothing of class 1, which has 2 samples"
    );
    for bad in [0.0, 1.0, f64::NAN] {
        let split = all.split(bad, 0).map(|(train, _)| train);
        assert_eq!(
            text(split),
            format!("`held_out` must be above 0 and below 1, got {bad}")
        );
    }
    let split = all.split(0.2, 0).map(|(train, _)| train);
    assert_eq!(
        text(split),
        "`held_out` of 0.2 puts 0 of the 2 samples of class 1 aside; each part needs one"
    );
    let data = toy(2, &[0, 1]);
    assert_eq!(
        text(Subset::from_ids(&data, vec![0, 2])),
        "`subset ids` must be below 2 (the number of samples), got 2"
    );
    assert_eq!(
        text(Subset::from_ids(&data, vec![1, 1])),
        "`subset ids` must each be given once, got 1 twice"
    );
}

fn contains(larger: &Subset, smaller: &Subset) -> bool {
    smaller
        .ids()
        .iter()
        .all(|id| larger.ids().binary_search(id).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn subsets_are_balanced_nested_sorted_and_functions_of_their_seed(
        labels in prop::collection::vec(0_u16..3, 1..60),
        seed: u64,
    ) {
        // Every class has at least six samples.
        let labels = [labels, [0, 1, 2].repeat(6)].concat();
        let all = Subset::all(&toy(3, &labels));
        let mut before: Option<Subset> = None;
        for count in 1..=6 {
            let part = all.per_class(count, seed).unwrap();
            prop_assert_eq!(part.class_counts(), vec![count; 3]);
            prop_assert!(part.ids().is_sorted_by(|a, b| a < b));
            let again = all.per_class(count, seed).unwrap();
            prop_assert_eq!(again.ids(), part.ids());
            prop_assert!(before.is_none_or(|before| contains(&part, &before)));
            before = Some(part);
        }
        let (third, half) = (all.fraction(0.3, seed).unwrap(), all.fraction(0.5, seed).unwrap());
        prop_assert!(contains(&half, &third));
        let whole = all.fraction(1.0, seed).unwrap();
        prop_assert_eq!(whole.ids(), all.ids());
        for (part, whole) in half.class_counts().into_iter().zip(all.class_counts()) {
            prop_assert!(part == whole / 2 || part == whole.div_ceil(2));
        }
    }

    #[test]
    fn a_split_is_stratified_and_leaves_nothing_out(seed: u64, held_out in 0.2_f64..0.8) {
        let all = Subset::all(&toy(4, &[0, 1, 2, 3].repeat(10)));
        let (train, held) = all.split(held_out, seed).unwrap();
        let mut both = [train.ids(), held.ids()].concat();
        both.sort_unstable();
        prop_assert_eq!(&both, all.ids());
        prop_assert!(held.class_counts().iter().all(|count| *count == held.class_counts()[0]));
        let again = all.split(held_out, seed).unwrap().0;
        prop_assert_eq!(train.ids(), again.ids());
    }
}

#[test]
fn another_seed_draws_others() {
    let all = Subset::all(&toy(2, &[0, 1].repeat(50)));
    assert_ne!(
        all.per_class(10, 1).unwrap().ids(),
        all.per_class(10, 2).unwrap().ids()
    );
}
