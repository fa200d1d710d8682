//! Texts: data sets of token ids, how parts are drawn, what the loader gives, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Augment, Batch, DataFiles, DataRoots, DataSource, Dataset, Draws, ErrorKind, ImageShape,
    Loader, LoaderConfig, Normalisation, Preprocessing, SampleKind, Split, Subset, Task,
    TokenizerFile, Tokens, ViewPolicy,
};
use std::sync::Arc;

const VOCABULARY: usize = 300;
const LENGTH: usize = 5;

fn drawn(samples: usize) -> Dataset {
    let mut draws = Draws::new(3, "test texts", 0, 0);
    let ids =
        (0..samples * LENGTH).map(|_| u16::try_from(draws.bits() % VOCABULARY as u64).unwrap());
    let tokens = Tokens::new(VOCABULARY, LENGTH, ids.collect()).unwrap();
    let labels = (0..samples)
        .map(|id| u16::try_from(id % 3).unwrap())
        .collect();
    Dataset::texts("reviews", Split::Train, 3, tokens, labels).unwrap()
}

/// The ids of the samples, and their tokens.
fn plain(batch: Batch) -> (Vec<u32>, Vec<i64>) {
    let tokens = batch.samples.tokens().unwrap();
    assert_eq!(tokens.dims(), [batch.ids.len(), LENGTH]);
    (
        batch.ids.clone(),
        tokens.clone().into_data().iter().collect(),
    )
}

#[test]
fn a_data_set_knows_the_tokens_of_each_text() {
    let data = drawn(7);
    assert_eq!(
        (data.len(), data.classes(), data.kind()),
        (7, 3, SampleKind::Texts)
    );
    assert_eq!(data.task(), Task::Classification);
    assert_eq!(data.shape(), ImageShape::new(VOCABULARY, 1, LENGTH));
    let tokens = data.tokens().unwrap();
    assert_eq!(data.text(2).unwrap(), &tokens.ids()[10..15]);
    assert_eq!(
        (data.text(7), data.image(0), data.label(4)),
        (None, None, Some(1))
    );
    assert!(data.images().is_empty() && data.masks().is_none());
    let named = data.clone().with_class_names(["a", "b", "c"]).unwrap();
    assert_eq!(named.tokens(), data.tokens());
    assert!(named.is_same(&data));
    assert!(format!("{data:?}").contains("Texts"));
    let counts = Subset::all(&data).per_class(2, 1).unwrap().class_counts();
    assert_eq!(counts, [2, 2, 2]);
}

#[test]
fn the_hash_is_of_every_id_and_of_the_vocabulary() {
    let made = |vocabulary, ids: &[u16]| {
        let tokens = Tokens::new(vocabulary, 2, ids.to_vec()).unwrap();
        let data = Dataset::texts("a", Split::Train, 2, tokens, vec![0, 1]).unwrap();
        data.hash().to_owned()
    };
    let hash = made(9, &[1, 2, 3, 4]);
    assert_eq!(hash, made(9, &[1, 2, 3, 4]));
    assert_ne!(hash, made(9, &[1, 2, 3, 5]));
    assert_ne!(hash, made(10, &[1, 2, 3, 4]));
    assert_ne!(made(9, &[1, 2, 3, 4]), made(9, &[1, 3, 2, 4]));
}

#[test]
fn batches_are_the_texts_whether_they_fit_on_the_device_or_not() {
    let data = drawn(11);
    let fitting = LoaderConfig {
        seed: 4,
        ..LoaderConfig::new(4)
    };
    let streamed = LoaderConfig {
        resident_budget_bytes: 0,
        ..fitting.clone()
    };
    let all = [fitting.clone(), streamed].map(|config| {
        let loader = Loader::new(data.clone(), config, &Device::flex()).unwrap();
        let batches = loader.epoch(1).map(|batch| plain(batch.unwrap()));
        (loader.is_resident(), batches.collect::<Vec<_>>())
    });
    assert_eq!((all[0].0, all[1].0), (true, false));
    assert_eq!(all[0].1, all[1].1);
    for (ids, tokens) in &all[0].1 {
        for (id, tokens) in ids.iter().zip(tokens.chunks(LENGTH)) {
            let own: Vec<i64> = data
                .text(*id)
                .unwrap()
                .iter()
                .copied()
                .map(i64::from)
                .collect();
            assert_eq!(tokens, own);
        }
    }
    let loader = Loader::new(data, fitting, &Device::flex()).unwrap();
    assert_eq!(plain(loader.batch(1, 2).unwrap()), all[0].1[2]);
    let (ids, _) = plain(loader.view(0, &[5, 1]).unwrap());
    assert_eq!(ids, [5, 1]);
    let input: Tensor<2, Int> = Preprocessing::Tokens
        .input(&loader.view(0, &[1]).unwrap())
        .unwrap();
    assert_eq!(input.dims(), [1, LENGTH]);
    // Four bytes an id.
    let budget = |bytes| {
        let config = LoaderConfig {
            resident_budget_bytes: bytes,
            ..LoaderConfig::new(4)
        };
        Loader::new(drawn(11), config, &Device::flex())
            .unwrap()
            .is_resident()
    };
    assert!(budget(4 * 5 * 11) && !budget(4 * 5 * 11 - 1));
}

