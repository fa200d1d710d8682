//! Losses of taps: those with nothing to train, and those that may put a regressor between two maps.

use burn::tensor::Tensor;
use kd_core::{Error, Result};
use kd_losses::{
    AttentionTransferLossConfig, CorrelationCongruenceLossConfig, CwdLossConfig, IckdLossConfig,
    InfoNceLossConfig, KdsvdLossConfig, MapSizes, NstLossConfig, PairWiseAffinityLossConfig,
    PixelWiseLossConfig, PkdLossConfig, PktLossConfig, Projection, Regressor, RegressorConfig,
    SimilarityPreservingLossConfig,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Binder, BoundLoss, LossKind, NoConstants, Pair, Reads, WithModules, json, made, plain, sum,
};
use crate::{LossConfig, Widths};

pub(super) const KINDS: &[LossKind] = &[
    LossKind::new::<Between>(
        "hint",
        Reads::PAIRS,
        || json(Between::default()),
        |loss, binder| adapted(loss, binder, kd_losses::hint),
    )
    .with_weight(1.0),
    LossKind::new::<AttentionTransferLossConfig>(
        "attention-transfer",
        Reads::PAIRS,
        || json(AttentionTransferLossConfig::new()),
        |loss, binder| {
            let made = made(loss, AttentionTransferLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<SimilarityPreservingLossConfig>(
        "sp",
        Reads::PAIRS,
        || json(SimilarityPreservingLossConfig::new()),
        |loss, binder| {
            let made = made(loss, SimilarityPreservingLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<NoConstants>(
        "rkd-distance",
        Reads::PAIRS,
        || json(NoConstants {}),
        |loss, binder| vectors(loss, binder, kd_losses::rkd_distance),
    ),
    LossKind::new::<NoConstants>(
        "rkd-angle",
        Reads::PAIRS,
        || json(NoConstants {}),
        |loss, binder| vectors(loss, binder, kd_losses::rkd_angle),
    ),
    LossKind::new::<PktLossConfig>(
        "pkt",
        Reads::PAIRS,
        || json(PktLossConfig::new()),
        |loss, binder| {
            let made = made(loss, PktLossConfig::init)?;
            vectors(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<CorrelationCongruenceLossConfig>(
        "cc",
        Reads::PAIRS,
        || json(CorrelationCongruenceLossConfig::new()),
        |loss, binder| {
            let made = made(loss, CorrelationCongruenceLossConfig::init)?;
            vectors(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<With<InfoNceLossConfig>>(
        "info-nce",
        Reads::PAIRS,
        || between(json(InfoNceLossConfig::new())),
        |loss, binder| {
            let made = made(loss, InfoNceLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| {
                made.forward(ours.flatten(1, 3), theirs.flatten(1, 3))
            })
        },
    ),
    LossKind::new::<With<PkdLossConfig>>(
        "pkd",
        Reads::PAIRS,
        || between(json(PkdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, PkdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<With<CwdLossConfig>>(
        "cwd",
        Reads::PAIRS,
        || between(json(CwdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, CwdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<With<PixelWiseLossConfig>>(
        "pixel-wise",
        Reads::PAIRS,
        || between(json(PixelWiseLossConfig::new())),
        |loss, binder| {
            let made = made(loss, PixelWiseLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<NstLossConfig>(
        "nst",
        Reads::PAIRS,
        || json(NstLossConfig::new()),
        |loss, binder| {
            let made = made(loss, NstLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<With<IckdLossConfig>>(
        "ickd",
        Reads::PAIRS,
        || between(json(IckdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, IckdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    LossKind::new::<KdsvdLossConfig>(
        "kdsvd",
        Reads::SEVERAL,
        || json(KdsvdLossConfig::new()),
        |loss, binder| {
            let made = made(loss, KdsvdLossConfig::init)?;
            let pairs = binder.pairs(loss)?;
            plain(loss, move |inputs| {
                let (ours, theirs): (Vec<_>, Vec<_>) =
                    pairs.iter().map(|pair| inputs.pair(pair)).unzip();
                Ok(made.forward(&ours, &theirs)?)
            })
        },
    ),
    LossKind::new::<NoConstants>(
        "fsp",
        Reads::SEVERAL,
        || json(NoConstants {}),
        |loss, binder| {
            // Each tap with the one after it.
            let pairs = binder.pairs(loss)?;
            plain(loss, move |inputs| {
                sum(pairs.windows(2).map(|flow| {
                    let (from, from_theirs) = inputs.pair(&flow[0]);
                    let (to, to_theirs) = inputs.pair(&flow[1]);
                    Ok(kd_losses::fsp([from, to], [from_theirs, to_theirs])?)
                }))
            })
        },
    ),
    LossKind::new::<PairWiseAffinityLossConfig>(
        "pair-wise-affinity",
        Reads::PAIRS,
        || json(PairWiseAffinityLossConfig::new()),
        |loss, binder| {
            let made = made(loss, PairWiseAffinityLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
];

/// The constants of a loss, and the adapter between its maps.
fn between(mut constants: Map<String, Value>) -> Map<String, Value> {
    constants.extend(json(Between::default()));
    constants
}

/// The constants of a loss, and the adapter between its maps, as both are read.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only whether it can be read counts")]
struct With<C> {
    #[serde(flatten)]
    constants: C,
    #[serde(flatten)]
    between: Between,
}

/// The adapter between two maps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Between {
    /// Whether a learned 1x1 convolution stands there.
    regressor: Widths,
    /// The treatment of maps of different size.
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
) -> Result<Box<dyn BoundLoss>> {
    let pairs = binder.pairs(loss)?;
    plain(loss, move |inputs| {
        sum(pairs.iter().map(|pair| {
            let (ours, theirs) = inputs.pair(pair);
            Ok(formula(ours, theirs)?)
        }))
    })
}

/// The sum over pairs of taps as vectors.
fn vectors(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<2>, Tensor<2>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    maps(loss, binder, move |ours, theirs| {
        formula(ours.flatten(1, 3), theirs.flatten(1, 3))
    })
}

/// The sum over pairs of maps that are brought to one shape first.
fn adapted(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<4>, Tensor<4>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn BoundLoss>> {
    let between = loss.settings::<Between>()?;
    let pairs = binder.pairs(loss)?;
    // The index of each pair's regressor, if it has one.
    let mut places = Vec::new();
    let mut regressors = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        let made = regressor(loss, binder, between, pair, number)?;
        places.push(made.is_some().then_some(regressors.len()));
        regressors.extend(made);
    }
    let term = WithModules::new(loss, regressors, move |regressors: &[Regressor], inputs| {
        sum(pairs.iter().zip(&places).map(|(pair, place)| {
            let (ours, theirs) = inputs.pair(pair);
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
