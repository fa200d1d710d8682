//! Statistics of norms taken anew, against those of the maps themselves.

use burn::tensor::{Device, Tensor, TensorData};
use kd_compact::recalibrated;
use kd_core::{Draws, Names, export};

use crate::own::{INPUT, Own};

#[test]
fn statistics_are_the_means_of_those_of_every_input() {
    let network = Own::new(3);
    let mut draws = Draws::new(4, "images", 0, 0);
    let [channels, height, width] = INPUT;
    let inputs: Vec<Tensor<4>> = (0..3)
        .map(|_| {
            let numbers: Vec<f64> = (0..6 * channels * height * width)
                .map(|_| draws.normal())
                .collect();
            let data = TensorData::new(numbers, [6, channels, height, width]);
            Tensor::from_data(data.convert::<f32>(), &Device::flex())
        })
        .collect();
    let (mut means, mut variances) = (vec![0.0; 5], vec![0.0; 5]);
    for input in &inputs {
        let map = network.left.forward(input.clone());
        let values: Vec<f64> = map.into_data().iter::<f64>().collect();
        for channel in 0..5 {
            let of_channel = |(place, _): &(usize, &f64)| (place / (height * width)) % 5 == channel;
            let all: Vec<f64> = values
                .iter()
                .enumerate()
                .filter(of_channel)
                .map(|(_, value)| *value)
                .collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let squares = all.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
            means[channel] += mean / 3.0;
            variances[channel] += squares / all.len() as f64 / 3.0;
        }
    }
    let found = export(&recalibrated(&network, &inputs).unwrap(), Names::PyTorch);
    for (name, expected) in [("running_mean", means), ("running_var", variances)] {
        let values = found[&format!("left_norm.{name}")].iter::<f64>();
        for (found, expected) in values.zip(expected) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{name}: {found} {expected}"
            );
        }
    }
    // Nothing else has changed, and the network itself not at all.
    let before = export(&network, Names::PyTorch);
    for (name, data) in &before {
        if !name.contains("running") {
            assert_eq!(found[name], *data, "{name}");
        }
    }
}
