//! Batch-norm statistics.

use crate::support::{Golden, Outcome, assert_finite, hard_pairs, wave};
use crate::{config, text, value};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{BnStatisticsLossConfig, Error, NormStatistics, StatisticsDistance, bn_statistics};
use proptest::prelude::*;

const DISTANCES: [StatisticsDistance; 3] = [
    StatisticsDistance::Norm,
    StatisticsDistance::SquaredNorm,
    StatisticsDistance::MeanSquare,
];

#[test]
fn bn_statistics_are_as_the_formula_says() -> Outcome {
    Golden::read("bn_statistics")?.check(27, |given| {
        let mut layers = Vec::new();
        for layer in 0..given.count("layers")? {
            layers.push(NormStatistics::of(
                given.student(&format!("input_{layer}"))?,
                given.teacher(&format!("running_mean_{layer}"))?,
                given.teacher(&format!("running_variance_{layer}"))?,
            )?);
        }
        let multiplier = given.number("first_layer_multiplier")?;
        let epsilon = given.number("epsilon")?;
        Ok(bn_statistics(
            layers,
            given.choice("distance")?,
            multiplier,
            epsilon,
        )?)
    })
}

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

#[test]
fn bn_statistics_say_what_is_wrong() -> Outcome {
    let device = Device::flex();
    let make = |channels: usize, running: usize, dtype: DType| {
        NormStatistics::of(
            Tensor::<4>::zeros([2, channels, 2, 2], (&device, dtype)),
            Tensor::zeros([channels], (&device, dtype)),
            Tensor::zeros([running], (&device, dtype)),
        )
    };
    assert_eq!(
        text(make(3, 2, DType::F32)),
        "`bn_statistics`: `mean` ([3]) and `running_variance` ([2]) differ in shape; \
         give the input of a batch norm and the running statistics of the same one"
    );
    assert_eq!(
        text(make(0, 0, DType::F32)),
        "`bn_statistics`: `input` [2, 0, 2, 2] has no elements; skip empty batches"
    );
    let loss = |layers| text(bn_statistics(layers, StatisticsDistance::Norm, 1.0, 1e-6));
    assert_eq!(
        loss(Vec::new()),
        "`bn_statistics`: `layers` has 0 entries, at least 1 are needed; give the inputs of the batch norms"
    );
    assert_eq!(
        loss(vec![make(3, 3, DType::F32)?, make(2, 2, DType::F64)?]),
        "`bn_statistics`: `layers[0]` (F32) and `layers[1]` (F64) differ in dtype; take all layers from one network"
    );
    assert_eq!(
        text(
            BnStatisticsLossConfig::new()
                .with_first_layer_multiplier(-1.0)
                .init()
        ),
        "`first_layer_multiplier` must be finite and at least 0, got -1; \
         1 treats all layers alike, 10 is usual on ImageNet"
    );
    Ok(())
}

proptest! {
    #![proptest_config(config())]

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
        let met = NormStatistics::of(input.clone(), layer.mean.clone(), layer.variance.clone()).map_err(failed)?;
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
