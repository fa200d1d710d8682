//! Distillation where each pixel has a class: every term against its own formula, stopped and gone on with,
//! and what is refused.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Augment, Dataset, Draws, FrozenTeacher, ImageShape, Masks, Method, Names, Normalisation,
    Result, Split, StagedNetwork, StepContext, Subset, Teacher, Training, ViewPolicy, export,
    import, testing,
};
use kd_losses::{CwdLossConfig, PairWiseAffinityLossConfig, PixelWiseLossConfig};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData};

use crate::support::folder;

const CLASSES: usize = 3;
const SIDE: usize = 6;
/// What pixels without a class have.
const VOID: u8 = 3;

/// Two convolutions of the images' size and one of single pixels.
#[derive(Module, Debug)]
struct Pixels {
    stem: Conv2d,
    body: Conv2d,
    head: Conv2d,
}

impl Pixels {
    fn new(width: usize, seed: u64) -> Self {
        let device = Device::flex();
        let conv = |channels| {
            let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new(channels, [3, 3])
                .with_padding(same)
                .init(&device)
        };
        let fresh = Self {
            stem: conv([1, width]),
            body: conv([width, width]),
            head: Conv2dConfig::new([width, CLASSES], [1, 1]).init(&device),
        };
        let mut tensors = export(&fresh, Names::PyTorch);
        for (index, data) in tensors.values_mut().enumerate() {
            let mut draws = Draws::new(seed, "pixels", index as u64, 0);
            let shape = data.shape().clone();
            let values: Vec<f64> = (0..shape.num_elements())
                .map(|_| 0.4 * draws.normal())
                .collect();
            *data = TensorData::new(values, shape).convert::<f32>();
        }
        import(&fresh, &tensors, Names::PyTorch, "initial weights").unwrap()
    }
}

impl StagedNetwork for Pixels {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<4>;
    type Output = Tensor<4>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into(), "body".into()]
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        vec![self.stage_names().swap_remove(stage)]
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        relu(match stage {
            0 => self.stem.forward(input.clone()),
            _ => self.body.forward(earlier[0].clone()),
        })
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<4> {
        maps[1].clone()
    }

    fn forward_head(&self, dense: Tensor<4>) -> Tensor<4> {
        self.head.forward(dense)
    }
}

/// Random images with a mask that follows their brightness, a column of each without class.
fn data(split: Split, samples: usize) -> Subset {
    let mut draws = Draws::new(7, "masks", u64::from(split == Split::Test), 0);
    let mut images = Vec::new();
    let mut masks = Vec::new();
    for at in 0..samples * SIDE * SIDE {
        let pixel = u8::try_from(draws.below(256)).unwrap();
        images.push(pixel);
        masks.push(if at % SIDE == 2 { VOID } else { pixel / 86 });
    }
    let masks = Masks::new(CLASSES, Some(VOID), masks).unwrap();
    let shape = ImageShape::new(1, SIDE, SIDE);
    Dataset::segmentation("bright", split, shape, images, masks)
        .unwrap()
        .into()
}

fn normalisation() -> Normalisation {
    Normalisation {
        mean: vec![0.5],
        std: vec![0.25],
    }
}

fn teacher(width: usize) -> Box<dyn Teacher> {
    Box::new(FrozenTeacher::new(
        &Pixels::new(width, 9),
        normalisation(),
        &Device::flex(),
    ))
}

fn training() -> Training {
    let mut training = Training::default();
    training.steps = Some(5);
    training.batch_size = 4;
    training.log_every = 1;
    training.lr = 0.05;
    training
}

fn method(losses: Vec<LossConfig>) -> Offline<Pixels> {
    let data = OfflineData {
        train: data(Split::Train, 12),
        held_out: data(Split::Test, 4),
        views: ViewPolicy::default(),
        augment: Augment::none(),
    };
    Offline::new(
        &Pixels::new(4, 1),
        normalisation(),
        data,
        training(),
        &Device::flex(),
    )
    .with_teachers(vec![teacher(4)], Ensemble::default())
    .with_losses(losses)
    .with_seed(2)
}

fn loss(kind: &str, tap: &str) -> LossConfig {
    LossConfig::of(kind).unwrap().at(&[tap], &[tap])
}

fn all() -> Vec<LossConfig> {
    vec![
        LossConfig::cross_entropy(1.0),
        loss("pixel-wise", "logits").with_weight(0.5),
        loss("cwd", "logits").with_weight(0.3),
        loss("pair-wise-affinity", "body").with_weight(2.0),
        loss("hint", "stem").with_weight(0.7),
        loss("attention-transfer", "dense").with_weight(10.0),
    ]
}

fn first_step(method: &Offline<Pixels>) -> Vec<(String, f64)> {
    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    let at = StepContext {
        step: 0,
        epoch: 0,
        step_in_epoch: 0,
        lr: 0.05,
        momentum: None,
    };
    let read = |(name, value): (String, Tensor<1>)| (name, f64::from(value.into_scalar::<f32>()));
    phase.step(at).unwrap().into_iter().map(read).collect()
}

/// The student and the teacher on the images of the first batch, and the masks.
fn shown(method: &Offline<Pixels>) -> ([Vec<Tensor<4>>; 2], Tensor<3, Int>) {
    let device = Device::flex();
    let config = kd_core::LoaderConfig {
        seed: 2,
        ..kd_core::LoaderConfig::new(4)
    };
    let loader = kd_core::Loader::new(data(Split::Train, 12), config, &device).unwrap();
    let batch = loader.batch(0, 0).unwrap();
    let images = (batch.pixels().unwrap() - 0.5) / 0.25;
    let maps = |network: &Pixels| {
        let trace = network.forward_traced(&images);
        [trace.maps, vec![trace.dense, trace.output]].concat()
    };
    assert_eq!(method.teachers().len(), 1);
    (
        [maps(&Pixels::new(4, 1)), maps(&Pixels::new(4, 9))],
        batch.masks.unwrap(),
    )
}

