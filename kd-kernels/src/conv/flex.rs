//! Convolutions of Burn's tensors on the CPU.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::geometry::{Axis, Geometry};
use super::job::{Finish, Job, Wanted};
use super::prepared::prepared;
use crate::numbers::values;

type Graph = Autodiff<Flex, NoCheckpointing>;

/// How the layer lies over `input`; nothing if it does not fit, which Burn says in its own words.
pub(super) fn geometry_of(conv: &Conv2d, input: &Tensor<4>) -> Option<Geometry> {
    let [batch_size, channels, height, width] = input.dims();
    let [outputs, inputs, kernel_height, kernel_width] = conv.weight.val().dims();
    let kernel = [kernel_height, kernel_width];
    let padding = paddings(conv, [height, width], kernel);
    let axis = |index: usize| {
        let size = [height, width][index];
        let [before, after] = padding[index];
        let (dilation, stride) = (conv.dilation[index], conv.stride[index]);
        let window = dilation * (kernel[index].checked_sub(1)?) + 1;
        let room = (size + before + after).checked_sub(window)?;
        (size > 0 && stride > 0).then(|| Axis {
            size,
            kernel: kernel[index],
            stride,
            dilation,
            before,
            positions: room / stride + 1,
        })
    };
    let axes = [axis(0)?, axis(1)?];
    let groups = conv.groups;
    let fits = groups > 0 && inputs * groups == channels && outputs.is_multiple_of(groups);
    let is_something = batch_size > 0 && channels > 0 && outputs > 0;
    (fits && is_something)
        .then(|| Geometry::new(batch_size, [groups, inputs, outputs / groups], axes))
}

/// The padding of lines and columns, before and after.
fn paddings(conv: &Conv2d, size: [usize; 2], kernel: [usize; 2]) -> [[usize; 2]; 2] {
    match conv.padding {
        PaddingConfig2d::Valid => [[0, 0], [0, 0]],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [[top, bottom], [left, right]],
        PaddingConfig2d::Same => [0, 1].map(|axis| {
            let positions = size[axis].div_ceil(conv.stride[axis]);
            let needed = positions.saturating_sub(1) * conv.stride[axis] + kernel[axis];
            let padding = needed.saturating_sub(size[axis]);
            [padding / 2, padding - padding / 2]
        }),
    }
}

/// Whether the kernels are for these tensors: on the CPU, in 32 bits.
fn is_ours(input: &Tensor<4>, weight: &Tensor<4>) -> bool {
    input.device().inner() == Device::flex()
        && input.dtype() == DType::F32
        && weight.dtype() == DType::F32
}

/// The convolution by `weight`, which is `job`; nothing where the kernels are for another place.
pub(super) fn conv(
    input: &Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    job: Job,
) -> Option<Tensor<4>> {
    if !is_ours(input, &weight) {
        return None;
    }
    if !input.device().is_autodiff() && !weight.device().is_autodiff() {
        return finished(input, weight, bias, &job, None, false);
    }
    let rows = weight.dims()[0];
    let bias = bias.unwrap_or_else(|| Tensor::zeros([rows], &weight.device()));
    let x = lifted(input.clone()).try_into_primitive::<Graph>().ok()?;
    let w = lifted(weight).try_into_primitive::<Graph>().ok()?;
    let b = lifted(bias).try_into_primitive::<Graph>().ok()?;
    let [xs, ws, bs] = [&x, &w, &b].map(|tensor| tensor.primitive().to_contiguous());
    let weights = job.pack(values(&ws));
    let output = job.forward(values(&xs), &weights, values(&bs), Finish::default());
    let output = tensor(output, job.shape());
    let prepared = Convolve
        .prepare::<NoCheckpointing>([x.node(), w.node(), b.node()])
        .compute_bound()
        .stateful();
    let output = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(State { x: xs, w: ws, job }, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    };
    Some(Tensor::from_primitive::<Graph>(output))
}

/// The convolution of plain tensors, with what is added to it and negative numbers as 0 in the same pass.
pub(super) fn finished(
    input: &Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    job: &Job,
    addend: Option<&Tensor<4>>,
    relu: bool,
) -> Option<Tensor<4>> {
    let is_plain = |tensor: &Tensor<4>| is_ours(tensor, tensor) && !tensor.device().is_autodiff();
    if !(is_plain(input) && is_plain(&weight) && addend.is_none_or(is_plain)) {
        return None;
    }
    let rows = weight.dims()[0];
    let bias = bias.unwrap_or_else(|| Tensor::zeros([rows], &weight.device()));
    let x = input.clone().try_into_primitive::<Flex>().ok()?;
    let w = weight.try_into_primitive::<Flex>().ok()?;
    let b = bias.try_into_primitive::<Flex>().ok()?;
    let [x, w, b] = [x, w, b].map(|tensor| tensor.to_contiguous());
    let addend = match addend {
        Some(addend) if addend.dims() != job.shape() => return None,
        Some(addend) => Some(
            addend
                .clone()
                .try_into_primitive::<Flex>()
                .ok()?
                .to_contiguous(),
        ),
        None => None,
    };
    let finish = Finish {
        addend: addend.as_ref().map(values),
        relu,
    };
    let weights = prepared(job, &w, values(&w));
    let output = job.forward(values(&x), &weights, values(&b), finish);
    Some(Tensor::from_primitive::<Flex>(tensor(output, job.shape())))
}

/// A plain tensor as a constant of the graph.
fn lifted<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() {
        tensor
    } else {
        Tensor::from_inner(tensor)
    }
}

#[derive(Debug)]
struct Convolve;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    w: FlexTensor,
    job: Job,
}

impl Backward<Flex, 3> for Convolve {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 3>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [node_x, node_w, node_b] = ops.parents;
        let dy = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let State { x, w, job } = ops.state;
        let wanted = Wanted {
            input: node_x.is_some(),
            weight: node_w.is_some(),
            bias: node_b.is_some(),
        };
        let found = job.backward(values(&x), values(&w), values(&dy), wanted);
        let biases = vec![w.shape().dims::<4>()[0]];
        for (node, gradient, shape) in [
            (node_x, found.input, x.shape().to_vec()),
            (node_w, found.weight, w.shape().to_vec()),
            (node_b, found.bias, biases),
        ] {
            if let Some(node) = node {
                let gradient = FlexTensor::from_data(TensorData::new(gradient, shape));
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 4]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
