//! A pool that grows while the student learns: what moves, what is found, mistakes.

use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    ImageShape, Method, Metrics, Normalisation, OptimizerConfig, Schedule, read_tensors,
};
use kd_datafree::{
    BANK_FILE, Bank, Compared, ContrastConfig, CropFlip, DataFree, DataFreeConfig,
    FrozenClassifier, ImageTeacher, Pooled, STUDENT_PHASE, Search,
};
use kd_losses::{BnStatisticsLossConfig, NormStatistics, cross_entropy};
use kd_models::{HeResNet, LeNet, LeNetConfig, ResNetConfig};

use crate::support::{Net, ends, files, learn, method, net, run, teacher, tensors};

/// The published settings, but small and short: 3 epochs of 2 steps.
pub(crate) fn small(mut pooled: Pooled) -> Pooled {
    match &mut pooled.search {
        Search::Pixels(search) => search.steps = 4,
        Search::Generator(search) => {
            search.generator.noise = 5;
            search.generator.widths = [6, 4];
            search.steps = 3;
            search.reset_at = search.reset_at.map(|_| 3);
            search.views.crop_padding = 1;
            if let Some(contrast) = &mut search.contrast {
                contrast.width = 6;
                contrast.memory = 40;
                contrast.negatives = 20;
            }
        }
        _ => {}
    }
    pooled.batch = 16;
    pooled.warm_up = pooled.warm_up.min(2);
    pooled.student_steps = 2;
    pooled.views.crop_padding = 1;
    pooled.training.epochs = Some(3);
    pooled.training.batch_size = 12;
    pooled.training.lr = 0.05;
    pooled.training.log_every = 1;
    pooled
}

pub(crate) fn all() -> Vec<Pooled> {
    let mut stages = small(Pooled::cmi());
    if let Search::Generator(search) = &mut stages.search {
        search.contrast = Some(ContrastConfig {
            compared: Compared::Stages,
            ..search.contrast.clone().unwrap()
        });
    }
    let published = [
        Pooled::deep_inversion(),
        Pooled::adaptive_inversion(),
        Pooled::cmi(),
        Pooled::fast(),
    ];
    let mut all: Vec<Pooled> = published.into_iter().map(small).collect();
    all.push(stages);
    all
}

#[test]
fn the_teacher_never_changes_and_the_pool_grows_by_a_batch_an_epoch() {
    for pooled in all() {
        let teacher = teacher();
        let before = tensors(&teacher);
        let student = net(3, 2, false);
        let first = pooled.warm_up.max(1);
        let method = DataFree::new(&student, Box::new(teacher.clone()), pooled, &Device::flex());
        assert_eq!(method.phases(), [STUDENT_PHASE]);
        let (place, outcomes) = run(&method);
        assert_eq!(outcomes.len(), 1);
        assert!(tensors(&teacher) == before);
        let pool = files(&place.path().join("pool"));
        assert_eq!(pool.len(), first + 2);
        for name in pool.keys() {
            let images = read_tensors(&place.path().join("pool").join(name)).unwrap();
            assert_eq!(images["images"].shape().as_slice(), [16, 1, 8, 8]);
        }
        // What is left to be looked at is of the pool.
        let bank = Bank::read(&place.path().join(BANK_FILE)).unwrap();
        let seen = bank.pixels(teacher.normalisation().unwrap()).unwrap();
        let last = read_tensors(&place.path().join("pool").join(pool.keys().last().unwrap()));
        let last: Vec<u8> = last.unwrap()["images"].iter::<u8>().collect();
        assert!(
            seen.images()
                .chunks_exact(64)
                .any(|image| *image == last[..64])
        );
        let different: std::collections::BTreeSet<_> = pool.values().collect();
        assert_eq!(different.len(), pool.len(), "each batch is another");
    }
}

#[test]
fn another_seed_gives_other_images() {
    for pooled in all() {
        let first = |seed: u64| {
            let (place, _) = run(&method(pooled.clone()).with_seed(seed));
            files(&place.path().join("pool"))
        };
        let (one, again, other) = (first(1), first(1), first(2));
        assert!(one == again);
        assert!(one.iter().all(|(name, bytes)| other[name] != *bytes));
    }
}

