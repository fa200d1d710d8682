//! Costs of a network: parameters and multiply-accumulates, layer by layer.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear, PaddingConfig2d};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A network that can say what it costs.
///
/// # Examples
///
/// ```
/// use burn::nn::conv::{Conv2d, Conv2dConfig};
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::Device;
/// use kd_core::{Costs, CountCosts, LayerKind, Result};
///
/// struct Mine { conv: Conv2d, fc: Linear }
///
/// impl CountCosts for Mine {
///     fn costs(&self, input: [usize; 3]) -> Result<Costs> {
///         let mut costs = Costs::new();
///         let [_channels, _height, _width] = costs.conv2d("stem", "conv", &self.conv, input)?;
///         costs.linear("head", "fc", &self.fc, 1); // after global pooling: one row
///         Ok(costs)
///     }
/// }
///
/// let device = Device::flex();
/// let mine = Mine {
///     conv: Conv2dConfig::new([3, 4], [3, 3]).init(&device),
///     fc: LinearConfig::new(4, 10).init(&device),
/// };
/// let costs = mine.costs([3, 8, 8])?;
/// assert_eq!(costs.params(), 4 * 3 * 9 + 4 + 4 * 10 + 10);
/// assert_eq!(costs.macs(), 6 * 6 * 4 * 3 * 9 + 4 * 10);
/// assert_eq!(costs.of_kind(LayerKind::Linear).macs, 40);
/// # Ok::<(), kd_core::Error>(())
/// ```
pub trait CountCosts {
    /// The cost of one forward pass of one sample of shape `[channels, height, width]`, at inference.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the network cannot take such an input.
    fn costs(&self, input: [usize; 3]) -> Result<Costs>;
}

/// The kinds of layers that are told apart in a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// A convolution, grouped or not, that mixes channels.
    Conv,
    /// A convolution with one group for each input channel.
    DepthwiseConv,
    /// A fully connected layer.
    Linear,
    /// A batch norm.
    Norm,
    /// A table of embeddings, which is looked up and multiplies nothing.
    Embedding,
}

impl LayerKind {
    /// All kinds, in the order in which tables show them.
    pub const ALL: [Self; 5] = [
        Self::Conv,
        Self::DepthwiseConv,
        Self::Linear,
        Self::Norm,
        Self::Embedding,
    ];
}

/// The cost of one layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerCost {
    /// The stage that the layer belongs to, or `head`.
    pub stage: String,
    /// The path of the layer in the network, such as `layer1.0.conv1`.
    pub layer: String,
    /// What kind of layer it is.
    pub kind: LayerKind,
    /// Learnable parameters.
    pub params: u64,
    /// Multiply-accumulate operations for one sample.
    pub macs: u64,
    /// Numbers that it puts out for one sample: what the memory of maps is made of.
    #[serde(default)]
    pub outputs: u64,
}

/// A sum of layer costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Learnable parameters.
    pub params: u64,
    /// Multiply-accumulate operations for one sample.
    pub macs: u64,
}

/// The costs of a network, layer by layer in the order of the forward pass.
///
/// The conventions, since papers differ by factors of two:
///
/// * a **MAC** is one multiplication and one addition; numbers that a paper calls "FLOPs" are mostly MACs;
/// * a convolution has `out_height * out_width * out_channels * (in_channels / groups) * kernel_height *
///   kernel_width` of them, a linear layer `rows * in_features * out_features`; adding a bias is not counted,
///   nor are activations, pooling and residual additions;
/// * a norm, at inference a multiplication and an addition for each element, has as many as its output has
///   elements. It is its own kind and is **not part of** [`Costs::macs`] or of the MACs by stage: it is
///   folded into the convolution before it when a frozen network is run;
/// * running means and variances are state, not parameters; the scale and shift of a norm are parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Costs {
    layers: Vec<LayerCost>,
}

impl Costs {
    /// No layers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The layers in the order in which they were counted.
    pub fn layers(&self) -> &[LayerCost] {
        &self.layers
    }

