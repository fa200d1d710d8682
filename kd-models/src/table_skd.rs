//! The names of the networks of Stagewise KD.

use crate::skd_resnet::{SkdResNetConfig, StemKind};
use crate::table::{Architecture, Entry, entry};
use crate::unet::UNetConfig;

const RESNETS: [SkdResNetConfig; 6] = [
    SkdResNetConfig::RESNET10,
    SkdResNetConfig::RESNET14,
    SkdResNetConfig::RESNET18,
    SkdResNetConfig::RESNET20,
    SkdResNetConfig::RESNET26,
    SkdResNetConfig::RESNET34,
];

pub(crate) static SKD: [Entry; 28] = [
    entry(
        "skd-resnet10",
        "ResNet of Stagewise KD, blocks 1/1/1/1, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[0]),
    ),
    entry(
        "skd-resnet14",
        "ResNet of Stagewise KD, blocks 1/1/2/2, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[1]),
    ),
    entry(
        "skd-resnet18",
        "ResNet of Stagewise KD, blocks 2/2/2/2, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[2]),
    ),
    entry(
        "skd-resnet20",
        "ResNet of Stagewise KD, blocks 2/2/3/2, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[3]),
    ),
    entry(
        "skd-resnet26",
        "ResNet of Stagewise KD, blocks 3/3/3/3, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[4]),
    ),
    entry(
        "skd-resnet34",
        "ResNet of Stagewise KD, blocks 3/4/6/3, 7x7 stem, head of two linear layers",
        Architecture::Skd(RESNETS[5]),
    ),
    entry(
        "skd-resnet10-cifar",
        "skd-resnet10 with a 3x3 stem for small images",
        Architecture::Skd(RESNETS[0].with_stem(StemKind::Small)),
    ),
    entry(
        "skd-resnet34-cifar",
        "skd-resnet34 with a 3x3 stem for small images",
        Architecture::Skd(RESNETS[5].with_stem(StemKind::Small)),
    ),
    entry(
        "skd-small-resnet10",
        "skd-resnet10 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[0].small()),
    ),
    entry(
        "skd-small-resnet14",
        "skd-resnet14 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[1].small()),
    ),
    entry(
        "skd-small-resnet18",
        "skd-resnet18 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[2].small()),
    ),
    entry(
        "skd-small-resnet20",
        "skd-resnet20 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[3].small()),
    ),
    entry(
        "skd-small-resnet26",
        "skd-resnet26 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[4].small()),
    ),
    entry(
        "skd-small-resnet34",
        "skd-resnet34 with a quarter of its widths (16/32/64/128)",
        Architecture::Skd(RESNETS[5].small()),
    ),
    entry(
        "skd-small-resnet10-cifar",
        "skd-small-resnet10 with a 3x3 stem for small images",
        Architecture::Skd(RESNETS[0].small().with_stem(StemKind::Small)),
    ),
    entry(
        "skd-small-resnet34-cifar",
        "skd-small-resnet34 with a 3x3 stem for small images",
        Architecture::Skd(RESNETS[5].small().with_stem(StemKind::Small)),
    ),
    entry(
        "skd-unet-resnet10",
        "U-Net of Stagewise KD with the encoder of skd-resnet10, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[0])),
    ),
    entry(
        "skd-unet-resnet14",
        "U-Net of Stagewise KD with the encoder of skd-resnet14, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[1])),
    ),
    entry(
        "skd-unet-resnet18",
        "U-Net of Stagewise KD with the encoder of skd-resnet18, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[2])),
    ),
    entry(
        "skd-unet-resnet20",
        "U-Net of Stagewise KD with the encoder of skd-resnet20, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[3])),
    ),
    entry(
        "skd-unet-resnet26",
        "U-Net of Stagewise KD with the encoder of skd-resnet26, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[4])),
    ),
    entry(
        "skd-unet-resnet34",
        "U-Net of Stagewise KD with the encoder of skd-resnet34, for segmentation",
        Architecture::UNet(UNetConfig::ordinary(RESNETS[5])),
    ),
    entry(
        "skd-unet-small-resnet10",
        "skd-unet-resnet10 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[0])),
    ),
    entry(
        "skd-unet-small-resnet14",
        "skd-unet-resnet14 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[1])),
    ),
    entry(
        "skd-unet-small-resnet18",
        "skd-unet-resnet18 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[2])),
    ),
    entry(
        "skd-unet-small-resnet20",
        "skd-unet-resnet20 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[3])),
    ),
    entry(
        "skd-unet-small-resnet26",
        "skd-unet-resnet26 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[4])),
    ),
    entry(
        "skd-unet-small-resnet34",
        "skd-unet-resnet34 with a quarter of its widths in encoder and decoder",
        Architecture::UNet(UNetConfig::small(RESNETS[5])),
    ),
];
