//! Classes that output a class for each pixel: the step, the class, runs, missing students.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::testing::{run, same_run, stopped_at_every_step};
use kd_core::{
    Batch, Dataset, Draws, EpochLog, FrozenTeacher, ImageShape, Loader, LoaderConfig, Masks,
    Method, NamedGradients, Normalisation, OptimizerConfig, RunFolder, Scheme, SegmentationMetrics,
    Snapshot, Split, StagedNetwork, StepContext, Subset, Teacher, Tensors, Trained, initialise,
    read_tensors,
};
use kd_models::{SkdResNetConfig, UNet, UNetConfig};
use kd_teacherclass::{
    Chunk, ChunkLoss, ChunkOutput, Class, ClassHead, DenseStatistics, HEAD_PHASE, NewStudent,
    RefittedHeads, SplitKind, TeacherClass, TeacherClassConfig, TeacherHead, chunk_mse,
    segmentation_training,
};

use crate::support::{self, Tiny};

/// The channels of the teacher's last map.
const FEATURES: usize = 5;
const CLASSES: usize = 3;
/// The value of pixels without a class.
const VOID: u8 = 7;
const SIDE: usize = 6;

/// A network of the tests' own: a 3x3 convolution with a ReLU, and a convolution of each pixel.
#[derive(Module, Debug)]
struct Pixels {
    body: Conv2d,
    head: Conv2d,
}

fn conv(channels: [usize; 2], side: usize) -> Conv2d {
    let padding = side / 2;
    Conv2dConfig::new(channels, [side, side])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .init(&Device::flex())
}

impl Pixels {
    fn new(width: usize, classes: usize, head: usize, seed: u64) -> Self {
        let blank = Self {
            body: conv([1, width], 3),
            head: conv([width, classes], head),
        };
        initialise(&blank, Scheme::PyTorch, seed).unwrap()
    }
}

impl StagedNetwork for Pixels {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<4>;
    type Output = Tensor<4>;

