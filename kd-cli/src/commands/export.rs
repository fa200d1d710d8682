//! `kd export`.

use burn::tensor::{Device, Tensor};
use kd_core::{Batch, DeviceName, Draws, Error, Result, Samples, Tensors, write_tensors};
use kd_models::TrainedModel;
use kd_recipe::{Methods, model_folder};
use serde_json::json;

use crate::args::{ExportFormat, ExportOptions, GraphInput};
use crate::output;

/// Images in a sample.
const SAMPLES: usize = 8;

pub(super) fn run(methods: &Methods, options: &ExportOptions) -> Result<()> {
    let device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    let model = methods
        .families()
        .open(&model_folder(&options.model)?, &device)?;
    let model = model.as_ref();
    let written = match options.format {
        ExportFormat::Safetensors => safetensors(options, model)?,
        ExportFormat::Onnx => onnx(options, model)?,
    };
    if let Some(path) = &options.sample {
        write_tensors(path, &sample(options, model, &device)?)?;
    }
    if options.json {
        output::json(&json!({
            "model": options.model, "out": options.out, "network": model.config().network,
            "sample": options.sample,
        }));
        return Ok(());
    }
    output::line(&format!("{written} in {}", options.out.display()));
    if let Some(path) = &options.sample {
        let path = path.display();
        output::line(&format!("images and logits to compare with in {path}"));
    }
    Ok(())
}

fn safetensors(options: &ExportOptions, model: &dyn TrainedModel) -> Result<String> {
    let without = "has no effect on weights alone; leave it out";
    if options.input == GraphInput::Normalised {
        return Err(Error::config("--input", without));
    }
    if options.batch.is_some() {
        return Err(Error::config("--batch", without));
    }
    let tensors = model.state_dict();
    write_tensors(&options.out, &tensors)?;
    Ok(format!("{} tensors", tensors.len()))
}

#[cfg(feature = "onnx")]
fn onnx(options: &ExportOptions, model: &dyn TrainedModel) -> Result<String> {
    use kd_core::write_atomically;
    use kd_models::{OnnxInput, OnnxOptions};

    let batch = options.batch.map(usize::from);
    let mut graph = OnnxOptions::default();
    graph.batch = batch;
    graph.input = match options.input {
        GraphInput::Pixels => OnnxInput::Pixels,
        GraphInput::Normalised => OnnxInput::Normalised,
    };
    let bytes = model.onnx(&graph).map_err(|error| match error {
        Error::Config { field, problem } if field == "batch" => Error::config("--batch", problem),
        Error::Config { problem, .. } => Error::config("--format onnx", problem),
        other => other,
    })?;
    write_atomically(&options.out, &bytes)?;
    let [channels, height, width] = model.config().network.input;
    let size = batch.map_or_else(|| "batch".to_owned(), |batch| batch.to_string());
    let taken = match options.input {
        GraphInput::Pixels => "pixels in 0 to 1",
        GraphInput::Normalised => "normalised",
    };
    Ok(format!(
        "ONNX graph, `images` [{size}, {channels}, {height}, {width}] ({taken}) to `logits` [{size}, {}],",
        model.config().network.classes
    ))
}

#[cfg(not(feature = "onnx"))]
fn onnx(_: &ExportOptions, _: &dyn TrainedModel) -> Result<String> {
    let problem = "is `onnx`, which this kd was built without; build it with the feature `onnx`";
    Err(Error::config("--format", problem))
}

/// `images` as the exported model takes them and the `logits` of them.
///
/// A safetensors file holds no normalisation, so that its images are normalised already.
fn sample(options: &ExportOptions, model: &dyn TrainedModel, device: &Device) -> Result<Tensors> {
    let [channels, height, width] = model.config().network.input;
    let count = options.batch.map_or(SAMPLES, usize::from);
    let mut draws = Draws::new(0, "export sample", 0, 0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "pixels are kept in 32 bits"
    )]
    let pixels: Vec<f32> = (0..count * channels * height * width)
        .map(|_| draws.uniform() as f32)
        .collect();
    let pixels = Tensor::<1>::from_floats(pixels.as_slice(), device);
    let pixels: Tensor<4> = pixels.reshape([count, channels, height, width]);
    let batch = Batch::new(
        Samples::Images(pixels.clone()),
        Tensor::zeros([count], device),
    );
    let images = match (options.format, options.input) {
        (ExportFormat::Onnx, GraphInput::Pixels) => pixels,
        _ => model.config().normalisation()?.apply(pixels)?,
    };
    let logits = match model.output(&batch)? {
        kd_core::Output::Pixels(logits) => logits.into_data(),
        other => other.logits()?.into_data(),
    };
    Ok(Tensors::from([
        ("images".to_owned(), images.into_data()),
        ("logits".to_owned(), logits),
    ]))
}
