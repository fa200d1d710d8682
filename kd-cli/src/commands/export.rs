//! `kd export`.

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    DeviceName, Draws, Error, Frozen, Result, StagedNetwork, Tensors, write_atomically,
    write_tensors,
};
use kd_models::{ModelConfig, Network, load_model, state_dict};
use serde_json::json;

use crate::args::{ExportFormat, ExportOptions, GraphInput};
use crate::output;
use crate::parts::model_folder;

/// Images in a sample.
const SAMPLES: usize = 8;

pub(super) fn run(options: &ExportOptions) -> Result<()> {
    let device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    let (network, config) = load_model(&model_folder(&options.model)?, &device)?;
    let written = match options.format {
        ExportFormat::Safetensors => safetensors(options, &network)?,
        ExportFormat::Onnx => onnx(options, &network, &config)?,
    };
    if let Some(path) = &options.sample {
        write_tensors(path, &sample(options, &network, &config, &device)?)?;
    }
    if options.json {
        output::json(&json!({
            "model": options.model, "out": options.out, "network": config.network, "sample": options.sample,
        }));
        return Ok(());
    }
    output::line(&format!("{written} in {}", options.out.display()));
    if let Some(path) = &options.sample {
        output::line(&format!(
            "images and logits to compare with in {}",
            path.display()
        ));
    }
    Ok(())
}

fn safetensors(options: &ExportOptions, network: &Network) -> Result<String> {
    let without = "has no effect on weights alone; leave it out";
    if options.input == GraphInput::Normalised {
        return Err(Error::config("--input", without));
    }
    if options.batch.is_some() {
        return Err(Error::config("--batch", without));
    }
    let tensors = state_dict(network);
    write_tensors(&options.out, &tensors)?;
    Ok(format!("{} tensors", tensors.len()))
}

#[cfg(feature = "onnx")]
fn onnx(options: &ExportOptions, network: &Network, config: &ModelConfig) -> Result<String> {
    let normalisation = match options.input {
        GraphInput::Pixels => Some(&config.normalisation),
        GraphInput::Normalised => None,
    };
    let batch = options.batch.map(usize::from);
    let bytes = crate::onnx::export(network, config, normalisation, batch)?;
    write_atomically(&options.out, &bytes)?;
    let [channels, height, width] = config.network.input;
    let size = batch.map_or_else(|| "batch".to_owned(), |batch| batch.to_string());
    let taken = match options.input {
        GraphInput::Pixels => "pixels in 0 to 1",
        GraphInput::Normalised => "normalised",
    };
    Ok(format!(
        "ONNX graph, `images` [{size}, {channels}, {height}, {width}] ({taken}) to `logits` [{size}, {}],",
        config.network.classes
    ))
}

#[cfg(not(feature = "onnx"))]
fn onnx(_: &ExportOptions, _: &Network, _: &ModelConfig) -> Result<String> {
    let problem = "is `onnx`, which this kd was built without; build it with the feature `onnx`";
    Err(Error::config("--format", problem))
}

/// `images` as the exported model takes them and the `logits` of them.
///
/// A safetensors file holds no normalisation, so that its images are normalised already.
fn sample(
    options: &ExportOptions,
    network: &Network,
    config: &ModelConfig,
    device: &Device,
) -> Result<Tensors> {
    let [channels, height, width] = config.network.input;
    let count = options.batch.map_or(SAMPLES, usize::from);
    let mut draws = Draws::new(0, "export sample", 0, 0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "pixels are kept in 32 bits"
    )]
    let pixels: Vec<f32> = (0..count * channels * height * width)
        .map(|_| draws.uniform() as f32)
        .collect();
    let pixels = TensorData::new(pixels, [count, channels, height, width]);
    let pixels = Tensor::<4>::from_data(pixels, device);
    let normalised = config.normalisation.apply(pixels.clone())?;
    let logits = Frozen::new(network).network().forward(&normalised);
    let images = match (options.format, options.input) {
        (ExportFormat::Onnx, GraphInput::Pixels) => pixels,
        _ => normalised,
    };
    Ok(Tensors::from([
        ("images".to_owned(), images.into_data()),
        ("logits".to_owned(), logits.into_data()),
    ]))
}