    /// Adds a layer that was counted by other means.
    pub fn push(&mut self, layer: LayerCost) {
        self.layers.push(layer);
    }

    /// Counts a convolution with the input `[channels, height, width]` and gives its output shape, in the
    /// same order.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the number of channels differs or the image is smaller than the kernel.
    pub fn conv2d(
        &mut self,
        stage: &str,
        layer: &str,
        conv: &Conv2d,
        input: [usize; 3],
    ) -> Result<[usize; 3]> {
        let [channels_out, group_channels, kernel_height, kernel_width] =
            conv.weight.lazy_shape().dims();
        let [channels, height, width] = input;
        if channels != group_channels * conv.groups {
            return Err(Error::Shape {
                what: format!("input of `{layer}`"),
                expected: format!("{} channels", group_channels * conv.groups),
                found: format!("{channels}"),
                remedy: "count with the input that the network was built for".into(),
            });
        }
        let out = conv_output(conv, [height, width]).ok_or_else(|| Error::Shape {
            what: format!("input of `{layer}`"),
            expected: format!("at least the {kernel_height}x{kernel_width} kernel"),
            found: format!("{height}x{width}"),
            remedy: "give larger images or a network with less downsampling".into(),
        })?;
        let weights = channels_out * group_channels * kernel_height * kernel_width;
        let bias = conv.bias.as_ref().map_or(0, |_| channels_out);
        let depthwise = conv.groups > 1 && group_channels == 1;
        self.push(LayerCost {
            stage: stage.to_owned(),
            layer: layer.to_owned(),
            kind: if depthwise {
                LayerKind::DepthwiseConv
            } else {
                LayerKind::Conv
            },
            params: (weights + bias) as u64,
            macs: out[0] as u64 * out[1] as u64 * weights as u64,
            outputs: (channels_out * out[0] * out[1]) as u64,
        });
        Ok([channels_out, out[0], out[1]])
    }

    /// Counts a linear layer that is applied to `rows` vectors of each sample.
    pub fn linear(&mut self, stage: &str, layer: &str, linear: &Linear, rows: usize) {
        let [features_in, features_out]: [usize; 2] = linear.weight.lazy_shape().dims();
        let bias = linear.bias.as_ref().map_or(0, |_| features_out);
        self.push(LayerCost {
            stage: stage.to_owned(),
            layer: layer.to_owned(),
            kind: LayerKind::Linear,
            params: (features_in * features_out + bias) as u64,
            macs: (features_in * features_out) as u64 * rows as u64,
            outputs: (features_out * rows) as u64,
        });
    }

    /// Counts a batch norm of a map `[channels, height, width]`.
    pub fn batch_norm(&mut self, stage: &str, layer: &str, norm: &BatchNorm, map: [usize; 3]) {
        let [features]: [usize; 1] = norm.gamma.lazy_shape().dims();
        let elements = map.iter().map(|&size| size as u64).product();
        self.push(LayerCost {
            stage: stage.to_owned(),
            layer: layer.to_owned(),
            kind: LayerKind::Norm,
            params: 2 * features as u64,
            macs: elements,
            outputs: elements,
        });
    }

    /// All learnable parameters, those of norms as well.
    pub fn params(&self) -> u64 {
        self.layers.iter().map(|layer| layer.params).sum()
    }

    /// The multiply-accumulate operations of the convolutions and linear layers: the headline figure.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(LayerCost::headline_macs).sum()
    }

    /// Parameters, and multiply-accumulate operations without those of norms, of each stage in its order.
    pub fn by_stage(&self) -> Vec<(String, Cost)> {
        let mut stages: Vec<(String, Cost)> = Vec::new();
        for layer in &self.layers {
            let place = stages.iter().position(|(name, _)| *name == layer.stage);
            let place = place.unwrap_or_else(|| {
                stages.push((layer.stage.clone(), Cost::default()));
                stages.len() - 1
            });
            let cost = &mut stages[place].1;
            cost.params += layer.params;
            cost.macs += layer.headline_macs();
        }
        stages
    }

    /// Parameters and multiply-accumulate operations of all layers of one kind.
    pub fn of_kind(&self, kind: LayerKind) -> Cost {
        let layers = self.layers.iter().filter(|layer| layer.kind == kind);
        layers.fold(Cost::default(), |sum, layer| Cost {
            params: sum.params + layer.params,
            macs: sum.macs + layer.macs,
        })
    }
}

