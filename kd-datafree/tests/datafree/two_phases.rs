//! A generator phase and a student phase: what moves and what does not, seeds, the bank, interruption, mistakes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use kd_core::{Dataset, ImageShape, Snapshot, Method, OptimizerConfig, Split};
use kd_datafree::{
    Bank, DataFree, DataFreeConfig, Diversity, FrozenClassifier, GENERATOR_PHASE, GeneratorConfig,
    ImageTeacher, Objective, OutputKind, STUDENT_PHASE, Synthetic, TwoPhases,
};
use support::{
    IMAGE, Net, Shared, config, files, interrupt, method, net, open, run, run_in, teacher,
};

#[test]
fn the_teacher_never_changes_and_the_generator_not_after_its_phase() {
    let teacher = teacher();
    let before = teacher.tensors();
    let method = DataFree::new(
        &net(3, 2, false),
        Box::new(teacher.clone()),
        config(),
        &Device::flex(),
    );
    let (place, outcomes) = run(&method);
    assert!(
        teacher.tensors() == before,
        "weights and running statistics"
    );
    assert_eq!(method.phases(), [GENERATOR_PHASE, STUDENT_PHASE]);
    let generator = folder_result(place.path());
    let other = files(place.path());
    // The student's phase leaves what the generator's made; both have learnt something.
    run_in(&method, place.path()).unwrap();
    assert!(folder_result(place.path()) == generator);
    assert!(files(place.path()) == other);
    let metrics = outcomes.last().unwrap().last.clone();
    assert!(metrics.contains_key("synthetic_agreement"), "{metrics:?}");
    assert!(outcomes[0].last.contains_key("confidence"));
}

fn folder_result(path: &Path) -> kd_core::Tensors {
    open(path).result(GENERATOR_PHASE, Snapshot::Last).unwrap()
}

fn bank(method: &DataFree<Net>) -> Vec<u8> {
    let (place, _) = run(method);
    std::fs::read(place.path().join("bank.safetensors")).unwrap()
}

#[test]
fn a_seed_gives_the_same_images_and_another_seed_others() {
    let first = bank(&method(config()).with_seed(3));
    assert!(first == bank(&method(config()).with_seed(3)));
    assert!(first != bank(&method(config()).with_seed(4)));
}

#[test]
fn the_bank_holds_bytes_and_what_the_teacher_says_of_them() {
    for synthetic in [config().synthetic, Synthetic::Noise, sigmoid()] {
        let (place, _) = run(&method(with(synthetic)));
        let bank = Bank::read(&place.path().join("bank.safetensors")).unwrap();
        // Whole blocks of 128.
        assert_eq!(bank.dataset().len(), 256);
        assert_eq!(bank.dataset().shape(), IMAGE);
        let ids = [0, 77, 255];
        let bytes: Vec<f32> = ids
            .iter()
            .flat_map(|&id| bank.dataset().image(id).unwrap())
            .map(|&byte| f32::from(byte) / 255.0)
            .collect();
        let device = Device::flex();
        let pixels = Tensor::<4>::from_data(TensorData::new(bytes, [3, 1, 8, 8]), &device);
        let input = bank.normalisation().apply(pixels).unwrap();
        let said = teacher().look(input).logits;
        let kept = bank.logits(&ids, &device).unwrap();
        kept.clone()
            .into_data()
            .assert_approx_eq::<f32>(&said.clone().into_data(), Tolerance::absolute(1e-4));
        let classes: Vec<i64> = said.argmax(1).into_data().iter::<i64>().collect();
        let labels: Vec<i64> = ids
            .iter()
            .map(|&id| i64::from(bank.dataset().label(id).unwrap()))
            .collect();
        assert_eq!(labels, classes);
        assert!(bank.logits(&[256], &device).is_err());
    }
}

fn with(synthetic: Synthetic) -> TwoPhases {
    let mut config = config();
    config.synthetic = synthetic;
    config
}

fn sigmoid() -> Synthetic {
    Synthetic::Generator {
        generator: GeneratorConfig {
            noise: 5,
            widths: [6, 4],
            output: OutputKind::Sigmoid,
            ..GeneratorConfig::default()
        },
        objective: Objective::dafl(),
    }
}

/// 300 images that are nothing.
fn others(shape: ImageShape) -> Dataset {
    let pixels = (0..300 * shape.bytes()).map(|place| (place * 37 % 251).to_le_bytes()[0]);
    let labels = vec![0; 300];
    Dataset::new("o", Split::Train, shape, 1, pixels.collect(), labels).unwrap()
}

