//! Batch norm in training as one operation of Burn's graph on the CPU, with what is added to it and a ReLU
//! behind.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::nn::BatchNorm;
use burn::tensor::{DType, Tensor, TensorData};

use super::map::{Map, Moments};
use crate::numbers::{narrow, values};
use crate::simd::Path;

type Graph = Autodiff<Flex, NoCheckpointing>;

/// `relu(norm(input) + addend)`, as far as they are asked for, if the operation is one for this place:
/// training, on the CPU, in 32 bits.
pub(crate) fn train(
    norm: &BatchNorm,
    input: &Tensor<4>,
    addend: Option<&Tensor<4>>,
    relu: bool,
) -> Option<Tensor<4>> {
    let device = input.device();
    let is_training = device.is_autodiff() && norm.training.is_enabled();
    let channels = norm.gamma.val().dims()[0];
    let fits = input.dtype() == DType::F32 && input.dims()[1] == channels && channels > 0;
    let adds = addend.is_none_or(|addend| {
        addend.dims() == input.dims() && addend.dtype() == DType::F32 && addend.device() == device
    });
    if !(is_training && fits && adds) {
        return None;
    }
    let x = input.clone().try_into_primitive::<Graph>().ok()?;
    let gamma = norm.gamma.val().try_into_primitive::<Graph>().ok()?;
    let beta = norm.beta.val().try_into_primitive::<Graph>().ok()?;
    let addend = match addend {
        Some(addend) => Some(addend.clone().try_into_primitive::<Graph>().ok()?),
        None => None,
    };
    let path = Path::best();
    let map = map_of(x.primitive());
    let [xs, scale, shift] = [&x, &gamma, &beta].map(|tensor| tensor.primitive().to_contiguous());
    let moments = map.moments(path, values(&xs), norm.epsilon);
    let lines = moments.lines(values(&scale), values(&shift));
    let more = addend
        .as_ref()
        .map(|addend| addend.primitive().to_contiguous());
    let more = more.as_ref().map(values);
    let output = map.normalised(path, values(&xs), &lines, more, relu);
    let output = FlexTensor::from_data(TensorData::new(output, input.dims()));
    update(norm, &moments, &device);
    let state = State {
        x: xs,
        gamma: scale,
        y: relu.then(|| output.clone()),
        map,
        moments,
        path,
    };
    let output = if let Some(addend) = addend {
        let nodes = [x.node(), gamma.node(), beta.node(), addend.node()];
        let prepared = Normalise
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful();
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    } else {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let prepared = Normalise
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful();
        match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(state, output),
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        }
    };
    Some(Tensor::from_primitive::<Graph>(output))
}

/// Moves the running statistics towards those of a batch, as Burn does.
fn update(norm: &BatchNorm, moments: &Moments, device: &burn::tensor::Device) {
    let running = [&norm.running_mean, &norm.running_var];
    for (running, batch) in running.into_iter().zip([&moments.mean, &moments.variance]) {
        let batch: Vec<f32> = batch.iter().map(|&value| narrow(value)).collect();
        let size = [batch.len()];
        let batch = Tensor::<1>::from_data(TensorData::new(batch, size), device);
        let old = running.value_sync().to_device(device);
        let new = old.mul_scalar(1.0 - norm.momentum) + batch.detach().mul_scalar(norm.momentum);
        running.update(new.detach());
    }
}

fn map_of(tensor: &FlexTensor) -> Map {
    let [batch_size, channels, height, width] = tensor.shape().dims();
    Map {
        batch_size,
        channels,
        area: height * width,
    }
}

#[derive(Debug)]
struct Normalise;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    gamma: FlexTensor,
    /// The output, if it went through a ReLU.
    y: Option<FlexTensor>,
    map: Map,
    moments: Moments,
    path: Path,
}

/// The parents are input, scale, shift, and what was added if there is a fourth.
impl<const N: usize> Backward<Flex, N> for Normalise {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, N>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let dy = gradients.consume::<Flex>(&ops.node);
        let mut dy = owned(dy);
        let State {
            x,
            gamma,
            y,
            map,
            moments,
            path,
        } = ops.state;
        let (x, y) = (values(&x), y.as_ref().map(values));
        let sums = map.gradient_sums(path, x, y, numbers(&mut dy), &moments);
        let mut parents = ops.parents.into_iter().enumerate().rev();
        // What was added comes first: the gradient of the input takes its place.
        for (index, node) in &mut parents {
            let Some(node) = node else { continue };
            if index == 3 {
                gradients.register::<Flex>(node.id, dy.clone());
            } else if index > 0 {
                let of_channel = |sums: &[f64; 2]| narrow(sums[index % 2]);
                let sums: Vec<f32> = sums.iter().map(of_channel).collect();
                let sums = TensorData::new(sums, [map.channels]);
                gradients.register::<Flex>(node.id, FlexTensor::from_data(sums));
            } else {
                let slopes = moments.slopes(values(&gamma), &sums, map.samples_per_channel());
                map.input_gradient(path, x, &slopes, numbers(&mut dy));
                gradients.register::<Flex>(node.id, dy.clone());
            }
        }
    }
}

/// A contiguous tensor that nothing else holds.
fn owned(tensor: FlexTensor) -> FlexTensor {
    let is_whole = tensor.is_unique()
        && tensor
            .as_slice::<f32>()
            .is_some_and(|all| all.len() == tensor.storage::<f32>().len());
    if is_whole {
        return tensor;
    }
    let shape = tensor.shape();
    let all = values(&tensor.to_contiguous()).to_vec();
    FlexTensor::from_data(TensorData::new(all, shape))
}

/// The numbers of a tensor that [`owned`] gave; a copy where others hold it.
fn numbers(tensor: &mut FlexTensor) -> &mut [f32] {
    tensor.storage_mut()
}
