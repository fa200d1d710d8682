//! The network of a drafted recipe.

use kd_core::{Result, Task};
use kd_models::NetworkSpec;

use super::data::DataDraft;
use super::teacher::TeacherDraft;

/// Networks of one kind, small ones first.
const KINDS: [&[&str]; 12] = [
    &["tcn-imdb-1", "tcn-imdb-teacher"],
    &["lenet5-half", "lenet5"],
    &[
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
    ],
    &[
        "crd-resnet8",
        "crd-resnet14",
        "crd-resnet20",
        "crd-resnet32",
        "crd-resnet56",
        "crd-resnet110",
    ],
    &["resnet8x4", "resnet32x4"],
    &["wrn-16-1", "wrn-16-2", "wrn-40-1", "wrn-40-2"],
    &["vgg8", "vgg11", "vgg13", "vgg16"],
    &["resnet18", "resnet34", "resnet50"],
    &["resnet18-cifar", "resnet34-cifar", "resnet50-cifar"],
    &[
        "skd-resnet10",
        "skd-resnet14",
        "skd-resnet18",
        "skd-resnet20",
        "skd-resnet26",
        "skd-resnet34",
    ],
    &[
        "skd-unet-small-resnet10",
        "skd-unet-small-resnet18",
        "skd-unet-small-resnet34",
    ],
    &[
        "skd-unet-resnet10",
        "skd-unet-resnet18",
        "skd-unet-resnet34",
    ],
];
/// Images from this side on are large.
const LARGE: usize = 128;

/// The network that was asked for, or one that suits.
pub(super) fn student(
    asked: Option<&str>,
    teacher: Option<&TeacherDraft>,
    data: &DataDraft,
) -> Result<String> {
    let name = match (asked, teacher) {
        (Some(name), _) => name.to_owned(),
        (None, Some(teacher)) => smaller_than(&teacher.network).to_owned(),
        (None, None) => usual(data).to_owned(),
    };
    NetworkSpec::new(name.clone(), data.classes, data.input).check()?;
    Ok(name)
}

/// The network of a teacher.
fn usual(data: &DataDraft) -> &'static str {
    if data.is_text {
        return "tcn-imdb-teacher";
    }
    let [channels, height, width] = data.input;
    match (data.task, channels, height.max(width)) {
        (Task::Segmentation, ..) => "skd-unet-small-resnet18",
        (_, 1, ..=32) => "lenet5",
        (_, _, LARGE..) => "resnet18",
        _ => "resnet20",
    }
}

/// The network of a third of the place among those of its kind; the smallest has none below it.
fn smaller_than(teacher: &str) -> &str {
    let place = |kind: &&&[&str]| kind.iter().position(|name| *name == teacher);
    match KINDS.iter().find_map(|kind| Some((kind, place(&kind)?))) {
        Some((kind, place)) => kind[place / 3],
        None => teacher,
    }
}

#[cfg(test)]
mod tests {
    use kd_models::known_networks;

    use super::*;

    #[test]
    fn every_network_is_in_the_catalogue() {
        for name in KINDS.into_iter().flatten() {
            assert!(known_networks().any(|known| known.name == *name), "{name}");
        }
        for (teacher, student) in [
            ("lenet5", "lenet5-half"),
            ("resnet20", "resnet8"),
            ("resnet34", "resnet18"),
            ("tcn-imdb-teacher", "tcn-imdb-1"),
            ("skd-unet-small-resnet18", "skd-unet-small-resnet10"),
            ("another", "another"),
        ] {
            assert_eq!(smaller_than(teacher), student);
        }
    }
}
