//! Runs that are stopped and gone on with end as undisturbed ones.

use kd_core::testing::stopped_at_every_step;
use kd_datafree::{Game, GeneratorObjective, Joint, TwoPhases};

use crate::support::{config, files, interrupt, method, run, run_in};
use crate::{joint, pool};

/// 5 steps of the generator and 12 of the student, in whose epochs a share of the bank is made anew.
fn two_phases(refresh: f64) -> TwoPhases {
    let mut config = config();
    config.bank.refresh = refresh;
    config.training.epochs = Some(3);
    config
}

/// All games, and one whose generator has references to keep.
fn games() -> Vec<Joint> {
    let mut penalised = joint::games().remove(0);
    penalised.game = Game::Cooperative {
        objective: GeneratorObjective::rdskd(),
        temperature: 1.0,
    };
    let mut all = joint::games();
    all.push(penalised);
    all
}

#[test]
fn two_phases_stopped_at_every_step_end_as_if_undisturbed() {
    stopped_at_every_step(|| method(two_phases(0.5))).unwrap();
}

#[test]
fn games_stopped_at_every_step_end_as_if_undisturbed() {
    for game in games() {
        stopped_at_every_step(|| method(game.clone())).unwrap();
    }
}

#[test]
fn pools_stopped_at_every_step_end_as_if_undisturbed() {
    for pooled in pool::all() {
        stopped_at_every_step(|| method(pooled.clone())).unwrap();
    }
}

#[test]
fn a_run_of_two_phases_that_was_interrupted_in_both_ends_as_an_undisturbed_one() {
    for refresh in [0.0, 0.5] {
        let made = || method(two_phases(refresh));
        let (whole, expected) = run(&made());
        let parts = tempfile::tempdir().unwrap();
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
fn a_game_that_was_interrupted_ends_as_an_undisturbed_one() {
    for game in games() {
        let made = || method(game.clone());
        let (whole, expected) = run(&made());
        let parts = tempfile::tempdir().unwrap();
        for steps in [1, 2] {
            interrupt(&made(), parts.path(), steps);
        }
        let got = run_in(&made(), parts.path()).unwrap();
        assert!(
            files(whole.path()) == files(parts.path()),
            "{:?}",
            game.game
        );
        assert_eq!(expected[0].last, got[0].last);
    }
}

#[test]
fn a_pool_that_was_interrupted_ends_as_an_undisturbed_one() {
    for pooled in pool::all() {
        let method = method(pooled);
        let (undisturbed, _) = run(&method);
        let place = tempfile::tempdir().unwrap();
        // In the middle of the second epoch, and of the third.
        interrupt(&method, place.path(), 2);
        interrupt(&method, place.path(), 1);
        run_in(&method, place.path()).unwrap();
        let [all, again] = [undisturbed.path(), place.path()].map(files);
        assert!(all == again);
    }
}

#[test]
fn an_image_of_a_pool_that_was_changed_is_named() {
    let method = method(pool::all().into_iter().next().unwrap());
    let place = tempfile::tempdir().unwrap();
    interrupt(&method, place.path(), 2);
    let file = place.path().join("pool/00000.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let error = run_in(&method, place.path()).unwrap_err().to_string();
    let said = "00000.safetensors` has other images than the checkpoint knows";
    assert!(error.contains(said), "{error}");
}
