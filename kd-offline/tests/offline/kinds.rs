//! Every loss of the catalogue from a recipe: it trains the student, leaves the teacher alone, goes on from
//! its state.

use kd_core::{Method, Normalisation, PhaseState, Requested, StepContext, Teacher, Tensors};
use kd_offline::{LossConfig, Offline};

use crate::support::{Shared, Small, boxed, folder, losses, offline, real_data, shared, steps};

/// Those that read several taps, one after the other.
const SEVERAL: [&str; 3] = ["fsp", "kdsvd", "reviewkd"];
/// Those that need no teacher.
const LABELS: [&str; 4] = [
    "cross-entropy",
    "virtual-teacher",
    "batch-entropy",
    "one-hot-confidence",
];

/// The loss as a recipe has it, at taps where it has some.
pub(crate) fn config(kind: &str) -> LossConfig {
    let loss = LossConfig::of(kind).unwrap();
    let has_taps = toml::to_string(&loss).unwrap().contains("student_taps");
    let loss = match has_taps {
        false => loss,
        // Maps of one size.
        true if kind == "fsp" => loss.at(&["body", "body"], &["body", "body"]),
        true if SEVERAL.contains(&kind) => loss.at(&["stem", "body"], &["stem", "body"]),
        true => loss.at(&["body"], &["body"]),
    };
    match kind {
        // The data of these tests is small.
        "crd" => loss
            .with("num_negatives", 8)
            .unwrap()
            .with("dim", 5)
            .unwrap(),
        _ => loss,
    }
}

fn method(kind: &str, teacher: &Shared) -> Offline<Small> {
    let student = Small::with_norms([3, 4], 10, 1);
    let losses = vec![config(kind).with_weight(0.1)];
    offline(
        &student,
        real_data(),
        steps(6),
        vec![boxed(teacher)],
        losses,
    )
    .with_seed(3)
}

fn at(step: usize) -> StepContext {
    StepContext {
        step,
        epoch: step / 5,
        step_in_epoch: step % 5,
        lr: 0.01,
        momentum: None,
    }
}

/// The state after steps `from..to`, begun with `state`.
fn go(method: &Offline<Small>, state: Option<&PhaseState>, from: usize, to: usize) -> PhaseState {
    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    if let Some(state) = state {
        phase.restore(state).unwrap();
    }
    for step in from..to {
        for (name, value) in phase.step(at(step)).unwrap() {
            let value = value.into_data().iter::<f64>().next().unwrap();
            assert!(value.is_finite(), "{name}: {value}");
        }
    }
    phase.state()
}

fn of_student(state: &PhaseState) -> Tensors {
    let tensors = state.tensors.iter();
    tensors
        .filter(|(name, _)| name.starts_with("student/") && !name.contains("running"))
        .map(|(name, data)| (name.clone(), data.clone()))
        .collect()
}

#[test]
fn every_kind_trains_the_student_and_leaves_the_teacher_alone() {
    for kind in LossConfig::kinds() {
        let teacher = shared(
            &Small::with_norms([3, 4], 10, 2),
            Normalisation::identity(1),
        );
        let before = teacher.hash();
        let method = method(kind, &teacher);
        method
            .check()
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        let (start, end) = (go(&method, None, 0, 0), go(&method, None, 0, 2));
        assert_ne!(of_student(&start), of_student(&end), "{kind}");
        assert_eq!(teacher.hash(), before, "{kind}");
    }
}

#[test]
fn every_kind_goes_on_from_its_state_bit_for_bit() {
    for kind in LossConfig::kinds() {
        let teacher = shared(
            &Small::with_norms([3, 4], 10, 2),
            Normalisation::identity(1),
        );
        let method = method(kind, &teacher);
        let whole = go(&method, None, 0, 5);
        let part = go(&method, None, 0, 2);
        let resumed = go(&method, Some(&part), 2, 5);
        assert_eq!(whole.tensors, resumed.tensors, "{kind}");
        assert_eq!(whole.values, resumed.values, "{kind}");
    }
}

