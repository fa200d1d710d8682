//! The regressor as a module: its parameters, its seeds, its places.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_losses::{MapSizes, Projection, Regressor, RegressorConfig, Result, hint};

fn weight(regressor: &Regressor) -> Option<TensorData> {
    regressor.conv().map(|conv| conv.weight.val().into_data())
}

#[test]
fn extra_parameters_are_declared_before_and_after_it_is_made() -> Result<()> {
    for (config, expected) in [
        (RegressorConfig::new(16, 64), 16 * 64 + 64),
        (RegressorConfig::new(8, 8), 8 * 8 + 8),
        (
            RegressorConfig::new(8, 8).with_projection(Projection::WhenWidthsDiffer),
            0,
        ),
        (
            RegressorConfig::new(8, 9).with_projection(Projection::WhenWidthsDiffer),
            8 * 9 + 9,
        ),
    ] {
        let regressor = config.init(0, &Device::flex())?;
        assert_eq!(config.extra_parameters(), expected);
        assert_eq!(regressor.extra_parameters(), expected);
        assert_eq!(regressor.num_params(), expected);
    }
    Ok(())
}

#[test]
fn initial_weights_depend_on_the_seed_and_on_nothing_else() -> Result<()> {
    let device = Device::flex();
    let config = RegressorConfig::new(4, 5);
    device.seed(1);
    let first = config.init(9, &device)?;
    let drawn = Tensor::<1>::random([3], burn::tensor::Distribution::Default, &device);
    device.seed(1);
    let undisturbed = Tensor::<1>::random([3], burn::tensor::Distribution::Default, &device);
    assert_eq!(drawn.into_data(), undisturbed.into_data());

    let again = config.init(9, &device.clone().autodiff())?;
    assert_eq!(weight(&first), weight(&again));
    assert_ne!(weight(&first), weight(&config.init(10, &device)?));
    Ok(())
}

#[test]
fn without_a_convolution_it_is_the_plain_hint() -> Result<()> {
    let device = Device::flex();
    let regressor = RegressorConfig::new(2, 2)
        .with_projection(Projection::WhenWidthsDiffer)
        .init(0, &device)?;
    assert!(regressor.conv().is_none());
    let student = Tensor::<4>::ones([1, 2, 3, 3], &device) * 2.0;
    let teacher = Tensor::<4>::zeros([1, 2, 3, 3], &device);
    let plain = hint(student.clone(), teacher.clone())?.into_scalar::<f32>();
    let through = regressor.hint(student, teacher)?.into_scalar::<f32>();
    assert_eq!(plain.to_bits(), through.to_bits());
    Ok(())
}

#[test]
fn both_maps_come_back_in_the_smaller_size() -> Result<()> {
    let device = Device::flex();
    let regressor = RegressorConfig::new(2, 3)
        .with_map_sizes(MapSizes::PoolLarger)
        .init(0, &device)?;
    let student = Tensor::<4>::ones([2, 2, 8, 3], &device);
    let teacher = Tensor::<4>::ones([2, 3, 4, 5], &device);
    let (student, teacher) = regressor.forward(student, teacher)?;
    assert_eq!(student.dims(), [2, 3, 4, 3]);
    assert_eq!(teacher.dims(), [2, 3, 4, 3]);
    Ok(())
}

#[test]
fn a_config_survives_its_file() -> std::result::Result<(), serde_json::Error> {
    let config = RegressorConfig::new(3, 4).with_map_sizes(MapSizes::PoolLarger);
    let text = serde_json::to_string(&config)?;
    assert!(text.contains("pool-larger"), "{text}");
    assert_eq!(serde_json::from_str::<RegressorConfig>(&text)?, config);
    Ok(())
}
