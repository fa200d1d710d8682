//! Adapters and losses with trained parts as modules: hard inputs, the teacher, seeds, counts of parameters.

use crate::support::{Outcome, assert_finite, hard_pairs, numbers, wave};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{
    ActivationBoundaryLoss, ActivationBoundaryLossConfig, EmbedNormalisation, Error, FactorNorm,
    FactorTransferLoss, FactorTransferLossConfig, LinearEmbed, LinearEmbedConfig, MapSizes,
    MaskedUnit, MgdLoss, MgdLossConfig, Nonlinearity, NormedRegressor, NormedRegressorConfig,
    OfdLoss, OfdLossConfig, Projection, Result, SimKdLoss, SimKdLossConfig, SrrlLoss,
    SrrlLossConfig, VidLoss, VidLossConfig, factor_transfer, hint, ofd_margins,
};

fn autodiff() -> Device {
    Device::flex().autodiff()
}

/// A loss of two maps with as many channels each.
type MapLoss = Box<dyn Fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>>>;

/// Every loss of two maps, made for as many channels on both sides.
fn map_losses(channels: usize) -> Result<Vec<(&'static str, MapLoss)>> {
    let device = autodiff();
    let normed = |nonlinearity| {
        let config = NormedRegressorConfig::new(channels, channels);
        config.with_nonlinearity(nonlinearity).init(1, &device)
    };
    let (linear, relu) = (normed(Nonlinearity::Linear)?, normed(Nonlinearity::Relu)?);
    let vid = VidLossConfig::new().init(channels, channels, 2, &device)?;
    let margins = ofd_margins(&vec![0.1; channels], &vec![1.5; channels])?;
    let ofd = OfdLossConfig::new().init(channels, margins, 3, &device)?;
    let embed = LinearEmbedConfig::new(channels).with_dim(4);
    let embed = embed
        .with_normalisation(EmbedNormalisation::L2)
        .init(4, &device)?;
    let mgd = MgdLossConfig::new().init(channels, channels, 5, &device)?;
    let simkd = SimKdLossConfig::new().init(channels, channels, 6, &device)?;
    let srrl = SrrlLossConfig::new().init(channels, channels, 7, &device)?;
    let head = Tensor::<2>::from_data(wave([channels, 3], 0.2), &Device::flex());
    let srrl = move |s, t| srrl.forward(s, t, |dense| Ok::<_, Error>(dense.matmul(head.clone())));
    let boundary = |projection| {
        let config = ActivationBoundaryLossConfig::new().with_projection(projection);
        config.init(channels, channels, 8, &device)
    };
    let bare = boundary(Projection::WhenWidthsDiffer)?;
    let boundary = boundary(Projection::Always)?;
    let factors = |norm| {
        let config = FactorTransferLossConfig::new()
            .with_rate(1.0)
            .with_paraphraser_norm(norm);
        config
            .with_translator_norm(norm)
            .init(channels, channels, 9, &device)
    };
    let (factors, bare_factors) = (factors(FactorNorm::Batch)?, factors(FactorNorm::None)?);
    // The embedding of each position.
    let embedded = move |map: Tensor<4>| -> Result<Tensor<4>> {
        let [batch_size, channels, height, width] = map.dims();
        let rows = map
            .permute([0, 2, 3, 1])
            .reshape([batch_size * height * width, channels]);
        Ok(embed.forward(rows)?.unsqueeze())
    };
    Ok(vec![
        ("linear regressor", Box::new(move |s, t| linear.hint(s, t))),
        ("ReLU regressor", Box::new(move |s, t| relu.hint(s, t))),
        ("vid", Box::new(move |s, t| vid.forward(s, t))),
        ("ofd", Box::new(move |s, t| ofd.forward(s, t))),
        ("mgd", Box::new(move |s, t| mgd.forward(s, t, 1))),
        ("simkd", Box::new(move |s, t| simkd.forward(s, t))),
        ("srrl", Box::new(srrl)),
        ("ab", Box::new(move |s, t| boundary.forward(s, t))),
        ("ft", Box::new(move |s, t| factors.forward(s, t))),
        ("bare ft", Box::new(move |s, t| bare_factors.forward(s, t))),
        (
            "factor transfer",
            Box::new(|s, t| factor_transfer(s, t, 1e-12)),
        ),
        ("bare ab", Box::new(move |s, t| bare.forward(s, t))),
        (
            "linear embed",
            Box::new(move |s, t| hint(embedded(s)?, embedded(t)?)),
        ),
    ])
}

