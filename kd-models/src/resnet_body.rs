//! What all ResNets do alike: a stem, groups of residual blocks, average pooling and a linear layer.

use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Result};

use crate::block::{Block, BlockKind, Shortcut};
use crate::layers::{Counter, check_input, halved, normed};

/// A ResNet seen through references.
pub(crate) struct Body<'a> {
    pub(crate) conv1: &'a Conv2d,
    pub(crate) bn1: Option<&'a BatchNorm>,
    /// The pooling of the stem for large images, which halves the size.
    pub(crate) pool: Option<&'a MaxPool2d>,
    pub(crate) groups: Vec<&'a [Block]>,
    pub(crate) last: (&'static str, &'a Linear),
}

impl Body<'_> {
    /// `stem`, `layer1`, `layer2`, ...
    pub(crate) fn stages(&self) -> Vec<String> {
        let groups = (1..=self.groups.len()).map(|group| format!("layer{group}"));
        std::iter::once("stem".to_owned()).chain(groups).collect()
    }

    pub(crate) fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        if stage > 0 {
            return self.groups[stage - 1]
                .iter()
                .fold(map, |map, block| block.forward(map));
        }
        let map = relu(normed(self.conv1, self.bn1, map));
        match self.pool {
            Some(pool) => pool.forward(map),
            None => map,
        }
    }

    pub(crate) fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        let mut at = Counter::new(costs, "stem");
        let mut map = at.normed(["conv1", "bn1"], self.conv1, self.bn1, input)?;
        if self.pool.is_some() {
            map = halved(map);
        }
        for (stage, blocks) in self.stages()[1..].iter().zip(&self.groups) {
            for (index, block) in blocks.iter().enumerate() {
                map = block.count(costs, stage, &format!("{stage}.{index}"), map)?;
            }
        }
        costs.linear("head", self.last.0, self.last.1, 1);
        Ok(())
    }
}

/// One group: a first block that has the stride, and others that change nothing.
pub(crate) fn group(
    kind: BlockKind,
    blocks: usize,
    [channels, width]: [usize; 2],
    stride: usize,
    shortcut: Shortcut,
    device: &Device,
) -> Vec<Block> {
    let first = Block::new(kind, [channels, width], stride, shortcut, device);
    let before = width * kind.expansion();
    let rest = (1..blocks).map(|_| Block::new(kind, [before, width], 1, shortcut, device));
    std::iter::once(first).chain(rest).collect()
}

/// [`Chain`](crate::chain::Chain) for a struct with `conv1`, `bn1`, these groups and a function `body`.
macro_rules! resnet {
    ($network:ty, [$($group:ident),+], $last:ident, $scheme:expr) => {
        impl crate::chain::Chain for $network {
            const SCHEME: crate::initialise::Scheme = $scheme;

            fn stages(&self) -> Vec<String> {
                self.body().stages()
            }

            fn paths(&self, stage: usize) -> Vec<String> {
                crate::chain::stem_and_fields(self.body().stages(), stage)
            }

            fn run(
                &self,
                stage: usize,
                map: burn::tensor::Tensor<4>,
            ) -> burn::tensor::Tensor<4> {
                self.body().run(stage, map)
            }

            fn last(&self) -> &burn::nn::Linear {
                &self.$last
            }

            fn count(&self, costs: &mut kd_core::Costs, input: [usize; 3]) -> kd_core::Result<()> {
                self.body().count(costs, input)
            }

            fn fold(&mut self) {
                crate::layers::fold(&mut self.conv1, &mut self.bn1);
                let groups = [$(&mut self.$group),+];
                groups.into_iter().flatten().for_each(crate::block::Block::fold);
            }
        }

        crate::chain::staged!($network);
    };
}
pub(crate) use resnet;
