//! Losses with modules that are trained beside the student.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::Result;
use kd_losses::{
    ActivationBoundaryLossConfig, FactorTransferLoss, FactorTransferLossConfig, MgdLossConfig,
    OfdLossConfig, ReviewKdLossConfig, SemCkdLossConfig, SimKdLossConfig, SrrlLossConfig,
    VidLossConfig,
};
use serde::de::DeserializeOwned;

use super::{
    Binder, BoundLoss, LossKind, Pair, Problem, Reads, TermInputs, WithModules, constant_error,
    json, sum,
};
use crate::LossConfig;

pub(super) const KINDS: &[LossKind] = &[
    LossKind::new::<VidLossConfig>(
        "vid",
        Reads::PAIRS,
        || json(VidLossConfig::new()),
        |loss, binder| {
            maps(
                loss,
                binder,
                VidLossConfig::init,
                kd_losses::VidLoss::forward,
            )
        },
    ),
    LossKind::new::<OfdLossConfig>(
        "ofd",
        Reads::PAIRS,
        || json(OfdLossConfig::new()),
        |loss, binder| {
            // Taps are behind the nonlinearity, where no response is negative and the margin has nothing to
            // bound.
            maps(
                loss,
                binder,
                |config: &OfdLossConfig, ours, theirs, seed, device| {
                    config.init(ours, vec![0.0; theirs], seed, device)
                },
                kd_losses::OfdLoss::forward,
            )
        },
    ),
    LossKind::new::<ActivationBoundaryLossConfig>(
        "ab",
        Reads::PAIRS,
        || json(ActivationBoundaryLossConfig::new()),
        |loss, binder| {
            maps(
                loss,
                binder,
                ActivationBoundaryLossConfig::init,
                kd_losses::ActivationBoundaryLoss::forward,
            )
        },
    ),
    LossKind::new::<SimKdLossConfig>(
        "simkd",
        Reads::ONE,
        || json(SimKdLossConfig::new()),
        |loss, binder| {
            maps(
                loss,
                binder,
                SimKdLossConfig::init,
                kd_losses::SimKdLoss::forward,
            )
        },
    ),
    LossKind::new::<MgdLossConfig>(
        "mgd",
        Reads::PAIRS,
        || json(MgdLossConfig::new()),
        |loss, binder| {
            let seed = binder.draw_seed();
            pairs(
                loss,
                binder,
                MgdLossConfig::init,
                move |made, pair, number, inputs| {
                    let (ours, theirs) = inputs.pair(pair);
                    let place =
                        kd_core::Draws::new(seed, "mask", inputs.step, number as u64).bits();
                    Ok(made.forward(ours, theirs, place)?)
                },
            )
        },
    ),
    LossKind::new::<SrrlLossConfig>(
        "srrl",
        Reads::ONE,
        || json(SrrlLossConfig::new()),
        |loss, binder| {
            pairs(
                loss,
                binder,
                SrrlLossConfig::init,
                |made, pair, _, inputs| {
                    let (ours, theirs) = inputs.pair(pair);
                    let teacher = &inputs.teachers[pair.teacher];
                    made.forward(ours, theirs, |dense| -> Result<Tensor<2>, Problem> {
                        Ok(teacher.classify(dense)?)
                    })
                },
            )
        },
    ),
    LossKind::new::<ReviewKdLossConfig>(
        "reviewkd",
        Reads::SEVERAL,
        || json(ReviewKdLossConfig::new()),
        |loss, binder| {
            let sides = binder.sides(loss)?;
            let [ours, theirs] = sides.channels();
            let made = loss
                .settings::<ReviewKdLossConfig>()?
                .init(&ours, &theirs, binder.module_seed(0), binder.device)
                .map_err(constant_error)?;
            let term = WithModules::new(loss, vec![made], move |made, inputs| {
                let (ours, theirs) = sides.maps(inputs);
                sum(made.iter().map(|made| Ok(made.forward(&ours, &theirs)?)))
            });
            Ok(Box::new(term))
        },
    )
    .with_any_teacher_taps(),
    LossKind::new::<SemCkdLossConfig>(
        "semckd",
        Reads::PAIRS,
        || json(SemCkdLossConfig::new()),
        |loss, binder| {
            let sides = binder.sides(loss)?;
            let [ours, theirs] = sides.channels();
            let batch_size = binder.batch_size;
            let made = loss
                .settings::<SemCkdLossConfig>()?
                .init(
                    &ours,
                    &theirs,
                    batch_size,
                    binder.module_seed(0),
                    binder.device,
                )
                .map_err(constant_error)?;
            let mut term = WithModules::new(loss, vec![made], move |made, inputs| {
                let (ours, theirs) = sides.maps(inputs);
                let (ours, theirs) = (filled(ours, batch_size), filled(theirs, batch_size));
                sum(made.iter().map(|made| Ok(made.forward(&ours, &theirs)?)))
            });
            term.trial_batch = 2;
            Ok(Box::new(term))
        },
    )
    .with_any_teacher_taps(),
    LossKind::new::<FactorTransferLossConfig>(
        "ft",
        Reads::ONE,
        || json(FactorTransferLossConfig::new()),
        |loss, binder| {
            let config = loss.settings::<FactorTransferLossConfig>()?;
            let pairs = binder.pairs(loss)?;
            let mut modules = Vec::new();
            for (number, pair) in pairs.iter().enumerate() {
                let [ours, theirs] = pair.channels();
                let seed = binder.module_seed(number);
                let made = config.init(ours, theirs, seed, binder.device);
                modules.push(made.map_err(constant_error)?);
            }
            let theirs = pairs.clone();
            let mut term = WithModules::new(loss, modules, move |made, inputs| {
                sum(made.iter().zip(&pairs).map(|(made, pair)| {
                    let (ours, theirs) = inputs.pair(pair);
                    Ok(made.transfer(ours, theirs)?)
                }))
            });
            term.auxiliary = Some(Box::new(move |made: &[FactorTransferLoss], inputs| {
                let value = sum(made
                    .iter()
                    .zip(&theirs)
                    .map(|(made, pair)| Ok(made.reconstruction(inputs.pair(pair).1)?)))?;
                Ok(("reconstruction", value))
            }));
            Ok(Box::new(term))
        },
    ),
];