#[test]
fn images_of_something_else_are_a_bank_as_they_are() {
    let images = others(IMAGE);
    let method = method(with(Synthetic::Images)).with_images(images.clone());
    assert_eq!(method.phases(), [STUDENT_PHASE]);
    let (place, _) = run(&method);
    let bank = Bank::read(&place.path().join("bank.safetensors")).unwrap();
    let kept = bank.pixels(teacher().normalisation()).unwrap();
    let known: Vec<&[u8]> = images.images().chunks_exact(64).collect();
    let mut seen: Vec<&[u8]> = kept.images().chunks_exact(64).collect();
    assert!(seen.iter().all(|image| known.contains(image)));
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() > 200, "{}", seen.len());
}

#[test]
fn images_of_something_else_must_be_there_and_fit() {
    let said = method(with(Synthetic::Images)).check().unwrap_err();
    assert!(said.to_string().contains("give a data set"), "{said}");
    let said = method(config()).with_images(others(IMAGE)).check();
    assert!(said.unwrap_err().to_string().contains("leave them out"));
    let large = others(ImageShape::new(1, 9, 8));
    let said = method(with(Synthetic::Images)).with_images(large);
    let said = said.check().unwrap_err().to_string();
    assert!(
        said.contains("are of") && said.contains("choose others"),
        "{said}"
    );
}

#[test]
fn a_run_that_was_interrupted_in_both_phases_ends_as_an_undisturbed_one() {
    for refresh in [0.0, 0.5] {
        let mut config = config();
        config.bank.refresh = refresh;
        config.training.epochs = Some(3);
        let made = || method(config.clone());
        let (whole, expected) = run(&made());
        let parts = tempfile::tempdir().unwrap();
        // Of 5 steps of the generator and 12 of the student.
        for steps in [2, 1, 4, 3] {
            interrupt(&made(), parts.path(), steps);
        }
        let got = run_in(&made(), parts.path()).unwrap();
        assert!(
            files(whole.path()) == files(parts.path()),
            "refresh {refresh}"
        );
        for (one, other) in expected.iter().zip(&got) {
            assert_eq!(one.last, other.last);
        }
    }
}

#[test]
fn what_is_made_anew_changes_what_is_learnt() {
    let with = |refresh: f64| {
        let mut config = config();
        config.bank.refresh = refresh;
        let (place, _) = run(&method(config));
        open(place.path())
            .result(STUDENT_PHASE, Snapshot::Last)
            .unwrap()
    };
    assert!(with(0.0) != with(1.0));
}

#[test]
fn every_term_is_something_that_a_generator_learns_from() {
    let alone = |objective: Objective| {
        let synthetic = Synthetic::Generator {
            generator: GeneratorConfig {
                noise: 5,
                widths: [6, 4],
                ..GeneratorConfig::default()
            },
            objective,
        };
        let (place, _) = run(&method(with(synthetic)));
        folder_result(place.path())
    };
    let none = Objective {
        one_hot: 0.0,
        batch_entropy: 0.0,
        diversity: 0.0,
        ..Objective::rdskd()
    };
    let all = [
        Objective {
            one_hot: 1.0,
            ..none.clone()
        },
        Objective {
            batch_entropy: 1.0,
            ..none.clone()
        },
        Objective {
            diversity: 1.0,
            ..none.clone()
        },
        Objective {
            diversity: 1.0,
            compared_by: Diversity::Noise,
            ..none.clone()
        },
        Objective {
            activation: 1.0,
            ..none.clone()
        },
        Objective {
            bn_statistics: 1.0,
            ..none
        },
    ];
    let learnt: Vec<_> = all.into_iter().map(alone).collect();
    for (index, one) in learnt.iter().enumerate() {
        for other in &learnt[index + 1..] {
            assert!(one != other, "term {index}");
        }
    }
}

