//! Losses of feature maps and embeddings that train nothing, on large, equal and zero features.

use crate::support::losses::{Loss, OF_EMBEDDINGS, OF_MAPS};
use crate::support::{Outcome, assert_finite, hard_pairs};
use burn::tensor::{Device, Tensor};
use kd_losses::{
    CorrelationCongruenceLoss, CorrelationCongruenceLossConfig, CorrelationKernel, IckdLoss,
    IckdLossConfig, NstLoss, NstLossConfig, PkdLoss, PkdLossConfig, PktLoss, PktLossConfig,
    SelectivityKernel, SimilarityPreservingLoss, SimilarityPreservingLossConfig,
    correlation_congruence,
};

/// Finite on hard inputs, not negative, and 0 where both are equal.
fn survives<const D: usize>(name: &str, loss: Loss<D>, shape: [usize; D]) -> Outcome {
    for (input, student, teacher) in hard_pairs::<D>(shape) {
        let what = format!("{name} {shape:?} {input}");
        let teacher = Tensor::<D>::from_data(teacher, &Device::flex());
        let value = assert_finite(&what, student, |student| loss(student, teacher.clone()))?;
        assert!(value >= -1e-6, "{what}: {value}");
        if ["equal", "both of zeros"].contains(&input) {
            assert!(value <= 1e-6, "{what}: {value}");
        }
    }
    Ok(())
}

#[test]
fn every_loss_of_features_survives_hard_inputs() -> Outcome {
    for (name, loss) in OF_EMBEDDINGS {
        for shape in [[4, 5], [1, 5], [3, 2], [2, 1], [1, 1]] {
            survives(name, *loss, shape)?;
        }
    }
    for (name, loss) in OF_MAPS {
        for shape in [[2, 3, 4, 3], [1, 2, 3, 3], [3, 2, 1, 1], [1, 1, 1, 1]] {
            survives(name, *loss, shape)?;
        }
    }
    Ok(())
}

#[test]
fn correlation_congruence_is_finite_for_any_gamma() -> Outcome {
    for gamma in [1e-9, 30.0, 1e4, 1e300] {
        for (input, student, teacher) in hard_pairs::<2>([4, 3]) {
            let what = format!("{gamma} {input}");
            let teacher = Tensor::<2>::from_data(teacher, &Device::flex());
            let kernel = CorrelationKernel::Taylor;
            let value = assert_finite(&what, student, |student| {
                correlation_congruence(student, teacher.clone(), kernel, gamma, 16, 1e-12)
            })?;
            assert!((0.0..=1.0 + 1e-6).contains(&value), "{what}: {value}");
        }
    }
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<CorrelationCongruenceLoss>();
    send_and_sync::<CorrelationCongruenceLossConfig>();
    send_and_sync::<CorrelationKernel>();
    send_and_sync::<PkdLoss>();
    send_and_sync::<PkdLossConfig>();
    send_and_sync::<IckdLoss>();
    send_and_sync::<IckdLossConfig>();
    send_and_sync::<NstLoss>();
    send_and_sync::<NstLossConfig>();
    send_and_sync::<SelectivityKernel>();
    send_and_sync::<PktLoss>();
    send_and_sync::<PktLossConfig>();
    send_and_sync::<SimilarityPreservingLoss>();
    send_and_sync::<SimilarityPreservingLossConfig>();
}
