//! A narrow network of each family, none of which is in the catalogue.

use kd_models::{
    BlockKind, BlockShortcut, ChunkCnnConfig, DenseNetConfig, FreeBlock, FreeBlocks, InvertedBlock,
    InvertedBlocks, InvertedResiduals, LargeResNetConfig, LargeVggConfig, LeNetConfig,
    MobileNetV2Config, OkddipResNetConfig, OkddipVggConfig, ResNetBlocks, ResNetConfig,
    ResidualBlock, ShuffleNetV1Config, ShuffleNetV2Blocks, ShuffleNetV2Config, SkdResNetConfig,
    StemKind, Structure, TextCnnConfig, UNetConfig, VggConfig,
};

/// A ResNet that was cut: inner widths of their own, and the third group as wide as the second.
fn cut_resnet(widening: BlockShortcut) -> ResNetBlocks {
    let block = |inner, width, stride, shortcut| ResidualBlock {
        inner,
        width,
        stride,
        shortcut,
    };
    let narrowing = match widening {
        BlockShortcut::Padded(_) => BlockShortcut::Padded([0, 0]),
        other => other,
    };
    ResNetBlocks {
        stem: 4,
        groups: [
            vec![block(3, 4, 1, BlockShortcut::Identity)],
            vec![
                block(2, 7, 2, widening),
                block(5, 7, 1, BlockShortcut::Identity),
            ],
            vec![block(1, 7, 2, narrowing)],
        ],
    }
}

/// A ResNet of four groups that was cut: projections between equal widths, one of them narrower than before.
fn cut_large(inner: &[usize]) -> FreeBlocks {
    let block = |width, stride, projects| FreeBlock {
        inner: inner.to_vec(),
        width,
        stride,
        projects,
    };
    FreeBlocks {
        stem: 5,
        groups: vec![
            vec![block(5, 1, true), block(5, 1, false)],
            vec![block(7, 2, true)],
            vec![block(6, 2, true)],
            vec![block(9, 2, true)],
        ],
    }
}

/// A wide ResNet that was cut.
fn cut_wide() -> FreeBlocks {
    let mut blocks = cut_large(&[3]);
    blocks.groups.truncate(3);
    blocks
}

/// A MobileNetV2 that was cut until a block that adds nothing has equal widths.
fn cut_mobilenet() -> InvertedBlocks {
    let block = |hidden, width, stride, expands, adds| InvertedBlock {
        hidden,
        width,
        stride,
        expands,
        adds,
    };
    InvertedBlocks {
        stem: 5,
        stem_stride: 2,
        stages: vec![
            vec![block(5, 5, 1, false, false)],
            vec![block(9, 5, 1, true, false), block(3, 5, 1, true, true)],
            vec![block(7, 6, 2, true, false)],
        ],
        last: 11,
    }
}

/// A narrow network of each family, none of which is in the catalogue.
pub(crate) fn narrow() -> Vec<Structure> {
    let resnet = |widths| ResNetConfig { blocks: 2, widths };
    let large = |block| LargeResNetConfig {
        block,
        blocks: [1, 2, 1, 1],
        stem: 5,
        widths: [4, 6, 8, 10],
    };
    let skd = SkdResNetConfig {
        blocks: [1, 1, 2, 1],
        widths: [4, 5, 6, 7],
        stem: StemKind::Large,
    };
    let row = |expansion, width, blocks, stride| InvertedResiduals {
        expansion,
        width,
        blocks,
        stride,
    };
    vec![
        Structure::LeNet(LeNetConfig {
            widths: [2, 3, 5, 7],
        }),
        Structure::HeResNet(resnet([4, 4, 7, 9])),
        Structure::CrdResNet(resnet([4, 6, 5, 8])),
        Structure::HeResNetBlocks(cut_resnet(BlockShortcut::Padded([2, 1]))),
        Structure::CrdResNetBlocks(cut_resnet(BlockShortcut::Projection)),
        Structure::ImageNetResNetBlocks(cut_large(&[3, 2])),
        Structure::CifarStemResNetBlocks(cut_large(&[3])),
        Structure::WideResNetBlocks(cut_wide()),
        Structure::WideResNet(resnet([4, 4, 6, 8])),
        Structure::Vgg(VggConfig {
            widths: [vec![4], vec![5, 6], vec![7], vec![8], vec![6]],
        }),
        Structure::MobileNetV2(MobileNetV2Config {
            stem: 4,
            groups: [
                row(1, 4, 1, 1),
                row(2, 6, 2, 1),
                row(3, 6, 2, 2),
                row(2, 8, 1, 2),
                row(2, 8, 2, 1),
                row(2, 10, 1, 2),
                row(2, 12, 1, 1),
            ],
            last: 20,
        }),
        Structure::PaperMobileNetV2(cut_mobilenet()),
        Structure::ShuffleNetV1(ShuffleNetV1Config {
            stem: 12,
            widths: [36, 72, 144],
            blocks: [2, 2, 1],
            groups: 3,
        }),
        Structure::ShuffleNetV2(ShuffleNetV2Config {
            stem: 4,
            widths: [8, 12, 16],
            blocks: [1, 0, 1],
            last: 20,
        }),
        Structure::ShuffleNetV2Blocks(ShuffleNetV2Blocks {
            stem: 4,
            widths: [8, 12, 4],
            inner: [vec![3, 5], vec![1], vec![2]],
            last: 20,
        }),
        Structure::ImageNetResNet(large(BlockKind::Basic)),
        Structure::CifarStemResNet(large(BlockKind::Bottleneck)),
        Structure::SkdResNet(skd.with_stem(StemKind::Small)),
        Structure::ChunkCnn(chunk_cnn()),
        Structure::OkddipResNet(OkddipResNetConfig {
            blocks: [1, 2, 1],
            stem: 4,
            widths: [2, 3, 4],
            widening: 3,
        }),
        Structure::OkddipVgg(OkddipVggConfig {
            widths: [2, 3, 4, 5, 6],
            convolutions: [1, 2, 1, 1],
            hidden: 7,
        }),
        Structure::DenseNet(DenseNetConfig {
            stem: 5,
            growth: 3,
            bottleneck: 2,
            layers: [2, 3, 1],
        }),
        Structure::LargeVgg(LargeVggConfig {
            widths: [2, 3, 4, 5, 6],
            convolutions: [1, 2, 1, 1, 1],
            hidden: 7,
        }),
        Structure::TextCnn(text_cnn()),
        Structure::UNet(UNetConfig {
            encoder: skd,
            decoder: [6, 5, 4, 3, 2],
            head: 3,
        }),
    ]
}

pub(crate) fn text_cnn() -> TextCnnConfig {
    let mut config = TextCnnConfig::template();
    config.embedding = 3;
    config.blocks = vec![vec![3, 4], vec![5]];
    config.hidden = vec![6];
    config
}

fn chunk_cnn() -> ChunkCnnConfig {
    let mut config = ChunkCnnConfig::template();
    config.blocks = vec![vec![3, 4], vec![5]];
    config.hidden = vec![6];
    config
}
