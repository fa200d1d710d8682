//! A network as an ONNX graph, by means of Burn's exporter.

mod ensemble;
mod names;

pub(crate) use ensemble::export as export_ensemble;

use std::any::Any;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_onnx::export::{AxisSpec, ExportError, InputSpec, OnnxExporter};
use kd_core::{Error, NetworkOutput, Output, Preprocessing, Result, detached_copy};

use crate::model_config::ModelConfig;
use crate::named::ModelNetwork;

/// The form of an ONNX graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnnxOptions {
    /// The images that the graph takes.
    pub input: OnnxInput,
    /// The only size of batch that the graph takes; any where there is none.
    pub batch: Option<usize>,
}

/// The images that an ONNX graph takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnnxInput {
    /// Pixels in `[0, 1]`: the normalisation is part of the graph.
    #[default]
    Pixels,
    /// Images that are normalised already.
    Normalised,
}

/// The graph of `network` from `images` `[batch, channels, height, width]` to `logits` `[batch, classes]`, or
/// `[batch, classes, height, width]`.
///
/// # Errors
///
/// [`Error::Config`] if the network does something that the exporter cannot write, with what can be done.
pub(crate) fn export<N: ModelNetwork>(
    network: &N,
    config: &ModelConfig,
    options: &OnnxOptions,
) -> Result<Vec<u8>> {
    let input = config.network.input;
    let Preprocessing::Images(normalisation) = &config.preprocessing else {
        return Err(for_images());
    };
    normalisation.apply(images(input, 1))?;
    as_input::<N>(images(input, 1))?;
    let forward = |network: &N, images: Tensor<4>| {
        let images = match options.input {
            // The shapes are those of the model itself, so that only a defect could make this fail.
            OnnxInput::Pixels => normalisation.apply(images.clone()).unwrap_or(images),
            OnnxInput::Normalised => images,
        };
        outputs(network, images)
    };
    // A plain clone shares the running statistics of its norms, which the exporter would leave on its own
    // device.
    let network = &detached_copy(network).portable();
    write(network, &config.network.name, input, options, forward)
}

/// Black images `[count, channels, height, width]`.
fn images([channels, height, width]: [usize; 3], count: usize) -> Tensor<4> {
    Tensor::zeros([count, channels, height, width], &Device::default())
}

/// The graph of what `forward` does with a module and images; `name` is what an error calls it.
fn write<M: Module>(
    module: &M,
    name: &str,
    input: [usize; 3],
    options: &OnnxOptions,
    forward: impl Fn(&M, Tensor<4>) -> (Vec<Tensor<2>>, Vec<Tensor<4>>),
) -> Result<Vec<u8>> {
    // Operations that no format has can only be written for one size of batch, if at all.
    let images = |count| images(input, count);
    let exporter = OnnxExporter::new();
    let graph = if let Some(batch) = options.batch {
        exporter.export(module, images(batch), &forward)
    } else {
        let axes = [
            AxisSpec::dynamic("batch"),
            AxisSpec::Static,
            AxisSpec::Static,
            AxisSpec::Static,
        ];
        // Two traces tell the size of the batch from the numbers that stay the same.
        let axes = [InputSpec::new(axes)];
        exporter.export_dynamic(module, images(2), images(3), &axes, &forward)
    };
    let graph = graph.map_err(|error| {
        let asks_for_batch = options.batch.is_none() && needs_batch(&error);
        // One size of batch is advised only where it helps.
        let alone = asks_for_batch.then(|| exporter.export(module, images(1), &forward));
        match alone {
            Some(Err(own)) => in_words(name, Some(1), &own),
            _ => in_words(name, options.batch, &error),
        }
    })?;
    names::rename(graph.as_bytes(), "images", "logits")
        .ok_or_else(|| cannot(name, "Burn's exporter wrote a graph of an unknown form"))
}

/// Images as the input of a network, if it takes images.
fn as_input<N: ModelNetwork>(images: Tensor<4>) -> Result<N::Input> {
    let images: Box<dyn Any> = Box::new(images);
    let taken = images.downcast::<N::Input>();
    taken.map(|input| *input).map_err(|_| for_images())
}

fn for_images() -> Error {
    let problem = "is for networks that take images; keep the model folder";
    Error::config("onnx", problem)
}

/// The output, in the one of two lists that is for outputs of its number of axes.
fn outputs<N: ModelNetwork>(network: &N, images: Tensor<4>) -> (Vec<Tensor<2>>, Vec<Tensor<4>>) {
    let output = as_input::<N>(images).map(|input| network.forward(&input).into_output());
    match output {
        Ok(Output::Classes(logits)) => (vec![logits], Vec::new()),
        Ok(Output::Pixels(logits)) => (Vec::new(), vec![logits]),
        _ => (Vec::new(), Vec::new()),
    }
}

fn cannot(network: &str, reason: &str) -> Error {
    Error::config(
        "onnx",
        format!("is a format that `{network}` cannot be written in: {reason}"),
    )
}

/// Whether a graph could perhaps be written for one size of batch.
fn needs_batch(error: &ExportError) -> bool {
    matches!(
        error,
        ExportError::DynamicShapeLost { .. } | ExportError::DynamicGraphMismatch { .. }
    )
}

fn in_words(network: &str, batch: Option<usize>, error: &ExportError) -> Error {
    match error {
        ExportError::UnsupportedOperation { kind, .. } => {
            // The exporter prints the whole operation with its shapes; its name comes first.
            let operation: String = kind
                .trim_start_matches("NumericFloat(F32, ")
                .trim_start_matches("BaseFloat(")
                .trim_start_matches("Module(")
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            cannot(
                network,
                &format!("Burn's exporter does not know its operation {operation}"),
            )
        }
        error if batch.is_none() && needs_batch(error) => {
            let problem = format!(
                "is needed for `{network}`, whose graph Burn's exporter writes for one size of batch \
                 only; give 1"
            );
            Error::config("batch", problem)
        }
        other => cannot(network, &other.to_string()),
    }
}