#[test]
fn views_of_texts_are_refused_in_words() {
    for views in [ViewPolicy::Unlimited, ViewPolicy::Bank(2)] {
        let config = LoaderConfig {
            views,
            augment: Augment {
                flip: 0.5,
                ..Augment::none()
            },
            ..LoaderConfig::new(2)
        };
        let error = Loader::new(drawn(4), config, &Device::flex()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("must be 1 for texts"), "{error}");
    }
    let error = Normalisation::of(&drawn(4)).unwrap_err().to_string();
    assert_eq!(
        error,
        "`normalisation` is for images, and `reviews` has texts"
    );
}

#[test]
fn tokens_that_do_not_fit_are_refused_in_words() {
    let text = |vocabulary, length, ids: &[u16]| {
        Tokens::new(vocabulary, length, ids.to_vec())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text(0, 2, &[]),
        "`tokens: vocabulary` must be 1 to 65536 ids, got 0"
    );
    assert_eq!(
        text(9, 0, &[]),
        "`tokens: length` must be at least 1, got 0"
    );
    assert!(text(9, 2, &[1, 2, 3]).contains("expected texts of 2 ids each, got 3 ids"));
    assert_eq!(
        text(9, 2, &[1, 2, 3, 9]),
        "`tokens` must be below 9 (the size of the vocabulary), got 9 at place 1 of text 1"
    );
    let made = |labels: &[u16]| {
        let tokens = Tokens::new(9, 2, vec![1, 2, 3, 4]).unwrap();
        let made = Dataset::texts("a", Split::Train, 2, tokens, labels.to_vec());
        made.unwrap_err().to_string()
    };
    assert!(made(&[0]).contains("expected 1 texts, got 2"));
    assert!(made(&[0, 2]).contains("must be below 2 (the number of classes), got 2 for sample 1"));
    assert!(made(&[]).contains("must be 1 to"));
}

#[test]
fn stand_ins_have_the_shape_of_texts() {
    let device = Device::flex();
    let shape = [VOCABULARY, 1, LENGTH];
    let blank = Batch::blank(SampleKind::Texts, shape, 3, &device);
    assert_eq!(
        blank
            .samples
            .tokens()
            .unwrap()
            .clone()
            .sum()
            .into_scalar::<i64>(),
        0
    );
    let drawn = Batch::drawn(SampleKind::Texts, shape, 40, &device);
    let tokens = drawn.samples.tokens().unwrap().clone();
    assert_eq!(tokens.dims(), [40, LENGTH]);
    let (least, most) = (tokens.clone().min(), tokens.max());
    assert!(least.into_scalar::<i64>() >= 0);
    let most = most.into_scalar::<i64>();
    assert!(most < 300 && most > 200, "{most}");
    let images = Batch::blank(SampleKind::Images, [1, 2, 2], 3, &device);
    assert_eq!(images.pixels().unwrap().dims(), [3, 1, 2, 2]);
}

/// Files of another crate.
#[derive(Debug)]
struct Own {
    data: Dataset,
    names: Vec<String>,
}

impl DataFiles for Own {
    fn name(&self) -> &'static str {
        "own"
    }

    fn kind(&self) -> SampleKind {
        self.data.kind()
    }

    fn shape(&self) -> ImageShape {
        self.data.shape()
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn samples(&self, split: Split) -> Option<usize> {
        (split == Split::Train).then_some(self.data.len())
    }

    fn load(&self, _split: Split) -> kd_core::Result<Dataset> {
        Ok(self.data.clone())
    }

    fn preprocessing(&self) -> Preprocessing {
        Preprocessing::Text(TokenizerFile::new("{}"))
    }
}

#[test]
fn files_of_another_crate_are_a_source() {
    let own = Own {
        data: drawn(4),
        names: ["a", "b", "c"].map(str::to_owned).to_vec(),
    };
    let source = DataSource::Files(Arc::new(own));
    assert_eq!(
        (source.name(), source.classes(), source.kind()),
        ("own", 3, SampleKind::Texts)
    );
    assert!(source.has(Split::Train) && !source.has(Split::Test));
    let train = source.load(Split::Train, &DataRoots::default()).unwrap();
    let preprocessing = source.preprocessing(&train).unwrap();
    assert_eq!(preprocessing.tokenizer().unwrap().json(), Some("{}"));
    assert_eq!(preprocessing.kind(), SampleKind::Texts);
    let hash = preprocessing.tokenizer().unwrap().sha256();
    let written = serde_json::to_string(&preprocessing).unwrap();
    assert_eq!(
        written,
        format!("{{\"text\":{{\"tokenizer_sha256\":\"{hash}\"}}}}")
    );
    let read: Preprocessing = serde_json::from_str(&written).unwrap();
    assert_eq!(read, preprocessing);
}
