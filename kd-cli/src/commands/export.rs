//! `kd export`.

use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Batch, DeviceName, Draws, Error, Result, SampleKind, Samples, Tensors, write_tensors,
};
use kd_models::{Ensemble, TrainedModel};
use kd_recipe::{Methods, model_folder};
use serde_json::json;

use crate::args::{AverageOption, ExportFormat, ExportOptions, GraphInput};
use crate::output;
use crate::progress::counted::Busy;

/// Images in a sample.
const SAMPLES: usize = 8;

/// What is written: one model, or several as an ensemble.
enum Exported {
    One(Box<dyn TrainedModel>),
    Several(Ensemble),
}

impl Exported {
    fn open(methods: &Methods, options: &ExportOptions, device: &Device) -> Result<Self> {
        let open = |path: &PathBuf| methods.families().open(&model_folder(path)?, device);
        let mut models = options.model.iter().map(open).collect::<Result<Vec<_>>>()?;
        if models.len() > 1 {
            let average = options.average.unwrap_or(AverageOption::Logits);
            return Ok(Self::Several(Ensemble::new(models, average.into())?));
        }
        if options.average.is_some() {
            let problem =
                "is for several models, and one is given; leave it out, or give `--model` again";
            return Err(Error::config("--average", problem));
        }
        // One is required.
        Ok(Self::One(models.swap_remove(0)))
    }

    /// The model, or the first of several, which have the same classes and images.
    fn first(&self) -> &dyn TrainedModel {
        match self {
            Self::One(model) => model.as_ref(),
            Self::Several(ensemble) => ensemble.members()[0].as_ref(),
        }
    }

    fn state_dict(&self) -> Tensors {
        match self {
            Self::One(model) => model.state_dict(),
            Self::Several(ensemble) => ensemble.state_dict(),
        }
    }

    #[cfg(feature = "onnx")]
    fn onnx(&self, options: &kd_models::OnnxOptions) -> Result<Vec<u8>> {
        match self {
            Self::One(model) => model.onnx(options),
            Self::Several(ensemble) => ensemble.onnx(options),
        }
    }

    fn logits(&self, batch: &Batch) -> Result<TensorData> {
        Ok(match self {
            Self::One(model) => match model.output(batch)? {
                kd_core::Output::Pixels(logits) => logits.into_data(),
                other => other.logits()?.into_data(),
            },
            Self::Several(ensemble) => ensemble.logits(batch)?.into_data(),
        })
    }

    /// `images` as what was exported takes them: with a normalisation that all members share, or plain.
    fn images(&self, options: &ExportOptions, pixels: Tensor<4>) -> Result<Tensor<4>> {
        match (self, options.format, options.input) {
            (_, ExportFormat::Onnx, GraphInput::Pixels)
            // A list of modules normalises nothing, and its members may differ in it.
            | (Self::Several(_), ExportFormat::Safetensors, _) => Ok(pixels),
            _ => self.first().config().normalisation()?.apply(pixels),
        }
    }
}

pub(super) fn run(methods: &Methods, options: &ExportOptions) -> Result<()> {
    let device = DeviceName::Cpu
        .open()
        .or_else(|_| DeviceName::Auto.open())?;
    let busy = Busy::new("exporting");
    let exported = Exported::open(methods, options, &device)?;
    let written = match options.format {
        ExportFormat::Safetensors => safetensors(options, &exported)?,
        ExportFormat::Onnx => onnx(options, &exported)?,
    };
    if let Some(path) = &options.sample {
        write_tensors(path, &sample(options, &exported, &device)?)?;
    }
    drop(busy);
    if options.json {
        let network = &exported.first().config().network;
        let model = match options.model.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        output::json(&json!({
            "model": model, "out": options.out, "network": network, "sample": options.sample,
        }));
        return Ok(());
    }
    let of = match options.model.len() {
        1 => String::new(),
        members => format!("ensemble of {members} models: "),
    };
    output::line(&format!("{of}{written} in {}", options.out.display()));
    if let Some(path) = &options.sample {
        let path = path.display();
        let samples = match exported.first().config().preprocessing.kind() {
            SampleKind::Texts => "tokens",
            _ => "images",
        };
        output::line(&format!("{samples} and logits to compare with in {path}"));
    }
    Ok(())
}

