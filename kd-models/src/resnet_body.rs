//! The body that all ResNets share: a stem, groups of residual blocks, average pooling and a linear layer.

use burn::nn::conv::Conv2d;
use burn::nn::pool::MaxPool2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, Result};
use kd_kernels::max_pool2d;

use crate::block::{Block, BlockKind, Shortcut};
use crate::layers::{Counter, check_input, halved, normed_relu};

/// A ResNet seen through references.
pub(crate) struct Body<'a> {
    pub(crate) conv1: &'a Conv2d,
    pub(crate) bn1: Option<&'a BatchNorm>,
    pub(crate) pooling: Pooling<'a>,
    pub(crate) groups: Vec<&'a [Block]>,
    /// The linear layers of the head with their names, first to last.
    pub(crate) head: Vec<(&'static str, &'a Linear)>,
}

/// The pooling of a ResNet for large images, which halves the size, and the side of it on which the stem's
/// map lies.
#[derive(Clone, Copy)]
pub(crate) enum Pooling<'a> {
    None,
    EndsStem(&'a MaxPool2d),
    BeginsGroups(&'a MaxPool2d),
}

impl Body<'_> {
    /// `stem`, `layer1`, `layer2`, ...
    pub(crate) fn stages(&self) -> Vec<String> {
        let groups = (1..=self.groups.len()).map(|group| format!("layer{group}"));
        std::iter::once("stem".to_owned()).chain(groups).collect()
    }

    pub(crate) fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4> {
        if stage == 0 {
            let map = normed_relu(self.conv1, self.bn1, map);
            return match self.pooling {
                Pooling::EndsStem(pool) => max_pool2d(pool, map),
                Pooling::BeginsGroups(_) | Pooling::None => map,
            };
        }
        let map = match self.pooling {
            Pooling::BeginsGroups(pool) if stage == 1 => max_pool2d(pool, map),
            _ => map,
        };
        let blocks = self.groups[stage - 1].iter();
        blocks.fold(map, |map, block| block.forward(map))
    }

    pub(crate) fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()> {
        self.count_stages(costs, "", input)?;
        for (name, linear) in &self.head {
            costs.linear("head", name, linear, 1);
        }
        Ok(())
    }

    /// Counts all but the head, `before` standing before the paths of the layers, and gives the shapes of the
    /// stages' maps.
    pub(crate) fn count_stages(
        &self,
        costs: &mut Costs,
        before: &str,
        input: [usize; 3],
    ) -> Result<Vec<[usize; 3]>> {
        check_input("a ResNet", input, 1)?;
        let stem = ["conv1", "bn1"].map(|name| format!("{before}{name}"));
        let mut at = Counter::new(costs, "stem");
        let map = at.normed([&stem[0], &stem[1]], self.conv1, self.bn1, input)?;
        let pooled = match self.pooling {
            Pooling::None => map,
            Pooling::EndsStem(_) | Pooling::BeginsGroups(_) => halved(map),
        };
        let mut maps = vec![match self.pooling {
            Pooling::EndsStem(_) => pooled,
            Pooling::BeginsGroups(_) | Pooling::None => map,
        }];
        let mut map = pooled;
        for (stage, blocks) in self.stages()[1..].iter().zip(&self.groups) {
            for (index, block) in blocks.iter().enumerate() {
                let path = format!("{before}{stage}.{index}");
                map = block.count(costs, stage, &path, map)?;
            }
            maps.push(map);
        }
        Ok(maps)
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
            const SCHEME: kd_core::Scheme = $scheme;

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
