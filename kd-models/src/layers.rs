//! Layers as all networks of this crate have them: convolutions with blank weights, their norms, pooling,
//! shuffling.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Error, Result};
use kd_kernels::{fold_batch_norm, max_pool2d};

/// A square convolution without bias that keeps the size at stride 1, its weights blank.
pub(crate) fn conv(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Conv2d {
    blank_conv(channels, kernel, stride).init(device)
}

/// As [`conv`], its channels in `groups` that do not mix.
pub(crate) fn grouped_conv(
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    device: &Device,
) -> Conv2d {
    blank_conv(channels, kernel, stride)
        .with_groups(groups)
        .init(device)
}

/// As [`conv`], still to be changed.
pub(crate) fn blank_conv(channels: [usize; 2], kernel: usize, stride: usize) -> Conv2dConfig {
    let padding = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .with_bias(false)
        .with_initializer(Initializer::Zeros)
}

/// A norm of `features` channels that follows a convolution, and so can be folded into it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the field is empty once the norm is folded"
)]
pub(crate) fn norm(features: usize, device: &Device) -> Option<BatchNorm> {
    Some(BatchNormConfig::new(features).init(device))
}

/// A linear layer, its weights blank.
pub(crate) fn linear(features_in: usize, features_out: usize, device: &Device) -> Linear {
    LinearConfig::new(features_in, features_out)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// `norm(conv(input))`, or the convolution alone where the norm is folded into it.
pub(crate) fn normed(conv: &Conv2d, norm: Option<&BatchNorm>, input: Tensor<4>) -> Tensor<4> {
    kd_kernels::ConvLayer::new(conv).norm(norm).forward(input)
}

/// `relu(normed(input))`.
pub(crate) fn normed_relu(conv: &Conv2d, norm: Option<&BatchNorm>, input: Tensor<4>) -> Tensor<4> {
    kd_kernels::ConvLayer::new(conv)
        .norm(norm)
        .relu()
        .forward(input)
}

/// Moves the norm into the convolution before it.
pub(crate) fn fold(conv: &mut Conv2d, norm: &mut Option<BatchNorm>) {
    if let Some(norm) = norm.take() {
        *conv = fold_batch_norm(conv, &norm);
    }
}

/// The 3x3 maximum pooling with stride 2 of ResNets for large images.
pub(crate) fn halving_pool() -> MaxPool2d {
    MaxPool2dConfig::new([3, 3])
        .with_strides([2, 2])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init()
}

/// Global average pooling: `[batch_size, channels, height, width]` to `[batch_size, channels]`.
pub(crate) fn average(map: Tensor<4>) -> Tensor<2> {
    let [batch_size, channels, height, width] = map.dims();
    map.reshape([batch_size, channels, height * width])
        .sum_dim(2)
        .div_scalar((height * width) as f64)
        .reshape([batch_size, channels])
}

/// Global maximum and average pooling: `[batch_size, channels, height, width]` to
/// `[batch_size, 2 * channels]`, the maxima first.
pub(crate) fn maximum_and_average(map: Tensor<4>) -> Tensor<2> {
    let [batch_size, channels, height, width] = map.dims();
    // One window as large as the map: ONNX has this operation, and Burn's exporter no other maximum.
    let window = MaxPool2dConfig::new([height, width]).with_strides([height, width]);
    let maximum = max_pool2d(&window.init(), map.clone());
    let maximum = maximum.reshape([batch_size, channels]);
    Tensor::cat(vec![maximum, average(map)], 1)
}

/// Every pixel two by two times: `[batch_size, channels, height, width]` to
/// `[batch_size, channels, 2 * height, 2 * width]`.
pub(crate) fn doubled(map: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    let size = [2 * height, 2 * width];
    interpolate(
        map,
        InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size),
    )
}

/// Mixes the channels of `groups` groups: the first of each, then the second of each, and so on.
pub(crate) fn shuffle(map: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch_size, channels, height, width] = map.dims();
    map.reshape([batch_size, groups, channels / groups, height * width])
        .swap_dims(1, 2)
        .reshape([batch_size, channels, height, width])
}

/// A counter of the layers at one place of a network.
pub(crate) struct Counter<'a> {
    costs: &'a mut Costs,
    stage: &'a str,
    /// The path of the module that holds the layers, with a dot behind it; empty for the network itself.
    path: String,
}

impl<'a> Counter<'a> {
    /// Counts layers of the network itself.
    pub(crate) fn new(costs: &'a mut Costs, stage: &'a str) -> Self {
        let path = String::new();
        Self { costs, stage, path }
    }

    /// Counts layers of the module at `path`.
    pub(crate) fn inside(costs: &'a mut Costs, stage: &'a str, path: impl AsRef<str>) -> Self {
        let path = format!("{}.", path.as_ref());
        Self { costs, stage, path }
    }

