//! Frozen means frozen: nothing of a teacher changes in any kind of run, and the initial student stays as it
//! was given.

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{Names, Normalisation, RunFolder, Snapshot, Teacher, Tensors, export, testing};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData};

use crate::support::{
    Careless, Shared, Small, boxed, losses, offline, real_data, result_file, shared, steps, tensors,
};

fn hint(tap: &str) -> String {
    format!("[[losses]]\nkind = \"hint\"\nstudent_tap = \"{tap}\"\nregressor = \"always\"\n")
}

const KD: &str = "[[losses]]\nkind = \"kd\"\n";
const CROSS_ENTROPY: &str = "[[losses]]\nkind = \"cross-entropy\"\n";
const ATTENTION: &str = r#"
    [[losses]]
    kind = "attention-transfer"
    weight = 50.0
    student_taps = ["stem", "body"]
"#;

fn data() -> OfflineData {
    real_data()
}

fn bytes(tensors: &Tensors) -> Vec<(&str, &[u8])> {
    tensors
        .iter()
        .map(|(name, data)| (name.as_str(), data.as_bytes()))
        .collect()
}

/// Runs ten steps and compares everything that must not change, bit for bit.
fn stays_frozen(count: usize, ensemble: Ensemble, losses: Vec<LossConfig>) {
    let student = Small::with_norms([3, 4], 10, 1);
    let networks: Vec<Small> = (0..count as u64)
        .map(|index| Small::with_norms([5, 6], 10, 10 + index))
        .collect();
    let teachers: Vec<Shared> = networks
        .iter()
        .map(|network| shared(network, Normalisation::identity(1)))
        .collect();
    let before: Vec<Tensors> = teachers.iter().map(tensors).collect();
    assert!(before[0].contains_key("stem_norm.running_mean"));
    let hashes: Vec<String> = teachers.iter().map(Teacher::hash).collect();
    let student_before = export(&student, Names::PyTorch);

    let plain = Normalisation::identity(1);
    let method = Offline::new(&student, plain, data(), steps(10), &Device::flex())
        .with_teachers(teachers.iter().map(boxed).collect(), ensemble)
        .with_losses(losses);
    let path = tempfile::tempdir().unwrap();
    testing::run(&method, path.path()).unwrap();

    for ((teacher, network), before) in teachers.iter().zip(&networks).zip(&before) {
        assert_eq!(bytes(&tensors(teacher)), bytes(before));
        assert_eq!(bytes(&export(network, Names::PyTorch)), bytes(before));
    }
    let after: Vec<String> = method.teachers().iter().map(Teacher::hash).collect();
    assert_eq!(after, hashes);
    let student_after = export(&student, Names::PyTorch);
    assert_eq!(bytes(&student_after), bytes(&student_before));

    // All of the trained student did change, its statistics too.
    let folder = RunFolder::open(path.path()).unwrap();
    let trained = folder
        .result(kd_offline::RESULT_PHASE, Snapshot::Last)
        .unwrap();
    for (name, data) in &trained {
        assert_ne!(data.as_bytes(), student_before[name].as_bytes(), "{name}");
    }
}

#[test]
fn plain_kd_changes_no_teacher() {
    stays_frozen(1, Ensemble::Logits, losses(&format!("{CROSS_ENTROPY}{KD}")));
}

#[test]
fn a_hint_with_a_regressor_changes_no_teacher() {
    let toml = format!("{CROSS_ENTROPY}{}{}", hint("stem"), hint("body"));
    stays_frozen(1, Ensemble::Logits, losses(&toml));
}

#[test]
fn attention_transfer_changes_no_teacher() {
    let toml = format!("{CROSS_ENTROPY}{ATTENTION}");
    stays_frozen(1, Ensemble::Logits, losses(&toml));
}

#[test]
fn an_ensemble_with_every_loss_changes_no_teacher() {
    let toml = format!(
        "{CROSS_ENTROPY}{KD}{}{ATTENTION}teacher = 1\n",
        hint("body")
    );
    for ensemble in [Ensemble::Logits, Ensemble::Probabilities] {
        stays_frozen(2, ensemble, losses(&toml));
    }
}

#[test]
fn a_method_can_be_run_again_from_the_same_start() {
    let student = Small::with_norms([3, 4], 10, 1);
    let teacher = shared(
        &Small::with_norms([5, 6], 10, 2),
        Normalisation::identity(1),
    );
    let losses = losses(&format!("{CROSS_ENTROPY}{}", hint("body")));
    let method = offline(&student, data(), steps(6), vec![boxed(&teacher)], losses);
    assert_eq!(result_file(&method), result_file(&method));
}

/// The tests above can fail: a teacher that answers in training form does change.
#[test]
fn a_careless_teacher_would_be_noticed() {
    let teacher = Careless(Small::with_norms([5, 6], 10, 2).train());
    let before = teacher.hash();
    let student = Small::with_norms([3, 4], 10, 1);
    let teachers: Vec<Box<dyn Teacher>> = vec![Box::new(teacher)];
    let method = offline(&student, data(), steps(2), teachers, losses(KD));
    let path = tempfile::tempdir().unwrap();
    testing::run(&method, path.path()).unwrap();
    assert_ne!(method.teachers()[0].hash(), before);
}
