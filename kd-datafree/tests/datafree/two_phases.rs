//! A generator phase and a student phase: what moves and what does not, seeds, the bank, mistakes.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use kd_core::{Dataset, ImageShape, Method, OptimizerConfig, Snapshot, Split, testing};
use kd_datafree::{
    Bank, DataFree, Diversity, GENERATOR_PHASE, GeneratorConfig, GeneratorObjective,
    ImageTeacher as _, OutputKind, STUDENT_PHASE, Synthetic, TwoPhases,
};

use crate::support::{IMAGE, Net, config, files, method, net, run, run_in, teacher, tensors};

#[test]
fn the_teacher_never_changes_and_the_generator_not_after_its_phase() {
    let teacher = teacher();
    let before = tensors(&teacher);
    let method = DataFree::new(
        &net(3, 2, false),
        Box::new(teacher.clone()),
        config(),
        &Device::flex(),
    );
    let (place, outcomes) = run(&method);
    assert!(
        tensors(&teacher) == before,
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
    testing::run_folder(path)
        .unwrap()
        .result(GENERATOR_PHASE, Snapshot::Last)
        .unwrap()
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
        let said = teacher().inspect(input).logits;
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
        objective: GeneratorObjective::dafl(),
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
    let kept = bank.pixels(teacher().normalisation().unwrap()).unwrap();
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
fn what_is_made_anew_changes_what_is_learnt() {
    let with = |refresh: f64| {
        let mut config = config();
        config.bank.refresh = refresh;
        let (place, _) = run(&method(config));
        testing::run_folder(place.path())
            .unwrap()
            .result(STUDENT_PHASE, Snapshot::Last)
            .unwrap()
    };
    assert!(with(0.0) != with(1.0));
}

#[test]
fn every_term_is_something_that_a_generator_learns_from() {
    let alone = |objective: GeneratorObjective| {
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
    let none = GeneratorObjective {
        one_hot: 0.0,
        batch_entropy: 0.0,
        diversity: 0.0,
        ..GeneratorObjective::rdskd()
    };
    let all = [
        GeneratorObjective {
            one_hot: 1.0,
            ..none.clone()
        },
        GeneratorObjective {
            batch_entropy: 1.0,
            ..none.clone()
        },
        GeneratorObjective {
            diversity: 1.0,
            ..none.clone()
        },
        GeneratorObjective {
            diversity: 1.0,
            compared_by: Diversity::Noise,
            ..none.clone()
        },
        GeneratorObjective {
            activation: 1.0,
            ..none.clone()
        },
        GeneratorObjective {
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
    let with_objective = |objective: GeneratorObjective| {
        let synthetic = Synthetic::Generator {
            generator: GeneratorConfig::default(),
            objective,
        };
        with(synthetic)
    };
    let nothing = GeneratorObjective {
        one_hot: 0.0,
        batch_entropy: 0.0,
        diversity: 0.0,
        ..GeneratorObjective::rdskd()
    };
    let negative = GeneratorObjective {
        one_hot: -1.0,
        ..GeneratorObjective::rdskd()
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
    let said = Bank::read(Path::new("nowhere.safetensors"))
        .unwrap_err()
        .to_string();
    assert!(said.contains("nowhere.safetensors"), "{said}");
}
