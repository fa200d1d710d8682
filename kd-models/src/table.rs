//! The table of names, and what each stands for.

use crate::known::{KnownNetwork, NetworkTask};
use crate::lenet::LeNetConfig;
use crate::mobilenet::MobileNetV2Config;
use crate::resnet::ResNetConfig;
use crate::resnet_large::LargeResNetConfig;
use crate::shufflenet_v1::ShuffleNetV1Config;
use crate::shufflenet_v2::ShuffleNetV2Config;
use crate::skd_resnet::SkdResNetConfig;
use crate::table_skd::SKD;
use crate::unet::UNetConfig;
use crate::vgg::VggConfig;

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Architecture {
    LeNet(LeNetConfig),
    He(ResNetConfig),
    Crd(ResNetConfig),
    Wide(ResNetConfig),
    Vgg(fn() -> VggConfig),
    MobileNetV2(MobileNetV2Config),
    ShuffleNetV1(ShuffleNetV1Config),
    ShuffleNetV2(ShuffleNetV2Config),
    ImageNet(LargeResNetConfig),
    CifarStem(LargeResNetConfig),
    Skd(SkdResNetConfig),
    UNet(UNetConfig),
}

/// A name and what it stands for.
pub(crate) struct Entry {
    pub(crate) known: KnownNetwork,
    pub(crate) architecture: Architecture,
}

/// The entry that `name`, as someone may have typed it, means.
///
/// A name is found as the table has it, with underscores for hyphens, and, ResNets excepted, in any case and with any
/// hyphens, which takes the names of RepDistiller as they are: `wrn_40_2`, `MobileNetV2`, `ShuffleV1`. Not so ResNets, since
/// `ResNet50` there is another network than torchvision's `resnet50`.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    let hyphened = name.replace('_', "-");
    let exact = entries().find(|entry| entry.known.name == hyphened);
    exact.or_else(|| {
        let typed = bare(name);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == typed);
        let wanted = alias.map_or(typed.as_str(), |(_, name)| name);
        entries()
            .filter(|entry| !entry.known.name.contains("resnet"))
            .find(|entry| bare(entry.known.name) == wanted)
    })
}

/// A name in lower case without what separates its parts.
fn bare(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Other names, and the names of the table that they mean, both bare.
const ALIASES: [(&str, &str); 8] = [
    ("mobilenetv2", "mobilenetv2half"),
    ("mobilehalf", "mobilenetv2half"),
    ("shufflev1", "shufflenetv1"),
    ("shufflev2", "shufflenetv2"),
    ("vgg8bn", "vgg8"),
    ("vgg11bn", "vgg11"),
    ("vgg13bn", "vgg13"),
    ("vgg16bn", "vgg16"),
];

const HE_WIDTHS: [usize; 4] = [16, 16, 32, 64];
const CRD_X4_WIDTHS: [usize; 4] = [32, 64, 128, 256];

/// All entries, small networks first within a family.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    KNOWN.iter().chain(&SKD)
}

