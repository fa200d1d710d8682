//! Targets that peers make for each other: how good they are at least, constants, hard inputs, which changes
//! of the peers change nothing.

use crate::support::{Outcome, hard_pairs, numbers, wave};
use crate::{cases, failed, value};
use burn::tensor::{DType, Device, Int, Tensor};
use kd_losses::{
    KdclErrors, Result, cross_entropy, kdcl_general, kdcl_linear, kdcl_min_logit, kdcl_naive,
};
use proptest::prelude::*;

type Target = fn(&[Tensor<2>], Tensor<1, Int>) -> Result<Tensor<2>>;

const TARGETS: [(&str, Target); 4] = [
    ("naive", kdcl_naive),
    ("min-logit", kdcl_min_logit),
    ("linear", |peers, targets| kdcl_linear(peers, targets, 60)),
    ("general", |peers, targets| {
        let mut errors = KdclErrors::new(peers.len())?;
        errors.add(peers, targets)?;
        kdcl_general(peers, &errors.weights(1e-3)?)
    }),
];

/// Logits of peers in 64-bit floats, and labels.
fn batch(phases: [f64; 3], shape: [usize; 2], scale: f64) -> ([Tensor<2>; 3], Tensor<1, Int>) {
    let options = (&Device::flex(), DType::F64);
    let peers = phases.map(|phase| Tensor::<2>::from_data(wave(shape, phase), options) * scale);
    let labels = (0..shape[0]).map(|sample| i64::try_from(sample % shape[1]).unwrap_or_default());
    let labels: Vec<i64> = labels.collect();
    (peers, Tensor::from_data(labels.as_slice(), &Device::flex()))
}

/// The cross-entropy of each sample.
fn each(
    logits: &Tensor<2>,
    targets: &Tensor<1, Int>,
) -> core::result::Result<Vec<f64>, TestCaseError> {
    (0..logits.dims()[0])
        .map(|sample| {
            let row = logits.clone().narrow(0, sample, 1);
            let label = targets.clone().narrow(0, sample, 1);
            value(cross_entropy(row, label, 0.0))
        })
        .collect()
}

/// The probabilities of logits, which do not see a shift.
fn probabilities(logits: Tensor<2>) -> Vec<f64> {
    numbers(burn::tensor::activation::softmax(logits, 1))
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn targets_are_as_good_as_the_best_peer(
        phases in prop::array::uniform3(0.0_f64..6.0),
        samples in 1_usize..5,
        classes in 2_usize..6,
        scale in 0.1_f64..20.0,
    ) {
        let (peers, targets) = batch(phases, [samples, classes], scale);
        let of_peers = peers
            .iter()
            .map(|peer| each(peer, &targets))
            .collect::<core::result::Result<Vec<_>, _>>()?;
        let mean = (peers[0].clone() + peers[1].clone() + peers[2].clone()) * (1.0 / 3.0);
        let of_mean = each(&mean, &targets)?;
        let naive = each(&kdcl_naive(&peers, targets.clone()).map_err(failed)?, &targets)?;
        let least = each(&kdcl_min_logit(&peers, targets.clone()).map_err(failed)?, &targets)?;
        let linear = each(&kdcl_linear(&peers, targets.clone(), 5).map_err(failed)?, &targets)?;
        for sample in 0..samples {
            let best = of_peers.iter().map(|losses| losses[sample]).fold(f64::INFINITY, f64::min);
            prop_assert!((naive[sample] - best).abs() <= 1e-9 * (1.0 + best), "{} {best}", naive[sample]);
            prop_assert!(least[sample] <= best + 1e-9, "{} {best}", least[sample]);
            let most = best.min(of_mean[sample]);
            prop_assert!(linear[sample] <= most + 1e-9, "{} {most}", linear[sample]);
        }
    }

    #[test]
    fn the_search_ends_near_the_best_of_all_combinations_on_a_grid(
        phases in prop::array::uniform3(0.0_f64..6.0),
        classes in 2_usize..6,
        scale in 0.1_f64..4.0,
    ) {
        let (peers, targets) = batch(phases, [1, classes], scale);
        let [one, two, three] = peers.clone();
        let mut combinations = Vec::new();
        for first in 0..=50_u8 {
            for second in 0..=50 - first {
                let [a, b] = [first, second].map(|part| f64::from(part) / 50.0);
                combinations.push(one.clone() * a + two.clone() * b + three.clone() * (1.0 - a - b));
            }
        }
        let labels = Tensor::<1, Int>::zeros([combinations.len()], &Device::flex());
        let losses = each(&Tensor::cat(combinations, 0), &labels)?;
        let least = losses.into_iter().fold(f64::INFINITY, f64::min);
        let found = each(&kdcl_linear(&peers, targets.clone(), 400).map_err(failed)?, &targets)?[0];
        // Peers that nearly agree pull little apart, and the search is slow to tell them.
        prop_assert!(found <= least + 5e-3, "{found} {least}");
    }

    #[test]
    fn targets_see_no_order_of_peers_and_no_shift(
        phases in prop::array::uniform3(0.0_f64..6.0),
        samples in 1_usize..4,
        classes in 2_usize..6,
        shift in -20.0_f64..20.0,
    ) {
        let (peers, targets) = batch(phases, [samples, classes], 2.0);
        let [a, b, c] = peers.clone();
        for (name, target) in TARGETS {
            let plain = probabilities(target(&peers, targets.clone()).map_err(failed)?);
            let turned = [c.clone(), a.clone() + shift, b.clone()];
            let other = probabilities(target(&turned, targets.clone()).map_err(failed)?);
            for (plain, other) in plain.into_iter().zip(other) {
                prop_assert!((plain - other).abs() <= 1e-6, "{name}: {plain}, {other}");
            }
        }
    }

    #[test]
    fn the_target_of_equal_peers_is_their_prediction(
        phase in 0.0_f64..6.0,
        samples in 1_usize..4,
        classes in 2_usize..6,
    ) {
        let (peers, targets) = batch([phase; 3], [samples, classes], 2.0);
        let expected = probabilities(peers[0].clone());
        for (name, target) in TARGETS {
            let found = probabilities(target(&peers, targets.clone()).map_err(failed)?);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-9, "{name}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn weights_sum_to_1_and_are_of_the_smallest_error(
        phases in prop::array::uniform3(0.0_f64..6.0),
        samples in 2_usize..6,
        classes in 2_usize..6,
        away in -0.2_f64..0.2,
    ) {
        let (peers, targets) = batch(phases, [samples, classes], 2.0);
        let mut errors = KdclErrors::new(3).map_err(failed)?;
        errors.add(&peers, targets.clone()).map_err(failed)?;
        let ridge = 1e-6;
        let weights = errors.weights(ridge).map_err(failed)?;
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{weights:?}");
        let labels = numbers(targets.one_hot::<2>(classes).float());
        let outputs = peers.map(probabilities);
        let squared = |mixed: Vec<f64>| -> f64 {
            mixed.iter().zip(&labels).map(|(p, label)| (p - label).powi(2)).sum()
        };
        let mean = outputs.iter().map(|p| squared(p.clone())).sum::<f64>() / 3.0;
        let error = |weights: &[f64]| -> f64 {
            let mixed = (0..labels.len())
                .map(|at| weights.iter().zip(&outputs).map(|(w, p)| w * p[at]).sum());
            squared(mixed.collect()) + ridge * mean * weights.iter().map(|w| w * w).sum::<f64>()
        };
        let least = error(&weights);
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let mut moved = weights.clone();
            moved[one] += away;
            moved[other] -= away;
            prop_assert!(error(&moved) >= least - 1e-8 * (1.0 + least), "{} {least}", error(&moved));
        }
    }
}

