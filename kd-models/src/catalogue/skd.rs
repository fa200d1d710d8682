//! The networks of Stagewise KD in the catalogue.

use super::{Entry, classifier, segmentation};
use crate::skd_resnet::{SkdResNetConfig, StemKind};
use crate::structure::Structure;
use crate::unet::UNetConfig;

/// The ResNet of so many layers.
macro_rules! resnet {
    ($layers:literal, $blocks:literal, $config:ident) => {
        classifier(
            concat!("skd-resnet", $layers),
            concat!(
                "ResNet of Stagewise KD, blocks ",
                $blocks,
                ", 7x7 stem, head of two linear layers"
            ),
            || Structure::SkdResNet(SkdResNetConfig::$config),
        )
    };
}

/// The same with a quarter of the widths.
macro_rules! small {
    ($layers:literal, $config:ident) => {
        classifier(
            concat!("skd-small-resnet", $layers),
            concat!(
                "skd-resnet",
                $layers,
                " with a quarter of its widths (16/32/64/128)"
            ),
            || Structure::SkdResNet(SkdResNetConfig::$config.small()),
        )
    };
}

/// A network of the catalogue with the stem for small images.
macro_rules! cifar {
    ($name:literal, $config:expr) => {
        classifier(
            concat!($name, "-cifar"),
            concat!($name, " with a 3x3 stem for small images"),
            || Structure::SkdResNet($config.with_stem(StemKind::Small)),
        )
    };
}

/// The U-Net on the ResNet of so many layers.
macro_rules! unet {
    ($layers:literal, $config:ident) => {
        segmentation(
            concat!("skd-unet-resnet", $layers),
            concat!(
                "U-Net of Stagewise KD with the encoder of skd-resnet",
                $layers,
                ", for segmentation"
            ),
            || Structure::UNet(UNetConfig::ordinary(SkdResNetConfig::$config)),
        )
    };
}

/// The same with a quarter of the widths.
macro_rules! small_unet {
    ($layers:literal, $config:ident) => {
        segmentation(
            concat!("skd-unet-small-resnet", $layers),
            concat!(
                "skd-unet-resnet",
                $layers,
                " with a quarter of its widths in encoder and decoder"
            ),
            || Structure::UNet(UNetConfig::small(SkdResNetConfig::$config)),
        )
    };
}

pub(super) static CLASSIFIERS: [Entry; 16] = [
    resnet!(10, "1/1/1/1", RESNET10),
    resnet!(14, "1/1/2/2", RESNET14),
    resnet!(18, "2/2/2/2", RESNET18),
    resnet!(20, "2/2/3/2", RESNET20),
    resnet!(26, "3/3/3/3", RESNET26),
    resnet!(34, "3/4/6/3", RESNET34),
    cifar!("skd-resnet10", SkdResNetConfig::RESNET10),
    cifar!("skd-resnet34", SkdResNetConfig::RESNET34),
    small!(10, RESNET10),
    small!(14, RESNET14),
    small!(18, RESNET18),
    small!(20, RESNET20),
    small!(26, RESNET26),
    small!(34, RESNET34),
    cifar!("skd-small-resnet10", SkdResNetConfig::RESNET10.small()),
    cifar!("skd-small-resnet34", SkdResNetConfig::RESNET34.small()),
];

pub(super) static UNETS: [Entry; 12] = [
    unet!(10, RESNET10),
    unet!(14, RESNET14),
    unet!(18, RESNET18),
    unet!(20, RESNET20),
    unet!(26, RESNET26),
    unet!(34, RESNET34),
    small_unet!(10, RESNET10),
    small_unet!(14, RESNET14),
    small_unet!(18, RESNET18),
    small_unet!(20, RESNET20),
    small_unet!(26, RESNET26),
    small_unet!(34, RESNET34),
];
