//! A network as an ONNX graph, by means of Burn's exporter.

mod names;

use burn::tensor::{Device, Tensor};
use burn_onnx::export::{AxisSpec, ExportError, InputSpec, OnnxExporter};
use kd_core::{Error, Normalisation, Result, StagedNetwork, detached_copy};
use kd_models::{ModelConfig, Network};

/// The graph of `network` from `images` `[batch, channels, height, width]` to `logits` `[batch, classes]`.
///
/// With a normalisation the images are pixels in `[0, 1]`. Without a `batch` size any will do.
///
/// # Errors
///
/// [`Error::Config`] if the network does something that the exporter cannot write, with what can be done.
pub(crate) fn export(
    network: &Network,
    config: &ModelConfig,
    normalisation: Option<&Normalisation>,
    batch: Option<usize>,
) -> Result<Vec<u8>> {
    let [channels, height, width] = config.network.input;
    let device = Device::default();
    let images = |count| Tensor::<4>::zeros([count, channels, height, width], &device);
    let forward = |network: &Network, images: Tensor<4>| {
        // The shapes are those of the model itself, so that only a defect could make this fail.
        let input = match normalisation.map(|how| how.apply(images.clone())) {
            Some(Ok(normalised)) => normalised,
            _ => images,
        };
        network.forward(&input)
    };
    if let Some(normalisation) = normalisation {
        normalisation.apply(images(1))?;
    }
    // A plain clone shares the running statistics of its norms, which the exporter would leave on its own
    // device. Slices and new zeros can only be written for one size of batch.
    let network = &match detached_copy(network) {
        Network::HeResNet(network) => Network::HeResNet(network.with_explicit_shortcuts()),
        other => other,
    };
    let exporter = OnnxExporter::new();
    let graph = if let Some(batch) = batch {
        exporter.export(network, images(batch), forward)
    } else {
        let axes = [
            AxisSpec::dynamic("batch"),
            AxisSpec::Static,
            AxisSpec::Static,
            AxisSpec::Static,
        ];
        // Two traces tell the size of the batch from the numbers that stay the same.
        exporter.export_dynamic(
            network,
            images(2),
            images(3),
            &[InputSpec::new(axes)],
            forward,
        )
    };
    let graph = graph.map_err(|error| in_words(&config.network.name, batch, &error))?;
    names::rename(graph.as_bytes(), "images", "logits").ok_or_else(|| {
        Error::config(
            "--format",
            "is `onnx`, and the exporter wrote a graph of an unknown form",
        )
    })
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
            Error::config(
                "--format",
                format!(
                    "cannot be `onnx` for `{network}`: Burn's exporter does not know its operation \
                     {operation}"
                ),
            )
        }
        ExportError::DynamicShapeLost { .. } | ExportError::DynamicGraphMismatch { .. }
            if batch.is_none() =>
        {
            Error::config(
                "--batch",
                format!(
                    "is needed for `{network}`, whose graph Burn's exporter writes for one size of batch \
                     only; give \
                     `--batch 1`"
                ),
            )
        }
        other => Error::config(
            "--format",
            format!("cannot be `onnx` for `{network}`: {other}"),
        ),
    }
}
