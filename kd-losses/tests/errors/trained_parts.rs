//! Errors of the adapters and of the losses with trained parts.

use crate::support::{text, wave};
use burn::tensor::{DType, Device, Tensor};
use kd_losses::{
    ActivationBoundaryLossConfig, Error, FactorTransferLossConfig, LinearEmbedConfig,
    MgdLossConfig, NormedRegressorConfig, OfdLossConfig, Result, SimKdLossConfig, SrrlLossConfig,
    VidLossConfig, activation_boundary, factor_transfer, ofd, ofd_margins, softmax_regression, vid,
};

fn map<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
}

/// A loss of two maps.
type MapLoss<'a> = &'a dyn Fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>;

#[test]
fn errors_say_what_is_wrong() -> Result<()> {
    let device = Device::flex();
    let normed = NormedRegressorConfig::new(2, 3).init(0, &device)?;
    let vid_loss = VidLossConfig::new().init(2, 3, 0, &device)?;
    let ofd_loss = OfdLossConfig::new().init(2, vec![-1.0; 3], 0, &device)?;
    let mgd = MgdLossConfig::new().init(2, 3, 0, &device)?;
    let simkd = SimKdLossConfig::new().init(2, 3, 0, &device)?;
    let srrl = SrrlLossConfig::new().init(2, 3, 0, &device)?;
    let boundary = ActivationBoundaryLossConfig::new().init(2, 3, 0, &device)?;
    let factors = FactorTransferLossConfig::new().init(2, 3, 0, &device)?;
    let losses: [(&str, MapLoss<'_>); 8] = [
        ("normed_regressor", &|s, t| normed.hint(s, t)),
        ("vid", &|s, t| vid_loss.forward(s, t)),
        ("ofd", &|s, t| ofd_loss.forward(s, t)),
        ("mgd", &|s, t| mgd.forward(s, t, 0)),
        ("factor_transfer", &|s, t| factors.forward(s, t)),
        ("simkd", &|s, t| simkd.forward(s, t)),
        ("srrl", &|s, t| srrl.forward(s, t, Ok::<_, Error>)),
        ("activation_boundary", &|s, t| boundary.forward(s, t)),
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
            if problem.contains("height") && ["simkd", "srrl"].contains(&name) {
                assert!(
                    loss(student, teacher).is_ok(),
                    "{name} takes maps of any sizes"
                );
                continue;
            }
            let found = text(loss(student, teacher));
            assert!(
                found.contains(problem) && found.contains(&format!("`{name}`")),
                "{name}: {found}"
            );
        }
    }
    let empty = Tensor::<4>::zeros([0, 2, 4, 4], &device);
    for found in [
        text(normed.project(empty.clone())),
        text(simkd.project(empty.clone())),
        text(srrl.adapted_dense(empty.clone())),
        text(factors.reconstruction(empty)),
    ] {
        assert!(found.contains("has no elements"), "{found}");
    }
    assert!(text(simkd.project(map([1, 4, 1, 1], 0.0))).contains("made for 2"));
    assert!(text(factors.reconstruction(map([1, 4, 1, 1], 0.0))).contains("made for 3"));
    assert!(text(srrl.adapted_dense(map([1, 4, 1, 1], 0.0))).contains("made for 2"));
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
            "`vid`: `raw_variance` has 3 entries, but there are 2 channels; give one for each channel of the \
             teacher's map",
        ),
        (
            text(vid(
                map([1, 2, 1, 1], 0.1),
                map([1, 2, 1, 1], 0.2),
                Tensor::zeros([0], device),
                1e-5,
            )),
            "`raw_variance` has 0 entries, but there are 2 channels",
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
            "`std` has 1 entries, but there are 2 channels",
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
            "`ofd`: `margins` has 1 entries, but there are 2 channels; give one for each channel of the \
             teacher's map",
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

#[test]
fn constants_of_losses_outside_of_their_range_are_errors() {
    let device = &Device::flex();
    let mask = |ratio| {
        text(
            MgdLossConfig::new()
                .with_mask_ratio(ratio)
                .init(2, 2, 0, device),
        )
    };
    let factor = |factor| {
        text(
            SimKdLossConfig::new()
                .with_factor(factor)
                .init(2, 4, 0, device),
        )
    };
    let rate = |rate| {
        text(
            FactorTransferLossConfig::new()
                .with_rate(rate)
                .init(2, 2, 0, device),
        )
    };
    let feature = SrrlLossConfig::new().with_feature_weight(-1.0);
    let regression = SrrlLossConfig::new().with_regression_weight(f64::NAN);
    let margin = ActivationBoundaryLossConfig::new().with_margin(0.0);
    let (one, other) = (map([1, 2, 1, 1], 0.1), map([1, 2, 1, 1], 0.2));
    for (found, expected) in [
        (rate(0.0), "`rate` must be above 0 and at most 16"),
        (rate(0.2), "with one channel at least in a factor, got 0.2"),
        (rate(17.0), "`rate` must be"),
        (rate(f64::NAN), "`rate` must be"),
        (
            text(factor_transfer(one.clone(), other.clone(), 0.0)),
            "`epsilon` must be from 1e-15 to 1",
        ),
        (
            mask(1.0),
            "`mask_ratio` must be at least 0 and below 1, got 1",
        ),
        (mask(-0.1), "`mask_ratio` must be"),
        (mask(f64::NAN), "`mask_ratio` must be"),
        (
            text(MgdLossConfig::new().init(0, 2, 0, device)),
            "`student_channels` must be",
        ),
        (
            factor(0),
            "`factor` must be from 1 to the teacher's number of channels",
        ),
        (factor(5), "`factor` must be"),
        (
            text(SimKdLossConfig::new().init(2, 0, 0, device)),
            "`teacher_channels` must be",
        ),
        (
            text(feature.init(2, 2, 0, device)),
            "`feature_weight` must be finite and at least 0",
        ),
        (
            text(regression.init(2, 2, 0, device)),
            "`regression_weight` must be",
        ),
        (
            text(margin.init(2, 2, 0, device)),
            "`margin` must be finite and above 0",
        ),
        (
            text(activation_boundary(one, other, f64::INFINITY)),
            "`margin` must be",
        ),
        (
            text(softmax_regression(map([2, 3], 0.1), map([2, 4], 0.2))),
            "differ in number of classes",
        ),
    ] {
        assert!(found.contains(expected), "{found}, not {expected}");
    }
}
