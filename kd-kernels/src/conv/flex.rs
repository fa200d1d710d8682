//! Convolutions on the CPU as products of matrices, tile by tile, forward and backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::{DType, Device, Tensor, TensorData};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

use super::columns::Columns;
use super::places::Places;

type Graph = Autodiff<Flex, NoCheckpointing>;

/// How many groups of images a backward pass is made of at most. It does not depend on the threads, so that
/// neither do the sums.
const GROUPS: usize = 16;
/// Numbers that the sums of all groups together may have, unless one group has more.
const SUMS: usize = 1 << 22;

/// The convolution by `weight`, `[rows, channels, kernel_height, kernel_width]`, put where `places` says;
/// nothing where this is not a place for it: another backend or another precision than 32 bits.
pub(super) fn conv(
    input: &Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    columns: Columns,
    places: Places,
) -> Option<Tensor<4>> {
    let device = input.device();
    let is_ours = device.clone().inner() == Device::flex()
        && input.dtype() == DType::F32
        && weight.dtype() == DType::F32;
    if !is_ours {
        return None;
    }
    let rows = weight.dims()[0];
    let bias = bias.unwrap_or_else(|| Tensor::zeros([rows], &weight.device()));
    let job = Job {
        columns,
        places,
        rows,
    };
    if !device.is_autodiff() && !weight.device().is_autodiff() {
        let x = input.clone().try_into_primitive::<Flex>().ok()?;
        let w = weight.try_into_primitive::<Flex>().ok()?;
        let b = bias.try_into_primitive::<Flex>().ok()?;
        let [x, w, b] = [x, w, b].map(|tensor| tensor.to_contiguous());
        let output = job.forward(values(&x), values(&w), values(&b));
        return Some(Tensor::from_primitive::<Flex>(output));
    }
    let x = lifted(input.clone()).try_into_primitive::<Graph>().ok()?;
    let w = lifted(weight).try_into_primitive::<Graph>().ok()?;
    let b = lifted(bias).try_into_primitive::<Graph>().ok()?;
    let [xs, ws, bs] = [&x, &w, &b].map(|tensor| tensor.primitive().to_contiguous());
    let output = job.forward(values(&xs), values(&ws), values(&bs));
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
        let wanted = [node_x.is_some(), node_w.is_some(), node_b.is_some()];
        let [dx, dw, db] = job.backward(values(&x), values(&w), values(&dy), wanted);
        for (node, gradient, shape) in [
            (node_x, dx, job.columns.shape().to_vec()),
            (node_w, dw, w.shape().to_vec()),
            (node_b, db, vec![job.rows]),
        ] {
            if let Some(node) = node {
                let gradient = FlexTensor::from_data(TensorData::new(gradient, shape));
                gradients.register::<Flex>(node.id, gradient);
            }
        }
    }
}

/// One convolution of a batch.
#[derive(Clone, Copy, Debug)]
struct Job {
    columns: Columns,
    places: Places,
    rows: usize,
}

impl Job {
    /// Numbers of one image of the result.
    fn image_size(&self) -> usize {
        let [channels, height, width] = self.places.image(self.rows, self.columns.positions());
        channels * height * width
    }

    fn forward(&self, x: &[f32], w: &[f32], b: &[f32]) -> FlexTensor {
        let columns = self.columns;
        let [channels, height, width] = self.places.image(self.rows, columns.positions());
        let mut y = vec![0.0_f32; columns.batch_size * self.image_size()];
        let weight = matrix(w, [self.rows, columns.depth()]);
        let images = columns.images_in_tile();
        let chunks = y.par_chunks_mut((images * self.image_size()).max(1));
        chunks.enumerate().for_each(|(chunk, y)| {
            let first = chunk * images;
            let these = first..first + y.len() / self.image_size().max(1);
            let (mut laid, mut tall, mut product) = (Vec::new(), Vec::new(), Vec::new());
            columns.lay(x, &these, &mut laid);
            for tile in columns.tiles(these) {
                let width = tile.width();
                tall.resize(columns.depth() * width, 0.0);
                product.resize(self.rows * width, 0.0);
                columns.fill(&laid, &tile, &mut tall);
                let mut into = matrix_mut(&mut product, [self.rows, width]);
                let tall = matrix(&tall, [columns.depth(), width]);
                general_mat_mul(1.0, &weight, &tall, 0.0, &mut into);
                self.places
                    .put(&product, b, &tile, columns.positions(), first, y);
            }
        });
        let shape = [columns.batch_size, channels, height, width];
        FlexTensor::from_data(TensorData::new(y, shape))
    }