    /// Counts a convolution and gives the shape of its output.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        conv: &Conv2d,
        input: [usize; 3],
    ) -> Result<[usize; 3]> {
        let path = format!("{}{name}", self.path);
        self.costs.conv2d(self.stage, &path, conv, input)
    }

    /// Counts a norm, if it is there, of a map `[channels, height, width]`.
    pub(crate) fn norm(&mut self, name: &str, norm: Option<&BatchNorm>, map: [usize; 3]) {
        if let Some(norm) = norm {
            let path = format!("{}{name}", self.path);
            self.costs.batch_norm(self.stage, &path, norm, map);
        }
    }

    /// Counts a convolution and the norm behind it and gives the shape of the output.
    pub(crate) fn normed(
        &mut self,
        names: [&str; 2],
        conv: &Conv2d,
        norm: Option<&BatchNorm>,
        input: [usize; 3],
    ) -> Result<[usize; 3]> {
        let map = self.conv(names[0], conv, input)?;
        self.norm(names[1], norm, map);
        Ok(map)
    }
}

/// The shape of a map `[channels, height, width]` after every second row and column was left out, an odd one
/// kept.
pub(crate) fn halved([channels, height, width]: [usize; 3]) -> [usize; 3] {
    [channels, height.div_ceil(2), width.div_ceil(2)]
}

/// Images need channels, and `smallest` or more pixels a side.
pub(crate) fn check_input(network: &str, input: [usize; 3], smallest: usize) -> Result<()> {
    let [channels, height, width] = input;
    if input.contains(&0) {
        let problem = format!("must have channels, height and width above 0, got {input:?}");
        return Err(Error::config("input", problem));
    }
    if height < smallest || width < smallest {
        let problem = format!(
            "of {network} must have {smallest} pixels or more a side, got [{channels}, {height}, \
             {width}]; give larger images or a network with less downsampling"
        );
        return Err(Error::config("input", problem));
    }
    Ok(())
}

/// The largest width of a layer: a structure may come from a damaged file.
pub(crate) const LARGEST_WIDTH: usize = 4096;
/// The most blocks, or layers that are no part of a block, in a row.
pub(crate) const MOST_BLOCKS: usize = 256;

/// The most channels of all layers together. Norms hold two numbers for each.
const MOST_CHANNELS: u64 = 1 << 20;

/// The channels of all layers together must be within bounds; `layers` has so many times so many of them.
pub(crate) fn check_size(layers: impl IntoIterator<Item = [usize; 2]>) -> Result<()> {
    let channels = |[times, width]: [usize; 2]| times as u64 * width as u64;
    let sum: u64 = layers.into_iter().map(channels).sum();
    if sum > MOST_CHANNELS {
        let problem = format!(
            "must have at most {MOST_CHANNELS} channels in all layers together, got {sum}; give fewer \
             blocks or smaller widths"
        );
        return Err(Error::config("structure", problem));
    }
    Ok(())
}

/// Every width must be above 0 and within bounds.
pub(crate) fn check_widths(widths: &[usize]) -> Result<()> {
    if widths.contains(&0) {
        let problem = format!("must be above 0, got {widths:?}");
        return Err(Error::config("widths", problem));
    }
    check_most("widths", widths, LARGEST_WIDTH)
}

/// Every count of blocks must be above 0 and within bounds.
pub(crate) fn check_blocks(blocks: &[usize]) -> Result<()> {
    if blocks.contains(&0) {
        let problem = format!("must be 1 or more, got {blocks:?}");
        return Err(Error::config("blocks", problem));
    }
    check_most("blocks", blocks, MOST_BLOCKS)
}

/// Every size must be `most` or less.
pub(crate) fn check_most(field: &str, sizes: &[usize], most: usize) -> Result<()> {
    match sizes.iter().find(|&&size| size > most) {
        Some(size) => {
            let problem = format!("must be at most {most}, got {size}");
            Err(Error::config(field, problem))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Int;

    use super::*;

    #[test]
    fn channels_are_shuffled_as_cards_are() {
        let map = Tensor::<1, Int>::arange(0..12, &Device::flex())
            .float()
            .reshape([1, 6, 1, 2]);
        let values = shuffle(map, 2).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values, [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.]);
    }

    #[test]
    fn maxima_come_before_averages() {
        let map = Tensor::<1, Int>::arange(0..12, &Device::flex())
            .float()
            .reshape([1, 2, 2, 3]);
        let values = maximum_and_average(map)
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        assert_eq!(values, [5., 11., 2.5, 8.5]);
    }

    #[test]
    fn a_doubled_map_has_each_pixel_four_times() {
        let map = Tensor::<1, Int>::arange(0..4, &Device::flex())
            .float()
            .reshape([2, 1, 1, 2]);
        let map = doubled(map);
        assert_eq!(map.dims(), [2, 1, 2, 4]);
        let values = map.into_data().try_to_vec::<f32>().unwrap();
        let expected = [
            [0., 0., 1., 1.],
            [0., 0., 1., 1.],
            [2., 2., 3., 3.],
            [2., 2., 3., 3.],
        ];
        assert_eq!(values, expected.as_flattened());
    }

    #[test]
    fn the_average_is_over_pixels() {
        let map = Tensor::<1, Int>::arange(0..12, &Device::flex())
            .float()
            .reshape([1, 2, 2, 3]);
        let values = average(map).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values, [2.5, 8.5]);
    }
}
