//! Generator and student in turns: what moves, what is learnt, mistakes.

use burn::tensor::Device;
use kd_core::{Dataset, Method, Split};
use kd_datafree::{
    BANK_FILE, Bank, DataFree, Game, GeneratorConfig, GeneratorObjective, ImageTeacher as _, Joint,
    OutputKind, STUDENT_PHASE,
};

use crate::support::{IMAGE, ends, files, learn, method, net, run, teacher, tensors};

/// Each game by its published settings, but small and short.
pub(crate) fn games() -> Vec<Joint> {
    [Joint::dafl(), Joint::dfad(), Joint::zskt()]
        .into_iter()
        .map(|mut game| {
            game.generator.noise = 5;
            game.generator.widths = [6, 4];
            game.generator_lr = 1e-3;
            game.student_steps = game.student_steps.min(2);
            game.rounds_per_epoch = 3;
            game.training.epochs = Some(2);
            game.training.batch_size = 24;
            game.training.lr = 1e-2;
            game
        })
        .collect()
}

#[test]
fn the_teacher_never_changes_and_both_others_do() {
    for game in games() {
        let teacher = teacher();
        let before = tensors(&teacher);
        let student = net(3, 2, false);
        let method = DataFree::new(&student, Box::new(teacher.clone()), game, &Device::flex());
        assert_eq!(method.phases(), [STUDENT_PHASE]);
        let seen = learn(&method);
        assert!(tensors(&teacher) == before);
        assert!(
            seen.iter()
                .all(|losses| losses.values().all(|loss| loss.is_finite()))
        );
    }
}

fn logged_each_step(game: &mut Joint, steps: usize) {
    game.training.epochs = None;
    game.training.steps = Some(steps);
    game.training.log_every = 1;
}

#[test]
fn a_student_comes_closer_to_the_teacher() {
    for mut game in games() {
        logged_each_step(&mut game, 60);
        // A generator that all but stands still.
        game.generator_lr = 1e-7;
        let kind = game.game.clone();
        let [first, last] = ends(&learn(&method(game)), "total");
        assert!(last < 0.7 * first, "{kind:?}: {first} became {last}");
    }
}

#[test]
fn a_generator_goes_against_a_student_that_stands_still() {
    for mut game in games() {
        logged_each_step(&mut game, 60);
        game.training.lr = 1e-9;
        game.training.schedule = kd_core::Schedule::Constant {};
        game.generator_lr = 1e7 * 3e-3 * 1e-7;
        let kind = game.game.clone();
        let [first, last] = ends(&learn(&method(game)), "generator");
        // Its loss is the negative of the difference, or its own objective.
        assert!(last < first, "{kind:?}: {first} became {last}");
    }
}

#[test]
fn the_generator_leaves_some_images() {
    for game in games() {
        let kind = game.game.clone();
        let (place, _) = run(&method(game));
        let bank = Bank::read(&place.path().join(BANK_FILE)).unwrap();
        assert_eq!(bank.dataset().len(), 1280, "{kind:?}");
        let pixels = bank.pixels(teacher().normalisation().unwrap()).unwrap();
        assert_eq!(
            (pixels.shape(), pixels.labels()),
            (IMAGE, bank.dataset().labels())
        );
        let seen: u64 = bank.measures().histogram().iter().sum();
        assert_eq!(seen, 1280);
    }
}

#[test]
fn test_data_are_for_the_report_alone() {
    let labels: Vec<u16> = (0..12).map(|sample| sample % 4).collect();
    let pixels: Vec<u8> = (0..12 * 64_u32)
        .map(|place| (place * 37 % 251) as u8)
        .collect();
    let data = Dataset::new("t", Split::Test, IMAGE, 4, pixels, labels).unwrap();
    let game = games().remove(1);
    let without = run(&method(game.clone()));
    let with = run(&method(game).with_test(data.clone()));
    assert!(files(without.0.path()) == files(with.0.path()));
    // Without them there is what the teacher says of the generator's images.
    let made = without.1[0].last.clone();
    assert!(made.contains_key("confidence") && made.contains_key("missing_classes"));
    let mut all = with.1[0].last.clone();
    let measured = ["accuracy", "agreement", "loss"].map(|name| all.remove(name));
    assert!(measured.iter().all(Option::is_some));
    assert_eq!(all, made);
    // Of another shape.
    let other = Dataset::new("t", Split::Test, IMAGE, 3, vec![0; 64], vec![2]).unwrap();
    let refused = method(games().remove(1))
        .with_test(other)
        .check()
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`test` has images of 1x8x8 in 3 classes, and the teacher takes 1x8x8 in 4"
    );
}

#[test]
fn mistakes_are_said_in_words() {
    let refused = |change: fn(&mut Joint)| {
        let mut game = games().remove(0);
        change(&mut game);
        method(game).check().unwrap_err().to_string()
    };
    for (said, expected) in [
        (
            refused(|game| game.generator_steps = 0),
            "`generator_steps` must be above 0",
        ),
        (
            refused(|game| game.student_steps = 3),
            "`student_steps` must be 1, as must `generator_steps`, where both learn from the same images",
        ),
        (
            refused(|game| game.generator_lr = f64::NAN),
            "`generator_lr` must be finite and above 0, got NaN",
        ),
        (
            refused(|game| game.game = Game::Beliefs { attention: -1.0 }),
            "`game.attention` must be finite and not negative, got -1",
        ),
        (
            refused(|game| {
                game.game = Game::Cooperative {
                    objective: GeneratorObjective::rdskd(),
                    temperature: 1.0,
                };
                game.training.batch_size = 7;
            }),
            "`train.batch_size` must be even, as its halves are compared, got 7",
        ),
        (
            refused(|game| game.training.patience = Some(3)),
            "`train.patience` has no effect here: without data nothing says when to stop; leave it out",
        ),
        (
            refused(|game| game.training.lr = 0.0),
            "`train.lr` must be finite and above 0, got 0",
        ),
    ] {
        assert_eq!(said, expected);
    }
    // A generator of pixels is normalised as the teacher's.
    let mut pixels = games().remove(0);
    pixels.generator = GeneratorConfig {
        output: OutputKind::Sigmoid,
        ..pixels.generator
    };
    run(&method(pixels));
}