    /// The gradients of input, weight and bias, as far as they are wanted.
    fn backward(&self, x: &[f32], w: &[f32], dy: &[f32], wanted: [bool; 3]) -> [Vec<f32>; 3] {
        let columns = self.columns;
        let [wants_x, wants_w, wants_b] = wanted;
        let input_size = columns.image_size();
        let mut dx = vec![0.0_f32; if wants_x { x.len() } else { 0 }];
        let groups = (SUMS / (self.rows * columns.depth()).max(1)).clamp(2, GROUPS);
        let images = columns.batch_size.div_ceil(groups).max(1);
        let groups = columns.batch_size.div_ceil(images);
        let weight = matrix(w, [self.rows, columns.depth()]);
        let group = |index: usize, dx: &mut [f32]| -> [Vec<f32>; 2] {
            let first = index * images;
            let count = images.min(columns.batch_size - first);
            let mut dw = vec![0.0_f32; if wants_w { w.len() } else { 0 }];
            let mut db = vec![0.0_f32; if wants_b { self.rows } else { 0 }];
            let [mut laid, mut back, mut tall, mut slope] = [const { Vec::new() }; 4];
            for start in (first..first + count).step_by(columns.images_in_tile()) {
                let these = start..(first + count).min(start + columns.images_in_tile());
                if wants_w {
                    columns.lay(x, &these, &mut laid);
                }
                if wants_x {
                    columns.blank(these.len(), &mut back);
                }
                for tile in columns.tiles(these.clone()) {
                    let width = tile.width();
                    slope.resize(self.rows * width, 0.0);
                    self.places
                        .take(dy, &tile, columns.positions(), self.rows, &mut slope);
                    let down = matrix(&slope, [self.rows, width]);
                    tall.resize(columns.depth() * width, 0.0);
                    if wants_w {
                        columns.fill(&laid, &tile, &mut tall);
                        let tall = matrix(&tall, [columns.depth(), width]);
                        let mut into = matrix_mut(&mut dw, [self.rows, columns.depth()]);
                        general_mat_mul(1.0, &down, &tall.t(), 1.0, &mut into);
                    }
                    if wants_x {
                        let mut into = matrix_mut(&mut tall, [columns.depth(), width]);
                        general_mat_mul(1.0, &weight.t(), &down, 0.0, &mut into);
                        columns.add(&tall, &tile, &mut back);
                    }
                    for (db, line) in db.iter_mut().zip(slope.chunks_exact(width.max(1))) {
                        *db += sum(line);
                    }
                }
                if wants_x {
                    let range =
                        (these.start - first) * input_size..(these.end - first) * input_size;
                    columns.lift(&back, &mut dx[range]);
                }
            }
            [dw, db]
        };
        let sums: Vec<[Vec<f32>; 2]> = if wants_x {
            let chunks = dx.par_chunks_mut((images * input_size).max(1)).enumerate();
            chunks.map(|(index, dx)| group(index, dx)).collect()
        } else {
            let groups = (0..groups).into_par_iter();
            groups.map(|index| group(index, &mut [])).collect()
        };
        let mut sums = sums.into_iter();
        let [mut dw, mut db] = sums.next().unwrap_or_default();
        for [more_w, more_b] in sums {
            for (all, more) in [(&mut dw, more_w), (&mut db, more_b)] {
                for (all, more) in all.iter_mut().zip(more) {
                    *all += more;
                }
            }
        }
        [dx, dw, db]
    }
}

fn sum(line: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let mut whole = line.chunks_exact(LANES);
    for values in &mut whole {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane += value;
        }
    }
    let rest: f32 = whole.remainder().iter().sum();
    lanes.iter().sum::<f32>() + rest
}

/// The elements of a contiguous tensor of 32-bit floats.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().unwrap_or_default()
}

fn matrix(values: &[f32], shape: [usize; 2]) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape(shape, values)
        .unwrap_or_else(|_| unreachable!("as many as its shape says"))
}

fn matrix_mut(values: &mut [f32], shape: [usize; 2]) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape(shape, values)
        .unwrap_or_else(|_| unreachable!("as many as its shape says"))
}
