//! Losses of taps without anything to train, and those that may put a regressor between two maps.

use burn::tensor::Tensor;
use kd_core::{Error, Result};
use kd_losses::{
    AttentionTransferLoss, AttentionTransferLossConfig, MapSizes, Projection, Regressor,
    RegressorConfig,
};
use serde::{Deserialize, Serialize};

use super::{Binder, Bound, Kind, Pair, Reads, WithModules, constant_error, json, plain, sum};
use crate::{LossConfig, Widths};

pub(super) const KINDS: &[Kind] = &[
    Kind::new::<Between>(
        "hint",
        Reads::PAIRS,
        || json(Between::default()),
        |loss, binder| {
            let between = loss.settings::<Between>()?;
            adapted(loss, binder, between, kd_losses::hint)
        },
    ),
    Kind::new::<AttentionTransferLossConfig>(
        "attention-transfer",
        Reads::PAIRS,
        || json(AttentionTransferLossConfig::new()),
        |loss, binder| {
            let made = loss.settings::<AttentionTransferLossConfig>()?.init();
            let made = made.map_err(constant_error)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    )
    .with_weight(AttentionTransferLoss::USUAL_WEIGHT),
];

/// What stands between two maps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Between {
    /// Whether a learned 1x1 convolution stands there.
    regressor: Widths,
    /// What is done with maps of different size.
    map_sizes: MapSizes,
}

impl Default for Between {
    fn default() -> Self {
        Self {
            regressor: Widths::default(),
            map_sizes: MapSizes::MustMatch,
        }
    }
}

/// The sum over pairs of maps.
fn maps(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<4>, Tensor<4>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn Bound>> {
    let pairs = binder.pairs(loss)?;
    plain(loss, move |scene| {
        sum(pairs.iter().map(|pair| {
            let (ours, theirs) = scene.pair(pair);
            Ok(formula(ours, theirs)?)
        }))
    })
}

/// The sum over pairs of maps that are brought to one shape first.
fn adapted(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    between: Between,
    formula: impl Fn(Tensor<4>, Tensor<4>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn Bound>> {
    let pairs = binder.pairs(loss)?;
    // Where it stands among the modules, if there is one.
    let mut places = Vec::new();
    let mut regressors = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let made = regressor(loss, binder, between, pair, number)?;
        places.push(made.is_some().then_some(regressors.len()));
        regressors.extend(made);
    }
    let term = WithModules::new(loss, regressors, move |regressors: &[Regressor], scene| {
        sum(pairs.iter().zip(&places).map(|(pair, place)| {
            let (ours, theirs) = scene.pair(pair);
            let (ours, theirs) = match place.and_then(|place| regressors.get(place)) {
                Some(regressor) => regressor.forward(ours, theirs)?,
                None => (ours, theirs),
            };
            Ok(formula(ours, theirs)?)
        }))
    });
    Ok(Box::new(term))
}

/// The regressor for the maps of a pair, if one is wanted.
fn regressor(
    loss: &LossConfig,
    binder: &Binder<'_>,
    between: Between,
    pair: &Pair,
    number: usize,
) -> Result<Option<Regressor>> {
    let [ours, theirs] = pair.channels();
    let (wanted, sizes) = (between.regressor, between.map_sizes);
    if wanted == Widths::None && ours != theirs {
        return Err(Error::Shape {
            what: loss.kind().into(),
            expected: format!("maps of equal width, the teacher's has {theirs} channels"),
            found: format!("{ours} of the student"),
            remedy: "set `regressor = \"when-widths-differ\"`".into(),
        });
    }
    let projection = match wanted {
        Widths::None if sizes == MapSizes::MustMatch => return Ok(None),
        Widths::None | Widths::WhenWidthsDiffer => Projection::WhenWidthsDiffer,
        Widths::Always => Projection::Always,
    };
    RegressorConfig::new(ours, theirs)
        .with_projection(projection)
        .with_map_sizes(sizes)
        .init(binder.module_seed(number), binder.device)
        .map(Some)
        .map_err(|error| Error::method("regressor", error))
}
