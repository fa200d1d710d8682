//! Batch-norm statistics: symmetries, the running statistics as constants, hard inputs.

use crate::support::{Outcome, assert_finite, hard_pairs, wave};
use crate::{cases, value};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{BnStatisticsLossConfig, Error, NormStatistics, StatisticsDistance, bn_statistics};
use proptest::prelude::*;

const DISTANCES: [StatisticsDistance; 3] = [
    StatisticsDistance::Norm,
    StatisticsDistance::SquaredNorm,
    StatisticsDistance::MeanSquare,
];

#[test]
fn bn_statistics_survive_hard_inputs() -> Outcome {
    for shape in [[2, 3, 2, 3], [1, 2, 3, 3], [3, 1, 1, 1], [1, 1, 1, 1]] {
        for (name, input, _) in hard_pairs::<4>(shape) {
            let plain = Device::flex();
            let own = NormStatistics::of(
                Tensor::from_data(input.clone(), &plain),
                Tensor::zeros([shape[1]], &plain),
                Tensor::ones([shape[1]], &plain),
            )?;
            // Against other statistics, and against exactly its own.
            for (mean, variance) in [
                (own.running_mean.clone(), own.running_variance.clone()),
                (own.mean.clone(), own.variance.clone()),
            ] {
                for distance in DISTANCES {
                    assert_finite(name, input.clone(), |input| {
                        let layer = NormStatistics::of(input, mean.clone(), variance.clone())?;
                        bn_statistics(vec![layer.clone(), layer], distance, 10.0, 1e-6)
                    })?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_running_statistics() -> Outcome {
    let device = Device::flex().autodiff();
    let input = Tensor::<4>::from_data(wave([2, 3, 2, 2], 0.5), &device).require_grad();
    let leaf = Tensor::<1>::from_data(wave([3], 1.5), &device).require_grad();
    let layer = NormStatistics::of(input.clone(), leaf.clone() * 2.0, leaf.clone().square())?;
    let loss = BnStatisticsLossConfig::new().init()?;
    let gradients = loss.forward(vec![layer])?.backward();
    assert!(input.grad(&gradients).is_some());
    assert!(leaf.grad(&gradients).is_none());
    Ok(())
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn bn_statistics_are_zero_where_met_and_see_no_order(
        phase in 0.0_f64..6.0,
        shape in (1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4),
    ) {
        let shape = [shape.0, shape.1, shape.2, shape.3];
        let options = (&Device::flex(), DType::F64);
        let input = Tensor::<4>::from_data(wave(shape, phase), options);
        let failed = |error: Error| TestCaseError::fail(error.to_string());
        let zeros = Tensor::<1>::zeros([shape[1]], options);
        let layer = NormStatistics::of(input.clone(), zeros.clone(), zeros.clone()).map_err(failed)?;
        let met = NormStatistics::of(input.clone(), layer.mean.clone(), layer.variance.clone());
        let met = met.map_err(failed)?;
        let flipped = NormStatistics::of(input.flip([0, 2, 3]), zeros.clone(), zeros).map_err(failed)?;
        for distance in DISTANCES {
            let loss = |layers| value(bn_statistics(layers, distance, 2.0, 1e-9));
            prop_assert!(loss(vec![met.clone()])? <= 1e-8);
            let one = loss(vec![layer.clone()])?;
            prop_assert!(one >= 0.0);
            prop_assert!((loss(vec![flipped.clone()])? - one).abs() <= 1e-9 * (1.0 + one));
            // Twice the first and once the second.
            let both = loss(vec![layer.clone(), flipped.clone()])?;
            prop_assert!((both - 1.5 * one).abs() <= 1e-9 * (1.0 + one));
        }
    }
}
