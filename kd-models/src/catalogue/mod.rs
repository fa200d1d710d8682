//! The catalogue: the networks that go by a name, each a preset of its family's structure.

mod chunk;
mod classifiers;
mod skd;
mod text;

use kd_core::{SampleKind, Task};

use crate::structure::Structure;

/// A name with what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownNetwork {
    /// The name, as in [`NetworkSpec::name`](crate::NetworkSpec::name).
    pub name: &'static str,
    /// A line that tells it from other networks of that name.
    pub description: &'static str,
    /// The task that it is for.
    pub task: Task,
    /// What it takes.
    pub takes: SampleKind,
}

/// All names, small networks first within a family.
pub fn known_networks() -> impl ExactSizeIterator<Item = KnownNetwork> {
    let known: Vec<_> = entries().map(|entry| entry.known).collect();
    known.into_iter()
}

/// A name and the structure that it stands for.
pub(crate) struct Entry {
    pub(crate) known: KnownNetwork,
    pub(crate) structure: fn() -> Structure,
}

/// All entries, small networks first within a family.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    classifiers::CLASSIFIERS
        .iter()
        .chain(&chunk::CLASSIFIERS)
        .chain(&text::CLASSIFIERS)
        .chain(&skd::CLASSIFIERS)
        .chain(&skd::UNETS)
}

/// The name of the entry with this structure, if there is one.
pub(crate) fn preset(structure: &Structure) -> Option<&'static str> {
    let mut all = entries();
    let entry = all.find(|entry| (entry.structure)() == *structure);
    entry.map(|entry| entry.known.name)
}

/// The entry that `name`, as someone may have typed it, means.
///
/// A name is found as the catalogue has it, with underscores for hyphens, and, ResNets excepted, in any case
/// and with any hyphens, which takes the names of RepDistiller as they are: `wrn_40_2`, `MobileNetV2`,
/// `ShuffleV1`. Not so ResNets, since `ResNet50` there is another network than torchvision's `resnet50`.
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

/// Other names, and the names of the catalogue that they mean, both bare.
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

/// An entry of a classifier.
const fn classifier(
    name: &'static str,
    description: &'static str,
    structure: fn() -> Structure,
) -> Entry {
    let task = Task::Classification;
    entry(name, description, task, structure)
}

/// An entry of a network with an output for each pixel.
const fn segmentation(
    name: &'static str,
    description: &'static str,
    structure: fn() -> Structure,
) -> Entry {
    let task = Task::Segmentation;
    entry(name, description, task, structure)
}

const fn entry(
    name: &'static str,
    description: &'static str,
    task: Task,
    structure: fn() -> Structure,
) -> Entry {
    let known = KnownNetwork {
        name,
        description,
        task,
        takes: SampleKind::Images,
    };
    Entry { known, structure }
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
    fn no_two_entries_have_one_structure_and_each_is_for_the_task_of_its_family() {
        for entry in entries() {
            let (name, structure) = (entry.known.name, (entry.structure)());
            assert_eq!(preset(&structure), Some(name));
            assert_eq!(structure.task(), Some(entry.known.task), "{name}");
        }
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
