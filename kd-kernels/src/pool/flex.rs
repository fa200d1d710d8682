//! Maximum pooling of Burn's tensors on the CPU.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::nn::PaddingConfig2d;
use burn::nn::pool::MaxPool2d;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::window::{Axis, Windows};
use crate::numbers::values;

type Graph = Autodiff<Flex, NoCheckpointing>;

/// The pooled map, where the kernel is for it.
pub(super) fn max_pool(pool: &MaxPool2d, input: &Tensor<4>) -> Option<Tensor<4>> {
    let device = input.device();
    if device.clone().inner() != Device::flex() || input.dtype() != DType::F32 {
        return None;
    }
    let windows = windows(pool, input.dims())?;
    let [batch_size, channels, ..] = input.dims();
    let shape = [
        batch_size,
        channels,
        windows.rows.positions,
        windows.columns.positions,
    ];
    if !device.is_autodiff() {
        let x = input.clone().try_into_primitive::<Flex>().ok()?;
        let y = windows.maxima(values(&x.to_contiguous()));
        let y = FlexTensor::from_data(TensorData::new(y, shape));
        return Some(Tensor::from_primitive::<Flex>(y));
    }
    let x = input.clone().try_into_primitive::<Graph>().ok()?;
    let xs = x.primitive().to_contiguous();
    let y = windows.maxima(values(&xs));
    let y = FlexTensor::from_data(TensorData::new(y, shape));
    let prepared = Pool
        .prepare::<NoCheckpointing>([x.node()])
        .compute_bound()
        .stateful();
    let output = match prepared {
        OpsKind::Tracked(prepared) => {
            let state = State {
                x: xs,
                y: y.clone(),
                windows,
            };
            prepared.finish(state, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Some(Tensor::from_primitive::<Graph>(output))
}

/// How the layer lies over the map; nothing where it is Burn's, which also says what does not fit.
fn windows(pool: &MaxPool2d, [batch_size, channels, height, width]: [usize; 4]) -> Option<Windows> {
    let padding = match pool.padding {
        PaddingConfig2d::Valid => [[0, 0], [0, 0]],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [[top, bottom], [left, right]],
        PaddingConfig2d::Same => return None,
    };
    let is_plain = pool.dilation == [1, 1] && !pool.ceil_mode;
    let axis = |index: usize| {
        let (size, kernel) = ([height, width][index], pool.kernel_size[index]);
        let [before, after] = padding[index];
        // Else a window could see nothing but padding.
        let sees = kernel > 0 && 2 * before.max(after) <= kernel;
        let stride = pool.stride[index];
        let room = (size + before + after).checked_sub(kernel)?;
        (sees && stride > 0).then(|| Axis {
            size,
            kernel,
            stride,
            before,
            positions: room / stride + 1,
        })
    };
    let is_something = batch_size * channels * height * width > 0;
    (is_plain && is_something).then_some(Windows {
        rows: axis(0)?,
        columns: axis(1)?,
    })
}

#[derive(Debug)]
struct Pool;

#[derive(Clone, Debug)]
struct State {
    x: FlexTensor,
    y: FlexTensor,
    windows: Windows,
}

impl Backward<Flex, 1> for Pool {
    type State = State;

    fn backward(
        self,
        ops: Ops<State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [node] = ops.parents;
        let dy = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let State { x, y, windows } = ops.state;
        if let Some(node) = node {
            let dx = windows.gradient(values(&x), values(&y), values(&dy));
            let dx = FlexTensor::from_data(TensorData::new(dx, x.shape().to_vec()));
            gradients.register::<Flex>(node.id, dx);
        }
    }
}
