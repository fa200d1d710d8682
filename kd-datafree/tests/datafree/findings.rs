//! Findings of settings and of a method.

use kd_core::{Finding, Grade, Topic};
use kd_datafree::{DataFreeConfig, Pooled, Synthetic, TwoPhases};

use crate::support::{config, method};
use crate::{joint, pool};

fn noise() -> TwoPhases {
    let mut config = config();
    config.synthetic = Synthetic::Noise;
    config
}

#[test]
fn a_generator_that_hardly_learns_is_warned_of() {
    let said = |steps: usize| {
        let mut config = config();
        config.generator_training.epochs = None;
        config.generator_training.steps = Some(steps);
        DataFreeConfig::from(config).findings()
    };
    assert!(said(50).is_empty());
    let [warning] = &said(49)[..] else {
        panic!("one is expected");
    };
    assert_eq!(
        (warning.grade, warning.topic),
        (Grade::Warning, Topic::Schedule)
    );
    let text = &warning.text;
    assert!(
        text.contains("49 steps") && text.contains("50 steps or more"),
        "{text}"
    );
    let noise = DataFreeConfig::from(noise());
    assert!(noise.findings().is_empty());
}

/// The findings of a method as lines of topic and text, warnings left out.
fn facts(config: impl Into<DataFreeConfig>) -> Vec<String> {
    let findings = method(config).findings().unwrap();
    let facts = findings
        .iter()
        .filter(|finding| finding.grade != Grade::Warning);
    facts
        .map(|finding| format!("{}: {}", finding.topic.word(), finding.text))
        .collect()
}

#[test]
fn a_check_of_two_phases_says_steps_images_bytes_and_parameters() {
    assert_eq!(
        facts(config()),
        [
            "schedule: phase `generator`: 5 steps, 120 an epoch, with 32 images a step",
            "schedule: phase `student`: 8 steps, 4 an epoch, with 64 images a step",
            // 256 images of 64 bytes and 16 bytes of logits.
            "data: the bank has 256 images of 1x8x8 with the teacher's logits, 0.0 MiB",
            // 5 * 24 + 24 of the linear layer, 12 + 12 + 8 of norms, 6 * 54 + 6, 4 * 54 + 4 and 36 + 1 of
            // convolutions.
            "costs: 763 parameters learn beside the student's and are thrown away when the run is done",
        ]
    );
    let mut large = noise();
    large.bank.images = 50_000;
    assert_eq!(
        facts(large),
        [
            "schedule: phase `student`: 1564 steps, 782 an epoch, with 64 images a step",
            "data: the bank has 50048 images of 1x8x8 with the teacher's logits, 3.8 MiB",
        ]
    );
}

#[test]
fn a_check_of_a_game_says_its_rounds() {
    assert_eq!(
        facts(joint::games().remove(1))[..2],
        [
            "schedule: phase `student`: 6 rounds, 3 an epoch, with 24 images a step; steps of a round: \
             generator 1, student 2",
            "data: images are made for each step and not kept; at the end 1280 of 1x8x8 are left as a bank",
        ]
    );
}

#[test]
fn a_check_of_a_pool_says_how_it_grows() {
    // Two batches of the warm-up, the first of which stands for that of the first epoch.
    let fast = pool::small(Pooled::fast());
    assert_eq!(
        facts(fast)[..2],
        [
            "schedule: phase `student`: 6 steps, 2 an epoch, with 12 images a step",
            "data: the pool grows to 4 batches of 16 images of 1x8x8, 0.0 MiB; each batch is found in 3 \
             steps of descent through the teacher",
        ]
    );
    let pixels = facts(pool::small(Pooled::deep_inversion()));
    assert_eq!(pixels.len(), 2, "{pixels:?}");
}

#[test]
fn the_findings_of_wrong_settings_are_the_error_of_their_check() {
    let mut cold = config();
    cold.temperature = 0.0;
    let refused: kd_core::Result<Vec<Finding>> = method(cold).findings();
    assert_eq!(
        refused.unwrap_err().to_string(),
        "`temperature` must be finite and above 0, got 0"
    );
}