static KNOWN: [Entry; 35] = [
    entry(
        "lenet5-half",
        "LeNet-5 with ReLU, max pooling and half the widths (3, 8, 60, 42), as in DAFL",
        Architecture::LeNet(LeNetConfig::HALF),
    ),
    entry(
        "lenet5",
        "LeNet-5 with ReLU and max pooling (6, 16, 120, 84), as in DAFL",
        Architecture::LeNet(LeNetConfig::FULL),
    ),
    entry(
        "resnet8",
        "CIFAR ResNet of He et al., 8 layers, widths 16/32/64, shortcuts without parameters",
        he(1),
    ),
    entry(
        "resnet14",
        "CIFAR ResNet of He et al., 14 layers, widths 16/32/64, shortcuts without parameters",
        he(2),
    ),
    entry(
        "resnet20",
        "CIFAR ResNet of He et al., 20 layers, widths 16/32/64, shortcuts without parameters",
        he(3),
    ),
    entry(
        "resnet32",
        "CIFAR ResNet of He et al., 32 layers, widths 16/32/64, shortcuts without parameters",
        he(5),
    ),
    entry(
        "resnet44",
        "CIFAR ResNet of He et al., 44 layers, widths 16/32/64, shortcuts without parameters",
        he(7),
    ),
    entry(
        "resnet56",
        "CIFAR ResNet of He et al., 56 layers, widths 16/32/64, shortcuts without parameters",
        he(9),
    ),
    entry(
        "resnet110",
        "CIFAR ResNet of He et al., 110 layers, widths 16/32/64, shortcuts without parameters",
        he(18),
    ),
    entry(
        "crd-resnet8",
        "ResNet of the CRD benchmark, 8 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(1, HE_WIDTHS),
    ),
    entry(
        "crd-resnet14",
        "ResNet of the CRD benchmark, 14 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(2, HE_WIDTHS),
    ),
    entry(
        "crd-resnet20",
        "ResNet of the CRD benchmark, 20 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(3, HE_WIDTHS),
    ),
    entry(
        "crd-resnet32",
        "ResNet of the CRD benchmark, 32 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(5, HE_WIDTHS),
    ),
    entry(
        "crd-resnet44",
        "ResNet of the CRD benchmark, 44 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(7, HE_WIDTHS),
    ),
    entry(
        "crd-resnet56",
        "ResNet of the CRD benchmark, 56 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(9, HE_WIDTHS),
    ),
    entry(
        "crd-resnet110",
        "ResNet of the CRD benchmark, 110 layers, widths 16/32/64, 1x1 convolutions as shortcuts",
        crd(18, HE_WIDTHS),
    ),
    entry(
        "resnet8x4",
        "ResNet of the CRD benchmark, 8 layers, widths 64/128/256, 1x1 convolutions as shortcuts",
        crd(1, CRD_X4_WIDTHS),
    ),
    entry(
        "resnet32x4",
        "ResNet of the CRD benchmark, 32 layers, widths 64/128/256, 1x1 convolutions as shortcuts",
        crd(5, CRD_X4_WIDTHS),
    ),
    entry(
        "wrn-16-1",
        "Wide ResNet of the CRD benchmark, 16 layers, widths 16/32/64",
        Architecture::Wide(ResNetConfig::wide(16, 1)),
    ),
    entry(
        "wrn-16-2",
        "Wide ResNet of the CRD benchmark, 16 layers, widths 32/64/128",
        Architecture::Wide(ResNetConfig::wide(16, 2)),
    ),
    entry(
        "wrn-40-1",
        "Wide ResNet of the CRD benchmark, 40 layers, widths 16/32/64",
        Architecture::Wide(ResNetConfig::wide(40, 1)),
    ),
    entry(
        "wrn-40-2",
        "Wide ResNet of the CRD benchmark, 40 layers, widths 32/64/128",
        Architecture::Wide(ResNetConfig::wide(40, 2)),
    ),
    entry(
        "vgg8",
        "VGG of the CRD benchmark, 8 layers, with batch norm, one linear layer at the end",
        Architecture::Vgg(VggConfig::vgg8),
    ),
    entry(
        "vgg11",
        "VGG of the CRD benchmark, 11 layers, with batch norm, one linear layer at the end",
        Architecture::Vgg(VggConfig::vgg11),
    ),
    entry(
        "vgg13",
        "VGG of the CRD benchmark, 13 layers, with batch norm, one linear layer at the end",
        Architecture::Vgg(VggConfig::vgg13),
    ),
    entry(
        "vgg16",
        "VGG of the CRD benchmark, 16 layers, with batch norm, one linear layer at the end",
        Architecture::Vgg(VggConfig::vgg16),
    ),
    entry(
        "mobilenetv2-half",
        "MobileNetV2 of the CRD benchmark, expansion 6, half the widths",
        Architecture::MobileNetV2(MobileNetV2Config::HALF),
    ),
    entry(
        "shufflenetv1",
        "ShuffleNet V1 of the CRD benchmark, 3 groups, widths 240/480/960",
        Architecture::ShuffleNetV1(ShuffleNetV1Config::CRD),
    ),
    entry(
        "shufflenetv2",
        "ShuffleNet V2 of the CRD benchmark, 1x, widths 116/232/464",
        Architecture::ShuffleNetV2(ShuffleNetV2Config::CRD),
    ),
    entry(
        "resnet18",
        "ResNet for large images, 18 layers, 7x7 stem and max pooling, as in torchvision",
        Architecture::ImageNet(LargeResNetConfig::RESNET18),
    ),
    entry(
        "resnet34",
        "ResNet for large images, 34 layers, 7x7 stem and max pooling, as in torchvision",
        Architecture::ImageNet(LargeResNetConfig::RESNET34),
    ),
    entry(
        "resnet50",
        "ResNet for large images, 50 layers, 7x7 stem and max pooling, as in torchvision",
        Architecture::ImageNet(LargeResNetConfig::RESNET50),
    ),
    entry(
        "resnet18-cifar",
        "ResNet-18 with a 3x3 stem for small images",
        Architecture::CifarStem(LargeResNetConfig::RESNET18),
    ),
    entry(
        "resnet34-cifar",
        "ResNet-34 with a 3x3 stem for small images",
        Architecture::CifarStem(LargeResNetConfig::RESNET34),
    ),
    entry(
        "resnet50-cifar",
        "ResNet-50 with a 3x3 stem for small images, as in the CRD benchmark",
        Architecture::CifarStem(LargeResNetConfig::RESNET50),
    ),
];

