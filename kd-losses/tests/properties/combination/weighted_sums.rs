//! Weighted sums of terms: the total, its gradient, and the terms that are reported.

use super::close;
use crate::support::{Outcome, numbers};
use burn::tensor::{Device, Tensor};
use kd_losses::{Combined, Schedule, WeightedSum};

#[test]
fn terms_are_weighted_in_the_total_and_not_in_the_report() -> Outcome {
    let device = Device::flex().autodiff();
    let leaf = Tensor::<1>::from_data([3.0], &device).require_grad();
    let combined = WeightedSum::new()
        .add("square", 0.5, leaf.clone().square())
        .add("plain", 1.0, leaf.clone())
        .add("constant", -2.0, Tensor::from_data([4.0], &Device::flex()))
        .finish()?;
    close(numbers(combined.total.clone())[0], 4.5 + 3.0 - 8.0);
    let gradient = leaf.grad(&combined.total.backward()).map(numbers);
    assert_eq!(gradient, Some(vec![3.0 + 1.0]));
    for ((name, value), (expected_name, expected)) in
        combined
            .terms
            .into_iter()
            .zip([("square", 9.0), ("plain", 3.0), ("constant", 4.0)])
    {
        assert_eq!(name, expected_name);
        assert!(!value.is_autodiff(), "{name} keeps the graph alive");
        close(numbers(value)[0], expected);
    }
    Ok(())
}

#[test]
fn a_term_of_weight_zero_reaches_neither_total_nor_gradient() -> Outcome {
    let device = Device::flex().autodiff();
    let leaf = Tensor::<1>::from_data([3.0], &device).require_grad();
    let unused = Tensor::<1>::from_data([-1.0], &device).require_grad();
    // The root of a negative number: NaN, and so is its gradient.
    let poison = unused.clone().sqrt() * leaf.clone();
    let combined = WeightedSum::new()
        .add("poison", 0.0, poison.clone())
        .add("good", 2.0, leaf.clone())
        .finish()?;
    close(numbers(combined.total.clone())[0], 6.0);
    let gradients = combined.total.backward();
    assert_eq!(leaf.grad(&gradients).map(numbers), Some(vec![2.0]));
    assert!(unused.grad(&gradients).is_none());
    assert!(numbers(combined.terms[0].1.clone())[0].is_nan());

    // All of them 0: the sum of nothing, which a training step may still differentiate.
    let Combined { total, terms, .. } = WeightedSum::new().add("poison", 0.0, poison).finish()?;
    close(numbers(total.clone())[0], 0.0);
    assert!(leaf.grad(&total.backward()).is_none());
    assert_eq!(terms.len(), 1);

    // What learns has weight 0, and what counts is constant.
    let constant = Tensor::<1>::from_data([2.0], &Device::flex());
    let sum = WeightedSum::new().add("off", 0.0, leaf.clone() * 5.0);
    let Combined { total, .. } = sum.add("constant", 1.0, constant).finish()?;
    close(numbers(total.clone())[0], 2.0);
    assert!(leaf.grad(&total.backward()).is_none());
    Ok(())
}

#[test]
fn public_types_are_send_and_sync() {
    fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}
    send_and_sync::<Combined>();
    send_and_sync::<Schedule>();
    send_and_sync::<WeightedSum>();
}