#[test]
fn targets_of_hard_inputs_are_finite() -> Outcome {
    for shape in [[4, 5], [1, 5], [3, 2], [1, 2]] {
        let labels: Vec<i64> = vec![1; shape[0]];
        for (input, one, other) in hard_pairs::<2>(shape) {
            let peers =
                [one.clone(), other, one].map(|data| Tensor::from_data(data, &Device::flex()));
            let labels = Tensor::<1, Int>::from_data(labels.as_slice(), &Device::flex());
            for (name, target) in TARGETS {
                let found = target(&peers, labels.clone())?;
                assert_eq!(found.dims(), shape, "{name}, {input}");
                let numbers = numbers(found);
                assert!(
                    numbers.iter().all(|number| number.is_finite()),
                    "{name}, {input}: {numbers:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn targets_are_constants_on_the_plain_device() -> Outcome {
    let device = Device::flex().autodiff();
    let make = |phase| Tensor::<2>::from_data(wave([3, 4], phase), &device).require_grad() * 2.0;
    let peers = [make(0.1), make(1.2), make(2.3)];
    for device in [Device::flex(), Device::flex().autodiff()] {
        let labels = Tensor::<1, Int>::from_data([2, 0, 3], &device);
        for (name, target) in TARGETS {
            assert!(!target(&peers, labels.clone())?.is_autodiff(), "{name}");
        }
    }
    Ok(())
}

#[test]
fn of_equally_good_peers_the_first_is_taken() -> Outcome {
    let peers = [[[1.0, 2.0, 3.0]], [[1.0, 3.0, 2.0]]];
    let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &Device::flex()));
    let label = Tensor::<1, Int>::from_data([0], &Device::flex());
    assert_eq!(numbers(kdcl_naive(&peers, label)?), [1.0, 2.0, 3.0]);
    Ok(())
}

#[test]
fn a_peer_whose_errors_others_share_counts_for_less() -> Outcome {
    // The first two make one error, the third another of the same size.
    let peers = [
        [[2.0, 0.0], [0.0, 0.5]],
        [[2.0, 0.0], [0.0, 0.5]],
        [[0.5, 0.0], [0.0, 2.0]],
    ];
    let peers = peers.map(|logits| Tensor::<2>::from_data(logits, &Device::flex()));
    let mut errors = KdclErrors::new(3)?;
    errors.add(&peers, Tensor::from_data([0, 1], &Device::flex()))?;
    let weights = errors.weights(1e-3)?;
    assert!(
        (weights[0] - weights[1]).abs() < 1e-6 && weights[2] > 1.5 * weights[0],
        "{weights:?}"
    );
    Ok(())
}

#[test]
fn peers_without_errors_have_equal_weights() -> Outcome {
    let sure = Tensor::<2>::from_data([[1e4, 0.0], [0.0, 1e4]], &Device::flex());
    let mut errors = KdclErrors::new(2)?;
    errors.add(
        &[sure.clone(), sure],
        Tensor::from_data([0, 1], &Device::flex()),
    )?;
    assert_eq!(errors.weights(1e-3)?, [0.5, 0.5]);
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<KdclErrors>();
}
