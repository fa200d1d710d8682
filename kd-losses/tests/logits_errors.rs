//! What the losses of logits refuse, and in what words.

use burn::tensor::{Device, Int, Tensor};
use kd_losses::{DecoupledKdLoss, DecoupledKdLossConfig, Error, decoupled_kd};

fn matrix(batch_size: usize, num_classes: usize) -> Tensor<2> {
    Tensor::zeros([batch_size, num_classes], &Device::flex())
}

fn labels(batch_size: usize) -> Tensor<1, Int> {
    Tensor::zeros([batch_size], &Device::flex())
}

fn text<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_are_send_and_sync() {
    send_and_sync::<DecoupledKdLoss>();
    send_and_sync::<DecoupledKdLossConfig>();
}

#[test]
fn shapes_of_logits_and_labels_must_agree() {
    let call =
        |student, teacher, targets| text(decoupled_kd(student, teacher, targets, 1.0, 8.0, 4.0));
    assert_eq!(
        call(matrix(2, 3), matrix(2, 4), labels(2)),
        "`decoupled_kd`: `student_logits` [2, 3] and `teacher_logits` [2, 4] differ in number of classes; \
         give teacher and student the same classes in the same order"
    );
    assert_eq!(
        call(matrix(2, 3), matrix(2, 3), labels(1)),
        "`decoupled_kd`: `student_logits` [2, 3] and `targets` [1] differ in batch size; take both from the same batch"
    );
    assert_eq!(
        call(matrix(2, 1), matrix(2, 1), labels(2)),
        "`decoupled_kd`: `student_logits` [2, 1] has 1 class, at least 2 are needed; give the output of a classifier"
    );
    assert_eq!(
        call(matrix(0, 3), matrix(0, 3), labels(0)),
        "`decoupled_kd`: `student_logits` [0, 3] has no elements; skip empty batches"
    );
}

#[test]
fn constants_of_decoupled_kd_have_ranges() {
    for (config, expected) in [
        (
            DecoupledKdLossConfig::new().with_alpha(-1.0),
            "`alpha` must be finite and at least 0, got -1; the authors use 1",
        ),
        (
            DecoupledKdLossConfig::new().with_beta(f64::NAN),
            "`beta` must be finite and at least 0, got NaN; the authors use 8, less for some pairs",
        ),
        (
            DecoupledKdLossConfig::new().with_temperature(0.0),
            "`temperature` must be finite and above 0, got 0; the paper uses 1 to 20",
        ),
    ] {
        assert_eq!(text(config.init()), expected);
    }
}
