//! Frozen means frozen: nothing of a teacher changes in any kind of run, and the initial student stays as it was given.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{
    Names, Normalisation, Result, Runner, StagedNetwork, Tensors, Trace, export, hash_tensors,
};
use kd_offline::{Ensemble, LossConfig, Offline, OfflineData, Teacher};
use support::{Shared, Small, losses, open, real_data, run, steps};

fn hint(tap: &str) -> String {
    format!("[[losses]]\nkind = \"hint\"\nstudent_tap = \"{tap}\"\nregressor = \"always\"\n")
}

const KD: &str = "[[losses]]\nkind = \"kd\"\n";
const CROSS_ENTROPY: &str = "[[losses]]\nkind = \"cross-entropy\"\n";
const ATTENTION: &str = "[[losses]]\nkind = \"attention-transfer\"\nweight = 50.0\nstudent_taps = [\"stem\", \"body\"]\n";

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
        .map(|network| Shared::new(network, Normalisation::identity(1)))
        .collect();
    let before: Vec<Tensors> = teachers.iter().map(Shared::tensors).collect();
    assert!(before[0].contains_key("stem_norm.running_mean"));
    let hashes: Vec<String> = teachers.iter().map(Teacher::hash).collect();
    let student_before = export(&student, Names::PyTorch);

    let plain = Normalisation::identity(1);
    let method = Offline::new(&student, plain, data(), steps(10), &Device::flex())
        .with_teachers(teachers.iter().map(Shared::boxed).collect(), ensemble)
        .with_losses(losses);
    let path = tempfile::tempdir().unwrap();
    run(&method, path.path()).unwrap();

    for ((teacher, network), before) in teachers.iter().zip(&networks).zip(&before) {
        assert_eq!(bytes(&teacher.tensors()), bytes(before));
        assert_eq!(bytes(&export(network, Names::PyTorch)), bytes(before));
    }
    let after: Vec<String> = method.teachers().iter().map(|t| t.hash()).collect();
    assert_eq!(after, hashes);
    let student_after = export(&student, Names::PyTorch);
    assert_eq!(bytes(&student_after), bytes(&student_before));

    // All of the trained student did change, its statistics too.
    let trained = open(path.path())
        .result(kd_offline::RESULT_PHASE, kd_core::Snapshot::Last)
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
    let teacher = Shared::new(
        &Small::with_norms([5, 6], 10, 2),
        Normalisation::identity(1),
    );
    let losses = losses(&format!("{CROSS_ENTROPY}{}", hint("body")));
    let method = support::offline(&student, data(), steps(6), vec![teacher.boxed()], losses);
    let result = || {
        let path = tempfile::tempdir().unwrap();
        run(&method, path.path()).unwrap();
        std::fs::read(path.path().join("phases/distill/last.safetensors")).unwrap()
    };
    assert_eq!(result(), result());
}

/// What the tests above look for can be seen: a teacher that is asked in training mode does change.
#[test]
fn a_careless_teacher_would_be_noticed() {
    #[derive(Debug)]
    struct Careless(Arc<Small>);
    impl Teacher for Careless {
        fn look(&self, pixels: Tensor<4>) -> Result<Trace<Tensor<4>, Tensor<2>, Tensor<2>>> {
            let seen = self.0.forward_traced(&Tensor::from_inner(pixels));
            Ok(Trace {
                maps: seen.maps.into_iter().map(Tensor::inner).collect(),
                dense: seen.dense.inner(),
                output: seen.output.inner(),
            })
        }
        fn tap(&self, name: &str) -> Result<usize> {
            self.0.tap(name)
        }
        fn hash(&self) -> String {
            hash_tensors(&export(&*self.0, Names::PyTorch))
        }
    }
    let network = Arc::new(Small::with_norms([5, 6], 10, 2).train());
    let before = hash_tensors(&export(&*network, Names::PyTorch));
    let student = Small::with_norms([3, 4], 10, 1);
    let teacher: Box<dyn Teacher> = Box::new(Careless(Arc::clone(&network)));
    let method = support::offline(&student, data(), steps(2), vec![teacher], losses(KD));
    let path = tempfile::tempdir().unwrap();
    Runner::new(&open(path.path()), &AtomicBool::new(false))
        .run(&method, &mut ())
        .unwrap();
    assert_ne!(method.teachers()[0].hash(), before);
}