/// Maps of a last batch that is smaller, filled up with its own samples from the first on.
fn filled(maps: Vec<Tensor<4>>, batch_size: usize) -> Vec<Tensor<4>> {
    let fill = |map: Tensor<4>| {
        let samples = map.dims()[0];
        if samples == batch_size {
            return map;
        }
        map.repeat_dim(0, batch_size.div_ceil(samples))
            .narrow(0, 0, batch_size)
    };
    maps.into_iter().map(fill).collect()
}

/// The sum over pairs of maps, each pair with a module made for its widths.
fn maps<C: DeserializeOwned, M: Module + 'static>(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    init: impl Fn(&C, usize, usize, u64, &Device) -> kd_losses::Result<M>,
    forward: impl Fn(&M, Tensor<4>, Tensor<4>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    pairs(loss, binder, init, move |made, pair, _, inputs| {
        let (ours, theirs) = inputs.pair(pair);
        Ok(forward(made, ours, theirs)?)
    })
}

/// The sum over pairs of taps, each pair with a module made for its widths.
fn pairs<C: DeserializeOwned, M: Module + 'static>(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    init: impl Fn(&C, usize, usize, u64, &Device) -> kd_losses::Result<M>,
    formula: impl Fn(&M, &Pair, usize, &TermInputs<'_>) -> Result<Tensor<1>, Problem> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    let config = loss.settings::<C>()?;
    let pairs = binder.pairs(loss)?;
    let make = |(number, pair): (usize, &Pair)| {
        let [ours, theirs] = pair.channels();
        let seed = binder.module_seed(number);
        init(&config, ours, theirs, seed, binder.device).map_err(constant_error)
    };
    let modules = pairs.iter().enumerate().map(make).collect::<Result<_>>()?;
    let term = WithModules::new(loss, modules, move |modules: &[M], inputs| {
        let each = modules.iter().zip(&pairs).enumerate();
        sum(each.map(|(number, (made, pair))| formula(made, pair, number, inputs)))
    });
    Ok(Box::new(term))
}