fn safetensors(options: &ExportOptions, exported: &Exported) -> Result<String> {
    let without = "has no effect on weights alone; leave it out";
    if options.input == GraphInput::Normalised {
        return Err(Error::config("--input", without));
    }
    if options.batch.is_some() {
        return Err(Error::config("--batch", without));
    }
    if options.average.is_some() {
        return Err(Error::config("--average", without));
    }
    let tensors = exported.state_dict();
    write_tensors(&options.out, &tensors)?;
    Ok(format!("{} tensors", tensors.len()))
}

#[cfg(feature = "onnx")]
fn onnx(options: &ExportOptions, exported: &Exported) -> Result<String> {
    use kd_core::{Task, write_atomically};
    use kd_models::{OnnxInput, OnnxOptions};

    let batch = options.batch.map(usize::from);
    let mut graph = OnnxOptions::default();
    graph.batch = batch;
    graph.input = match options.input {
        GraphInput::Pixels => OnnxInput::Pixels,
        GraphInput::Normalised => OnnxInput::Normalised,
    };
    let bytes = exported.onnx(&graph).map_err(|error| match error {
        Error::Config { field, problem } if field == "batch" => Error::config("--batch", problem),
        Error::Config { field, problem } if field == "input" => Error::config("--input", problem),
        Error::Config { problem, .. } => Error::config("--format onnx", problem),
        other => other,
    })?;
    write_atomically(&options.out, &bytes)?;
    let network = &exported.first().config().network;
    let [channels, height, width] = network.input;
    let size = batch.map_or_else(|| "batch".to_owned(), |batch| batch.to_string());
    let taken = match options.input {
        GraphInput::Pixels => "pixels in 0 to 1",
        GraphInput::Normalised => "normalised",
    };
    let classes = network.classes;
    let logits = match exported.first().task() {
        Task::Segmentation => format!("[{size}, {classes}, {height}, {width}]"),
        _ => format!("[{size}, {classes}]"),
    };
    Ok(format!(
        "ONNX graph, `images` [{size}, {channels}, {height}, {width}] ({taken}) to `logits` {logits},"
    ))
}

#[cfg(not(feature = "onnx"))]
fn onnx(_: &ExportOptions, _: &Exported) -> Result<String> {
    let problem = "is `onnx`, which this kd was built without; build it with the feature `onnx`";
    Err(Error::config("--format", problem))
}

/// `tokens`, drawn from the whole vocabulary, and the `logits` of them.
fn text_sample(
    exported: &Exported,
    [count, vocabulary, length]: [usize; 3],
    device: &Device,
) -> Result<Tensors> {
    let mut draws = Draws::new(0, "export sample", 0, 0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share of a vocabulary of at most 16 bits"
    )]
    let ids = (0..count * length).map(|_| (draws.uniform() * vocabulary as f64) as i64);
    let data = TensorData::new(ids.collect::<Vec<i64>>(), [count, length]);
    let tokens: Tensor<2, Int> = Tensor::from_data(data, device);
    let batch = Batch::new(
        Samples::Tokens(tokens.clone()),
        Tensor::zeros([count], device),
    );
    Ok(Tensors::from([
        ("logits".to_owned(), exported.logits(&batch)?),
        ("tokens".to_owned(), tokens.into_data().convert::<i64>()),
    ]))
}

/// `images` as the exported model takes them and the `logits` of them.
///
/// A safetensors file holds no normalisation, so that its images are normalised already; those of an ensemble
/// are pixels, as each member has its own.
fn sample(options: &ExportOptions, exported: &Exported, device: &Device) -> Result<Tensors> {
    let [channels, height, width] = exported.first().config().network.input;
    let count = options.batch.map_or(SAMPLES, usize::from);
    if exported.first().config().preprocessing.kind() == SampleKind::Texts {
        return text_sample(exported, [count, channels, width], device);
    }
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
    let logits = exported.logits(&batch)?;
    let images = exported.images(options, pixels)?;
    Ok(Tensors::from([
        ("images".to_owned(), images.into_data()),
        ("logits".to_owned(), logits),
    ]))
}
