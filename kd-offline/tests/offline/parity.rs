//! Three steps of distillation against PyTorch in float64: losses, weights, running statistics, the
//! regressor.
//!
//! `fixtures/generate.py` makes the file and lists its contents.

use std::path::Path;

use burn::tensor::{Device, TensorData};
use kd_core::{Method, Names, StepContext, Tensors, import, read_tensors};
use kd_offline::Offline;

use crate::support::{Small, boxed, folder, losses, normalisation, shared, steps, term, tiny_data};

const LOSSES: &str = r#"
    [[losses]]
    kind = "cross-entropy"
    weight = 0.3
    label_smoothing = 0.1

    [[losses]]
    kind = "kd"
    weight = 0.7
    temperature = 4.0

    [[losses]]
    kind = "hint"
    weight = 0.5
    student_tap = "body"

    [[losses]]
    kind = "attention-transfer"
    weight = 20.0
    student_taps = ["stem", "body"]
"#;
const TERMS: [&str; 5] = [
    "cross_entropy",
    "kd",
    "hint_body",
    "attention_transfer",
    "total",
];

/// The tensors whose names begin with `prefix`, without it.
fn part(all: &Tensors, prefix: &str) -> Tensors {
    let inside = |(name, data): (&String, &TensorData)| {
        Some((name.strip_prefix(prefix)?.into(), data.clone()))
    };
    all.iter().filter_map(inside).collect()
}

/// Within 1e-5 of the largest value of the tensor.
fn near(what: &str, found: &TensorData, expected: &TensorData) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected
        .iter::<f64>()
        .fold(0.0, |max: f64, x| max.max(x.abs()));
    for (found, expected) in found.iter::<f64>().zip(expected.iter::<f64>()) {
        assert!(
            (found - expected).abs() <= 1e-5 * scale,
            "{what}: {found}, PyTorch has {expected}"
        );
    }
}

fn all_near(what: &str, found: &Tensors, expected: &Tensors) {
    let names = |tensors: &Tensors| tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{what}");
    for (name, expected) in expected {
        near(&format!("{what}.{name}"), &found[name], expected);
    }
}

#[test]
fn three_steps_are_those_of_pytorch() {
    let file = "tests/fixtures/distillation.safetensors";
    let fixture = read_tensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let network = |widths, who: &str| {
        let blank = Small::with_norms(widths, 3, 0);
        import(&blank, &part(&fixture, who), Names::PyTorch, who).unwrap()
    };
    let student = network([3, 4], "student.");
    let teacher = shared(&network([5, 6], "teacher."), normalisation(0.5, 0.5));

    // The set is one batch, so the order in which it is shuffled does not matter.
    let labels = fixture["labels"]
        .iter::<i64>()
        .map(|x| u16::try_from(x).unwrap());
    let data = tiny_data(fixture["images"].iter::<u8>().collect(), labels.collect());
    let mut training = steps(3);
    training.lr = 0.1;
    let seen = normalisation(0.45, 0.25);
    let method = Offline::new(&student, seen, data, training, &Device::flex())
        .with_teachers(vec![boxed(&teacher)], kd_offline::Ensemble::Logits)
        .with_losses(losses(LOSSES));
    assert_eq!(method.extra_parameters().unwrap(), 6 * 4 + 6);

    let (_guard, folder) = folder();
    let mut phase = method.start(0, &folder).unwrap();
    let mut state = phase.state();
    for (name, data) in part(&fixture, "regressor.") {
        let old = state.tensors.insert(format!("loss2/0/conv.{name}"), data);
        assert!(old.is_some(), "the regressor has no {name}");
    }
    phase.restore(&state).unwrap();

    let expected: Vec<f64> = fixture["losses"].iter::<f64>().collect();
    for (step, expected) in expected.chunks_exact(TERMS.len()).enumerate() {
        let at = StepContext {
            step,
            epoch: step,
            step_in_epoch: 0,
            lr: phase.plan().lr.at(step),
            momentum: None,
        };
        let terms = phase.step(at).unwrap();
        let names: Vec<&str> = terms.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, TERMS);
        for (name, expected) in TERMS.iter().zip(expected) {
            let found = term(&terms, name);
            assert!(
                (found - expected).abs() <= 1e-5 * expected.abs(),
                "step {step}, {name}: {found}, PyTorch has {expected}"
            );
        }
        let after = format!("after{}", step + 1);
        let wanted = part(&fixture, &format!("{after}.student."));
        all_near(&format!("{after}.student"), &phase.result(), &wanted);
        let regressor = part(&phase.state().tensors, "loss2/0/conv.");
        let wanted = part(&fixture, &format!("{after}.regressor."));
        all_near(&format!("{after}.regressor"), &regressor, &wanted);
    }
}
