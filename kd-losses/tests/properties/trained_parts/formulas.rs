//! Adapters and losses with trained parts: the values that their formulas imply.

use crate::support::{numbers, wave};
use crate::{cases, failed, value};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    EmbedNormalisation, Error, LinearEmbedConfig, Result, SimKdLossConfig, SrrlLossConfig,
    VidLossConfig, activation_boundary, factor_transfer, ofd, ofd_margins, softmax_regression, vid,
};
use proptest::prelude::*;

/// In 64-bit floats, so that what must be equal is.
fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

fn map<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

prop_compose! {
    /// A shape and two maps of that shape.
    fn maps()(shape in (1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4))(
        student in prop::collection::vec(-4.0_f64..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        teacher in prop::collection::vec(-4.0_f64..4.0, shape.0 * shape.1 * shape.2 * shape.3),
        shape in Just([shape.0, shape.1, shape.2, shape.3]),
    ) -> ([usize; 4], Vec<f64>, Vec<f64>) {
        (shape, student, teacher)
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn vid_sees_differences_and_is_smallest_at_the_mean_square(
        (shape, mean, teacher) in maps(),
        shift in -5.0_f64..5.0,
        raw in -3.0_f64..6.0,
    ) {
        let epsilon = 1e-5;
        let (mean, teacher) = (tensor(&mean, shape), tensor(&teacher, shape));
        let all = |raw: f64| tensor(&vec![raw; shape[1]], [shape[1]]);
        let plain = value(vid(mean.clone(), teacher.clone(), all(raw), epsilon))?;
        let shifted = value(vid(mean.clone() + shift, teacher.clone() + shift, all(raw), epsilon))?;
        prop_assert!((plain - shifted).abs() < 1e-9, "{plain}, shifted {shifted}");
        let turned = value(vid(teacher.clone(), mean.clone(), all(raw), epsilon))?;
        prop_assert!((plain - turned).abs() < 1e-12, "{plain}, exchanged {turned}");
        // With one variance v for all, 1/2 (e / v + ln v) >= 1/2 (1 + ln e), where e is the mean squared
        // error.
        let error = numbers((mean - teacher).square().mean())[0];
        let smallest = 0.5 * (1.0 + error.ln());
        prop_assert!(plain >= smallest - 1e-9, "{plain} below {smallest}");
        let best = (error - epsilon).exp_m1().ln();
        if best.is_finite() {
            let at_best = value(vid(
                tensor(&[0.0, error.sqrt() * 2.0_f64.sqrt()], [1, 1, 1, 2]),
                tensor(&[0.0, 0.0], [1, 1, 1, 2]),
                tensor(&[best], [1]),
                epsilon,
            ))?;
            prop_assert!((at_best - smallest).abs() < 1e-9, "{at_best}, not {smallest}");
        }
    }

    #[test]
    fn ofd_counts_what_is_above_a_negative_teacher(
        (shape, student, teacher) in maps(),
        margin in -3.0_f64..0.0,
        lower in 0.0_f64..9.0,
    ) {
        let margins = vec![margin; shape[1]];
        let loss = |student: &[f64], teacher: &[f64]| {
            value(ofd(tensor(student, shape), tensor(teacher, shape), &margins))
        };
        prop_assert!(loss(&student, &teacher)? >= 0.0);
        // The margin ReLU of the teacher itself, and anything below it where it is negative.
        let reached: Vec<f64> = teacher.iter().map(|&t| t.max(margin)).collect();
        let below: Vec<f64> = reached.iter().map(|&u| if u > 0.0 { u } else { u - lower }).collect();
        prop_assert!(loss(&reached, &teacher)? == 0.0);
        prop_assert!(loss(&below, &teacher)? == 0.0);
        // A teacher below the margin is as one at the margin.
        let lowered: Vec<f64> = teacher.iter().map(|&t| if t < margin { t - lower } else { t }).collect();
        let (plain, found) = (loss(&student, &teacher)?, loss(&student, &lowered)?);
        prop_assert!((plain - found).abs() < 1e-12, "{plain}, lowered {found}");
        // A student below a positive teacher does count.
        let counted = teacher.iter().filter(|&&t| t > 0.0).count();
        let missing: Vec<f64> = below.iter().map(|&u| u - 1.0).collect();
        let expected = counted as f64 / shape[0] as f64;
        let found = loss(&missing, &teacher)?;
        prop_assert!((found - expected).abs() < 1e-9, "{found}, expected {expected}");
    }

    #[test]
    fn activation_boundary_is_zero_beyond_the_margin_and_sees_only_the_teachers_signs(
        (shape, student, teacher) in maps(),
        margin in 0.1_f64..3.0,
        further in 0.0_f64..5.0,
        scale in 0.1_f64..10.0,
    ) {
        let loss = |student: &[f64], teacher: &[f64]| {
            value(activation_boundary(tensor(student, shape), tensor(teacher, shape), margin))
        };
        let plain = loss(&student, &teacher)?;
        prop_assert!(plain >= 0.0);
        let scaled: Vec<f64> = teacher.iter().map(|t| t * scale).collect();
        prop_assert!((plain - loss(&student, &scaled)?).abs() < 1e-12);
        let sign = |t: f64| if t > 0.0 { 1.0 } else { -1.0 };
        let at = |distance: f64| teacher.iter().map(|&t| sign(t) * distance).collect::<Vec<f64>>();
        let beyond = loss(&at(margin + further), &teacher)?;
        prop_assert!(beyond.abs() < 1e-12, "{beyond} beyond the margin");
        // As far as `further` on the wrong side, each neuron has (margin + further)^2.
        let wrong = loss(&at(-further), &teacher)?;
        let expected = (margin + further).powi(2) * (teacher.len() / shape[0]) as f64;
        prop_assert!((wrong - expected).abs() < 1e-9 * (1.0 + expected), "{wrong}, expected {expected}");
        // The other side of everything is the same loss.
        let negated = |values: &[f64]| values.iter().map(|v| -v).collect::<Vec<f64>>();
        if teacher.iter().all(|&t| t != 0.0) {
            let mirrored = loss(&negated(&student), &negated(&teacher))?;
            prop_assert!((plain - mirrored).abs() < 1e-9 * (1.0 + plain), "{plain}, mirrored {mirrored}");
        }
    }

    #[test]
    fn factors_have_no_length_and_equal_ones_no_distance(
        (shape, student, teacher) in maps(),
        scale in 0.1_f64..10.0,
    ) {
        let loss = |student: Tensor<4>, teacher: Tensor<4>| value(factor_transfer(student, teacher, 1e-12));
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let plain = loss(student.clone(), teacher.clone())?;
        let most = 2.0 / ((shape[1] * shape[2] * shape[3]) as f64).sqrt();
        prop_assert!((0.0..=most + 1e-12).contains(&plain), "{plain}, at most {most}");
        prop_assert!(loss(teacher.clone(), teacher.clone() * scale)?.abs() < 1e-12);
        let scaled = loss(student.clone() * scale, teacher.clone())?;
        prop_assert!((plain - scaled).abs() < 1e-9, "{plain}, scaled {scaled}");
        let turned = loss(teacher.clone(), student)?;
        prop_assert!((plain - turned).abs() < 1e-12, "{plain}, exchanged {turned}");
        // Opposite factors are twice as far as either from zero.
        let opposite = loss(teacher.clone().neg(), teacher.clone())?;
        let from_zero = loss(teacher.zeros_like(), teacher)?;
        prop_assert!((opposite - 2.0 * from_zero).abs() < 1e-9, "{opposite}, {from_zero}");
    }

    #[test]
    fn softmax_regression_is_a_squared_distance(
        (shape, student, teacher) in maps(),
        shift in -9.0_f64..9.0,
    ) {
        let shape = [shape[0], shape[1] * shape[2] * shape[3]];
        let (student, teacher) = (tensor(&student, shape), tensor(&teacher, shape));
        let plain = value(softmax_regression(student.clone(), teacher.clone()))?;
        prop_assert!(value(softmax_regression(teacher.clone(), teacher.clone()))?.abs() < 1e-15);
        let turned = value(softmax_regression(teacher.clone(), student.clone()))?;
        let shifted = value(softmax_regression(student.clone() + shift, teacher.clone() + shift))?;
        let mirrored = value(softmax_regression(student.flip([1]), teacher.clone().flip([1])))?;
        for other in [turned, shifted, mirrored] {
            prop_assert!((plain - other).abs() < 1e-9 * (1.0 + plain), "{plain}, {other}");
        }
        // A shift of one side by x is worth x squared: no softmax is in between.
        let apart = value(softmax_regression(teacher.clone() + shift, teacher))?;
        prop_assert!((apart - shift * shift).abs() < 1e-9 * (1.0 + apart), "{apart}");
    }

    #[test]
    fn margins_are_negative_and_scale_with_the_batch_norm(
        mean in -6.0_f64..6.0,
        std in 0.01_f64..4.0,
        scale in 0.1_f64..10.0,
    ) {
        let one = |mean: f64, std: f64| {
            Ok::<_, TestCaseError>(ofd_margins(&[mean], &[std]).map_err(failed)?[0])
        };
        let margin = one(mean, std)?;
        prop_assert!(margin < 0.0 && margin <= mean, "{margin}");
        prop_assert!((one(mean, -std)? - margin).abs() == 0.0, "the sign of the scale");
        let scaled = one(mean * scale, std * scale)?;
        prop_assert!(
            (scaled - margin * scale).abs() < 1e-9 * scaled.abs(),
            "{scaled}, {margin} times {scale}"
        );
    }
}

#[test]
fn a_normalised_embedding_lies_on_the_sphere() -> Result<()> {
    let embed = LinearEmbedConfig::new(6).with_dim(4);
    let device = Device::flex();
    let plain = embed.init(3, &device)?.forward(map([5, 6], 0.7))?;
    let embed = embed.with_normalisation(EmbedNormalisation::L2);
    let unit = embed.init(3, &device)?.forward(map([5, 3, 2, 1], 0.7))?;
    for norm in numbers(unit.clone().square().sum_dim(1)) {
        assert!((norm - 1.0).abs() < 1e-6, "{norm}");
    }
    // In the direction of the embedding that is not normalised.
    let along = numbers((unit * plain.clone()).sum_dim(1));
    let lengths = numbers(plain.square().sum_dim(1).sqrt());
    for (along, length) in along.into_iter().zip(lengths) {
        assert!((along - length).abs() < 1e-5, "{along}, {length}");
    }
    Ok(())
}

#[test]
fn the_initial_variance_is_the_one_asked_for() -> Result<()> {
    let device = Device::flex();
    let zeros = |channels| Tensor::<4>::zeros([1, channels, 2, 2], &device);
    for variance in [5.0, 0.01, 0.7, 200.0] {
        let config = VidLossConfig::new().with_initial_variance(variance);
        let loss = config.init(2, 3, 0, &device)?;
        let found = numbers(loss.forward(zeros(2), zeros(3))?)[0];
        let expected = 0.5 * variance.ln();
        assert!(
            (found - expected).abs() < 1e-5,
            "{found}, expected {expected}"
        );
    }
    Ok(())
}

#[test]
fn simkd_is_the_distance_from_what_it_projects() -> Result<()> {
    let loss = SimKdLossConfig::new().init(3, 4, 2, &Device::flex())?;
    let student = map([2, 3, 3, 2], 0.4);
    let projected = loss.project(student.clone())?;
    assert_eq!(projected.dims(), [2, 4, 3, 2]);
    assert!(numbers(projected.clone()).iter().all(|&value| value >= 0.0));
    assert!(numbers(loss.forward(student.clone(), projected.clone())?)[0] < 1e-12);
    let apart = numbers(loss.forward(student, projected + 3.0)?)[0];
    assert!((apart - 9.0).abs() < 1e-4, "{apart}");
    Ok(())
}

/// The error of a classifier that is not of this crate.
#[derive(Debug)]
enum Mine {
    Loss(Error),
    Classifier,
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Loss(error)
    }
}

#[test]
fn srrl_is_the_sum_of_its_terms() -> Result<()> {
    let device = Device::flex();
    let (student, teacher) = (map([3, 2, 2, 2], 0.4), map([3, 4, 5, 1], 0.9));
    let head = map::<2>([4, 6], 0.2);
    let classify = |dense: Tensor<2>| Ok::<_, Error>(dense.matmul(head.clone()));
    let with = |feature: f64, regression: f64| -> Result<f64> {
        let config = SrrlLossConfig::new().with_feature_weight(feature);
        let loss = config
            .with_regression_weight(regression)
            .init(2, 4, 2, &device)?;
        Ok(numbers(loss.forward(student.clone(), teacher.clone(), classify)?)[0])
    };
    let (matching, regression) = (with(1.0, 0.0)?, with(0.0, 1.0)?);
    let both = with(0.25, 3.0)?;
    assert!((both - 0.25 * matching - 3.0 * regression).abs() < 1e-5 * both);

    let loss = SrrlLossConfig::new().init(2, 4, 2, &device)?;
    let dense = loss.adapted_dense(student.clone())?;
    assert_eq!(dense.dims(), [3, 4]);
    let averages: Tensor<2> = teacher.clone().mean_dims(&[2, 3]).squeeze_dims(&[2, 3]);
    let by_hand = softmax_regression(classify(dense)?, classify(averages)?)?;
    assert!((numbers(by_hand)[0] - regression).abs() < 1e-5 * regression);

    // The classifier's own error comes back.
    let failing = |_: Tensor<2>| Err(Mine::Classifier);
    let found = loss.forward(student.clone(), teacher.clone(), failing);
    assert!(matches!(found, Err(Mine::Classifier)));
    let wrong_width = loss.forward(teacher, student, failing);
    assert!(matches!(
        wrong_width,
        Err(Mine::Loss(Error::UnexpectedWidth { .. }))
    ));
    Ok(())
}