impl LayerCost {
    fn headline_macs(&self) -> u64 {
        if self.kind == LayerKind::Norm {
            0
        } else {
            self.macs
        }
    }
}

/// The number of learnable parameters of a module, whatever it is made of.
///
/// Burn's own `num_params` counts the running means and variances of batch norms as well; this does not: they
/// are recognised as the `running_mean` and `running_var` of a `BatchNorm`. Running state in a module of your
/// own is counted, because Burn shows it to a visitor as an ordinary parameter.
pub fn count_parameters<M: Module>(module: &M) -> u64 {
    let mut counter = ParameterCounter {
        running: 0,
        params: 0,
    };
    module.visit(&mut counter);
    counter.params
}

struct ParameterCounter {
    /// How many of the fields that the traversal is inside of are running statistics.
    running: usize,
    params: u64,
}

impl ModuleVisitor for ParameterCounter {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.running += usize::from(is_running_statistic(name, container_type));
    }

    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.running -= usize::from(is_running_statistic(name, container_type));
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.running == 0 {
            self.params += param.lazy_shape().num_elements() as u64;
        }
    }
}

fn is_running_statistic(name: &str, container_type: &str) -> bool {
    container_type == "Struct:BatchNorm" && matches!(name, "running_mean" | "running_var")
}

/// The output height and width of a convolution; `None` if the kernel does not fit into the padded image.
fn conv_output(conv: &Conv2d, image: [usize; 2]) -> Option<[usize; 2]> {
    let total_padding = match conv.padding {
        PaddingConfig2d::Valid => [0, 0],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [top + bottom, left + right],
        PaddingConfig2d::Same => {
            return Some([0, 1].map(|axis| image[axis].div_ceil(conv.stride[axis])));
        }
    };
    let size = |axis: usize| {
        let reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1) + 1;
        let room = (image[axis] + total_padding[axis]).checked_sub(reach)?;
        Some(room / conv.stride[axis] + 1)
    };
    Some([size(0)?, size(1)?])
}

