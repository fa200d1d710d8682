//! The classifiers of the catalogue, but for those of Stagewise KD.

use super::{Entry, classifier};
use crate::densenet::DenseNetConfig;
use crate::lenet::LeNetConfig;
use crate::mobilenet::MobileNetV2Config;
use crate::mobilenet_paper::InvertedBlocks;
use crate::okddip_resnet::OkddipResNetConfig;
use crate::okddip_vgg::OkddipVggConfig;
use crate::resnet::ResNetConfig;
use crate::resnet_large::LargeResNetConfig;
use crate::shufflenet_v1::ShuffleNetV1Config;
use crate::shufflenet_v2::ShuffleNetV2Config;
use crate::structure::Structure;
use crate::vgg::VggConfig;
use crate::vgg_imagenet::LargeVggConfig;

/// A ResNet of He et al. with so many layers.
macro_rules! he {
    ($layers:literal) => {
        classifier(
            concat!("resnet", $layers),
            concat!(
                "CIFAR ResNet of He et al., ",
                $layers,
                " layers, widths 16/32/64, shortcuts without parameters"
            ),
            || Structure::HeResNet(cifar_resnet($layers, [16, 16, 32, 64])),
        )
    };
}

/// A ResNet of the CRD benchmark with so many layers.
macro_rules! crd {
    ($name:expr, $layers:literal, $shown:literal, $widths:expr) => {
        classifier(
            $name,
            concat!(
                "ResNet of the CRD benchmark, ",
                $layers,
                " layers, widths ",
                $shown,
                ", 1x1 convolutions as shortcuts"
            ),
            || Structure::CrdResNet(cifar_resnet($layers, $widths)),
        )
    };
    ($layers:literal) => {
        crd!(
            concat!("crd-resnet", $layers),
            $layers,
            "16/32/64",
            [16, 16, 32, 64]
        )
    };
}

/// A wide ResNet of so many layers, so many times as wide.
macro_rules! wide {
    ($layers:literal, $widening:literal, $shown:literal) => {
        classifier(
            concat!("wrn-", $layers, "-", $widening),
            concat!(
                "Wide ResNet of the CRD benchmark, ",
                $layers,
                " layers, widths ",
                $shown
            ),
            || Structure::WideResNet(ResNetConfig::wide($layers, $widening)),
        )
    };
}

/// A VGG of so many layers.
macro_rules! vgg {
    ($layers:literal, $config:ident) => {
        classifier(
            concat!("vgg", $layers),
            concat!(
                "VGG of the CRD benchmark, ",
                $layers,
                " layers, with batch norm, one linear layer at the end"
            ),
            || Structure::Vgg(VggConfig::$config()),
        )
    };
}

/// A VGG for large images of so many layers.
macro_rules! large_vgg {
    ($layers:literal, $config:ident) => {
        classifier(
            concat!("vgg", $layers, "-imagenet"),
            concat!(
                "VGG of its paper with batch norm, ",
                $layers,
                " layers, for large images, as in torchvision"
            ),
            || Structure::LargeVgg(LargeVggConfig::$config),
        )
    };
}

/// A ResNet for large images with so many layers.
macro_rules! large {
    ($layers:literal, $config:ident) => {
        classifier(
            concat!("resnet", $layers),
            concat!(
                "ResNet for large images, ",
                $layers,
                " layers, 7x7 stem and max pooling, as in torchvision"
            ),
            || Structure::ImageNetResNet(LargeResNetConfig::$config),
        )
    };
}

