//! ResNets for small images whose structure is given block by block, as cutting channels leaves it.

use burn::tensor::Device;
use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockShortcut, ResidualBlock};
use crate::layers::{
    LARGEST_WIDTH, check_blocks, check_input, check_most, check_size, check_widths,
};
use crate::resnet::ResNetConfig;
use crate::spec::check_classes;

/// The structure of a [`HeResNet`](crate::HeResNet) or a [`CrdResNet`](crate::CrdResNet), block by block.
///
/// Inner widths stand apart from outputs, and each shortcut is said: a block is not given or denied one
/// because two widths happen to agree. In `config.json` the families are `he-resnet-blocks` and
/// `crd-resnet-blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetBlocks {
    /// Channels of the stem.
    pub stem: usize,
    /// The blocks of the three groups.
    pub groups: [Vec<ResidualBlock>; 3],
}

impl ResNetBlocks {
    /// The blocks of a [`HeResNet`](crate::HeResNet) with these widths: shortcuts without parameters.
    pub fn padded(config: &ResNetConfig) -> Self {
        Self::of(config, |channels, width| {
            let new = width.saturating_sub(channels);
            BlockShortcut::Padded([new / 2, new - new / 2])
        })
    }

    /// The blocks of a [`CrdResNet`](crate::CrdResNet) with these widths: projections where shapes differ.
    pub fn projected(config: &ResNetConfig) -> Self {
        Self::of(config, |_, _| BlockShortcut::Projection)
    }

    /// `widening` is the shortcut where shapes differ.
    fn of(config: &ResNetConfig, widening: impl Fn(usize, usize) -> BlockShortcut) -> Self {
        let mut channels = config.widths[0];
        let groups = [0, 1, 2].map(|group| {
            let width = config.widths[group + 1];
            let block = |index: usize| {
                let stride = if group > 0 && index == 0 { 2 } else { 1 };
                let before = std::mem::replace(&mut channels, width);
                let shortcut = if stride == 1 && before == width {
                    BlockShortcut::Identity
                } else {
                    widening(before, width)
                };
                ResidualBlock {
                    inner: width,
                    width,
                    stride,
                    shortcut,
                }
            };
            (0..config.blocks).map(block).collect()
        });
        Self {
            stem: config.widths[0],
            groups,
        }
    }

    /// The features of the dense representation.
    pub(crate) fn features(&self) -> usize {
        let last = self.blocks().last();
        last.map_or(self.stem, |block| block.width)
    }

    fn blocks(&self) -> impl Iterator<Item = &ResidualBlock> {
        self.groups.iter().flatten()
    }

    /// As a structure of the network whose shortcuts have no parameters.
    pub(crate) fn check_padded(&self, input: [usize; 3], classes: usize) -> Result<()> {
        self.check(input, classes, |shortcut| {
            shortcut != BlockShortcut::Projection
        })
    }

    /// As a structure of the network whose shortcuts are projections.
    pub(crate) fn check_projected(&self, input: [usize; 3], classes: usize) -> Result<()> {
        self.check(input, classes, |shortcut| {
            !matches!(shortcut, BlockShortcut::Padded(_))
        })
    }

    fn check(
        &self,
        input: [usize; 3],
        classes: usize,
        allowed: impl Fn(BlockShortcut) -> bool,
    ) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        check_classes(classes)?;
        check_blocks(&self.groups.each_ref().map(Vec::len))?;
        let widths = self.blocks().flat_map(|block| [block.inner, block.width]);
        let widths: Vec<usize> = widths.chain([self.stem]).collect();
        check_widths(&widths)?;
        check_size(widths.iter().map(|&width| [1, width]))?;
        let mut channels = self.stem;
        for (group, blocks) in self.groups.iter().enumerate() {
            for (index, block) in blocks.iter().enumerate() {
                let place = format!("groups.{group}.{index}");
                check_block(&place, block, channels, allowed(block.shortcut))?;
                channels = block.width;
            }
        }
        Ok(())
    }

    pub(crate) fn groups(&self, device: &Device) -> [Vec<Block>; 3] {
        let mut channels = self.stem;
        self.groups.each_ref().map(|blocks| {
            let block = |block: &ResidualBlock| {
                let before = std::mem::replace(&mut channels, block.width);
                Block::of_structure(block, before, device)
            };
            blocks.iter().map(block).collect()
        })
    }
}

/// Stride and shortcut must fit the channels on both sides.
fn check_block(place: &str, block: &ResidualBlock, channels: usize, allowed: bool) -> Result<()> {
    let bad = |problem: String| Err(Error::config(place, problem));
    let (stride, width, shortcut) = (block.stride, block.width, block.shortcut);
    if !matches!(stride, 1 | 2) {
        return bad(format!("must have a stride of 1 or 2, got {stride}"));
    }
    if !allowed {
        return bad(format!(
            "has a shortcut that this family does not have: {shortcut:?}"
        ));
    }
    let given = match shortcut {
        BlockShortcut::Projection => return Ok(()),
        BlockShortcut::Identity if stride != 1 => {
            return bad("has its input as shortcut, which needs a stride of 1".into());
        }
        BlockShortcut::Identity => channels,
        BlockShortcut::Padded(padding) => {
            check_most(&format!("{place}.shortcut"), &padding, LARGEST_WIDTH)?;
            padding[0] + channels + padding[1]
        }
    };
    if given == width {
        return Ok(());
    }
    bad(format!(
        "has a shortcut of {given} channels that is added to {width}"
    ))
}
