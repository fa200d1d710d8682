//! The graph of a network, recorded from a forward pass.

mod elementwise;
mod labels;
mod layers;
mod moves;
mod operations;
mod tracer;

use std::collections::HashMap;

use burn::backend::capture::{CaptureBackend, CapturedGraph, TensorId};
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::{
    Error, NamedTensor, Names, NetworkOutput, Output, Result, StagedNetwork, catch_quietly,
    detached_copy, tensor_order,
};

use crate::graph::Graph;
use tracer::Tracer;

/// A network for images.
pub(crate) trait ImageNetwork:
    StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>
{
}

impl<N: StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>> ImageNetwork for N {}

impl Graph {
    /// The graph of `network` for images `[channels, height, width]`, recorded from a forward pass: nothing
    /// is computed, only noted. Blocks are the network's stages, and `head`.
    ///
    /// What is moved about (joined, sliced, shuffled, flattened) is followed channel by channel.
    /// Convolutions, linear layers, batch norms, functions of single numbers, sums and products of maps,
    /// poolings, means over pixels and changes of size are known. Where there is another operation, the
    /// channels that it reads and makes stay as they are, and [`Groups`](crate::Groups) says so by its name.
    ///
    /// - Channels that a reshape divides into groups live and die together across these groups, and so do
    ///   equal slices: code that shuffles or halves is right on what is left.
    /// - A shortcut of zeros, joined before and after a map, is called after the layer that it is added to:
    ///   `layer2.0.bn2.shortcut` in [`Widths::padding`](crate::Widths::padding).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the network panics while it is recorded, as one does that looks at numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use kd_compact::{Graph, Groups};
    /// use kd_models::{Network, NetworkSpec};
    ///
    /// let network = Network::build(&NetworkSpec::new("wrn-16-1", 10, [3, 32, 32]), 0, &Device::flex())?;
    /// let groups = Groups::of(&Graph::recorded(&network, [3, 32, 32])?)?;
    /// assert_eq!(groups.groups()[1].name, "block1.layer.0.bn1");
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    pub fn recorded<N>(network: &N, input: [usize; 3]) -> Result<Self>
    where
        N: StagedNetwork<Input = Tensor<4>, Output: NetworkOutput>,
    {
        // A plain clone shares the running statistics of its norms.
        let copy = detached_copy(network).valid();
        let blank = |device: &Device| {
            let blank = copy.map(&mut Blank(device.clone()));
            Ok(blank.to_device(device))
        };
        recorded_of(blank, input)
    }
}

/// Puts zeros on a device in place of weights: a recording does not look at numbers, and would hold them.
struct Blank(Device);

impl ModuleMapper for Blank {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|old| Tensor::zeros(old.shape(), &self.0))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        param.map(|old| Tensor::zeros(old.shape(), &self.0))
    }
}

/// As [`Graph::recorded`], of a network that is made on the device given: one whose weights nobody has drawn
/// takes no memory.
pub(crate) fn recorded_of<N: ImageNetwork>(
    build: impl FnOnce(&Device) -> Result<N>,
    input: [usize; 3],
) -> Result<Graph> {
    let device = Device::capture();
    let mut noted = None;
    let recording = || {
        device.capture_scope(|scope| {
            let mut ids = [Vec::new(), Vec::new()];
            let found = build(&device).and_then(|network| Recorded::of(&network, input, &device));
            if let Ok(recorded) = &found {
                ids = [recorded.input, recorded.output].map(|id| vec![id]);
            }
            noted = Some(found);
            let [inputs, outputs] = ids;
            scope.complete(inputs, outputs)
        })
    };
    let cannot = |problem: &str| {
        Error::config(
            "network",
            format!("cannot be recorded: {problem}; describe it by hand"),
        )
    };
    let captured = catch_quietly(recording)
        .ok_or_else(|| cannot("its forward pass panics where no numbers are computed"))?;
    let recorded = noted.unwrap_or_else(|| Err(cannot("its forward pass did not run")))?;
    let captured = captured.map_err(|error| cannot(&error.to_string()))?;
    graph_of(&recorded, &captured, input)
}

fn graph_of(recorded: &Recorded, captured: &CapturedGraph, input: [usize; 3]) -> Result<Graph> {
    let mut tracer = Tracer::new(recorded, input);
    for operation in &captured.graph.operations {
        tracer.run(operation);
    }
    let graph = tracer.finish(captured.graph.outputs.first().copied());
    graph.check()?;
    Ok(graph)
}

/// What belongs to the tensors of a recording.
struct Recorded {
    /// The network's tensors in order, and which of the recording's each is.
    tensors: Vec<NamedTensor>,
    parameters: HashMap<TensorId, usize>,
    /// The parameters of every stage, by the beginning of their paths.
    stages: Vec<(String, Vec<String>)>,
    input: TensorId,
    output: TensorId,
}

impl Recorded {
    /// Runs `network` once.
    fn of<N: ImageNetwork>(network: &N, input: [usize; 3], device: &Device) -> Result<Self> {
        let mut ids = Ids(Vec::new());
        network.visit(&mut ids);
        let parameters = ids.0.into_iter().enumerate();
        let parameters = parameters
            .filter_map(|(index, id)| Some((id?, index)))
            .collect();
        let [channels, height, width] = input;
        // Given and not made: what an operation makes is no input of a recording.
        let zeros = TensorData::zeros::<f32, _>([1, channels, height, width]);
        let images = Tensor::<4>::from_data(zeros, device);
        let output = match network.forward(&images).into_output() {
            Output::Classes(logits) => id(&logits),
            Output::Pixels(logits) => id(&logits),
            _ => None,
        };
        let names = network.stage_names().into_iter().enumerate();
        let ends = id(&images).zip(output);
        let (input, output) = ends.ok_or_else(|| {
            let problem = "leaves its device while it is recorded; describe it by hand";
            Error::config("network", problem)
        })?;
        Ok(Self {
            tensors: tensor_order(network, Names::PyTorch),
            parameters,
            stages: names
                .map(|(stage, name)| (name, network.stage_parameters(stage)))
                .collect(),
            input,
            output,
        })
    }

    /// The stage that a path belongs to.
    fn stage(&self, path: &str) -> &str {
        let inside = |part: &String| {
            let rest = path.strip_prefix(part.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let stage = self
            .stages
            .iter()
            .find(|(_, parts)| parts.iter().any(inside));
        stage.map_or("head", |(name, _)| name)
    }
}

/// The recording's name for a tensor.
fn id<const D: usize>(tensor: &Tensor<D>) -> Option<TensorId> {
    let primitive = tensor.clone().try_into_primitive::<CaptureBackend>();
    primitive.ok().map(|primitive| primitive.id())
}

/// Collects the recording's names of a module's tensors, in the order of a visit.
struct Ids(Vec<Option<TensorId>>);

impl ModuleVisitor for Ids {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(id(&param.val()));
    }

    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {
        self.0.push(None);
    }

    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {
        self.0.push(None);
    }
}