#[test]
fn every_kind_comes_back_from_a_recipe_as_it_went_in() {
    for kind in LossConfig::kinds() {
        let config = config(kind);
        let text = toml::to_string(&config).unwrap();
        let back: LossConfig =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}\n{text}"));
        assert_eq!(back, config, "{text}");
        assert_eq!(toml::to_string(&back).unwrap(), text);
    }
}

#[test]
fn what_is_trained_beside_the_student_is_counted() {
    let extra = |kind: &str| {
        let teacher = shared(
            &Small::with_norms([5, 6], 10, 2),
            Normalisation::identity(1),
        );
        method(kind, &teacher).extra_parameters().unwrap()
    };
    assert_eq!(extra("sp"), 0);
    assert_eq!(extra("hint"), 4 * 6 + 6);
    assert_eq!(extra("pkd"), 4 * 6 + 6);
    // 1x1 without a bias, and a scale and a shift for each channel.
    assert_eq!(extra("ofd"), 4 * 6 + 2 * 6);
    // Two linear layers to 5 numbers, of maps of 4 and of 6 channels of 24x24.
    let places = 24 * 24;
    assert_eq!(extra("crd"), (4 * places + 1) * 5 + (6 * places + 1) * 5);
    for kind in LABELS {
        assert_eq!(extra(kind), 0);
    }
}

#[test]
fn a_loss_can_read_what_goes_into_the_head() {
    let teacher = shared(
        &Small::with_norms([5, 6], 10, 2),
        Normalisation::identity(1),
    );
    let toml = "[[losses]]\nkind = \"pkt\"\nstudent_tap = \"dense\"\n";
    let student = Small::with_norms([3, 4], 10, 1);
    let method = offline(
        &student,
        real_data(),
        steps(2),
        vec![boxed(&teacher)],
        losses(toml),
    );
    let (start, end) = (go(&method, None, 0, 0), go(&method, None, 0, 2));
    assert_ne!(of_student(&start), of_student(&end));
    assert_eq!(method.requested().unwrap(), [Requested::at_taps(["dense"])]);
}

#[test]
fn a_weight_follows_its_schedule_and_a_term_of_weight_0_does_nothing() {
    let teacher = shared(
        &Small::with_norms([3, 4], 10, 2),
        Normalisation::identity(1),
    );
    let student = Small::with_norms([3, 4], 10, 1);
    let with = |toml: &str| {
        let losses = losses(&format!("[[losses]]\nkind = \"cross-entropy\"\n{toml}"));
        offline(
            &student,
            real_data(),
            steps(6),
            vec![boxed(&teacher)],
            losses,
        )
    };
    let alone = go(&with(""), None, 0, 2);
    let weight = r#"{ kind = "linear", from = 0.0, to = 2.0, begin = 1.0, epochs = 2.0 }"#;
    let later = &format!("[[losses]]\nkind = \"kd\"\nweight = {weight}\n");
    let later = with(later);
    // The first epoch has five steps.
    assert_eq!(of_student(&alone), of_student(&go(&later, None, 0, 2)));
    assert_ne!(
        of_student(&go(&with(""), None, 0, 7)),
        of_student(&go(&later, None, 0, 7))
    );
}

#[test]
fn errors_of_a_loss_name_the_nearest() {
    let read = |toml: &str| toml::from_str::<LossConfig>(toml).unwrap_err().to_string();
    let text = read("kind = \"dkdd\"");
    assert!(
        text.contains("there is no loss `dkdd`; did you mean `dkd`?"),
        "{text}"
    );
    let text = read("kind = \"total-variation\"");
    assert!(text.contains("it is there for method crates"), "{text}");
    let text = read("kind = \"dkd\"\nbata = 1.0");
    assert!(
        text.contains("unknown field `bata`, expected one of `kind`, `weight`"),
        "{text}"
    );
    let text = read("kind = \"dkd\"\nbeta = \"much\"");
    assert!(
        text.contains("`beta` of the loss: invalid type: string"),
        "{text}"
    );
    let text = read("weight = 1.0");
    assert!(text.contains("missing field `kind`"), "{text}");
    let text = read("kind = \"kd\"\nweight = { kind = \"linaer\" }");
    assert!(text.contains("`weight`: "), "{text}");
}