#[cfg(test)]
mod tests {
    use burn::nn::conv::Conv2dConfig;
    use burn::nn::{BatchNormConfig, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    fn conv(config: Conv2dConfig) -> Conv2d {
        config.init(&Device::flex())
    }

    #[test]
    fn a_convolution_counts_each_output_times_its_window() {
        let mut costs = Costs::new();
        let layer = conv(
            Conv2dConfig::new([2, 5], [3, 3])
                .with_stride([2, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false),
        );
        assert_eq!(
            costs.conv2d("stem", "conv1", &layer, [2, 7, 8]).unwrap(),
            [5, 4, 4]
        );
        assert_eq!((costs.params(), costs.macs()), (90, 16 * 90));
    }

    #[test]
    fn output_sizes_are_those_of_the_layer_itself() {
        let device = Device::flex();
        let paddings = [
            PaddingConfig2d::Valid,
            PaddingConfig2d::Explicit(1, 0, 2, 3),
            PaddingConfig2d::Explicit(2, 2, 2, 2),
        ];
        for padding in paddings {
            for (kernel, stride, dilation) in [(1, 2, 1), (3, 1, 1), (3, 2, 2), (2, 3, 1)] {
                let layer = conv(
                    Conv2dConfig::new([1, 1], [kernel, kernel])
                        .with_stride([stride, stride])
                        .with_dilation([dilation, dilation])
                        .with_padding(padding.clone()),
                );
                let [_, channels, height, width] =
                    layer.forward(Tensor::zeros([1, 1, 9, 6], &device)).dims();
                let counted = Costs::new().conv2d("s", "c", &layer, [1, 9, 6]).unwrap();
                assert_eq!(
                    counted,
                    [channels, height, width],
                    "{padding:?} {kernel} {stride}"
                );
            }
        }
        let same = conv(Conv2dConfig::new([1, 1], [3, 3]).with_padding(PaddingConfig2d::Same));
        assert_eq!(
            Costs::new().conv2d("s", "c", &same, [1, 9, 6]).unwrap(),
            [1, 9, 6]
        );
    }

    #[test]
    fn depthwise_is_told_from_grouped_and_from_one_channel() {
        let mut costs = Costs::new();
        for (channels, groups) in [([4, 4], 4), ([4, 8], 2), ([1, 3], 1)] {
            let layer = conv(Conv2dConfig::new(channels, [1, 1]).with_groups(groups));
            costs.conv2d("s", "c", &layer, [channels[0], 2, 2]).unwrap();
        }
        let kinds: Vec<_> = costs
            .layers()
            .iter()
            .map(|layer| (layer.kind, layer.macs))
            .collect();
        let (wide, deep) = (LayerKind::Conv, LayerKind::DepthwiseConv);
        assert_eq!(kinds, [(deep, 4 * 4), (wide, 4 * 16), (wide, 4 * 3)]);
    }

    #[test]
    fn norms_have_parameters_but_no_part_in_the_headline() {
        let device = Device::flex();
        let mut costs = Costs::new();
        costs.batch_norm(
            "stem",
            "bn1",
            &BatchNormConfig::new(4).init(&device),
            [4, 3, 2],
        );
        costs.linear("head", "fc", &LinearConfig::new(4, 3).init(&device), 2);
        assert_eq!((costs.params(), costs.macs()), (8 + 15, 24));
        assert_eq!(
            costs.of_kind(LayerKind::Norm),
            Cost {
                params: 8,
                macs: 24
            }
        );
        let stages = costs.by_stage();
        assert_eq!(stages[0], ("stem".into(), Cost { params: 8, macs: 0 }));
        assert_eq!(
            stages[1],
            (
                "head".into(),
                Cost {
                    params: 15,
                    macs: 24
                }
            )
        );
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_the_layer() {
        let layer = conv(Conv2dConfig::new([3, 4], [5, 5]));
        let channels = Costs::new()
            .conv2d("s", "conv9", &layer, [1, 8, 8])
            .unwrap_err();
        let small = Costs::new()
            .conv2d("s", "conv9", &layer, [3, 4, 8])
            .unwrap_err();
        assert!(
            channels
                .to_string()
                .contains("`conv9`: expected 3 channels, got 1"),
            "{channels}"
        );
        assert!(
            small
                .to_string()
                .contains("at least the 5x5 kernel, got 4x8"),
            "{small}"
        );
    }

    #[test]
    fn running_statistics_are_not_parameters() {
        #[derive(Module, Debug)]
        struct Both {
            norms: Vec<BatchNorm>,
            fc: Linear,
        }
        let device = Device::flex();
        let both = Both {
            norms: vec![BatchNormConfig::new(4).init(&device); 2],
            fc: LinearConfig::new(4, 3).init(&device),
        };
        assert_eq!(count_parameters(&both), 2 * 8 + 15);
        assert_eq!(count_parameters(&both.clone().freeze()), 31);
        assert_eq!(both.num_params(), 2 * 16 + 15);
    }

    #[test]
    fn costs_survive_json() {
        let mut costs = Costs::new();
        costs.linear(
            "head",
            "fc",
            &LinearConfig::new(4, 3).init(&Device::flex()),
            1,
        );
        let text = serde_json::to_string(&costs).unwrap();
        assert_eq!(
            text,
            r#"[{"stage":"head","layer":"fc","kind":"linear","params":15,"macs":12,"outputs":3}]"#
        );
        assert_eq!(serde_json::from_str::<Costs>(&text).unwrap(), costs);
    }
}
