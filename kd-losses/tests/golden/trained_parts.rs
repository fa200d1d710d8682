//! Adapters and losses with trained parts, against `fixtures/adapters.py` and `fixtures/trained_parts.py`.

use crate::cases::Golden;
use crate::given::Given;
use crate::support::Outcome;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_losses::{
    ActivationBoundaryLoss, ActivationBoundaryLossConfig, Error, FactorTransferLoss,
    FactorTransferLossConfig, LinearEmbedConfig, MapSizes, MgdLossConfig, NormedRegressor,
    NormedRegressorConfig, OfdLoss, OfdLossConfig, Result, SimKdLoss, SimKdLossConfig,
    SrrlLossConfig, VidLoss, VidLossConfig, factor_transfer, ofd_margins,
};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

/// The channels that a case has for student and teacher.
fn channels(given: &Given<'_>) -> Outcome<(usize, usize)> {
    let of = |name: &str| given.count(name);
    Ok((of("student_channels")?, of("teacher_channels")?))
}

/// Checks a loss of two maps, made by `init` from the channels of the case.
fn check_maps<M: Module>(
    name: &str,
    at_least: usize,
    init: impl Fn(&Given<'_>, usize, usize) -> Outcome<M>,
    forward: impl Fn(&M, Tensor<4>, Tensor<4>) -> Result<Tensor<1>>,
) -> Outcome {
    Golden::read(name)?.check(at_least, |given| {
        let (student_channels, teacher_channels) = channels(given)?;
        let loss = given.module(init(given, student_channels, teacher_channels)?)?;
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(forward(&loss, student, teacher)?)
    })
}

#[test]
fn normed_regressor_is_as_the_formula_says() -> Outcome {
    check_maps(
        "normed_regressor",
        12,
        |given, student, teacher| {
            let config = NormedRegressorConfig::new(student, teacher)
                .with_nonlinearity(given.choice("nonlinearity")?)
                .with_map_sizes(MapSizes::PoolLarger);
            Ok(config.init(0, &autodiff())?)
        },
        NormedRegressor::hint,
    )
}

#[test]
fn linear_embed_is_as_the_formula_says() -> Outcome {
    Golden::read("linear_embed")?.check(10, |given| {
        let student = given.student::<4>("student")?;
        let target = given.teacher::<2>("teacher")?;
        let [_, channels, height, width] = student.dims();
        let embed = LinearEmbedConfig::new(channels * height * width)
            .with_dim(given.count("dim")?)
            .with_normalisation(given.choice("normalisation")?)
            .with_epsilon(given.number("epsilon")?)
            .init(0, &autodiff())?;
        let embedding = given.module(embed)?.forward(student)?;
        Ok((embedding - target).square().mean())
    })
}

#[test]
fn vid_is_as_the_formula_says() -> Outcome {
    check_maps(
        "vid",
        13,
        |given, student, teacher| {
            let config = VidLossConfig::new()
                .with_epsilon(given.number("epsilon")?)
                .with_map_sizes(MapSizes::PoolLarger);
            Ok(config.init(student, teacher, 0, &autodiff())?)
        },
        VidLoss::forward,
    )
}

#[test]
fn ofd_is_as_the_formula_says() -> Outcome {
    check_maps(
        "ofd",
        10,
        |given, student, teacher| {
            let (mean, std): (Vec<f64>, Vec<f64>) =
                (given.choice("bn_mean")?, given.choice("bn_std")?);
            let margins = ofd_margins(&mean[..teacher], &std[..teacher])?;
            let config = OfdLossConfig::new().with_map_sizes(MapSizes::PoolLarger);
            Ok(config.init(student, margins, 0, &autodiff())?)
        },
        OfdLoss::forward,
    )
}

#[test]
fn mgd_is_as_the_formula_says() -> Outcome {
    Golden::read("mgd")?.check(13, |given| {
        let (student_channels, teacher_channels) = channels(given)?;
        let config = MgdLossConfig::new()
            .with_mask_ratio(given.number("mask_ratio")?)
            .with_unit(given.choice("unit")?)
            .with_map_sizes(MapSizes::PoolLarger);
        let (seed, draw) = (given.choice("seed")?, given.choice("draw")?);
        let loss = config.init(student_channels, teacher_channels, seed, &autodiff())?;
        let loss = given.module(loss)?;
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(loss.forward(student, teacher, draw)?)
    })
}

#[test]
fn simkd_is_as_the_formula_says() -> Outcome {
    check_maps(
        "simkd",
        12,
        |given, student, teacher| {
            let config = SimKdLossConfig::new().with_factor(given.count("factor")?);
            Ok(config.init(student, teacher, 0, &autodiff())?)
        },
        SimKdLoss::forward,
    )
}

#[test]
fn srrl_is_as_the_formula_says() -> Outcome {
    Golden::read("srrl")?.check(13, |given| {
        let (student_channels, teacher_channels) = channels(given)?;
        let config = SrrlLossConfig::new()
            .with_feature_weight(given.number("feature_weight")?)
            .with_regression_weight(given.number("regression_weight")?)
            .with_nonlinearity(given.choice("nonlinearity")?);
        let loss = config.init(student_channels, teacher_channels, 0, &autodiff())?;
        let loss = given.module(loss)?;
        let head = given.constant_tensor::<2>("head")?;
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        let classify = |features: Tensor<2>| Ok::<_, Error>(features.matmul(head.clone()));
        Ok(loss.forward(student, teacher, classify)?)
    })
}

#[test]
fn activation_boundary_is_as_the_formula_says() -> Outcome {
    check_maps(
        "activation_boundary",
        12,
        |given, student, teacher| {
            let config = ActivationBoundaryLossConfig::new()
                .with_margin(given.number("margin")?)
                .with_projection(given.choice("projection")?)
                .with_map_sizes(MapSizes::PoolLarger);
            Ok(config.init(student, teacher, 0, &autodiff())?)
        },
        ActivationBoundaryLoss::forward,
    )
}

#[test]
fn factor_transfer_is_as_the_formula_says() -> Outcome {
    Golden::read("factor_transfer")?.check(9, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(factor_transfer(student, teacher, given.number("epsilon")?)?)
    })
}

/// The loss of a case.
fn factor_loss(given: &Given<'_>) -> Outcome<FactorTransferLoss> {
    let (student_channels, teacher_channels) = channels(given)?;
    let config = FactorTransferLossConfig::new()
        .with_rate(given.number("rate")?)
        .with_paraphraser_norm(given.choice("paraphraser_norm")?)
        .with_translator_norm(given.choice("translator_norm")?)
        .with_map_sizes(MapSizes::PoolLarger);
    given.module(config.init(student_channels, teacher_channels, 0, &autodiff())?)
}

#[test]
fn transfer_of_factors_is_as_the_formula_says() -> Outcome {
    Golden::read("ft_transfer")?.check(8, |given| {
        let (student, teacher) = (given.student("student")?, given.teacher("teacher")?);
        Ok(factor_loss(given)?.forward(student, teacher)?)
    })
}

#[test]
fn reconstruction_is_as_the_formula_says() -> Outcome {
    Golden::read("ft_reconstruction")?.check(6, |given| {
        Ok(factor_loss(given)?.reconstruction(given.teacher("teacher")?)?)
    })
}
