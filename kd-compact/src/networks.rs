//! The networks of kd-models: their graphs, recorded, and the structures of what is left after a cut.

use kd_core::{Error, Result};
use kd_models::{
    BlockShortcut, FreeBlocks, InvertedBlocks, ModelNetwork, Network, NetworkSpec, ResNetBlocks,
    ShuffleNetV2Blocks, Structure, UNet, VggConfig,
};

use crate::alive::{Alive, Widths};
use crate::graph::Graph;
use crate::groups::Groups;
use crate::record::recorded_of;

/// The families of kd-models whose structure can say what a cut leaves.
const FAMILIES: &str = "he-resnet, crd-resnet, imagenet-resnet, cifar-stem-resnet, wide-resnet, \
                        shufflenet-v2 (all also with -blocks behind), vgg, mobilenet-v2-paper";

/// The graph of a network of kd-models for images, recorded: [`Graph::recorded`] of one without weights.
///
/// # Errors
///
/// As [`NetworkSpec::check`], and [`Error::Config`] for a network for texts or of a family that another crate
/// brings.
pub fn graph_of(spec: &NetworkSpec) -> Result<Graph> {
    spec.check()?;
    match spec.structure()? {
        Structure::UNet(_) => recorded_of(|device| UNet::blank(spec, device), spec.input),
        other @ (Structure::TextCnn(_) | Structure::Other { .. }) => {
            let problem = format!(
                "is of family `{}`; a network of kd-models for images is wanted",
                other.family()
            );
            Err(Error::config("network", problem))
        }
        _ => recorded_of(|device| Network::blank(spec, device), spec.input),
    }
}

/// The graph of a network that a run can cut, which is to say build anew.
///
/// # Errors
///
/// As [`graph_of`] and [`cut_spec`].
pub(crate) fn cuttable_graph(spec: &NetworkSpec) -> Result<Graph> {
    let graph = graph_of(spec)?;
    let groups = Groups::of(&graph)?;
    cut_spec(spec, &Widths::of(&graph, &groups, &Alive::all(&groups)))?;
    Ok(graph)
}

/// The spec of the network that is left of `spec` when its layers have these widths. Blocks add what they
/// added before, whatever widths agree now.
///
/// # Errors
///
/// [`Error::UnknownName`] for a name that is not known, and [`Error::Config`] for a family whose structure
/// cannot say which widths are left.
pub fn cut_spec(spec: &NetworkSpec, widths: &Widths) -> Result<NetworkSpec> {
    let structure = match spec.structure()? {
        Structure::Vgg(config) => Structure::Vgg(cut_vgg(&config, widths)),
        Structure::PaperMobileNetV2(blocks) => {
            Structure::PaperMobileNetV2(cut_mobilenet(&blocks, widths))
        }
        Structure::ImageNetResNet(config) => {
            Structure::ImageNetResNetBlocks(cut_free(&config.free(), widths, "layer", ""))
        }
        Structure::ImageNetResNetBlocks(blocks) => {
            Structure::ImageNetResNetBlocks(cut_free(&blocks, widths, "layer", ""))
        }
        Structure::CifarStemResNet(config) => {
            Structure::CifarStemResNetBlocks(cut_free(&config.free(), widths, "layer", ""))
        }
        Structure::CifarStemResNetBlocks(blocks) => {
            Structure::CifarStemResNetBlocks(cut_free(&blocks, widths, "layer", ""))
        }
        Structure::ShuffleNetV2(config) => {
            Structure::ShuffleNetV2Blocks(cut_shufflenet(&config.free(), widths))
        }
        Structure::ShuffleNetV2Blocks(blocks) => {
            Structure::ShuffleNetV2Blocks(cut_shufflenet(&blocks, widths))
        }
        Structure::WideResNet(config) => {
            Structure::WideResNetBlocks(cut_free(&config.wide_blocks(), widths, "block", ".layer"))
        }
        Structure::WideResNetBlocks(blocks) => {
            Structure::WideResNetBlocks(cut_free(&blocks, widths, "block", ".layer"))
        }
        other => {
            let (blocks, head) = resnet_blocks(other)?;
            head.structure(cut_resnet(&blocks, widths))
        }
    };
    let name = format!("{}-compact", spec.name.trim_end_matches("-compact"));
    let spec = NetworkSpec::with_structure(name, structure, spec.classes, spec.input);
    Ok(spec)
}