#[test]
fn every_loss_survives_hard_inputs() -> Outcome {
    for shape in [[3, 4, 3, 2], [1, 3, 2, 2], [2, 2, 1, 1], [1, 2, 1, 1]] {
        for (loss_name, loss) in map_losses(shape[1])? {
            for (name, student, teacher) in hard_pairs::<4>(shape) {
                let what = format!("{loss_name}, {name}, {shape:?}");
                let teacher = Tensor::<4>::from_data(teacher, &Device::flex());
                assert_finite(&what, student, |student| loss(student, teacher.clone()))
                    .map_err(|error| format!("{what}: {error}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn no_gradient_reaches_the_teacher_and_its_place_does_not_matter() -> Outcome {
    let device = autodiff();
    let shape = [2, 3, 4, 3];
    for (name, loss) in map_losses(shape[1])? {
        let student = Tensor::<4>::from_data(wave(shape, 0.4), &device).require_grad();
        let leaf = Tensor::<4>::from_data(wave(shape, 1.9), &device).require_grad();
        let teacher = leaf.clone() * 1.5;

        let value = loss(student.clone(), teacher.clone())?;
        let gradients = value.backward();
        assert!(
            student.grad(&gradients).is_some(),
            "{name}: the student learns"
        );
        assert!(
            leaf.grad(&gradients).is_none(),
            "{name}: the teacher does not"
        );

        let plain = loss(student.clone(), teacher.inner())?;
        assert!(student.grad(&plain.backward()).is_some(), "{name}");
        let value = value.into_scalar::<f32>();
        assert_eq!(
            value.to_bits(),
            plain.into_scalar::<f32>().to_bits(),
            "{name}"
        );
    }
    Ok(())
}

/// Every parameter and every running statistic of a module, in order.
fn weights<M: Module>(module: &M) -> Vec<f64> {
    struct Collect(Vec<f64>);
    impl burn::module::ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.0.extend(numbers(param.val()));
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

/// A module's weights must be a function of the seed, and their count that of the formula.
fn check_seeds<M: Module>(init: impl Fn(u64, &Device) -> Result<M>) -> Result<()> {
    let device = Device::flex();
    device.seed(1);
    let first = weights(&init(9, &device)?);
    let drawn = Tensor::<1>::random([3], burn::tensor::Distribution::Default, &device);
    device.seed(1);
    let undisturbed = Tensor::<1>::random([3], burn::tensor::Distribution::Default, &device);
    assert_eq!(drawn.into_data(), undisturbed.into_data());
    assert_eq!(first, weights(&init(9, &autodiff())?));
    assert_ne!(first, weights(&init(10, &device)?));
    Ok(())
}

#[test]
fn initial_weights_depend_on_the_seed_and_on_nothing_else() -> Result<()> {
    check_seeds(|seed, device| NormedRegressorConfig::new(3, 4).init(seed, device))?;
    check_seeds(|seed, device| LinearEmbedConfig::new(3).init(seed, device))?;
    check_seeds(|seed, device| VidLossConfig::new().init(3, 4, seed, device))?;
    check_seeds(|seed, device| OfdLossConfig::new().init(3, vec![-1.0; 4], seed, device))?;
    check_seeds(|seed, device| MgdLossConfig::new().init(3, 4, seed, device))?;
    check_seeds(|seed, device| SimKdLossConfig::new().init(3, 4, seed, device))?;
    check_seeds(|seed, device| SrrlLossConfig::new().init(3, 4, seed, device))?;
    check_seeds(|seed, device| ActivationBoundaryLossConfig::new().init(3, 4, seed, device))?;
    check_seeds(|seed, device| FactorTransferLossConfig::new().init(3, 4, seed, device))
}

#[test]
fn extra_parameters_are_those_that_learn() -> Result<()> {
    let device = Device::flex();
    let (s, t) = (3, 5);
    let normed = NormedRegressorConfig::new(s, t);
    assert_eq!(normed.extra_parameters(), s * t + 2 * t);
    assert_eq!(normed.init(0, &device)?.extra_parameters(), s * t + 2 * t);
    let embed = LinearEmbedConfig::new(s).with_dim(t);
    assert_eq!(embed.extra_parameters(), s * t + t);
    assert_eq!(embed.init(0, &device)?.extra_parameters(), s * t + t);
    let vid = VidLossConfig::new().init(s, t, 0, &device)?;
    assert_eq!(vid.extra_parameters(), t * (s + 2 * t) + t);
    let ofd = OfdLossConfig::new().init(s, vec![-1.0; t], 0, &device)?;
    assert_eq!(ofd.extra_parameters(), s * t + 2 * t);
    let mgd = MgdLossConfig::new();
    let align = s * t + t;
    let count = |from| Ok(mgd.init(from, t, 0, &device)?.extra_parameters());
    assert_eq!(count(s)?, 18 * t * t + 2 * t + align);
    assert_eq!(count(t)?, 18 * t * t + 2 * t);
    let simkd = SimKdLossConfig::new().init(s, t, 0, &device)?;
    let h = t / 2;
    let expected = s * h + 9 * h * h + h * t + 4 * h + 2 * t;
    assert_eq!(simkd.extra_parameters(), expected);
    let srrl = SrrlLossConfig::new().init(s, t, 0, &device)?;
    assert_eq!(srrl.extra_parameters(), s * t + 2 * t);
    let boundary = ActivationBoundaryLossConfig::new();
    let count = |from| Ok(boundary.init(from, t, 0, &device)?.extra_parameters());
    assert_eq!(count(s)?, s * t + 2 * t);
    assert_eq!(count(t)?, 0);
    let h = 3; // 2.5, rounded
    let convolutions = 9 * (2 * (t * t + t * h + h * h) + s * s + s * h + h * h);
    let ft = FactorTransferLossConfig::new();
    let count = ft.init(s, t, 0, &device)?.extra_parameters();
    assert_eq!(count, convolutions + 2 * (3 * t + 5 * h + s));
    let ft = ft
        .with_paraphraser_norm(FactorNorm::None)
        .with_translator_norm(FactorNorm::None);
    let count = ft.init(s, t, 0, &device)?.extra_parameters();
    assert_eq!(count, convolutions + 3 * t + 5 * h + s);
    Ok(())
}

#[test]
fn outside_of_training_the_batch_norm_has_its_running_statistics() -> Result<()> {
    let regressor = NormedRegressorConfig::new(2, 2).with_nonlinearity(Nonlinearity::Linear);
    let trained = regressor.init(5, &autodiff())?;
    let student = TensorData::new(vec![1.0_f32, 9.0, -4.0, 2.0], [1, 2, 2, 1]);
    let on = |device: &Device| Tensor::<4>::from_data(student.clone(), device);
    let in_training = numbers(trained.project(on(&autodiff()))?);
    let afterwards = numbers(trained.valid().project(on(&Device::flex()))?);
    assert_ne!(in_training, afterwards);
    // Mean 0 of the batch against a tenth of the way from mean 0 and variance 1 to those of the batch.
    let mean: f64 = in_training.iter().take(2).sum();
    assert!(mean.abs() < 1e-5, "{in_training:?}");
    let fresh = numbers(
        regressor
            .init(5, &Device::flex())?
            .project(on(&Device::flex()))?,
    );
    assert_ne!(fresh, afterwards, "the running statistics have moved");
    Ok(())
}

fn send_and_sync<T: Send + Sync + Unpin + 'static>() {}

#[test]
fn public_types_are_send_and_sync() {
    send_and_sync::<ActivationBoundaryLoss>();
    send_and_sync::<ActivationBoundaryLossConfig>();
    send_and_sync::<EmbedNormalisation>();
    send_and_sync::<FactorNorm>();
    send_and_sync::<FactorTransferLoss>();
    send_and_sync::<FactorTransferLossConfig>();
    send_and_sync::<LinearEmbed>();
    send_and_sync::<LinearEmbedConfig>();
    send_and_sync::<MaskedUnit>();
    send_and_sync::<MgdLoss>();
    send_and_sync::<MgdLossConfig>();
    send_and_sync::<Nonlinearity>();
    send_and_sync::<NormedRegressor>();
    send_and_sync::<NormedRegressorConfig>();
    send_and_sync::<OfdLoss>();
    send_and_sync::<OfdLossConfig>();
    send_and_sync::<SimKdLoss>();
    send_and_sync::<SimKdLossConfig>();
    send_and_sync::<SrrlLoss>();
    send_and_sync::<SrrlLossConfig>();
    send_and_sync::<VidLoss>();
    send_and_sync::<VidLossConfig>();
}

fn map<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    Tensor::from_data(wave(shape, phase), &Device::flex())
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
