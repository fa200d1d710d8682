//! The network contract: a chain of named stages, and a head.

use burn::module::Module;

use crate::error::{Error, Result};

/// What a network must offer to be distilled: named stages that can be run one by one, and a head.
///
/// A network of your own implements the five required methods, about fifteen lines, and can then be a teacher
/// or a student of every method. The whole forward pass, the feature maps that hints and attention transfer
/// compare, the frozen prefix and the one stage that Stagewise KD trains, and the dense vector that a teacher
/// class splits, all follow from them.
///
/// The contract:
///
/// * stage `k` may use the network's input and the maps of *all* stages before it (a U-Net's decoder does);
/// * stage names are unique and stable: recipes, caches and checkpoints use them;
/// * a stage owns the parameters whose path begins with one of [`stage_parameters`](Self::stage_parameters);
///   all others belong to the head;
/// * the implementer neither freezes nor detaches anything: the methods do.
///
/// The trait is not object-safe, because Burn's [`Module`] is not; where networks are chosen at run time, put
/// them into an enum that derives `Module` and forwards, as kd-models does.
///
/// # Examples
///
/// A network of one's own, which needs nothing from kd-models:
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig, conv::{Conv2d, Conv2dConfig}};
/// use burn::tensor::{Device, Tensor, activation::relu};
/// use kd_core::StagedNetwork;
///
/// #[derive(Module, Debug)]
/// struct Mine { stem: Conv2d, body: Conv2d, fc: Linear }
///
/// impl StagedNetwork for Mine {
///     type Input = Tensor<4>;
///     type Map = Tensor<4>;
///     type Dense = Tensor<2>;
///     type Output = Tensor<2>;
///
///     fn stage_names(&self) -> Vec<String> {
///         vec!["stem".into(), "body".into()]
///     }
///     fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
///         match stage {
///             0 => relu(self.stem.forward(input.clone())),
///             _ => relu(self.body.forward(earlier[0].clone())),
///         }
///     }
///     fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
///         maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3) // [batch_size, channels]
///     }
///     fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
///         self.fc.forward(dense)
///     }
/// }
///
/// let device = Device::flex();
/// let net = Mine {
///     stem: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
///     body: Conv2dConfig::new([4, 8], [3, 3]).init(&device),
///     fc: LinearConfig::new(8, 10).init(&device),
/// };
/// let trace = net.forward_traced(&Tensor::zeros([2, 1, 8, 8], &device));
/// assert_eq!(trace.output.dims(), [2, 10]);
/// assert_eq!(net.tap("body").map(|stage| trace.maps[stage].dims())?, [2, 8, 4, 4]);
/// # Ok::<(), kd_core::Error>(())
/// ```
pub trait StagedNetwork: Module {
    /// What goes in: images `[batch_size, channels, height, width]`, token ids, ...
    type Input: Clone + Send;
    /// What one stage hands to the next: mostly a feature map `[batch_size, channels, height, width]`.
    type Map: Clone + Send;
    /// The dense representation: mostly `[batch_size, features]`; for dense prediction the last map.
    type Dense: Clone + Send;
    /// What comes out: mostly logits `[batch_size, num_classes]`.
    type Output: Clone + Send;

    /// The names of the stages, first to last. They are the names of the taps.
    fn stage_names(&self) -> Vec<String>;

    /// Runs one stage, given the network's input and the maps of all stages before it, and nothing else.
    fn forward_stage(&self, stage: usize, input: &Self::Input, earlier: &[Self::Map]) -> Self::Map;

    /// Makes the dense representation from the maps of all stages.
    fn forward_dense(&self, input: &Self::Input, maps: &[Self::Map]) -> Self::Dense;

    /// Makes the output from the dense representation.
    fn forward_head(&self, dense: Self::Dense) -> Self::Output;

    /// The paths (`conv1`) of the fields whose parameters stage `stage` owns.
    ///
    /// By default a field named as the stage.
    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        self.stage_names().into_iter().skip(stage).take(1).collect()
    }

    /// The index of the stage that the tap `name` reads.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownName`] with the names there are.
    fn tap(&self, name: &str) -> Result<usize> {
        let names = self.stage_names();
        names
            .iter()
            .position(|known| known == name)
            .ok_or_else(|| Error::unknown_name("tap", name, names.iter().map(String::as_str)))
    }

    /// The maps of the first `count` stages.
    fn forward_maps(&self, input: &Self::Input, count: usize) -> Vec<Self::Map> {
        let mut maps = Vec::with_capacity(count);
        for stage in 0..count {
            maps.push(self.forward_stage(stage, input, &maps));
        }
        maps
    }

    /// The whole forward pass with everything there is to see on the way.
    fn forward_traced(&self, input: &Self::Input) -> Trace<Self::Map, Self::Dense, Self::Output> {
        let maps = self.forward_maps(input, self.stage_names().len());
        let dense = self.forward_dense(input, &maps);
        let output = self.forward_head(dense.clone());
        Trace {
            maps,
            dense,
            output,
        }
    }

    /// The whole forward pass.
    fn forward(&self, input: &Self::Input) -> Self::Output {
        self.forward_traced(input).output
    }

    /// The network as it is run at inference: what follows from constants is computed once and for all.
    ///
    /// It computes the same as [`Frozen`](crate::Frozen) does to rounding, with fewer operations: each batch
    /// norm that follows a convolution becomes part of that convolution (`kd_kernels::fold_batch_norm`). It
    /// lies on the plain form of the device and shares nothing with this network. Stages, taps and shapes
    /// stay; the tensors do not, so that it is made when a network is to be run, and neither trained nor
    /// written to a file. A hash that names a network is that of the network before it.
    ///
    /// By default nothing is folded and this is a frozen copy.
    #[must_use]
    fn fold_norms(&self) -> Self {
        self.valid()
    }
}

/// What [`StagedNetwork::forward_traced`] saw.
#[derive(Clone, Debug)]
pub struct Trace<Map, Dense, Output> {
    /// The map of each stage, first to last.
    pub maps: Vec<Map>,
    /// The dense representation.
    pub dense: Dense,
    /// The output.
    pub output: Output,
}
