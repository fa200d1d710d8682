//! Errors of the targets that peers make for each other, and of the diversification of their predictions.

use crate::support::{Outcome, text};
use burn::tensor::{Device, Int, Tensor};
use kd_losses::{
    KdclErrors, PredictionDiversificationLossConfig, Result, kdcl_general, kdcl_linear,
    kdcl_min_logit, kdcl_naive, prediction_diversification,
};

type Target = fn(&[Tensor<2>], Tensor<1, Int>) -> Result<Tensor<2>>;

const TARGETS: [(&str, Target); 4] = [
    ("kdcl_naive", kdcl_naive),
    ("kdcl_min_logit", kdcl_min_logit),
    ("kdcl_linear", |peers, targets| {
        kdcl_linear(peers, targets, 1)
    }),
    ("kdcl_general", |peers, targets| {
        let mut errors = KdclErrors::new(2)?;
        errors.add(peers, targets)?;
        kdcl_general(peers, &errors.weights(1e-3)?)
    }),
];

fn peer(batch_size: usize, num_classes: usize) -> Tensor<2> {
    Tensor::zeros([batch_size, num_classes], &Device::flex())
}

fn labels(batch_size: usize) -> Tensor<1, Int> {
    Tensor::zeros([batch_size], &Device::flex())
}

#[test]
fn every_target_names_itself_when_shapes_differ() {
    let advice = "give the logits of all peers for one batch and the same classes";
    for (name, target) in TARGETS {
        let call = |other, labels| text(target(&[peer(2, 3), other], labels));
        assert_eq!(
            call(peer(2, 4), labels(2)),
            format!(
                "`{name}`: `peers[0]` ([2, 3]) and `peers[1]` ([2, 4]) differ in shape; {advice}"
            )
        );
        // A batch of one would be broadcast without a word.
        assert_eq!(
            call(peer(1, 3), labels(2)),
            format!(
                "`{name}`: `peers[0]` ([2, 3]) and `peers[1]` ([1, 3]) differ in shape; {advice}"
            )
        );
        assert_eq!(
            call(peer(2, 3), labels(1)),
            format!(
                "`{name}`: `peers` [2, 3] and `targets` [1] differ in batch size; take both from the same \
                 batch"
            )
        );
        assert_eq!(
            text(target(&[peer(0, 3), peer(0, 3)], labels(0))),
            format!("`{name}`: `peers` [0, 3] has no elements; skip empty batches")
        );
        let wide = peer(2, 3).cast(burn::tensor::DType::F64);
        assert_eq!(
            call(wide, labels(2)),
            format!("`{name}`: `peers[0]` (F32) and `peers[1]` (F64) differ in dtype; {advice}")
        );
    }
    for (name, target) in &TARGETS[..3] {
        assert_eq!(
            text(target(&[peer(2, 3)], labels(2))),
            format!(
                "`{name}`: `peers` has 1 entries, at least 2 are needed; give the logits of all peers"
            )
        );
    }
}

#[test]
fn a_search_of_no_steps_is_refused() {
    assert_eq!(
        text(kdcl_linear(&[peer(2, 3), peer(2, 3)], labels(2), 0)),
        "`steps` must be at least 1, got 0; 100 are enough for a handful of peers"
    );
}

#[test]
fn weights_of_peers_are_checked() -> Outcome {
    let peers = [peer(2, 3), peer(2, 3)];
    assert_eq!(
        text(kdcl_general(&peers, &[1.0])),
        "`kdcl_general`: `weights` (1) and `peers` (2) differ in number; give one weight for each peer"
    );
    for (weights, printed) in [([0.5, 0.6], "1.1"), ([f64::NAN, 1.0], "NaN")] {
        assert_eq!(
            text(kdcl_general(&peers, &weights)),
            format!(
                "`weights` must be of sum 1, got {printed}; take those of `KdclErrors::weights`"
            )
        );
    }
    assert_eq!(
        text(KdclErrors::new(1)),
        "`kdcl_general`: `peers` has 1 entries, at least 2 are needed; one network has no peers"
    );
    let mut errors = KdclErrors::new(2)?;
    assert_eq!(
        text(errors.weights(1e-3)),
        "`kdcl_general`: `samples` has 0 entries, at least 1 are needed; add held-out batches first"
    );
    errors.add(&peers, labels(2))?;
    let before = errors.clone();
    assert_eq!(
        text(errors.add(&[peer(2, 3), peer(2, 3), peer(2, 3)], labels(2))),
        "`kdcl_general`: `peers` (3) and `errors` (2) differ in number; give the logits of as many peers as \
         the errors were made for"
    );
    assert!(errors.add(&peers, labels(1)).is_err());
    assert_eq!(errors, before, "a batch that is refused changes nothing");
    for (ridge, printed) in [(0.0, "0"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        assert_eq!(
            text(errors.weights(ridge)),
            format!(
                "`ridge` must be above 0 and at most 1, got {printed}; 1e-3 suits peers that hardly differ"
            )
        );
    }
    Ok(())
}

#[test]
fn diversification_of_predictions_says_what_is_wrong() {
    let call = |one, other, labels| text(prediction_diversification(&[one, other], labels, 1.0));
    let name = "`prediction_diversification`";
    let advice = "give the logits of all peers for one batch and the same classes";
    assert_eq!(
        call(peer(2, 3), peer(1, 3), labels(2)),
        format!("{name}: `peers[0]` ([2, 3]) and `peers[1]` ([1, 3]) differ in shape; {advice}")
    );
    assert_eq!(
        call(peer(2, 3), peer(2, 3), labels(3)),
        format!(
            "{name}: `peers` [2, 3] and `targets` [3] differ in batch size; take both from the same \
            batch"
        )
    );
    assert_eq!(
        call(peer(2, 1), peer(2, 1), labels(2)),
        format!(
            "{name}: `peers` [2, 1] has 1 class, at least 2 are needed; give the output of a classifier"
        )
    );
    assert_eq!(
        call(peer(0, 3), peer(0, 3), labels(0)),
        format!("{name}: `peers` [0, 3] has no elements; skip empty batches")
    );
    assert_eq!(
        text(prediction_diversification(&[peer(2, 3)], labels(2), 1.0)),
        format!(
            "{name}: `peers` has 1 entries, at least 2 are needed; give the logits of all peers"
        )
    );
    let temperature = "`temperature` must be finite and above 0, got 0; 1 to 20 are usual";
    let config = PredictionDiversificationLossConfig::new().with_temperature(0.0);
    assert_eq!(text(config.init()), temperature);
}
