//! ResNets of four groups and wide ResNets whose structure is given block by block, as cutting channels
//! leaves it.

use burn::tensor::Device;
use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::block::{Block, FreeBlock, Shortcut};
use crate::layers::{check_blocks, check_input, check_size, check_widths};
use crate::spec::check_classes;

/// The structure of an [`ImageNetResNet`](crate::ImageNetResNet), a
/// [`CifarStemResNet`](crate::CifarStemResNet) or a [`WideResNet`](crate::WideResNet), block by block.
///
/// In `config.json` the families are `imagenet-resnet-blocks`, `cifar-stem-resnet-blocks` and
/// `wide-resnet-blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeBlocks {
    /// Channels of the stem.
    pub stem: usize,
    /// The blocks of each group, four or in a wide ResNet three.
    pub groups: Vec<Vec<FreeBlock>>,
}

impl FreeBlocks {
    /// Blocks of a network with these blocks and widths by group, of which the first block of each group but
    /// the first has stride 2; outputs have `expansion` times the width, and `inner` gives the inner widths.
    pub(crate) fn of(
        stem: usize,
        blocks: &[usize],
        widths: &[usize],
        expansion: usize,
        inner: impl Fn(usize) -> Vec<usize>,
    ) -> Self {
        let mut before = stem;
        let mut group = |(index, (&blocks, &width)): (usize, (&usize, &usize))| {
            let made = (0..blocks).map(|block| {
                let stride = if index > 0 && block == 0 { 2 } else { 1 };
                let channels = std::mem::replace(&mut before, width * expansion);
                FreeBlock {
                    inner: inner(width),
                    width: width * expansion,
                    stride,
                    projects: stride != 1 || channels != width * expansion,
                }
            });
            made.collect()
        };
        let groups = blocks.iter().zip(widths).enumerate();
        Self {
            stem,
            groups: groups.map(&mut group).collect(),
        }
    }

    /// As a structure of four groups.
    pub(crate) fn check_large(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a ResNet", input, 1)?;
        self.check(4, &[1, 2], classes)
    }

    /// As a structure of a wide ResNet.
    pub(crate) fn check_wide(&self, input: [usize; 3], classes: usize) -> Result<()> {
        check_input("a wide ResNet", input, 1)?;
        self.check(3, &[1], classes)
    }

    fn check(&self, groups: usize, inner: &[usize], classes: usize) -> Result<()> {
        check_classes(classes)?;
        if self.groups.len() != groups {
            let problem = format!("must be {groups}, got {}", self.groups.len());
            return Err(Error::config("groups", problem));
        }
        check_blocks(&self.groups.iter().map(Vec::len).collect::<Vec<_>>())?;
        let blocks = || self.groups.iter().flatten();
        let inner_widths = blocks().flat_map(|block| block.inner.iter().copied());
        let widths = inner_widths.chain(blocks().map(|block| block.width));
        let widths: Vec<usize> = widths.chain([self.stem]).collect();
        check_widths(&widths)?;
        check_size(widths.iter().map(|&width| [1, width]))?;
        let kind = blocks().next().map_or(0, |block| block.inner.len());
        let mut channels = self.stem;
        for (group, blocks) in self.groups.iter().enumerate() {
            for (index, block) in blocks.iter().enumerate() {
                let bad = |problem: String| {
                    Err(Error::config(format!("groups.{group}.{index}"), problem))
                };
                let (widths, stride) = (block.inner.len(), block.stride);
                if widths != kind || !inner.contains(&widths) {
                    return bad(format!(
                        "has {widths} inner widths, which this network has not"
                    ));
                }
                if !matches!(stride, 1 | 2) {
                    return bad(format!("must have a stride of 1 or 2, got {stride}"));
                }
                let width = block.width;
                if !block.projects && (stride != 1 || channels != width) {
                    return bad(format!(
                        "adds its input of {channels} channels to {width} at a stride of {stride}"
                    ));
                }
                channels = width;
            }
        }
        Ok(())
    }

    /// The features of the dense representation.
    pub(crate) fn features(&self) -> usize {
        let last = self.groups.iter().flatten().last();
        last.map_or(self.stem, |block| block.width)
    }

    /// The blocks of `G` groups, each made of its structure and the channels before it.
    pub(crate) fn made<const G: usize, B>(
        &self,
        make: impl Fn(&FreeBlock, usize) -> B,
    ) -> [Vec<B>; G] {
        let mut channels = self.stem;
        std::array::from_fn(|group| {
            let blocks = self.groups.get(group).into_iter().flatten();
            let made = blocks.map(|block| {
                let before = std::mem::replace(&mut channels, block.width);
                make(block, before)
            });
            made.collect()
        })
    }

    /// The groups of a ResNet of four.
    pub(crate) fn groups(&self, shortcut: Shortcut, device: &Device) -> [Vec<Block>; 4] {
        self.made(|block, channels| Block::of_free(block, channels, shortcut, device))
    }
}