pub(super) static CLASSIFIERS: [Entry; 48] = [
    classifier(
        "lenet5-half",
        "LeNet-5 with ReLU, max pooling and half the widths (3, 8, 60, 42), as in DAFL",
        || Structure::LeNet(LeNetConfig::HALF),
    ),
    classifier(
        "lenet5",
        "LeNet-5 with ReLU and max pooling (6, 16, 120, 84), as in DAFL",
        || Structure::LeNet(LeNetConfig::FULL),
    ),
    he!(8),
    he!(14),
    he!(20),
    he!(32),
    he!(44),
    he!(56),
    he!(110),
    crd!("crd-resnet8-half", 8, "8/16/32", [8, 8, 16, 32]),
    crd!(8),
    crd!(14),
    crd!(20),
    crd!(32),
    crd!(44),
    crd!(56),
    crd!(110),
    crd!("resnet8x4", 8, "64/128/256", [32, 64, 128, 256]),
    crd!("resnet32x4", 32, "64/128/256", [32, 64, 128, 256]),
    wide!(16, 1, "16/32/64"),
    wide!(16, 2, "32/64/128"),
    wide!(40, 1, "16/32/64"),
    wide!(40, 2, "32/64/128"),
    vgg!(8, vgg8),
    vgg!(11, vgg11),
    vgg!(13, vgg13),
    vgg!(16, vgg16),
    classifier(
        "mobilenetv2-half",
        "MobileNetV2 of the CRD benchmark, expansion 6, half the widths",
        || Structure::MobileNetV2(MobileNetV2Config::HALF),
    ),
    classifier(
        "mobilenetv2-mini-strided",
        "mobilenetv2-mini with a stem of stride 2",
        || Structure::PaperMobileNetV2(InvertedBlocks::mini_strided()),
    ),
    classifier(
        "mobilenetv2-mini",
        "MobileNetV2 as in its paper, four stages, widths 16/24/32/48, for small images",
        || Structure::PaperMobileNetV2(InvertedBlocks::mini()),
    ),
    classifier(
        "mobilenetv2-cifar",
        "MobileNetV2 of its paper, stride 1 in the stem and the second stage",
        || Structure::PaperMobileNetV2(InvertedBlocks::cifar()),
    ),
    classifier(
        "mobilenetv2-imagenet",
        "MobileNetV2 of its paper for large images, as in torchvision",
        || Structure::PaperMobileNetV2(InvertedBlocks::imagenet()),
    ),
    classifier(
        "shufflenetv1",
        "ShuffleNet V1 of the CRD benchmark, 3 groups, widths 240/480/960",
        || Structure::ShuffleNetV1(ShuffleNetV1Config::CRD),
    ),
    classifier(
        "shufflenetv2",
        "ShuffleNet V2 of the CRD benchmark, 1x, widths 116/232/464",
        || Structure::ShuffleNetV2(ShuffleNetV2Config::CRD),
    ),
    large!(18, RESNET18),
    large!(34, RESNET34),
    large!(50, RESNET50),
    large_vgg!(11, VGG11),
    large_vgg!(13, VGG13),
    large_vgg!(16, VGG16),
    large_vgg!(19, VGG19),
    classifier(
        "resnet18-cifar",
        "ResNet-18 with a 3x3 stem for small images",
        || Structure::CifarStemResNet(LargeResNetConfig::RESNET18),
    ),
    classifier(
        "resnet34-cifar",
        "ResNet-34 with a 3x3 stem for small images",
        || Structure::CifarStemResNet(LargeResNetConfig::RESNET34),
    ),
    classifier(
        "resnet50-cifar",
        "ResNet-50 with a 3x3 stem for small images, as in the CRD benchmark",
        || Structure::CifarStemResNet(LargeResNetConfig::RESNET50),
    ),
    classifier(
        "okddip-resnet110",
        "ResNet-110 of OKDDip's code: 12 bottlenecks in each of three groups, widths 64/128/256",
        || Structure::OkddipResNet(OkddipResNetConfig::RESNET110),
    ),
    classifier(
        "okddip-wrn-20-8",
        "WRN-20-8 of OKDDip's code: 2 bottlenecks a group, 8 times as wide inside; no network of Zagoruyko's",
        || Structure::OkddipResNet(OkddipResNetConfig::WRN_20_8),
    ),
    classifier(
        "okddip-vgg16",
        "VGG-16 of OKDDip's code: batch norm, five poolings, three linear layers at the end",
        || Structure::OkddipVgg(OkddipVggConfig::VGG16),
    ),
    classifier(
        "okddip-densenet-40-12",
        "DenseNet-BC of OKDDip's code, 40 layers, growth 12",
        || Structure::DenseNet(DenseNetConfig::DENSENET_40_12),
    ),
];

/// A ResNet of three groups that is said to have so many layers.
const fn cifar_resnet(layers: usize, widths: [usize; 4]) -> ResNetConfig {
    ResNetConfig {
        blocks: (layers - 2) / 6,
        widths,
    }
}
