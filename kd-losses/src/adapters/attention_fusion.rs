//! The fusion of two maps of neighbouring depths into one, weighted position by position.

use super::conv_norm::norm_parameters;
use crate::check;
use crate::error::{Axis, Result};
use crate::seeded::{Kernel, Layers};
use burn::config::Config;
use burn::module::Module;
use burn::nn::BatchNorm;
use burn::nn::conv::Conv2d;
use burn::serde::{Deserialize, Serialize};
use burn::tensor::activation::sigmoid;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};

const NAME: &str = "attention_fusion";

/// Whether a fusion has a deeper neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(crate = "burn::serde", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FusionDepth {
    /// The map of a deeper fusion is mixed in.
    BelowAnother,
    /// It is the deepest: there is nothing to mix in, and no attention.
    Deepest,
}

/// The widths of an [`AttentionFusion`].
#[derive(Config, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttentionFusionConfig {
    /// Channels of the student's map, at least 1.
    pub student_channels: usize,
    /// Channels that are handed from one fusion to the next, at least 1.
    pub mid_channels: usize,
    /// Channels of the result, those of the teacher's map, at least 1.
    pub teacher_channels: usize,
    /// Whether there is a deeper neighbour.
    #[config(default = "FusionDepth::BelowAnother")]
    pub depth: FusionDepth,
}

impl AttentionFusionConfig {
    /// The number of trained parameters, with `s`, `m` and `t` the three widths:
    /// `s m + 2 m + 9 m t + 2 t`, and with a deeper neighbour `4 m + 2` more.
    pub fn extra_parameters(&self) -> usize {
        let mid = self.mid_channels;
        let attention = match self.depth {
            FusionDepth::BelowAnother => 4 * mid + 2,
            FusionDepth::Deepest => 0,
        };
        (self.student_channels + 2) * mid + (9 * mid + 2) * self.teacher_channels + attention
    }

    /// Checks the widths and makes a fusion whose initial weights depend on `seed` only.
    ///
    /// Weights and biases of convolutions are uniform in `[-b, b)` with `b = 1 / sqrt(fan_in)`; batch norms
    /// begin with scale 1 and shift 0. For training pass a device with `.autodiff()`.
    ///
    /// # Errors
    ///
    /// A width of 0.
    pub fn init(&self, seed: u64, device: &Device) -> Result<AttentionFusion> {
        self.with_layers(&mut Layers::new(seed, device))
    }

    /// The same as a part of a larger module.
    pub(crate) fn with_layers(&self, layers: &mut Layers<'_>) -> Result<AttentionFusion> {
        let (mid, out) = (self.mid_channels, self.teacher_channels);
        for (name, width) in [
            ("student_channels", self.student_channels),
            ("mid_channels", mid),
            ("teacher_channels", out),
        ] {
            let advice = "give the number of channels of the tapped layer";
            check::constant(name, width as f64, width > 0, "at least 1", advice)?;
        }
        let below = self.depth == FusionDepth::BelowAnother;
        Ok(AttentionFusion {
            reduce: layers.conv(self.student_channels, mid, Kernel::POINT),
            reduce_norm: layers.batch_norm(mid),
            attention: below.then(|| layers.conv(2 * mid, 2, Kernel::POINT.with_bias())),
            expand: layers.conv(mid, out, Kernel::SQUARE),
            expand_norm: layers.batch_norm(out),
        })
    }
}

/// Fuses a student's map with what came from the deeper layers, and brings the result to the teacher's width
/// and map size.
///
/// ```text
/// x      = norm(conv1x1(features))
/// y      = deeper, brought to the size of x
/// a, b   = sigmoid(conv1x1([x, y]))               one number for each sample and position
/// fused  = a x + b y, brought to the given size
/// output = norm(conv3x3(fused))
/// ```
///
/// Sizes are changed by the nearest neighbour. The deepest fusion has no `y` and `fused = x`.
///
/// # References
///
/// Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044, the attention based
/// fusion; layers as in the authors' code, whose initial weights of the two convolutions without a bias are
/// larger by `sqrt(3)`, which the batch norms behind them take away.
#[derive(Module, Debug)]
pub struct AttentionFusion {
    reduce: Conv2d,
    reduce_norm: BatchNorm,
    attention: Option<Conv2d>,
    expand: Conv2d,
    expand_norm: BatchNorm,
}

impl AttentionFusion {
    /// The number of trained parameters beside the student's.
    pub fn extra_parameters(&self) -> usize {
        let attention = self.attention.as_ref().map_or(0, Module::num_params);
        let norms = [&self.reduce_norm, &self.expand_norm].map(|norm| norm_parameters(Some(norm)));
        self.reduce.num_params() + self.expand.num_params() + attention + norms[0] + norms[1]
    }

    /// Channels of the student's map and of the result.
    pub(crate) fn widths(&self) -> [usize; 2] {
        [self.reduce.weight.dims()[1], self.expand.weight.dims()[0]]
    }

    /// Gives `output` and `fused`; the latter is the `deeper` of the next shallower fusion.
    ///
    /// # Shapes
    ///
    /// - `features`: `[batch_size, student_channels, height, width]`
    /// - `deeper`: `[batch_size, mid_channels, any, any]`, or `None` for the deepest
    /// - results: `[batch_size, teacher_channels, size[0], size[1]]` and
    ///   `[batch_size, mid_channels, size[0], size[1]]`
    ///
    /// # Errors
    ///
    /// An empty batch or `size`; unequal batch sizes; other widths than those of the config; a `deeper` map
    /// for the deepest fusion or none for another; tensors of different dtypes or on different devices.
    pub fn forward(
        &self,
        features: Tensor<4>,
        deeper: Option<Tensor<4>>,
        size: [usize; 2],
    ) -> Result<(Tensor<4>, Tensor<4>)> {
        let name = "student_features";
        check::filled(NAME, name, &features)?;
        let [mid, channels, ..] = self.reduce.weight.dims();
        check::width(NAME, name, &features, channels)?;
        let least = size[0].min(size[1]);
        let advice = "give height and width of the teacher's map";
        check::constant("size", least as f64, least > 0, "at least 1", advice)?;
        let deeper_maps = usize::from(deeper.is_some());
        check::count(
            NAME,
            "deeper",
            deeper_maps,
            usize::from(self.attention.is_some()),
        )?;
        if let Some(deeper) = &deeper {
            check::width(NAME, "deeper", deeper, mid)?;
            let names = [name, "deeper"];
            check::pair(NAME, names, &features, deeper, [(Axis::Batch, 0..1)])?;
        }

        let [_, _, height, width] = features.dims();
        let mut fused = self.reduce_norm.forward(self.reduce.forward(features));
        if let (Some(attention), Some(deeper)) = (&self.attention, deeper) {
            let deeper = nearest(deeper, [height, width]);
            let both = Tensor::cat(vec![fused.clone(), deeper.clone()], 1);
            let share = sigmoid(attention.forward(both)); // [batch_size, 2, height, width]
            let (own, other) = (share.clone().narrow(1, 0, 1), share.narrow(1, 1, 1));
            fused = fused * own + deeper * other;
        }
        let fused = nearest(fused, size);
        let output = self.expand_norm.forward(self.expand.forward(fused.clone()));
        Ok((output, fused))
    }
}

fn nearest(features: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = features.dims();
    if [height, width] == size {
        return features;
    }
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    interpolate(features, options)
}