#[test]
fn every_term_is_its_formula_on_the_maps_and_logits_of_the_batch() {
    let method = method(all());
    let found = first_step(&method);
    let ([ours, theirs], masks) = shown(&method);
    let [stem, body, dense, logits] = [0, 1, 2, 3].map(|at| [ours[at].clone(), theirs[at].clone()]);
    let number =
        |value: kd_losses::Result<Tensor<1>>| f64::from(value.unwrap().into_scalar::<f32>());
    let [pixel_wise, cwd] = [
        {
            let [ours, theirs] = logits.clone();
            number(
                PixelWiseLossConfig::new()
                    .init()
                    .unwrap()
                    .forward(ours, theirs),
            )
        },
        {
            let [ours, theirs] = logits.clone();
            number(CwdLossConfig::new().init().unwrap().forward(ours, theirs))
        },
    ];
    let [ours, theirs] = body;
    let affinity = PairWiseAffinityLossConfig::new().init().unwrap();
    let affinity = number(affinity.forward(ours, theirs));
    let [ours, theirs] = stem;
    let hint = number(kd_losses::hint(ours, theirs));
    let [ours, theirs] = dense;
    let attention = kd_losses::AttentionTransferLossConfig::new()
        .init()
        .unwrap();
    let attention = number(attention.forward(ours, theirs));
    let [ours, _] = logits;
    let void = Some(i64::from(VOID));
    let cross_entropy = number(kd_losses::pixel_cross_entropy(ours, masks, void));
    let total = cross_entropy
        + 0.5 * pixel_wise
        + 0.3 * cwd
        + 2.0 * affinity
        + 0.7 * hint
        + 10.0 * attention;
    let expected = [
        ("cross_entropy", cross_entropy),
        ("pixel_wise", pixel_wise),
        ("cwd", cwd),
        ("pair_wise_affinity", affinity),
        ("hint_stem", hint),
        ("attention_transfer", attention),
        ("total", total),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((name, found), (wanted, expected)) in found.iter().zip(expected) {
        assert_eq!(name, wanted);
        assert!(expected > 0.0, "{name}: a loss of 0 shows nothing");
        assert!(
            (found - expected).abs() <= 1e-5 * expected,
            "{name}: {found}, {expected}"
        );
    }
}

#[test]
fn a_run_that_is_stopped_at_every_step_ends_as_an_undisturbed_one() {
    testing::stopped_at_every_step(|| method(all())).unwrap();
}

#[test]
fn masks_are_measured_by_their_intersections_and_the_student_learns() {
    let (guard, _) = folder();
    let outcomes = testing::run(&method(all()), &guard.path().join("run")).unwrap();
    let last = &outcomes[0].last;
    let names: Vec<&str> = last.keys().map(String::as_str).collect();
    assert_eq!(names, ["mean_iou", "miou_compat", "pixel_accuracy"]);
    assert!(outcomes[0].best.is_some());
    assert!(
        last["pixel_accuracy"] > 0.0 && last["pixel_accuracy"] < 1.0,
        "{last:?}"
    );
}

#[test]
fn kept_answers_give_the_run_without_them() -> Result<()> {
    let (guard, _) = folder();
    let place = |name: &str| guard.path().join(name);
    testing::run(&method(all()), &place("plain"))?;
    let cached = method(all()).with_cache(kd_core::CacheConfig::dir(place("caches")));
    testing::run(&cached, &place("cached"))?;
    testing::same_run(&place("plain"), &place("cached"))?;
    assert_eq!(std::fs::read_dir(place("caches")).unwrap().count(), 1);
    Ok(())
}

#[test]
fn a_regressor_stands_between_maps_of_other_widths() {
    let narrow = method(vec![loss("hint", "body")]);
    let wide = narrow.with_teachers(vec![teacher(7)], Ensemble::default());
    assert_eq!(wide.extra_parameters().unwrap(), 4 * 7 + 7);
}

#[test]
fn what_needs_a_class_of_each_image_is_refused() {
    let refused = |losses: Vec<LossConfig>, change: fn(&mut Training)| {
        let mut training = training();
        change(&mut training);
        let data = OfflineData {
            train: data(Split::Train, 12),
            held_out: data(Split::Test, 4),
            views: ViewPolicy::default(),
            augment: Augment::none(),
        };
        let student = Pixels::new(4, 1);
        let method = Offline::new(&student, normalisation(), data, training, &Device::flex())
            .with_teachers(vec![teacher(4)], Ensemble::default())
            .with_losses(losses);
        method.check().unwrap_err().to_string()
    };
    let none = |_: &mut Training| {};
    for (losses, change, expected) in [
        (
            vec![LossConfig::kd(1.0, 4.0)],
            none as fn(&mut Training),
            "`kd` needs a label or an output for each image",
        ),
        (vec![loss("srrl", "body")], none, "`srrl` needs a label"),
        (
            vec![LossConfig::smoothed_cross_entropy(1.0, 0.1)],
            none,
            "losses.0.label_smoothing",
        ),
        (
            vec![LossConfig::cross_entropy(1.0)],
            |training| training.balanced = true,
            "train.balanced",
        ),
        (
            vec![LossConfig::cross_entropy(1.0)],
            |training| {
                training.class_weights = Some(kd_core::ClassWeights::Given(vec![1.0, 2.0, 3.0]));
            },
            "train.class_weights",
        ),
        (vec![loss("hint", "logit")], none, "logits"),
    ] {
        let error = refused(losses, change);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
