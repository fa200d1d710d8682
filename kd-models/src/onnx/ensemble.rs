//! An ensemble as one ONNX graph.

use burn::tensor::Tensor;
use kd_core::{Error, Normalisation, Result, StagedNetwork, detached_copy};

use super::{OnnxInput, OnnxOptions, images, write};
use crate::ensemble::{EnsembleAverage, averaged};
use crate::named::ModelNetwork;
use crate::network::Network;
use crate::trained_model::TrainedModel;

/// The graph of all members, each with its own normalisation, and of their average.
///
/// # Errors
///
/// [`Error::Config`] for a member of another type, for images that would have to be normalised in different
/// ways, and as the graph of one network.
pub(crate) fn export(
    members: &[Box<dyn TrainedModel>],
    average: EnsembleAverage,
    options: &OnnxOptions,
) -> Result<Vec<u8>> {
    let networks: Vec<Network> = members
        .iter()
        .map(|model| portable(model.as_ref()))
        .collect::<Result<_>>()?;
    let normalisations = members.iter().map(|model| model.config().normalisation());
    let normalisations: Vec<&Normalisation> = normalisations.collect::<Result<_>>()?;
    let one_for_all = normalisations
        .iter()
        .all(|other| *other == normalisations[0]);
    if options.input == OnnxInput::Normalised && !one_for_all {
        let problem = "cannot be normalised images, which the members of this ensemble normalise in \
                       different ways; let the graph take pixels";
        return Err(Error::config("input", problem));
    }
    let input = members[0].config().network.input;
    for normalisation in &normalisations {
        normalisation.apply(images(input, 1))?;
    }
    let forward = |networks: &Vec<Network>, images: Tensor<4>| {
        let answer = |(network, normalisation): (&Network, &&Normalisation)| {
            let images = match options.input {
                // The shapes are those of the model itself, so that only a defect could make this fail.
                OnnxInput::Pixels => normalisation
                    .apply(images.clone())
                    .unwrap_or(images.clone()),
                OnnxInput::Normalised => images.clone(),
            };
            network.forward(&images)
        };
        let answers: Vec<Tensor<2>> = networks.iter().zip(&normalisations).map(answer).collect();
        (vec![averaged(average, &answers)], Vec::new())
    };
    write(&networks, "the ensemble", input, options, forward)
}

/// A copy of a member that the exporter can write.
fn portable(model: &(dyn TrainedModel + 'static)) -> Result<Network> {
    let Some(network) = model.network::<Network>() else {
        let problem = format!(
            "is a format for ensembles of the networks of this crate, and `{}` is none; keep its \
             model folder",
            model.config().network.title()
        );
        return Err(Error::config("onnx", problem));
    };
    Ok(detached_copy(network).portable())
}