/// Which of the two ResNets of three groups.
#[derive(Clone, Copy)]
enum ResNet {
    He,
    Crd,
}

impl ResNet {
    fn structure(self, blocks: ResNetBlocks) -> Structure {
        match self {
            Self::He => Structure::HeResNetBlocks(blocks),
            Self::Crd => Structure::CrdResNetBlocks(blocks),
        }
    }
}

fn resnet_blocks(structure: Structure) -> Result<(ResNetBlocks, ResNet)> {
    Ok(match structure {
        Structure::HeResNet(config) => (ResNetBlocks::padded(&config), ResNet::He),
        Structure::CrdResNet(config) => (ResNetBlocks::projected(&config), ResNet::Crd),
        Structure::HeResNetBlocks(blocks) => (blocks, ResNet::He),
        Structure::CrdResNetBlocks(blocks) => (blocks, ResNet::Crd),
        other => {
            let problem = format!(
                "is of family `{}`, whose structure has no place for the widths that a cut leaves; those \
                 of {FAMILIES} have",
                other.family()
            );
            return Err(Error::config("network", problem));
        }
    })
}

fn block_path(group: usize, index: usize) -> String {
    format!("layer{}.{index}", group + 1)
}

fn cut_resnet(blocks: &ResNetBlocks, widths: &Widths) -> ResNetBlocks {
    let mut cut = blocks.clone();
    cut.stem = widths.width("conv1");
    for (group, row) in cut.groups.iter_mut().enumerate() {
        for (index, block) in row.iter_mut().enumerate() {
            let path = block_path(group, index);
            block.inner = widths.width(&format!("{path}.conv1"));
            block.width = widths.width(&format!("{path}.conv2"));
            if let BlockShortcut::Padded(padding) = &mut block.shortcut {
                *padding = widths.padding(&format!("{path}.bn2.shortcut"));
            }
        }
    }
    cut
}

/// Blocks at `{group}1{inside}.0`, ..., the last of whose convolutions makes the output.
fn cut_free(blocks: &FreeBlocks, widths: &Widths, group: &str, inside: &str) -> FreeBlocks {
    let mut cut = blocks.clone();
    cut.stem = widths.width("conv1");
    for (number, row) in cut.groups.iter_mut().enumerate() {
        for (index, block) in row.iter_mut().enumerate() {
            let path = format!("{group}{}{inside}.{index}", number + 1);
            let conv = |layer: usize| widths.width(&format!("{path}.conv{layer}"));
            block.width = conv(block.inner.len() + 1);
            for (layer, width) in block.inner.iter_mut().enumerate() {
                *width = conv(layer + 1);
            }
        }
    }
    cut
}

/// The halves of a group have one width, which the last convolution of its first block says.
fn cut_shufflenet(blocks: &ShuffleNetV2Blocks, widths: &Widths) -> ShuffleNetV2Blocks {
    let mut cut = blocks.clone();
    cut.stem = widths.width("conv1");
    for (group, row) in cut.inner.iter_mut().enumerate() {
        let path = format!("layer{}", group + 1);
        cut.widths[group] = 2 * widths.width(&format!("{path}.0.conv5"));
        for (index, inner) in row.iter_mut().enumerate() {
            let layer = if index == 0 { "conv3" } else { "conv1" };
            *inner = widths.width(&format!("{path}.{index}.{layer}"));
        }
    }
    cut.last = widths.width("conv2");
    cut
}

fn cut_vgg(config: &VggConfig, widths: &Widths) -> VggConfig {
    let mut cut = config.clone();
    for (group, row) in cut.widths.iter_mut().enumerate() {
        for (index, channels) in row.iter_mut().enumerate() {
            *channels = widths.width(&format!("block{group}.{}", 3 * index));
        }
    }
    cut
}

fn cut_mobilenet(blocks: &InvertedBlocks, widths: &Widths) -> InvertedBlocks {
    let mut cut = blocks.clone();
    cut.stem = widths.width("features.0.0");
    let mut feature = 0;
    for block in cut.stages.iter_mut().flatten() {
        feature += 1;
        let layer = usize::from(block.expands);
        block.hidden = widths.width(&format!("features.{feature}.conv.{layer}.0"));
        block.width = widths.width(&format!("features.{feature}.conv.{}", layer + 1));
    }
    cut.last = widths.width(&format!("features.{}.0", feature + 1));
    cut
}