    fn stage_names(&self) -> Vec<String> {
        vec!["body".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
        relu(self.body.forward(input.clone()))
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<4> {
        maps[0].clone()
    }

    fn forward_head(&self, dense: Tensor<4>) -> Tensor<4> {
        self.head.forward(dense)
    }
}

/// Images of noise, with the brighter half of a pixel's bytes as its class, some of them without one.
fn scenes(split: Split, count: usize, seed: u64) -> Subset {
    let mut draws = Draws::new(seed, "scenes", 0, 0);
    let pixels: Vec<u8> = (0..count * SIDE * SIDE)
        .map(|_| draws.below(255).to_le_bytes()[0])
        .collect();
    let class = |pixel: &u8| if *pixel > 200 { VOID } else { *pixel / 70 };
    let masks = Masks::new(CLASSES, Some(VOID), pixels.iter().map(class).collect()).unwrap();
    let shape = ImageShape::new(1, SIDE, SIDE);
    Subset::all(&Dataset::segmentation("scenes", split, shape, pixels, masks).unwrap())
}

fn data() -> [Subset; 2] {
    [scenes(Split::Train, 9, 1), scenes(Split::Test, 4, 2)]
}

fn teacher() -> Pixels {
    Pixels::new(FEATURES, CLASSES, 1, 5)
}

fn frozen(network: &Pixels) -> FrozenTeacher<Pixels> {
    FrozenTeacher::new(network, Normalisation::identity(1), &Device::flex())
}

fn config() -> TeacherClassConfig {
    let mut config = TeacherClassConfig::of(2);
    config.collapse = 100.0;
    config.head.epochs = 2;
    config.head.chunk_dropout = 0.2;
    config
}

fn method(config: TeacherClassConfig) -> TeacherClass<Pixels> {
    method_of(Box::new(frozen(&teacher())), config)
}

fn method_of(teacher: Box<dyn Teacher>, config: TeacherClassConfig) -> TeacherClass<Pixels> {
    let mut training = segmentation_training();
    training.epochs = Some(2);
    training.batch_size = 4;
    training.eval_batch_size = 3;
    let student = |new: &NewStudent| Ok(Pixels::new(4, new.chunk.length, 1, new.seed));
    let plain = Normalisation::identity(1);
    TeacherClass::new(teacher, student, plain, data(), training, &Device::flex())
        .with_config(config)
        .with_seed(3)
}

fn images(count: usize) -> Tensor<4> {
    Batch::noise([1, SIDE, SIDE], count, &Device::flex())
        .pixels()
        .unwrap()
}

fn off<const D: usize>(one: Tensor<D>, other: Tensor<D>) -> f32 {
    (one - other).abs().max().into_scalar()
}

fn class_of(place: &Path, method: &TeacherClass<Pixels>) -> Class<Pixels> {
    let folder = RunFolder::open(place).unwrap();
    method.class(&folder, Snapshot::Last).unwrap()
}

/// The last evaluation of the head.
fn last(place: &Path) -> kd_core::Metrics {
    let epochs = EpochLog::read_all(place).unwrap();
    let head = epochs.iter().rfind(|epoch| epoch.phase == HEAD_PHASE);
    head.and_then(|epoch| epoch.evaluation.clone()).unwrap()
}

#[test]
fn one_step_of_a_student_is_that_of_float64() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pixels.safetensors");
    let fixture: Tensors = read_tensors(&file).unwrap();
    let device = Device::flex().autodiff();
    let tensor = |name: &str| Tensor::<4>::from_data(fixture[name].clone(), &device);
    let mut layer = conv([2, 3], 3).to_device(&device);
    layer.weight = Param::from_tensor(tensor("weight"));
    layer.bias = Some(Param::from_tensor(Tensor::from_data(
        fixture["bias"].clone(),
        &device,
    )));
    let mut student = Trained::new("student", layer, OptimizerConfig::adam()).unwrap();
    let loss = chunk_mse(student.network().forward(tensor("x")), tensor("target")).unwrap();
    let close = |found: TensorData, name: &str| {
        let expected = &fixture[name];
        assert_eq!(found.num_elements(), expected.num_elements(), "{name}");
        for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
            assert!(
                (found - expected).abs() < 2e-6 * expected.abs().max(1.0),
                "{name}: {found} {expected}"
            );
        }
    };
    close(loss.clone().into_data(), "loss");
    let mut gradients = NamedGradients::new();
    student.collect(&mut gradients, &mut loss.backward());
    for (name, expected) in [("weight", "grad_weight"), ("bias", "grad_bias")] {
        let found = gradients.get(&format!("student.{name}")).unwrap().clone();
        close(found.into_data(), expected);
    }
    student.step(StepContext::at_rate(0, 1e-3), &gradients);
    let stepped = student.valid();
    close(stepped.weight.val().into_data(), "stepped_weight");
    close(stepped.bias.unwrap().val().into_data(), "stepped_bias");
}

#[test]
fn a_class_is_its_students_side_by_side_and_a_1x1_convolution() {
    let head = TeacherHead::of_pixels(&frozen(&teacher()), FEATURES, &Device::flex()).unwrap();
    let own = teacher().head;
    let weight = own.weight.val().reshape([CLASSES, FEATURES]).transpose();
    assert!(off(head.weight.clone(), weight) < 1e-6);
    assert!(off(head.bias.clone(), own.bias.unwrap().val()) < 1e-6);

    let students = vec![Pixels::new(4, 3, 1, 1), Pixels::new(4, 2, 1, 2)];
    let class = Class::with_teacher_head(students, &head, true).unwrap();
    let images = images(4);
    let outputs = class
        .students()
        .iter()
        .map(|student| student.forward(&images));
    let dense = relu(Tensor::cat(outputs.collect(), 1));
    let trace = class.forward_traced(&images);
    assert_eq!(trace.dense.into_data(), dense.clone().into_data());
    assert_eq!(trace.maps[1].dims(), [4, 2, SIDE, SIDE]);
    let logits = class.head().forward(dense.clone());
    assert_eq!(trace.output.into_data(), logits.into_data());
    assert!(
        off(
            class.forward(&images),
            teacher().forward_head(dense.clone())
        ) < 1e-5
    );
    let by_pixel = class.head().linear().forward(dense.vectors());
    assert!(off(class.forward(&images).vectors(), by_pixel) < 1e-5);
}

#[test]
fn vectors_of_pixels_are_put_back() {
    let map =
        images(3).repeat_dim(1, 2) * Tensor::<4>::from_data([[[[1.0]], [[2.0]]]], &Device::flex());
    let vectors = map.clone().vectors();
    assert_eq!(vectors.dims(), [3 * SIDE * SIDE, 2]);
    let back = Tensor::<4>::from_vectors(vectors, &[2, SIDE, SIDE]);
    assert_eq!(back.into_data(), map.into_data());
}

