//! The proof of a description: masked and cut networks give the same, for random masks.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kd_core::{
    Draws, Error, ImageClassifier, Names, Result, Tensors, detached_copy, export, import,
};

use crate::alive::{Alive, Widths};
use crate::graph::Graph;
use crate::groups::Groups;
use crate::surgery::{Policy, Surgery};
use crate::tensors::{put, values};

/// The difference that is allowed, of the largest logit.
const TOLERANCE: f32 = 1e-4;

/// Checks on the network itself that a description and what is built of its widths are right: its norms get
/// random parameters and statistics, a random share of every group is cut, and the logits of masked and cut
/// network are compared, at inference and in training, for `masks` masks that depend on `seed`.
///
/// # Errors
///
/// [`Error::Mismatch`] if the tensors are not those of the description or the smaller network has others than
/// were cut; [`Error::Config`] that says by how much which mask differs; what `build` fails with.
pub fn check_cut<N: ImageClassifier>(
    network: &N,
    graph: &Graph,
    build: impl Fn(&Widths) -> Result<N>,
    policy: Policy,
    masks: usize,
    seed: u64,
) -> Result<()> {
    let groups = Groups::of(graph)?;
    let surgery = Surgery {
        graph,
        groups: &groups,
    };
    for mask in 0..masks as u64 {
        let mut draws = Draws::new(seed, "mask", mask, 0);
        let keep = draws.between(0.2, 0.9);
        let alive = Alive::chosen(&groups, |_, _| draws.chance(keep));
        let tensors = shaken(&export(network, Names::PyTorch), &mut draws);
        let masked = surgery.masked(&tensors, &alive, policy)?;
        let cut = surgery.cut(&tensors, &alive, policy)?;
        let masked = import(network, &masked, Names::PyTorch, "the mask")?;
        let smaller = build(&Widths::of(graph, &groups, &alive))?;
        let smaller = import(&smaller, &cut, Names::PyTorch, "the cut")?;
        let input = images(graph, &mut draws, &masked);
        let pairs = [
            (
                "at inference",
                [masked.valid(), smaller.valid()],
                input.clone(),
            ),
            (
                "in training",
                [
                    detached_copy(&masked).train(),
                    detached_copy(&smaller).train(),
                ],
                Tensor::from_inner(input),
            ),
        ];
        for (when, [masked, smaller], input) in pairs {
            let [expected, found] =
                [masked.forward(&input), smaller.forward(&input)].map(|logits| logits.into_data());
            compare(&expected, &found, when, mask)?;
        }
    }
    Ok(())
}

/// The same tensors with random norms, so that nothing is hidden by a shift or a mean of 0.
fn shaken(tensors: &Tensors, draws: &mut Draws) -> Tensors {
    let mut shaken = tensors.clone();
    for name in tensors.keys().filter(|name| name.ends_with("running_mean")) {
        let norm = name.trim_end_matches("running_mean");
        for (field, middle, spread) in [
            ("weight", 1.0, 0.5),
            ("bias", 0.0, 0.7),
            ("running_mean", 0.0, 0.3),
        ] {
            let name = format!("{norm}{field}");
            let numbers = values(tensors, &name).into_iter();
            let numbers: Vec<f64> = numbers.map(|_| middle + spread * draws.normal()).collect();
            put(&mut shaken, &name, &numbers);
        }
        let name = format!("{norm}running_var");
        let numbers = values(tensors, &name).into_iter();
        let numbers: Vec<f64> = numbers.map(|_| 0.5 + draws.uniform()).collect();
        put(&mut shaken, &name, &numbers);
    }
    shaken
}

/// Four random images on the plain device.
fn images<N: Module>(graph: &Graph, draws: &mut Draws, network: &N) -> Tensor<4> {
    let [channels, height, width] = graph.nodes[0].shape;
    let count = 4 * channels * height * width;
    #[expect(clippy::cast_possible_truncation, reason = "images are in 32 bits")]
    let pixels: Vec<f32> = (0..count).map(|_| draws.normal() as f32).collect();
    let device = network.devices().into_iter().next().unwrap_or_default();
    let data = TensorData::new(pixels, [4, channels, height, width]);
    Tensor::from_data(data, &device.inner())
}

fn compare(expected: &TensorData, found: &TensorData, when: &str, mask: u64) -> Result<()> {
    let pairs = expected.iter::<f32>().zip(found.iter::<f32>());
    let scale = expected
        .iter::<f32>()
        .fold(1.0, |most: f32, value| most.max(value.abs()));
    let most = pairs.fold(0.0, |most: f32, (one, other)| {
        let difference = (one - other).abs();
        if difference.is_nan() {
            f32::INFINITY
        } else {
            most.max(difference)
        }
    });
    if expected.shape() == found.shape() && most <= TOLERANCE * scale {
        return Ok(());
    }
    let problem = format!(
        "is wrong: with mask {mask} the logits of the cut network differ by {most} from those of the masked \
         one {when}, of a size of {scale}"
    );
    Err(Error::config("graph", problem))
}