pub(crate) const fn entry(
    name: &'static str,
    description: &'static str,
    architecture: Architecture,
) -> Entry {
    let task = match architecture {
        Architecture::UNet(_) => NetworkTask::Segmentation,
        _ => NetworkTask::Classification,
    };
    Entry {
        known: KnownNetwork {
            name,
            description,
            task,
        },
        architecture,
    }
}

const fn he(blocks: usize) -> Architecture {
    Architecture::He(ResNetConfig {
        blocks,
        widths: HE_WIDTHS,
    })
}

const fn crd(blocks: usize, widths: [usize; 4]) -> Architecture {
    Architecture::Crd(ResNetConfig { blocks, widths })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn found(name: &str) -> Option<&'static str> {
        find(name).map(|entry| entry.known.name)
    }

    #[test]
    fn names_are_unique_and_kebab_case() {
        let names: BTreeSet<_> = entries().map(|entry| entry.known.name).collect();
        assert_eq!(names.len(), entries().count());
        let distinct: BTreeSet<_> = names.iter().map(|name| bare(name)).collect();
        assert_eq!(distinct.len(), entries().count());
        let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
        assert!(names.iter().all(|name| name.chars().all(allowed)));
        assert!(names.iter().all(|name| found(name) == Some(name)));
    }

    #[test]
    fn names_of_repdistiller_are_understood() {
        for (typed, name) in [
            ("wrn_40_2", "wrn-40-2"),
            ("wrn40-2", "wrn-40-2"),
            ("WRN-16-1", "wrn-16-1"),
            ("VGG13", "vgg13"),
            ("vgg8_bn", "vgg8"),
            ("MobileNetV2", "mobilenetv2-half"),
            ("mobilenet_v2", "mobilenetv2-half"),
            ("ShuffleV1", "shufflenetv1"),
            ("ShuffleNet-V2", "shufflenetv2"),
            ("resnet50_cifar", "resnet50-cifar"),
            ("crd_resnet20", "crd-resnet20"),
            ("skd_unet_resnet34", "skd-unet-resnet34"),
        ] {
            assert_eq!(found(typed), Some(name), "{typed}");
        }
    }

    #[test]
    fn a_name_that_could_mean_another_network_is_not_guessed() {
        for typed in ["ResNet50", "resnet-50", "resnet50cifar", "wrn", "vgg", ""] {
            assert_eq!(found(typed), None, "{typed}");
        }
    }
}