#[test]
fn a_constant_out_of_range_is_named_with_its_place() {
    let teacher = shared(
        &Small::with_norms([3, 4], 10, 2),
        Normalisation::identity(1),
    );
    let student = Small::with_norms([3, 4], 10, 1);
    let toml =
        "[[losses]]\nkind = \"cross-entropy\"\n[[losses]]\nkind = \"dkd\"\ntemperature = -1.0\n";
    let method = offline(
        &student,
        real_data(),
        steps(2),
        vec![boxed(&teacher)],
        losses(toml),
    );
    let text = method.check().unwrap_err().to_string();
    assert!(
        text.starts_with("`losses.1.temperature` must be finite and above 0, got -1"),
        "{text}"
    );
}

/// The value of the one term in a first step that lies in this epoch.
fn value_at(loss: LossConfig, teacher: &Shared, epoch: usize) -> f64 {
    let student = Small::with_norms([3, 4], 10, 1);
    let method = offline(
        &student,
        real_data(),
        steps(6),
        vec![boxed(teacher)],
        vec![loss],
    );
    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    let at = StepContext {
        step: 5 * epoch,
        epoch,
        step_in_epoch: 0,
        lr: 0.01,
        momentum: None,
    };
    let terms = phase.step(at).unwrap();
    terms[0].1.clone().into_data().iter::<f64>().next().unwrap()
}

#[test]
fn a_temperature_changes_with_time_and_is_that_of_each_moment() {
    let teacher = shared(&Small::new([4, 5], 10, 2), Normalisation::identity(1));
    for kind in ["kd", "dkd", "jensen-shannon"] {
        let constant = |temperature: f64| {
            LossConfig::of(kind)
                .unwrap()
                .with("temperature", temperature)
                .unwrap()
        };
        let text = format!(
            "kind = \"{kind}\"\ntemperature = {{ kind = \"linear\", from = 8, to = 2, epochs = 4 }}"
        );
        let falling: LossConfig = toml::from_str(&text).unwrap();
        for (epoch, temperature) in [(0, 8.0), (1, 6.5), (3, 3.5), (6, 2.0)] {
            let found = value_at(falling.clone(), &teacher, epoch);
            let expected = value_at(constant(temperature), &teacher, epoch);
            assert!(
                (found - expected).abs() <= 1e-12,
                "{kind} in epoch {epoch}: {found}, {expected}"
            );
        }
        let first = value_at(constant(8.0), &teacher, 6);
        assert!(
            (first - value_at(falling.clone(), &teacher, 6)).abs() > 1e-6,
            "{kind}"
        );
        // As it is written, it is read again.
        let written = toml::to_string(&falling).unwrap();
        assert_eq!(
            toml::from_str::<LossConfig>(&written).unwrap(),
            falling,
            "{written}"
        );
    }
    for (text, expected) in [
        (
            "kind = \"kd\"\ntemperature = { kind = \"warm-up\", to = 4, epochs = 2 }",
            "must stay above 0",
        ),
        (
            "kind = \"kd\"\ntemperature = { kind = \"linear\", from = 4, to = 0, epochs = 2 }",
            "must stay above 0",
        ),
        (
            "kind = \"kd\"\ntemperature = { kind = \"linear\", from = 4, to = 1, epochs = 0 }",
            "epochs",
        ),
        (
            "kind = \"cwd\"\nstudent_tap = \"body\"\n\
             temperature = { kind = \"cosine\", from = 4, to = 1, epochs = 2 }",
            "no constant of this loss that can change",
        ),
        (
            "kind = \"dist\"\ntemperature = { kind = \"cosine\", from = 4, to = 1 }",
            "epochs",
        ),
    ] {
        let error = toml::from_str::<LossConfig>(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