/// The distance of the statistics of a batch from those of the teacher's norms.
fn statistics(teacher: &dyn ImageTeacher, input: Tensor<4>) -> f64 {
    let seen = teacher.inspect(input);
    let layers = seen.norms.into_iter().map(|norm| {
        NormStatistics::of(norm.input, norm.running_mean, norm.running_variance).unwrap()
    });
    let loss = BnStatisticsLossConfig::new().init().unwrap();
    loss.forward(layers.collect::<Vec<_>>())
        .unwrap()
        .into_scalar::<f64>()
}

/// The images that 400 steps of descent on pixels find with these weights of targets and statistics, as the
/// teacher takes them, and the last evaluation.
fn found(one_hot: f64, bn_statistics: f64) -> (Tensor<4>, Metrics) {
    let mut pooled = small(Pooled::deep_inversion());
    if let Search::Pixels(search) = &mut pooled.search {
        search.steps = 400;
        search.one_hot = one_hot;
        search.bn_statistics = bn_statistics;
        search.shift = 0;
    }
    pooled.batch = 40;
    pooled.training.epochs = Some(1);
    let (place, outcomes) = run(&method(pooled));
    let images = read_tensors(&place.path().join("pool/00000.safetensors")).unwrap();
    let bytes: Vec<f32> = images["images"].iter::<f32>().collect();
    let pixels = Tensor::<1>::from_floats(&bytes[..], &Device::flex());
    let pixels = pixels.div_scalar(255.0).reshape([40, 1, 8, 8]);
    let images = teacher().normalisation().unwrap().apply(pixels).unwrap();
    (images, outcomes[0].last.clone())
}

fn noise() -> Tensor<4> {
    let shape = [40, 1, 8, 8];
    let bell = burn::tensor::Distribution::Normal(0.0, 1.0);
    Tensor::random(shape, bell, &Device::flex()).clamp(-0.6, 1.4)
}

#[test]
fn descent_on_pixels_finds_images_of_each_class() {
    let targets: Vec<i64> = (0..40).map(|place| place % 4).collect();
    let apart = |images: Tensor<4>| {
        let targets = Tensor::<1, Int>::from_ints(&targets[..], &Device::flex());
        let logits = teacher().inspect(images).logits;
        cross_entropy(logits, targets, 0.0)
            .unwrap()
            .into_scalar::<f64>()
    };
    // The teacher has learnt nothing: pixels of black to white do not change its mind altogether.
    let (images, said) = found(1.0, 0.0);
    let logits = teacher().inspect(images.clone()).logits;
    let seen: Vec<i64> = logits.argmax(1).into_data().iter::<i64>().collect();
    let right = seen.iter().zip(&targets).filter(|(a, b)| a == b).count();
    assert!((said["synthetic_on_target"] - right as f64 / 40.0).abs() < 1e-6);
    let [found, begun] = [images, noise()].map(apart);
    assert!(found < 0.95 * begun, "{found} of {begun}");
}

#[test]
fn descent_on_pixels_finds_images_with_the_statistics_of_the_norms() {
    let teacher = teacher();
    let (images, said) = found(0.0, 10.0);
    let [found, begun] = [images, noise()].map(|images| statistics(&teacher, images));
    assert!((said["synthetic_bn_statistics"] - found).abs() < 1e-6 * found);
    assert!(found < 0.85 * begun, "{found} of {begun}");
}

#[test]
fn a_student_comes_closer_to_the_teacher() {
    for mut pooled in all() {
        pooled.training.epochs = Some(30);
        pooled.training.optimizer = OptimizerConfig::adam();
        pooled.training.schedule = Schedule::Constant {};
        pooled.training.lr = 1e-2;
        let search = pooled.search.clone();
        // The images change all the time, the later ones to what the student does not know.
        let [first, last] = ends(&learn(&method(pooled)), "total");
        assert!(last < 0.8 * first, "{search:?}: {first} became {last}");
    }
}