#[test]
fn mistakes_are_said_in_words() {
    let refused = |config: TwoPhases| method(config).check().unwrap_err().to_string();
    let with_objective = |objective: Objective| {
        let synthetic = Synthetic::Generator {
            generator: GeneratorConfig::default(),
            objective,
        };
        with(synthetic)
    };
    let nothing = Objective {
        one_hot: 0.0,
        batch_entropy: 0.0,
        diversity: 0.0,
        ..Objective::rdskd()
    };
    let negative = Objective {
        one_hot: -1.0,
        ..Objective::rdskd()
    };
    let mut odd = config();
    odd.generator_training.batch_size = 33;
    let mut cold = config();
    cold.temperature = 0.0;
    let mut empty = config();
    empty.bank.images = 0;
    let mut small = config();
    small.bank.images = 100;
    small.training.batch_size = 129;
    let mut slow = config();
    slow.generator_training.lr = 0.0;
    let mut share = config();
    share.bank.refresh = 1.5;
    let mut wrong = config();
    wrong.training.lr = -1.0;
    wrong.training.optimizer = OptimizerConfig::adam();
    for (said, expected) in [
        (
            refused(with_objective(nothing)),
            "`synthetic.objective` has no term; give one of its weights a value above 0",
        ),
        (
            refused(with_objective(negative)),
            "`synthetic.objective.one_hot` must be finite and not negative, got -1",
        ),
        (
            refused(odd),
            "`generator_training.batch_size` must be even, as its halves are compared, got 33",
        ),
        (
            refused(cold),
            "`temperature` must be finite and above 0, got 0",
        ),
        (
            refused(empty),
            "`bank.images` must be above 0; 50000 is as large as the training split of CIFAR-10",
        ),
        (
            refused(small),
            "`train.batch_size` must be at most 128, as many images as the bank has; got 129",
        ),
        (
            refused(slow),
            "`generator_training.lr` must be finite and above 0, got 0",
        ),
        (
            refused(share),
            "`bank.refresh` must be from 0 to 1, got 1.5",
        ),
    ] {
        assert_eq!(said, expected);
    }
    assert!(refused(wrong).contains("lr"));
    // A norm that nobody sees.
    let hidden = Shared::new(&net(4, 1, true)).unwrap_err();
    assert_eq!(
        hidden.to_string(),
        "`teacher` has 2 batch norms, of which 1 can be seen; run them by `kd_kernels::batch_norm`"
    );
    let said = Bank::read(Path::new("nowhere.safetensors"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("nowhere.safetensors"), "{said}");
}

/// The gradient of the images passes through the teacher as through the same network that learns.
#[test]
fn gradients_pass_through_the_frozen_teacher() {
    let device = Device::flex().autodiff();
    let images = || {
        let values: Vec<f32> = (0..128_u8)
            .map(|place| f32::from(place % 13) / 7.0 - 0.8)
            .collect();
        Tensor::<4>::from_data(TensorData::new(values, [2, 1, 8, 8]), &device).require_grad()
    };
    let network = net(8, 1, false);
    let plain = kd_core::Normalisation::identity(1);
    let frozen = FrozenClassifier::new(&network, plain, IMAGE, &device).unwrap();
    let input = images();
    let seen = frozen.look(input.clone());
    assert_eq!(
        (seen.norms.len(), frozen.norms(), frozen.classes()),
        (2, 2, 4)
    );
    let gradients = (seen.logits.sum() + seen.norms[1].input.clone().sum()).backward();
    let through = input.grad(&gradients).unwrap();
    // Central differences of the same sum.
    let value = |input: Tensor<4>| -> f32 {
        let seen = frozen.look(input.inner());
        (seen.logits.sum() + seen.norms[1].input.clone().sum()).into_scalar()
    };
    let step = 1e-2;
    for place in [0, 17, 90, 127] {
        let moved = |by: f32| {
            let mut values: Vec<f32> = images().into_data().iter::<f32>().collect();
            values[place] += by;
            Tensor::<4>::from_data(TensorData::new(values, [2, 1, 8, 8]), &device)
        };
        let expected = (value(moved(step)) - value(moved(-step))) / (2.0 * step);
        let found: Vec<f32> = through.clone().into_data().iter::<f32>().collect();
        assert!(
            (found[place] - expected).abs() < 2e-2 * expected.abs().max(1.0),
            "{place}: {} is not {expected}",
            found[place]
        );
    }
}

#[test]
fn a_generator_that_hardly_learns_is_warned_of() {
    let said = |steps: usize| {
        let mut config = config();
        config.generator_training.epochs = None;
        config.generator_training.steps = Some(steps);
        DataFreeConfig::from(config).warnings()
    };
    assert!(said(50).is_empty());
    let [warning] = &said(49)[..] else {
        panic!("one is expected");
    };
    let text = warning.to_string();
    assert!(
        text.contains("49 steps") && text.contains("50 steps or more"),
        "{text}"
    );
    let noise = DataFreeConfig::from(with(Synthetic::Noise));
    assert!(noise.warnings().is_empty());
}
