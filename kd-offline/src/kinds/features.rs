//! Losses of taps without anything to train, and those that may put a regressor between two maps.

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

use super::{Binder, Bound, Kind, NoConstants, Pair, Reads, WithModules, json, made, plain, sum};
use crate::{LossConfig, Widths};

pub(super) const KINDS: &[Kind] = &[
    Kind::new::<Between>(
        "hint",
        Reads::PAIRS,
        || json(Between::default()),
        |loss, binder| adapted(loss, binder, kd_losses::hint),
    )
    .with_weight(1.0),
    Kind::new::<AttentionTransferLossConfig>(
        "attention-transfer",
        Reads::PAIRS,
        || json(AttentionTransferLossConfig::new()),
        |loss, binder| {
            let made = made(loss, AttentionTransferLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<SimilarityPreservingLossConfig>(
        "sp",
        Reads::PAIRS,
        || json(SimilarityPreservingLossConfig::new()),
        |loss, binder| {
            let made = made(loss, SimilarityPreservingLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<NoConstants>(
        "rkd-distance",
        Reads::PAIRS,
        || json(NoConstants {}),
        |loss, binder| vectors(loss, binder, kd_losses::rkd_distance),
    ),
    Kind::new::<NoConstants>(
        "rkd-angle",
        Reads::PAIRS,
        || json(NoConstants {}),
        |loss, binder| vectors(loss, binder, kd_losses::rkd_angle),
    ),
    Kind::new::<PktLossConfig>(
        "pkt",
        Reads::PAIRS,
        || json(PktLossConfig::new()),
        |loss, binder| {
            let made = made(loss, PktLossConfig::init)?;
            vectors(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<CorrelationCongruenceLossConfig>(
        "cc",
        Reads::PAIRS,
        || json(CorrelationCongruenceLossConfig::new()),
        |loss, binder| {
            let made = made(loss, CorrelationCongruenceLossConfig::init)?;
            vectors(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<With<InfoNceLossConfig>>(
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
    Kind::new::<With<PkdLossConfig>>(
        "pkd",
        Reads::PAIRS,
        || between(json(PkdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, PkdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<With<CwdLossConfig>>(
        "cwd",
        Reads::PAIRS,
        || between(json(CwdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, CwdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<With<PixelWiseLossConfig>>(
        "pixel-wise",
        Reads::PAIRS,
        || between(json(PixelWiseLossConfig::new())),
        |loss, binder| {
            let made = made(loss, PixelWiseLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<NstLossConfig>(
        "nst",
        Reads::PAIRS,
        || json(NstLossConfig::new()),
        |loss, binder| {
            let made = made(loss, NstLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<With<IckdLossConfig>>(
        "ickd",
        Reads::PAIRS,
        || between(json(IckdLossConfig::new())),
        |loss, binder| {
            let made = made(loss, IckdLossConfig::init)?;
            adapted(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
    Kind::new::<KdsvdLossConfig>(
        "kdsvd",
        Reads::SEVERAL,
        || json(KdsvdLossConfig::new()),
        |loss, binder| {
            let made = made(loss, KdsvdLossConfig::init)?;
            let pairs = binder.pairs(loss)?;
            plain(loss, move |scene| {
                let (ours, theirs): (Vec<_>, Vec<_>) =
                    pairs.iter().map(|pair| scene.pair(pair)).unzip();
                Ok(made.forward(&ours, &theirs)?)
            })
        },
    ),
    Kind::new::<NoConstants>(
        "fsp",
        Reads::SEVERAL,
        || json(NoConstants {}),
        |loss, binder| {
            // Each tap with the one after it.
            let pairs = binder.pairs(loss)?;
            plain(loss, move |scene| {
                sum(pairs.windows(2).map(|flow| {
                    let (from, from_theirs) = scene.pair(&flow[0]);
                    let (to, to_theirs) = scene.pair(&flow[1]);
                    Ok(kd_losses::fsp([from, to], [from_theirs, to_theirs])?)
                }))
            })
        },
    ),
    Kind::new::<PairWiseAffinityLossConfig>(
        "pair-wise-affinity",
        Reads::PAIRS,
        || json(PairWiseAffinityLossConfig::new()),
        |loss, binder| {
            let made = made(loss, PairWiseAffinityLossConfig::init)?;
            maps(loss, binder, move |ours, theirs| made.forward(ours, theirs))
        },
    ),
];

/// The constants of a loss, and what stands between its maps.
fn between(mut constants: Map<String, Value>) -> Map<String, Value> {
    constants.extend(json(Between::default()));
    constants
}

/// The constants of a loss, and what stands between its maps, as both are read.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only whether it can be read counts")]
struct With<C> {
    #[serde(flatten)]
    constants: C,
    #[serde(flatten)]
    between: Between,
}

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

/// The sum over pairs of taps as vectors.
fn vectors(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<2>, Tensor<2>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn Bound>> {
    maps(loss, binder, move |ours, theirs| {
        formula(ours.flatten(1, 3), theirs.flatten(1, 3))
    })
}

/// The sum over pairs of maps that are brought to one shape first.
fn adapted(
    loss: &LossConfig,
    binder: &mut Binder<'_>,
    formula: impl Fn(Tensor<4>, Tensor<4>) -> kd_losses::Result<Tensor<1>> + 'static,
) -> Result<Box<dyn Bound>> {
    let between = loss.settings::<Between>()?;
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
