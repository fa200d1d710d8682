//! The proof of a description: masked and cut networks give the same, for random masks.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use kd_core::{
    Draws, Error, Names, NetworkOutput, Output, Result, StagedNetwork, Tensors, detached_copy,
    export, import,
};

use crate::alive::{Alive, Widths};
use crate::graph::Graph;
use crate::groups::Groups;
use crate::severed::severed;
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
pub fn check_cut<N>(
    network: &N,
    graph: &Graph,
    build: impl Fn(&Widths) -> Result<N>,
    policy: Policy,
    masks: usize,
    seed: u64,
) -> Result<()>
where
    N: StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>,
{
    let groups = Groups::of(graph)?;
    let surgery = Surgery {
        graph,
        groups: &groups,
    };
    for mask in 0..masks as u64 {
        let mut case = Case::drawn(network, &surgery, seed, mask);
        let cut = surgery.cut(&case.tensors, &case.alive, policy)?;
        let smaller = build(&Widths::of(graph, &groups, &case.alive))?;
        let smaller = import(&smaller, &cut, Names::PyTorch, "the cut")?;
        case.compare(network, &surgery, policy, &smaller, "cut")?;
    }
    Ok(())
}

/// As [`check_cut`], without building a smaller network: in place of cutting dead channels, what makes them
/// is filled with noise and what reads them with zeros. It proves that nothing that stays depends on what
/// would be cut, for a network of which no smaller one can be built yet.
///
/// # Errors
///
/// As [`check_cut`].
pub fn check_groups<N>(
    network: &N,
    graph: &Graph,
    policy: Policy,
    masks: usize,
    seed: u64,
) -> Result<()>
where
    N: StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>,
{
    let groups = Groups::of(graph)?;
    let surgery = Surgery {
        graph,
        groups: &groups,
    };
    for mask in 0..masks as u64 {
        let mut case = Case::drawn(network, &surgery, seed, mask);
        let folded = surgery.folded(&case.tensors, &case.alive, policy)?;
        let severed = severed(&surgery, &folded, &case.alive, &mut case.draws);
        let severed = import(network, &severed, Names::PyTorch, "the severed network")?;
        case.compare(network, &surgery, policy, &severed, "severed")?;
    }
    Ok(())
}

/// A mask, and a network with random norms.
struct Case {
    mask: u64,
    draws: Draws,
    alive: Alive,
    tensors: Tensors,
}

impl Case {
    fn drawn<N: Module>(network: &N, surgery: &Surgery<'_>, seed: u64, mask: u64) -> Self {
        let mut draws = Draws::new(seed, "mask", mask, 0);
        let keep = draws.between(0.2, 0.9);
        let alive = Alive::chosen(surgery.groups, |_, _| draws.chance(keep));
        let tensors = shaken(&export(network, Names::PyTorch), &mut draws);
        Self {
            mask,
            draws,
            alive,
            tensors,
        }
    }

    /// Compares the masked network with `other`, which is called `name`.
    fn compare<N>(
        &mut self,
        network: &N,
        surgery: &Surgery<'_>,
        policy: Policy,
        other: &N,
        name: &str,
    ) -> Result<()>
    where
        N: StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>,
    {
        let masked = surgery.masked(&self.tensors, &self.alive, policy)?;
        let masked = import(network, &masked, Names::PyTorch, "the mask")?;
        let input = images(surgery.graph, &mut self.draws, &masked);
        let training = [&masked, other].map(|network| detached_copy(network).train());
        let pairs = [
            (
                "at inference",
                [masked.valid(), other.valid()],
                input.clone(),
            ),
            ("in training", training, Tensor::from_inner(input)),
        ];
        for (when, networks, input) in pairs {
            let [expected, found] = networks.map(|network| numbers(network.forward(&input)));
            compare(
                &expected,
                &found,
                &format!("{name} network {when}"),
                self.mask,
            )?;
        }
        Ok(())
    }
}

/// The logits on the host.
fn numbers(output: impl NetworkOutput) -> TensorData {
    match output.into_output() {
        Output::Classes(logits) => logits.into_data(),
        Output::Pixels(logits) => logits.into_data(),
        _ => TensorData::new(Vec::<f32>::new(), [0]),
    }
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

/// `which` says of which network and when.
fn compare(expected: &TensorData, found: &TensorData, which: &str, mask: u64) -> Result<()> {
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
        "is wrong: with mask {mask} the logits of the {which} differ by {most} from those of the masked one, \
         of a size of {scale}"
    );
    Err(Error::config("graph", problem))
}
