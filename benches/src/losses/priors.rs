//! Regularisers and priors.

use burn::tensor::{Tensor, TensorData};
use kd_losses::{
    BnStatisticsLossConfig, ClassifierDiversificationLossConfig, ImageL2LossConfig,
    IncrementPenaltyConfig, ModeSeekingLossConfig, NormStatistics,
    PredictionDiversificationLossConfig, Result, TotalVariationLossConfig, activation_norm,
    batch_entropy, increment_penalty, one_hot_confidence,
};

use super::features::stages_name;
use super::{BATCH, CLASSES, EMBEDDING, MAPS, Sizes};

type OfRows = fn(Tensor<2>) -> Result<Tensor<1>>;
type OfImages = fn(Tensor<4>) -> Result<Tensor<1>>;

/// Images of CIFAR.
const IMAGES: [usize; 4] = [BATCH, 3, 32, 32];
/// Branches whose last layers are compared.
const BRANCHES: [&str; 3] = ["weight0", "weight1", "weight2"];
/// Peers whose predictions are compared.
const PEERS: [&str; 3] = ["peer0", "peer1", "peer2"];

pub(super) fn add(sizes: &mut Sizes<'_>) {
    let of_rows: [(_, _, OfRows); 3] = [
        ("one-hot-confidence", CLASSES, one_hot_confidence),
        ("batch-entropy", CLASSES, batch_entropy),
        ("activation-norm", EMBEDDING, activation_norm),
    ];
    for (name, width, loss) in of_rows {
        let letter = if width == CLASSES { "c" } else { "" };
        sizes.add(
            name,
            format!("b{BATCH}_{letter}{width}"),
            move |mut data| {
                data.learns_rows("student", data.normal("student", [BATCH, width]));
                Ok(data.case(move |x| loss(x.rows(0))))
            },
        );
    }
    let of_images: [(_, OfImages); 2] = [
        ("total-variation", |images| {
            TotalVariationLossConfig::new().init()?.forward(images)
        }),
        ("image-l2", |images| {
            ImageL2LossConfig::new().init()?.forward(images)
        }),
    ];
    for (name, loss) in of_images {
        sizes.add(name, format!("b{BATCH}_3x32x32"), move |mut data| {
            data.learns_map("images", data.normal("images", IMAGES));
            Ok(data.case(move |x| loss(x.map(0))))
        });
    }
    sizes.add("mode-seeking", format!("b{BATCH}_3x32x32"), |mut data| {
        let codes = data.given("codes", [BATCH, EMBEDDING]);
        let others = data.given("other_codes", [BATCH, EMBEDDING]);
        for name in ["images", "other_images"] {
            data.learns_map(name, data.normal(name, IMAGES));
        }
        let loss = ModeSeekingLossConfig::new().init()?;
        Ok(data.case(move |x| loss.forward(x.map(0), x.map(1), codes.clone(), others.clone())))
    });
    add_bn_statistics(sizes);
    sizes.add("increment-penalty", "1", |mut data| {
        let number = |value: f32| TensorData::new(vec![value], [1]);
        let reference = Tensor::<1>::from_data(number(1.0), &data.device);
        data.give("reference", number(1.0));
        data.learns_one("loss", Tensor::from_data(number(1.5), &data.device));
        let largest = IncrementPenaltyConfig::new().largest_exponent;
        Ok(data.case(move |x| increment_penalty(x.one(), reference.clone(), largest)))
    });
    let of = format!("{}x{EMBEDDING}x{CLASSES}", BRANCHES.len());
    sizes.add("classifier-diversification", of, |mut data| {
        for name in BRANCHES {
            data.learns_rows(name, data.normal(name, [EMBEDDING, CLASSES]));
        }
        let loss = ClassifierDiversificationLossConfig::new().init()?;
        Ok(data.case(move |x| loss.forward(&x.all_rows())))
    });
    let of = format!("{}xb{BATCH}_c{CLASSES}", PEERS.len());
    sizes.add("prediction-diversification", of, |mut data| {
        for name in PEERS {
            data.learns_rows(name, data.normal(name, [BATCH, CLASSES]));
        }
        let targets = data.targets(BATCH, CLASSES);
        let loss = PredictionDiversificationLossConfig::new().init()?;
        Ok(data.case(move |x| loss.forward(&x.all_rows(), targets.clone())))
    });
}

/// Of two layers, their statistics included.
fn add_bn_statistics(sizes: &mut Sizes<'_>) {
    sizes.add("bn-statistics", stages_name(), |mut data| {
        let mut running = Vec::new();
        for (index, [channels, side]) in MAPS.into_iter().enumerate() {
            let name = ["student0", "student1"][index];
            data.learns_map(name, data.normal(name, [BATCH, channels, side, side]));
            let mean = data.given::<1>(&format!("mean{index}"), [channels]);
            let variance = data.normal::<1>("variance", [channels]).square();
            data.give(&format!("variance{index}"), variance.to_data());
            running.push((mean, variance));
        }
        let loss = BnStatisticsLossConfig::new().init()?;
        Ok(data.case(move |x| {
            let layers = x.maps().into_iter().zip(&running);
            let layers = layers.map(|(input, (mean, variance))| {
                let (mean, variance) = (mean.clone(), variance.clone());
                let onto = |one: Tensor<1>| {
                    if x.learn() {
                        Tensor::from_inner(one)
                    } else {
                        one
                    }
                };
                NormStatistics::of(input, onto(mean), onto(variance))
            });
            loss.forward(layers.collect::<Result<_>>()?)
        }))
    });
}
