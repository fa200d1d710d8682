//! Batch norm in training, as one pass over the map forward and two backward on the CPU.

use burn::nn::BatchNorm;
use burn::tensor::Tensor;

/// `norm.forward(input)`, faster in training on the CPU.
///
/// ```text
/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta
/// ```
///
/// with the mean and the biased variance of the batch over all but the channel axis; the running statistics
/// move towards them as in Burn. Burn's own operation makes about ten passes over the map forward and fifteen
/// backward, and most of the time of a small ResNet's training step on a CPU goes there. This one computes
/// the same: sums are taken in 64 bits, in an order that does not depend on the number of threads. In
/// inference, frozen, in another precision than 32 bits, and on any other backend it *is* Burn's.
///
/// [`watch_norms`](crate::watch_norms) sees what goes in.
///
/// # Shapes
///
/// `input` and the result: `[batch_size, channels, height, width]`.
///
/// # References
///
/// Ioffe, Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167, algorithm 1 and the gradients of
/// section 3.
pub fn batch_norm(norm: &BatchNorm, input: Tensor<4>) -> Tensor<4> {
    crate::norm_inputs::note(norm, &input);
    #[cfg(feature = "flex")]
    if let Some(output) = flex::train(norm, &input) {
        return output;
    }
    norm.forward(input)
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::flex::FlexTensor;
    use burn::backend::{Autodiff, Flex, TensorMetadata};
    use burn::nn::BatchNorm;
    use burn::tensor::{DType, Tensor, TensorData};
    use rayon::prelude::*;

    type Graph = Autodiff<Flex, NoCheckpointing>;

    /// The operation, if it is one for this place: training, on the CPU, in 32 bits.
    pub(super) fn train(norm: &BatchNorm, input: &Tensor<4>) -> Option<Tensor<4>> {
        let is_training = input.device().is_autodiff() && norm.training.is_enabled();
        let channels = norm.gamma.val().dims()[0];
        if !is_training || input.dtype() != DType::F32 || input.dims()[1] != channels {
            return None;
        }
        let device = input.device();
        let x = input.clone().try_into_primitive::<Graph>().ok()?;
        let gamma = norm.gamma.val().try_into_primitive::<Graph>().ok()?;
        let beta = norm.beta.val().try_into_primitive::<Graph>().ok()?;
        let shape = Map::new(x.primitive());
        let xs = x.primitive().to_contiguous();
        let moments = shape.moments(values(&xs), norm.epsilon);
        let output = {
            let scale = gamma.primitive().to_contiguous();
            let shift = beta.primitive().to_contiguous();
            let lines = moments.lines(values(&scale), values(&shift));
            let x = values(&xs);
            shape.filled(|channel, place, y| {
                let [near, slope, offset] = lines[channel];
                for (y, x) in y.iter_mut().zip(&x[place..]) {
                    *y = (x - near) * slope + offset;
                }
            })
        };
        let prepared = Normalise
            .prepare::<NoCheckpointing>([x.node(), gamma.node(), beta.node()])
            .compute_bound()
            .stateful();
        let statistics = [&moments.mean, &moments.variance].map(|values| {
            let values: Vec<f32> = values.iter().map(|&value| narrow(value)).collect();
            Tensor::<1>::from_data(TensorData::new(values, [channels]), &device)
        });
        let output = match prepared {
            OpsKind::Tracked(prepared) => {
                let state = State {
                    x: xs,
                    gamma: gamma.primitive().to_contiguous(),
                    shape,
                    moments,
                };
                prepared.finish(state, output)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(output),
        };
        let running = [&norm.running_mean, &norm.running_var];
        for (running, batch) in running.into_iter().zip(statistics) {
            let old = running.value_sync().to_device(&device);
            let new =
                old.mul_scalar(1.0 - norm.momentum) + batch.detach().mul_scalar(norm.momentum);
            running.update(new.detach());
        }
        Some(Tensor::from_primitive::<Graph>(output))
    }

    #[derive(Debug)]
    struct Normalise;

    #[derive(Clone, Debug)]
    struct State {
        x: FlexTensor,
        gamma: FlexTensor,
        shape: Map,
        moments: Moments,
    }

    impl Backward<Flex, 3> for Normalise {
        type State = State;

        fn backward(
            self,
            ops: Ops<State, 3>,
            gradients: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let [node_x, node_gamma, node_beta] = ops.parents;
            let dy = gradients.consume::<Flex>(&ops.node).to_contiguous();
            let State {
                x,
                gamma,
                shape,
                moments,
            } = ops.state;
            let (x, dy, gamma) = (values(&x), values(&dy), values(&gamma));
            let sums = shape.gradient_sums(x, dy, &moments);
            if let Some(node) = node_x {
                // dx = gamma / std * (dy - mean(dy) - normalised * mean(dy * normalised)), as one line in dy
                // and x.
                let count = shape.samples_per_channel();
                let lines: Vec<[f32; 4]> = (0..shape.channels)
                    .map(|channel| {
                        let inverse = moments.inverse_std[channel];
                        let outer = f64::from(gamma[channel]) * inverse;
                        let [sum, projected] = sums[channel].map(|sum| sum / count);
                        let slope = -outer * projected * inverse;
                        let mean = moments.mean[channel];
                        let rounded = mean - f64::from(narrow(mean));
                        [mean, outer, slope, -outer * sum - slope * rounded].map(narrow)
                    })
                    .collect();
                let dx = shape.filled(|channel, place, dx| {
                    let [near, outer, slope, offset] = lines[channel];
                    let sources = dy[place..].iter().zip(&x[place..]);
                    for (dx, (dy, x)) in dx.iter_mut().zip(sources) {
                        *dx = dy * outer + ((x - near) * slope + offset);
                    }
                });
                gradients.register::<Flex>(node.id, dx);
            }
            for (node, index) in [(node_gamma, 1), (node_beta, 0)] {
                if let Some(node) = node {
                    let sums: Vec<f32> = sums.iter().map(|sums| narrow(sums[index])).collect();
                    let sums = TensorData::new(sums, [shape.channels]);
                    gradients.register::<Flex>(node.id, FlexTensor::from_data(sums));
                }
            }
        }
    }

    /// The shape of a map, `[batch_size, channels, height * width]`.
    #[derive(Clone, Copy, Debug)]
    struct Map {
        dims: [usize; 4],
        batch_size: usize,
        channels: usize,
        area: usize,
    }

    /// Mean, biased variance and `1 / sqrt(variance + epsilon)` of each channel.
    #[derive(Clone, Debug)]
    struct Moments {
        mean: Vec<f64>,
        variance: Vec<f64>,
        inverse_std: Vec<f64>,
    }

    impl Moments {
        /// What makes `y = (x - near) * slope + offset` of each channel. To take a number near the mean away
        /// first keeps the digits of a map whose mean is large beside its spread.
        fn lines(&self, gamma: &[f32], beta: &[f32]) -> Vec<[f32; 3]> {
            let channels = gamma
                .iter()
                .zip(beta)
                .zip(self.mean.iter().zip(&self.inverse_std));
            channels
                .map(|((gamma, beta), (mean, inverse))| {
                    let (near, slope) = (narrow(*mean), f64::from(*gamma) * inverse);
                    let offset = f64::from(*beta) - slope * (mean - f64::from(near));
                    [near, narrow(slope), narrow(offset)]
                })
                .collect()
        }
    }

    impl Map {
        fn new(tensor: &FlexTensor) -> Self {
            let dims: [usize; 4] = tensor.shape().dims();
            Self {
                dims,
                batch_size: dims[0],
                channels: dims[1],
                area: dims[2] * dims[3],
            }
        }

        fn samples_per_channel(&self) -> f64 {
            (self.batch_size * self.area) as f64
        }

        /// Where the planes of `channel` begin, sample by sample.
        fn planes(&self, channel: usize) -> impl Iterator<Item = usize> {
            let Self { channels, area, .. } = *self;
            (0..self.batch_size).map(move |sample| (sample * channels + channel) * area)
        }

        fn moments(&self, x: &[f32], epsilon: f64) -> Moments {
            let count = self.samples_per_channel();
            let both: Vec<(f64, f64)> = (0..self.channels)
                .into_par_iter()
                .map(|channel| {
                    let planes = || {
                        self.planes(channel)
                            .map(|place| &x[place..place + self.area])
                    };
                    let sum: f64 = planes().map(|plane| sum_of(plane, |x| x)).sum();
                    let mean = sum / count;
                    let near = narrow(mean);
                    // Squares around the mean in 32 bits, with what rounding it took away put right.
                    let squares: f64 = planes()
                        .map(|plane| sum_of(plane, |x| (x - near) * (x - near)))
                        .sum();
                    let rounded = mean - f64::from(near);
                    (mean, (squares / count - rounded * rounded).max(0.0))
                })
                .collect();
            let inverse = |(_, variance): &(f64, f64)| (variance + epsilon).sqrt().recip();
            Moments {
                inverse_std: both.iter().map(inverse).collect(),
                mean: both.iter().map(|(mean, _)| *mean).collect(),
                variance: both.iter().map(|(_, variance)| *variance).collect(),
            }
        }

        /// For each channel the sums of `dy` and of `dy * normalised`.
        fn gradient_sums(&self, x: &[f32], dy: &[f32], moments: &Moments) -> Vec<[f64; 2]> {
            (0..self.channels)
                .into_par_iter()
                .map(|channel| {
                    let near = narrow(moments.mean[channel]);
                    let (mut sum, mut product) = (0.0, 0.0);
                    for place in self.planes(channel) {
                        let range = place..place + self.area;
                        let (dy, x) = (&dy[range.clone()], &x[range]);
                        sum += sum_of(dy, |dy| dy);
                        product += sum_of_pairs(dy, x, |dy, x| dy * (x - near));
                    }
                    let rounded = moments.mean[channel] - f64::from(near);
                    let product = (product - rounded * sum) * moments.inverse_std[channel];
                    [sum, product]
                })
                .collect()
        }

        /// A map whose planes `fill` has written, given channel, place of the plane, and the plane.
        fn filled(&self, fill: impl Fn(usize, usize, &mut [f32]) + Sync) -> FlexTensor {
            let mut values = vec![0.0_f32; self.batch_size * self.channels * self.area];
            let planes = values.par_chunks_mut(self.area.max(1)).enumerate();
            planes.for_each(|(index, plane)| {
                fill(index % self.channels, index * self.area, plane);
            });
            FlexTensor::from_data(TensorData::new(values, self.dims))
        }
    }
    /// The elements of a contiguous tensor of 32-bit floats.
    fn values(tensor: &FlexTensor) -> &[f32] {
        tensor.as_slice().unwrap_or_default()
    }

    #[expect(clippy::cast_possible_truncation, reason = "maps are kept in 32 bits")]
    fn narrow(value: f64) -> f32 {
        value as f32
    }

    /// Elements that are added in 32 bits before they go into a sum of 64.
    const RUN: usize = 512;
    /// Sums that go on side by side, which the compiler makes into vectors.
    const LANES: usize = 16;

    /// The sum of `term` of each element.
    fn sum_of(plane: &[f32], term: impl Fn(f32) -> f32) -> f64 {
        let runs = plane.chunks(RUN).map(|run| {
            let mut lanes = [0.0_f32; LANES];
            let mut whole = run.chunks_exact(LANES);
            for elements in &mut whole {
                for (lane, &x) in lanes.iter_mut().zip(elements) {
                    *lane += term(x);
                }
            }
            let rest: f32 = whole.remainder().iter().map(|&x| term(x)).sum();
            lanes.into_iter().map(f64::from).sum::<f64>() + f64::from(rest)
        });
        runs.sum()
    }

    /// The sum of `term` of each pair of elements.
    fn sum_of_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
        let runs = left
            .chunks(RUN)
            .zip(right.chunks(RUN))
            .map(|(left, right)| {
                let mut lanes = [0.0_f32; LANES];
                let (mut lefts, mut rights) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
                for (left, right) in (&mut lefts).zip(&mut rights) {
                    for (lane, (&a, &b)) in lanes.iter_mut().zip(left.iter().zip(right)) {
                        *lane += term(a, b);
                    }
                }
                let rest = lefts.remainder().iter().zip(rights.remainder());
                let rest: f32 = rest.map(|(&a, &b)| term(a, b)).sum();
                lanes.into_iter().map(f64::from).sum::<f64>() + f64::from(rest)
            });
        runs.sum()
    }
}
