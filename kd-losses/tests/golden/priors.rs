//! Regularisers and priors against `fixtures/priors.py`.

use crate::cases::Golden;
use crate::support::Outcome;
use burn::tensor::Tensor;
use kd_losses::{
    NormStatistics, activation_norm, batch_entropy, bn_statistics, classifier_diversification,
    image_l2, increment_penalty, mode_seeking, one_hot_confidence, total_variation,
};

#[test]
fn priors_of_predictions_are_as_the_formulas_say() -> Outcome {
    Golden::read("batch_entropy")?
        .check(6, |given| Ok(batch_entropy(given.student("logits")?)?))?;
    Golden::read("one_hot_confidence")?
        .check(6, |given| Ok(one_hot_confidence(given.student("logits")?)?))?;
    Golden::read("activation_norm")?.check(4, |given| {
        Ok(activation_norm(given.student::<2>("features")?)?)
    })
}

#[test]
fn mode_seeking_is_as_the_formula_says() -> Outcome {
    Golden::read("mode_seeking")?.check(24, |given| {
        Ok(mode_seeking(
            given.student("images")?,
            given.student("other_images")?,
            given.student("codes")?,
            given.student("other_codes")?,
            given.choice("form")?,
            given.number("epsilon")?,
        )?)
    })
}

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
fn priors_of_images_are_as_the_formulas_say() -> Outcome {
    Golden::read("total_variation")?.check(36, |given| {
        let (form, epsilon) = (given.choice("form")?, given.number("epsilon")?);
        Ok(total_variation(given.student("images")?, form, epsilon)?)
    })?;
    Golden::read("image_l2")?.check(27, |given| {
        let (size, epsilon) = (given.choice("size")?, given.number("epsilon")?);
        Ok(image_l2(given.student("images")?, size, epsilon)?)
    })
}

#[test]
fn increment_penalty_is_as_the_formula_says() -> Outcome {
    Golden::read("increment_penalty")?.check(7, |given| {
        let (loss, reference) = (given.student("term")?, given.teacher("reference")?);
        Ok(increment_penalty(
            loss,
            reference,
            given.number("largest_exponent")?,
        )?)
    })
}

#[test]
fn classifier_diversification_is_as_the_formula_says() -> Outcome {
    Golden::read("classifier_diversification")?.check(48, |given| {
        let weights: Outcome<Vec<Tensor<2>>> = (0..given.count("count")?)
            .map(|index| given.student(&format!("weight_{index}")))
            .collect();
        let (overlap, epsilon) = (given.choice("overlap")?, given.number("epsilon")?);
        Ok(classifier_diversification(&weights?, overlap, epsilon)?)
    })
}
