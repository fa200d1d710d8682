//! The basic residual block: two 3x3 convolutions and a shortcut.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, s};
use kd_core::{Costs, Result};

/// How a block's input reaches its output where their shapes differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// Every second pixel, new channels filled with zeros: option A of He et al.
    ZeroPadded,
    /// A strided 1x1 convolution and a batch norm: option B.
    Projection,
}

/// `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
#[derive(Module, Debug)]
pub(crate) struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    /// The projection of option B where shapes differ; PyTorch's `downsample.0` and `downsample.1`.
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl BasicBlock {
    /// A block with blank weights.
    pub(crate) fn new(
        channels: [usize; 2],
        stride: usize,
        shortcut: Shortcut,
        device: &Device,
    ) -> Self {
        let [channels_in, channels_out] = channels;
        let changes = stride != 1 || channels_in != channels_out;
        let project = changes && shortcut == Shortcut::Projection;
        Self {
            conv1: conv(channels, 3, stride, device),
            bn1: BatchNormConfig::new(channels_out).init(device),
            conv2: conv([channels_out, channels_out], 3, 1, device),
            bn2: BatchNormConfig::new(channels_out).init(device),
            downsample: project.then(|| {
                (
                    conv(channels, 1, stride, device),
                    BatchNormConfig::new(channels_out).init(device),
                )
            }),
        }
    }

    pub(crate) fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let hidden = relu(self.bn1.forward(self.conv1.forward(input.clone())));
        let output = self.bn2.forward(self.conv2.forward(hidden));
        relu(output + self.shortcut(input))
    }

    fn shortcut(&self, input: Tensor<4>) -> Tensor<4> {
        if let Some((conv, norm)) = &self.downsample {
            return norm.forward(conv.forward(input));
        }
        let [channels, _, _, _] = self.conv1.weight.dims();
        zero_padded(input, self.conv1.stride[0], channels)
    }

    /// Counts the block's layers and gives the shape of its output.
    pub(crate) fn count(
        &self,
        costs: &mut Costs,
        stage: &str,
        path: &str,
        input: [usize; 3],
    ) -> Result<[usize; 3]> {
        let map = costs.conv2d(stage, &format!("{path}.conv1"), &self.conv1, input)?;
        costs.batch_norm(stage, &format!("{path}.bn1"), &self.bn1, map);
        let map = costs.conv2d(stage, &format!("{path}.conv2"), &self.conv2, map)?;
        costs.batch_norm(stage, &format!("{path}.bn2"), &self.bn2, map);
        if let Some((conv, norm)) = &self.downsample {
            costs.conv2d(stage, &format!("{path}.downsample.0"), conv, input)?;
            costs.batch_norm(stage, &format!("{path}.downsample.1"), norm, map);
        }
        Ok(map)
    }
}

/// A square convolution without bias that keeps the size at stride 1, its weights blank.
pub(crate) fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    let padding = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .with_bias(false)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// Every `stride`-th pixel of `input`, with channels of zeros before and after until there are `channels`.
///
/// Half of the new channels come before and half after, an odd one after.
fn zero_padded(input: Tensor<4>, stride: usize, channels: usize) -> Tensor<4> {
    let thinned = match isize::try_from(stride) {
        Ok(stride) if stride > 1 => input.slice(s![.., .., ..;stride, ..;stride]),
        _ => input,
    };
    let [batch_size, channels_in, height, width] = thinned.dims();
    let new = channels.saturating_sub(channels_in);
    if new == 0 {
        return thinned;
    }
    // Joining zeros takes a quarter of the time of `pad` on flex, which fills the whole result first.
    let zeros = |count: usize| Tensor::zeros([batch_size, count, height, width], &thinned.device());
    let after = zeros(new - new / 2);
    let parts = if new < 2 {
        vec![thinned, after]
    } else {
        vec![zeros(new / 2), thinned, after]
    };
    Tensor::cat(parts, 1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Int;

    use super::*;

    #[test]
    fn the_shortcut_without_parameters_thins_and_pads() {
        let device = Device::flex();
        let input = Tensor::<1, Int>::arange(0..2 * 3 * 3, &device)
            .float()
            .reshape([1, 2, 3, 3]);
        let output = zero_padded(input, 2, 5);
        assert_eq!(output.dims(), [1, 5, 2, 2]);
        let values = output.into_data().try_to_vec::<f32>().unwrap();
        let expected = [
            [0., 0., 0., 0.],
            [0., 2., 6., 8.],
            [9., 11., 15., 17.],
            [0., 0., 0., 0.],
            [0., 0., 0., 0.],
        ];
        assert_eq!(values, expected.as_flattened());
    }

    #[test]
    fn a_shortcut_that_changes_nothing_is_the_identity() {
        let input = Tensor::<4>::ones([2, 3, 5, 4], &Device::flex());
        let output = zero_padded(input.clone(), 1, 3);
        assert_eq!(output.into_data(), input.into_data());
    }
}