#[test]
fn a_run_that_is_stopped_at_every_step_ends_as_an_undisturbed_one() {
    for keep in [true, false] {
        let mut config = config();
        config.keep = keep;
        stopped_at_every_step(|| method(config.clone())).unwrap();
    }
}

#[test]
fn what_is_kept_is_what_is_computed_of_each_batch() {
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (place, keep) in places.iter().zip([true, false]) {
        let mut config = config();
        config.keep = keep;
        run(&method(config), place.path()).unwrap();
    }
    same_run(places[0].path(), places[1].path()).unwrap();
}

/// The cross-entropy of logits over the pixels that have a class, in double precision.
fn plain_cross_entropy(logits: Tensor<4>, masks: &[i64]) -> f64 {
    let logits: Vec<f64> = logits.vectors().into_data().iter::<f64>().collect();
    let (mut sum, mut labelled) = (0.0, 0.0);
    for (logits, &class) in logits.chunks_exact(CLASSES).zip(masks) {
        if class != i64::from(VOID) {
            let all: f64 = logits.iter().map(|logit| logit.exp()).sum();
            sum += all.ln() - logits[usize::try_from(class).unwrap()];
            labelled += 1.0;
        }
    }
    sum / labelled
}

#[test]
fn a_step_of_the_head_is_the_cross_entropy_of_pixels_that_have_a_class() {
    let mut config = config();
    (config.head.dropout, config.head.chunk_dropout) = (0.0, 0.0);
    for keep in [true, false] {
        config.keep = keep;
        let (method, place) = (method(config.clone()), tempfile::tempdir().unwrap());
        run(&method, place.path()).unwrap();
        let class = class_of(place.path(), &method);
        let folder = RunFolder::open(place.path()).unwrap();
        let index = method.phases().len() - 1;
        let mut phase = method.start(index, &folder).unwrap();
        let terms = phase.step(StepContext::at_rate(0, 1e-3)).unwrap();

        let own = LoaderConfig {
            seed: 3,
            ..LoaderConfig::new(4)
        };
        let loader = Loader::new(data()[0].clone(), own, &Device::flex()).unwrap();
        let batch = loader.batch(0, 0).unwrap();
        let masks: Vec<i64> = batch
            .masks
            .clone()
            .unwrap()
            .into_data()
            .iter::<i64>()
            .collect();
        assert!(masks.contains(&i64::from(VOID)));
        let chunks = class.join(class.chunks(&batch.pixels().unwrap()));
        let expected = plain_cross_entropy(teacher().forward_head(chunks), &masks);
        let found = f64::from(terms[0].1.clone().into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

/// The mean intersection over union of what `logits` says of the held-out images.
fn mean_iou(mut logits: impl FnMut(Tensor<4>) -> Tensor<4>) -> f64 {
    let [_, held_out] = data();
    let loader = Loader::new(held_out, LoaderConfig::ordered(4), &Device::flex()).unwrap();
    let mut metrics = SegmentationMetrics::new(CLASSES, Some(VOID)).unwrap();
    for batch in loader.epoch(0) {
        let batch = batch.unwrap();
        let logits = logits(batch.pixels().unwrap());
        metrics.add(logits, batch.masks.unwrap()).unwrap();
    }
    metrics.summary().unwrap().mean_iou
}

#[test]
fn missing_students_cost_what_the_plain_way_says() {
    let (method, place) = (method(config()), tempfile::tempdir().unwrap());
    run(&method, place.path()).unwrap();
    let (class, found) = (class_of(place.path(), &method), last(place.path()));
    let close = |name: &str, expected: f64| {
        assert!(
            (found[name] - expected).abs() < 2e-3,
            "{name}: {} {expected}",
            found[name]
        );
    };
    close("mean_iou", mean_iou(|images| class.forward(&images)));
    close(
        "teacher_mean_iou",
        mean_iou(|images| teacher().forward(&images)),
    );

    // The features of the training images, a row for each pixel.
    let [train, _] = data();
    let loader = Loader::new(train, LoaderConfig::ordered(9), &Device::flex()).unwrap();
    let all = class.join(class.chunks(&loader.batch(0, 0).unwrap().pixels().unwrap()));
    let means = all.clone().mean_dim(3).mean_dim(2).mean_dim(0); // [1, features, 1, 1]
    let mut statistics = DenseStatistics::new(FEATURES);
    statistics.add(&all.vectors());
    let refitted = RefittedHeads::new(&statistics, &[3, 2], 1e-3).unwrap();

    let with = |missing: usize, fill: &Tensor<4>| {
        let of_images = |images: Tensor<4>| {
            let dense = class.join(class.chunks(&images));
            let shape = dense.dims();
            let fill = fill.clone().expand(shape);
            let (start, length) = [(0, 3), (3, 2)][missing];
            let there = if missing == 0 { (3, 2) } else { (0, 3) };
            let there = dense.narrow(1, there.0, there.1);
            let filled = fill.narrow(1, start, length);
            let parts = if missing == 0 {
                vec![filled, there]
            } else {
                vec![there, filled]
            };
            class.forward_head(Tensor::cat(parts, 1))
        };
        mean_iou(of_images)
    };
    for (policy, fill) in [("zero", means.zeros_like()), ("mean", means.clone())] {
        let each = [with(0, &fill), with(1, &fill)];
        close(
            &format!("{policy}_without_1_mean_iou"),
            f64::midpoint(each[0], each[1]),
        );
        close(
            &format!("{policy}_without_1_worst_mean_iou"),
            each[0].min(each[1]),
        );
    }
    let own_head = |present: [bool; 2]| {
        let head = refitted.head(&class.head().linear(), &present).unwrap();
        mean_iou(|images| {
            let dense = class.join(class.chunks(&images));
            let logits = head.forward(dense.vectors());
            Tensor::from_vectors(logits, &[CLASSES, SIDE, SIDE])
        })
    };
    let each = [own_head([true, false]), own_head([false, true])];
    close("head_without_1_mean_iou", f64::midpoint(each[0], each[1]));
    close("head_without_1_worst_mean_iou", each[0].min(each[1]));
}

#[test]
fn class_and_teacher_are_compared_on_pixels_that_have_a_class() {
    let (method, place) = (method(config()), tempfile::tempdir().unwrap());
    run(&method, place.path()).unwrap();
    let class = class_of(place.path(), &method);
    let [_, held_out] = data();
    let loader = Loader::new(held_out, LoaderConfig::ordered(4), &Device::flex()).unwrap();
    let batch = loader.batch(0, 0).unwrap();
    let images = batch.pixels().unwrap();
    let classes =
        |logits: Tensor<4>| -> Vec<i64> { logits.argmax(1).into_data().iter::<i64>().collect() };
    let (own, other) = (
        classes(class.forward(&images)),
        classes(teacher().forward(&images)),
    );
    let masks: Vec<i64> = batch.masks.unwrap().into_data().iter::<i64>().collect();
    let labelled = (0..masks.len()).filter(|&pixel| masks[pixel] != i64::from(VOID));
    let labelled: Vec<usize> = labelled.collect();
    assert!(labelled.len() < masks.len());
    let same = labelled
        .iter()
        .filter(|&&pixel| own[pixel] == other[pixel])
        .count();
    let found = last(place.path())["agreement"];
    assert!((found - same as f64 / labelled.len() as f64).abs() < 1e-12);
}

#[test]
fn every_split_takes_pixels_one_by_one() {
    let images = images(5);
    let expected = teacher().forward(&images);
    for kind in [
        SplitKind::Index,
        SplitKind::Balanced,
        SplitKind::Correlation,
        SplitKind::Rotated,
    ] {
        let mut config = config();
        config.split = kind;
        config.head.epochs = 0;
        let (method, place) = (method(config), tempfile::tempdir().unwrap());
        run(&method, place.path()).unwrap();
        let class = class_of(place.path(), &method);
        let division = method.division().unwrap();
        let dense = teacher().forward_traced(&images).dense.vectors();
        let targets = division.targets(dense);
        let targets = Tensor::<4>::from_vectors(targets, &[FEATURES, SIDE, SIDE]);
        let chunk = |chunk: &Chunk| targets.clone().narrow(1, chunk.start, chunk.length);
        let chunks = division.chunks().iter().map(chunk).collect();
        let logits = class.forward_head(class.join(chunks));
        assert!(off(logits, expected.clone()) < 1e-4, "{kind:?}");
        let error = &last(place.path())["student_0_nmse"];
        assert!(error.is_finite() && *error > 0.0, "{kind:?}");
    }
}

#[test]
fn the_error_of_a_student_is_over_pixels() {
    let mut config = config();
    config.head.epochs = 0;
    let (method, place) = (method(config), tempfile::tempdir().unwrap());
    run(&method, place.path()).unwrap();
    let class = class_of(place.path(), &method);
    let [_, held_out] = data();
    let loader = Loader::new(held_out, LoaderConfig::ordered(4), &Device::flex()).unwrap();
    let images = loader.batch(0, 0).unwrap().pixels().unwrap();
    let target = teacher().forward_traced(&images).dense.narrow(1, 3, 2);
    let output = class.students()[1].forward(&images);
    let mean = target.clone().mean_dim(3).mean_dim(2).mean_dim(0);
    let error = (output - target.clone())
        .square()
        .sum()
        .into_scalar::<f32>();
    let spread = (target - mean).square().sum().into_scalar::<f32>();
    let found = last(place.path())["student_1_nmse"];
    assert!((found - f64::from(error / spread)).abs() < 1e-4 * found);
}

#[test]
fn what_a_class_of_pixels_cannot_take_is_said_in_words() {
    let wide = frozen(&Pixels::new(FEATURES, CLASSES, 3, 5));
    let error = method_of(Box::new(wide), config())
        .check()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("a head that is no 1x1 convolution"),
        "{error}"
    );
    assert!(error.contains("with `head = 1`"), "{error}");

    let mut adversarial = config();
    adversarial.loss = ChunkLoss::GanDirect;
    let error = method(adversarial).check().unwrap_err().to_string();
    assert!(
        error.starts_with("`teacher-class.loss` is an adversarial one"),
        "{error}"
    );

    let classifier = Tiny::new(FEATURES, CLASSES, 1);
    let classifier = FrozenTeacher::new(&classifier, Normalisation::identity(1), &Device::flex());
    let error = TeacherHead::of_pixels(&classifier, FEATURES, &Device::flex()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is a classifier, whose head takes vectors"),
        "{error}"
    );

    let training = segmentation_training();
    let student = |new: &NewStudent| Ok(Pixels::new(4, new.chunk.length, 1, new.seed));
    let labelled = TeacherClass::new(
        Box::new(frozen(&teacher())),
        student,
        Normalisation::identity(1),
        support::data(),
        training,
        &Device::flex(),
    );
    let error = labelled.check().unwrap_err().to_string();
    assert!(error.contains("must have a mask for each image"), "{error}");

    let narrow = |_: &NewStudent| Ok(Pixels::new(4, 4, 1, 0));
    let error = method(config())
        .with_students(narrow)
        .check()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("as large as the teacher's last map"),
        "{error}"
    );

    let mut large = config();
    large.keep = true;
    assert!(method(large).check().is_ok());
}

#[test]
fn unets_are_teachers_and_students() {
    let unet = |widths: [usize; 4], classes: usize, head: usize, seed: u64| {
        let config = UNetConfig {
            encoder: SkdResNetConfig {
                widths,
                ..SkdResNetConfig::RESNET10
            },
            decoder: [4, 4, 3, 3, 4],
            head,
        };
        UNet::new(&config, [1, 32, 32], classes, seed, &Device::flex()).unwrap()
    };
    let device = Device::flex();
    let plain = Normalisation::identity(1);
    let head = |side: usize| {
        let teacher = FrozenTeacher::new(&unet([4, 4, 6, 6], 3, side, 1), plain.clone(), &device);
        TeacherHead::of_pixels(&teacher, 4, &device)
    };
    let found = head(1).unwrap();
    assert!(head(3).is_err());
    let students = vec![unet([2, 2, 3, 3], 2, 1, 2), unet([2, 3, 3, 3], 2, 3, 3)];
    let class = Class::with_teacher_head(students, &found, true).unwrap();
    let images = Batch::noise([1, 32, 32], 2, &device).pixels().unwrap();
    assert_eq!(class.forward(&images).dims(), [2, 3, 32, 32]);
    let folded = class.fold_norms();
    assert!(off(folded.forward(&images), class.forward(&images)) < 1e-3);
}

#[test]
fn a_student_that_is_trained_alone_is_that_of_the_whole_run() {
    let places = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    run(&method(config()), places[0].path()).unwrap();
    let mut alone = config();
    alone.only = Some(1);
    run(&method(alone), places[1].path()).unwrap();
    let student = |place: &Path| {
        let folder = RunFolder::open(place).unwrap();
        folder.result("student-1", Snapshot::Last).unwrap()
    };
    assert_eq!(student(places[0].path()), student(places[1].path()));
}
