//! A narrow network of each family: its maps, its logits, its gradients, its running statistics.

use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Draws, NamedGradients, Names, SampleKind, StagedNetwork, Task, Tensors, export};
use kd_models::{ModelNetwork, Network, NetworkSpec, Structure, TextCnn, UNet};

use crate::compared::Compared;
use crate::devices::{cpu, gpu};

/// The structures with which kd-models tests its model folders.
#[path = "../../../kd-models/tests/files/narrow.rs"]
mod narrow;

const BATCH: usize = 4;
const CLASSES: usize = 4;
const IMAGES: [usize; 3] = [3, 32, 32];
/// Ids of a vocabulary of 50, in texts of 16.
const TEXTS: [usize; 3] = [50, 1, 16];

/// Normal numbers, a function of the name and the shape.
fn normal<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut draws = Draws::new(0, name, 0, 0);
    let values: Vec<f64> = (0..shape.iter().product())
        .map(|_| draws.normal())
        .collect();
    Tensor::from_data(TensorData::new(values, shape).convert::<f32>(), device)
}

fn images(device: &Device) -> Tensor<4> {
    let [channels, height, width] = IMAGES;
    normal("images", [BATCH, channels, height, width], device)
}

fn texts(device: &Device) -> Tensor<2, Int> {
    let [vocabulary, _, length] = TEXTS;
    let mut draws = Draws::new(0, "texts", 0, 0);
    let ids = (0..BATCH * length).map(|_| draws.below(vocabulary as u64).cast_signed());
    let ids = TensorData::new(ids.collect::<Vec<i64>>(), [BATCH, length]);
    Tensor::from_data(ids, device)
}

/// A network's maps, dense vector and logits, as they are and with folded norms.
fn evaluated<N, const D: usize>(network: &N, input: &N::Input) -> Tensors
where
    N: ModelNetwork + StagedNetwork<Output = Tensor<D>>,
{
    let mut said = Tensors::new();
    for (form, network) in [("plain", network), ("folded", &network.fold_norms())] {
        let trace = network.forward_traced(input);
        for (stage, map) in network.stage_names().into_iter().zip(trace.maps) {
            said.insert(format!("{form} {stage}"), map.into_data());
        }
        said.insert(format!("{form} logits"), trace.output.into_data());
    }
    said
}

/// The logits of a forward pass in training, the gradients of a sum of them, and what the pass leaves.
fn trained<N, const D: usize>(network: &N, input: &N::Input) -> [Tensors; 3]
where
    N: ModelNetwork + StagedNetwork<Output = Tensor<D>>,
{
    let logits = network.forward(input);
    let said = Tensors::from([("logits".to_owned(), logits.to_data())]);
    let weights = normal("weights", logits.dims(), &logits.device());
    let mut raw = (logits * weights).sum().backward();
    let mut named = NamedGradients::new();
    named.collect("", network, &mut raw);
    let gradients = named.paths().map(|path| {
        let gradient = named.get(path).unwrap().to_data();
        (path.to_owned(), gradient)
    });
    let gradients = gradients.collect();
    // The statistics of batch norms, which are collected when they are next read.
    let after = export(network, Names::PyTorch);
    [said, gradients, after]
}

/// Compares a network with equal weights on both devices.
fn compare<N, const D: usize>(
    subjects: &mut [Compared; 2],
    structure: Structure,
    input: fn(&Device) -> N::Input,
    size: [usize; 3],
) where
    N: ModelNetwork + StagedNetwork<Output = Tensor<D>>,
{
    let family = structure.family().to_owned();
    let spec = NetworkSpec::with_structure("narrow", structure, CLASSES, size);
    let build = |device: &Device| N::build(&spec, 1, device).unwrap();
    let [values, gradients] = subjects;
    values.part(&family, |values| {
        let [found, expected] = [gpu(), cpu()].map(|device| {
            let plain = evaluated(&build(&device), &input(&device));
            let device = device.autodiff();
            (plain, trained(&build(&device), &input(&device)))
        });
        values.tensors(&family, &found.0, &expected.0);
        let ([said, slopes, after], [wanted, wanted_slopes, wanted_after]) = (found.1, expected.1);
        values.tensors(format!("{family} training"), &said, &wanted);
        values.tensors(format!("{family} after"), &after, &wanted_after);
        gradients.tensors(&family, &slopes, &wanted_slopes);
    });
}

#[test]
fn networks_and_their_gradients_are_those_of_the_cpu() {
    let mut subjects = [
        Compared::new("maps and logits of networks", 1e-4),
        Compared::new("gradients of networks", 1e-3),
    ];
    for structure in narrow::narrow() {
        match (structure.takes(), structure.task()) {
            (Some(SampleKind::Texts), _) => {
                compare::<TextCnn, 2>(&mut subjects, structure, texts, TEXTS);
            }
            (_, Some(Task::Segmentation)) => {
                compare::<UNet, 4>(&mut subjects, structure, images, IMAGES);
            }
            _ => compare::<Network, 2>(&mut subjects, structure, images, IMAGES),
        }
    }
    subjects.into_iter().for_each(Compared::end);
}
