//! What the formulas of the adapters and of the losses with trained parts imply, and the words of their errors.

mod support;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kd_losses::{
    EmbedNormalisation, Error, LinearEmbedConfig, MapSizes, NormedRegressorConfig, OfdLossConfig,
    Result, VidLossConfig, ofd, ofd_margins, vid,
};
use proptest::prelude::*;
use support::{numbers, wave};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn failed(error: Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// In 64-bit floats, so that what must be equal is.
fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

fn value(loss: Result<Tensor<1>>) -> Result<f64, TestCaseError> {
    Ok(loss.map_err(failed)?.into_scalar::<f64>())
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
    #![proptest_config(config())]

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
        // With one variance v for all, 1/2 (e / v + ln v) >= 1/2 (1 + ln e), where e is the mean squared error.
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
    fn margins_are_negative_and_scale_with_the_batch_norm(
        mean in -6.0_f64..6.0,
        std in 0.01_f64..4.0,
        scale in 0.1_f64..10.0,
    ) {
        let one = |mean: f64, std: f64| Ok::<_, TestCaseError>(ofd_margins(&[mean], &[std]).map_err(failed)?[0]);
        let margin = one(mean, std)?;
        prop_assert!(margin < 0.0 && margin <= mean, "{margin}");
        prop_assert!((one(mean, -std)? - margin).abs() == 0.0, "the sign of the scale");
        let scaled = one(mean * scale, std * scale)?;
        prop_assert!((scaled - margin * scale).abs() < 1e-9 * scaled.abs(), "{scaled}, {margin} times {scale}");
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

/// The text of the error.
fn text<T>(result: Result<T>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "no error".to_owned())
}

/// A loss of two maps.
type MapLoss<'a> = &'a dyn Fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>;

#[test]
fn errors_say_what_is_wrong() -> Result<()> {
    let device = Device::flex();
    let normed = NormedRegressorConfig::new(2, 3).init(0, &device)?;
    let vid_loss = VidLossConfig::new().init(2, 3, 0, &device)?;
    let ofd_loss = OfdLossConfig::new().init(2, vec![-1.0; 3], 0, &device)?;
    let losses: [(&str, MapLoss<'_>); 3] = [
        ("normed_regressor", &|s, t| normed.hint(s, t)),
        ("vid", &|s, t| vid_loss.forward(s, t)),
        ("ofd", &|s, t| ofd_loss.forward(s, t)),
    ];
    for (name, loss) in losses {
        let good = || map([2, 2, 4, 4], 0.1);
        for (student, teacher, problem) in [
            (good(), map([3, 3, 4, 4], 0.2), "differ in batch size"),
            (good(), map([1, 3, 4, 4], 0.2), "differ in batch size"),
            (good(), map([2, 3, 4, 5], 0.2), "differ in height or width"),
            (good(), map([2, 3, 1, 1], 0.2), "differ in height or width"),
            (good(), map([2, 1, 4, 4], 0.2), "made for 3"),
            (map([2, 1, 4, 4], 0.1), map([2, 3, 4, 4], 0.2), "made for 2"),
            (
                good(),
                map([2, 3, 4, 4], 0.2).cast(DType::F64),
                "cast the teacher",
            ),
        ] {
            let found = text(loss(student, teacher));
            assert!(
                found.contains(problem) && found.contains(&format!("`{name}`")),
                "{name}: {found}"
            );
        }
    }
    let empty = Tensor::<4>::zeros([0, 2, 4, 4], &device);
    assert!(text(normed.project(empty)).contains("has no elements"));
    Ok(())
}

#[test]
fn larger_maps_are_pooled_where_that_is_asked_for() -> Result<()> {
    let device = Device::flex();
    let config = NormedRegressorConfig::new(2, 3).with_map_sizes(MapSizes::PoolLarger);
    let (student, teacher) = (map([2, 2, 8, 3], 0.1), map([2, 3, 4, 5], 0.2));
    let (student, teacher) = config.init(0, &device)?.forward(student, teacher)?;
    assert_eq!(student.dims(), [2, 3, 4, 3]);
    assert_eq!(teacher.dims(), [2, 3, 4, 3]);
    Ok(())
}

#[test]
fn constants_outside_of_their_range_are_errors() -> Result<()> {
    let device = &Device::flex();
    let vid_config = VidLossConfig::new();
    for (found, expected) in [
        (
            text(NormedRegressorConfig::new(0, 3).init(0, device)),
            "`student_channels` must be at least 1",
        ),
        (
            text(NormedRegressorConfig::new(3, 0).init(0, device)),
            "`teacher_channels` must be at least 1",
        ),
        (
            text(LinearEmbedConfig::new(0).init(0, device)),
            "`features` must be at least 1",
        ),
        (
            text(LinearEmbedConfig::new(4).with_dim(0).init(0, device)),
            "`dim` must be at least 1",
        ),
        (
            text(LinearEmbedConfig::new(4).with_epsilon(0.0).init(0, device)),
            "`epsilon` must be from 1e-15",
        ),
        (
            text(
                LinearEmbedConfig::new(4)
                    .init(0, device)?
                    .forward(map([2, 5], 0.0)),
            ),
            "has a width of 5",
        ),
        (
            text(vid_config.clone().with_epsilon(0.0).init(2, 2, 0, device)),
            "`epsilon` must be finite and above 0",
        ),
        (
            text(
                vid_config
                    .clone()
                    .with_initial_variance(1e-5)
                    .init(2, 2, 0, device),
            ),
            "above `epsilon`",
        ),
        (
            text(vid_config.init(2, 0, 0, device)),
            "`teacher_channels` must be at least 1",
        ),
        (
            text(vid(
                map([1, 2, 1, 1], 0.1),
                map([1, 2, 1, 1], 0.2),
                map([3], 0.0),
                1e-5,
            )),
            "differ in channels",
        ),
        (
            text(vid(
                map([1, 2, 1, 1], 0.1),
                map([1, 1, 1, 1], 0.2),
                map([1], 0.0),
                1e-5,
            )),
            "differ in channels",
        ),
    ] {
        assert!(found.contains(expected), "{found}, not {expected}");
    }
    Ok(())
}

#[test]
fn margins_outside_of_their_range_are_errors() {
    let device = &Device::flex();
    for (found, expected) in [
        (
            text(ofd_margins(&[0.0, 1.0], &[1.0])),
            "`std` has 1 entries, expected 2",
        ),
        (
            text(ofd_margins(&[f64::NAN], &[1.0])),
            "`mean` must be finite",
        ),
        (
            text(ofd_margins(&[0.0], &[f64::INFINITY])),
            "`std` must be finite",
        ),
        (
            text(OfdLossConfig::new().init(2, vec![0.5], 0, device)),
            "`margins` must be finite and at most 0",
        ),
        (
            text(OfdLossConfig::new().init(2, Vec::new(), 0, device)),
            "`teacher_channels` must be at least 1",
        ),
        (
            text(ofd(map([1, 2, 1, 1], 0.1), map([1, 2, 1, 1], 0.2), &[-1.0])),
            "`margins` [1] and `teacher_features`",
        ),
        (
            text(ofd(
                map([1, 1, 1, 1], 0.1),
                map([1, 1, 1, 1], 0.2),
                &[f64::NAN],
            )),
            "`margins` must be finite",
        ),
    ] {
        assert!(found.contains(expected), "{found}, not {expected}");
    }
}