#[test]
fn a_teacher_without_batch_norms_is_refused_in_words() {
    let device = Device::flex();
    let network = LeNet::new(&LeNetConfig::HALF, [1, 28, 28], 10, 0, &device).unwrap();
    let scale = Normalisation::new(vec![0.1], vec![0.3]).unwrap();
    let image = ImageShape::new(1, 28, 28);
    let lenet = FrozenClassifier::new(&network, scale, image, &device).unwrap();
    for pooled in [
        Pooled::deep_inversion(),
        Pooled::adaptive_inversion(),
        Pooled::cmi(),
        Pooled::fast(),
    ] {
        let said = pooled.check(&lenet).unwrap_err().to_string();
        assert!(said.contains("needs a teacher with batch norms"), "{said}");
    }
    // The term is left out where the recipe says so.
    let mut without = Pooled::fast();
    if let Search::Generator(search) = &mut without.search {
        search.bn_statistics = 0.0;
    }
    without.check(&lenet).unwrap();
    let mut cmi = Pooled::cmi();
    if let Search::Generator(search) = &mut cmi.search {
        search.bn_statistics = 0.0;
    }
    let said = cmi.check(&lenet).unwrap_err().to_string();
    assert!(
        said.contains("search.contrast.compared") && said.contains("`stages`"),
        "{said}"
    );
}

const RESNET8: ResNetConfig = ResNetConfig {
    blocks: 1,
    widths: [16, 16, 32, 64],
};

/// Parameters that learn beside a student of a ResNet-8 with 16, 32 and 64 channels behind a stem of 16.
fn extra(contrast: Option<ContrastConfig>) -> usize {
    let device = Device::flex();
    let network = HeResNet::new(&RESNET8, [3, 8, 8], 4, 0, &device).unwrap();
    let scale = Normalisation::new(vec![0.5; 3], vec![0.5; 3]).unwrap();
    let image = ImageShape::new(3, 8, 8);
    let resnet = FrozenClassifier::new(&network, scale, image, &device).unwrap();
    let mut pooled = small(Pooled::cmi());
    if let Search::Generator(search) = &mut pooled.search {
        search.contrast = contrast;
    }
    pooled.check(&resnet).unwrap();
    DataFree::new(&net(3, 2, false), Box::new(resnet), pooled, &device).extra_parameters()
}

#[test]
fn stages_are_compared_without_the_stem_and_a_weight_of_zero_leaves_the_term_out() {
    let stages = ContrastConfig {
        width: 6,
        compared: Compared::Stages,
        ..ContrastConfig::default()
    };
    let without = ContrastConfig {
        weight: 0.0,
        ..stages.clone()
    };
    let features = 16 + 32 + 64;
    let head = features * features + features + 6 * features + 6;
    assert_eq!(extra(Some(stages)), extra(None) + head);
    assert_eq!(extra(Some(without.clone())), extra(None));
    // The images are those of a search without it.
    let images = |contrast: Option<ContrastConfig>| {
        let mut pooled = small(Pooled::cmi());
        if let Search::Generator(search) = &mut pooled.search {
            search.contrast = contrast;
        }
        let (place, _) = run(&method(pooled));
        files(&place.path().join("pool"))
    };
    assert!(images(Some(without)) == images(None));
}

#[test]
fn mistakes_are_said_in_words() {
    let refused = |change: &dyn Fn(&mut Pooled), part: &str| {
        let mut pooled = small(Pooled::fast());
        change(&mut pooled);
        let config: DataFreeConfig = pooled.into();
        let method: DataFree<Net> = method(config);
        let said = method.check().unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    };
    refused(&|pooled| pooled.batch = 0, "`batch`");
    refused(&|pooled| pooled.student_steps = 0, "`student_steps`");
    refused(&|pooled| pooled.training.batch_size = 33, "at most 32");
    refused(&|pooled| pooled.temperature = 0.0, "temperature");
    refused(
        &|pooled| {
            pooled.views = CropFlip {
                crop_padding: 0,
                flip: 2.0,
            };
        },
        "flip",
    );
    let of_search = |change: &dyn Fn(&mut kd_datafree::GeneratorSearch), part: &str| {
        refused(
            &|pooled| {
                if let Search::Generator(search) = &mut pooled.search {
                    change(search);
                }
            },
            part,
        );
    };
    of_search(&|search| search.steps = 0, "search.steps");
    of_search(&|search| search.noise_lr = 0.0, "search.noise_lr");
    of_search(&|search| search.adversarial = -1.0, "search.adversarial");
    of_search(&|search| search.average = 1.0, "search.average");
    of_search(
        &|search| search.generator.output = kd_datafree::OutputKind::Norm,
        "sigmoid",
    );
    of_search(&|search| search.views.flip = -0.5, "flip");
}
