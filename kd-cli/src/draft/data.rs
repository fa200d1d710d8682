//! The data of a drafted recipe: a folder of images, folders of images and masks, texts, a data set by name.

use std::collections::BTreeMap;
use std::path::Path;

use kd_core::{
    DatasetInfo, Error, ImageFit, ImageFolder, ImageShape, MaskClass, MaskSurvey, MaskValue,
    Result, Split, Task, ValuedClass, image_size,
};
use kd_recipe::ImageSize;
use kd_text::{KnownText, TextFiles};

use super::teacher::TeacherDraft;
use crate::args::DraftOptions;

/// Images whose sizes are looked at, and masks whose values are.
const LOOKED_AT: usize = 100;
/// The share that is held out where there is nothing to measure on.
const HELD_OUT: f64 = 0.2;
/// Sides that images are brought to, where nothing is said: the largest that most images have.
const SIDES: [usize; 3] = [64, 48, 32];

/// What the data are, and the lines that name them in a recipe.
#[derive(Debug)]
pub(super) struct DataDraft {
    /// The lines of `[data]`, each with a comment.
    pub(super) lines: Vec<[String; 2]>,
    /// What it is called: the last part of a path.
    pub(super) stem: String,
    pub(super) task: Task,
    /// Whether the samples are texts.
    pub(super) is_text: bool,
    pub(super) classes: usize,
    /// Samples to train on, what is held out taken off.
    pub(super) train: usize,
    /// The fewest and the most samples of a class, where that is known before reading.
    pub(super) uneven: Option<[usize; 2]>,
    /// Channels, height and width.
    pub(super) input: [usize; 3],
    /// Whether a picture may be mirrored and stay one of its class.
    pub(super) may_flip: bool,
    /// What a user should know of them.
    pub(super) notes: Vec<String>,
}

impl DataDraft {
    /// Looks at the data.
    pub(super) fn of(options: &DraftOptions, teacher: Option<&TeacherDraft>) -> Result<Self> {
        let missing = || {
            Error::config(
                "--data",
                "is missing; give a folder of images or a data set",
            )
        };
        let name = options.data.as_deref().ok_or_else(missing)?;
        let path = Path::new(name);
        if !path.exists() {
            return match KnownText::find(name) {
                Some(known) => Self::known_texts(known, options, teacher),
                None => Self::known(name, options),
            };
        }
        if TextFiles::are_at(path) {
            return Self::texts(path, options, teacher);
        }
        if !path.is_dir() {
            return Err(Error::Input {
                path: path.to_owned(),
                problem: "is no table of texts (`.tsv`, `.csv`); give one, a folder of images, of images and \
                          masks or of texts, or the name of a data set"
                    .into(),
            });
        }
        match MaskSurvey::of(path, LOOKED_AT)? {
            Some(survey) => Self::masks(name, &survey, options, teacher),
            None => Self::folder(name, options, teacher),
        }
    }

    fn known(name: &str, options: &DraftOptions) -> Result<Self> {
        let info = DatasetInfo::find(name).map_err(|_| Error::Input {
            path: name.into(),
            problem: "is no folder and no data set that is known; `kd data list` names those"
                .into(),
        })?;
        let mut lines = vec![line(
            "name",
            &quoted(info.name),
            &format!("{} classes", info.classes),
        )];
        let mut shape = info.shape;
        if info.task == Task::Segmentation {
            let size = options
                .size
                .map_or([96, 128], |size| [size.height, size.width]);
            [shape.height, shape.width] = size;
            lines.push(line("size", &sides(size), "height and width in pixels"));
        }
        lines.extend(options.held_out.map(held_out));
        Ok(Self {
            lines,
            stem: info.name.to_owned(),
            task: info.task,
            is_text: false,
            classes: info.classes,
            train: without(info.train, options.held_out),
            uneven: None,
            input: [shape.channels, shape.height, shape.width],
            may_flip: !["mnist", "svhn", "svhn-extra"].contains(&info.name),
            notes: Vec::new(),
        })
    }

    fn folder(name: &str, options: &DraftOptions, teacher: Option<&TeacherDraft>) -> Result<Self> {
        let any = ImageFit::new(ImageShape::new(3, SIDES[2], SIDES[2]));
        let folder = ImageFolder::open_whole(name, any)?;
        let of_teacher = teacher.and_then(|teacher| teacher.input);
        let [median, least, most] = of_sizes(&sizes_of(&folder)?);
        let side = SIDES
            .into_iter()
            .find(|side| *side <= median)
            .unwrap_or(SIDES[2]);
        let size = match (options.size, of_teacher) {
            (Some(ImageSize { height, width }), _) | (None, Some([_, height, width])) => {
                [height, width]
            }
            (None, None) => [side, side],
        };
        let grey = of_teacher.is_some_and(|[channels, ..]| channels == 1);
        let counts = counts_of(&folder);
        let listed: Vec<String> = counts
            .iter()
            .take(6)
            .map(|(class, count)| format!("{class} {count}"))
            .collect();
        let more = if counts.len() > 6 { ", ..." } else { "" };
        let mut lines = vec![
            line(
                "name",
                "\"folder\"",
                "images of your own, a folder for each class",
            ),
            line(
                "path",
                &quoted(name),
                &format!("to train on: {}{more}", listed.join(", ")),
            ),
        ];
        let of_images = format!("pixels; the shorter sides of the images are {least} to {most}");
        lines.push(line("size", &sides(size), &of_images));
        if grey {
            lines.push(line("grey", "true", "as the teacher's images are"));
        }
        let mut notes = Vec::new();
        let fewest = counts.values().min().copied().unwrap_or(1);
        let largest = counts.values().max().copied().unwrap_or(1);
        let has_test = folder.samples(Split::Test).is_some();
        let share = options
            .held_out
            .or((!has_test).then(|| usual_share(fewest)));
        if options.held_out.is_none() && share.is_some() {
            notes.push(format!(
                "`{name}` has no folder `test`: {:.0} % of each class are held out to be measured on; \
                 nothing is copied, and `--held-out` sets another share",
                100.0 * share.unwrap_or(HELD_OUT)
            ));
        }
        lines.extend(share.map(held_out));
        Ok(Self {
            lines,
            stem: stem(name),
            task: Task::Classification,
            is_text: false,
            classes: counts.len(),
            train: without(folder.samples(Split::Train).unwrap_or_default(), share),
            uneven: Some([fewest, largest]),
            input: [if grey { 1 } else { 3 }, size[0], size[1]],
            may_flip: true,
            notes,
        })
    }

    fn masks(
        name: &str,
        survey: &MaskSurvey,
        options: &DraftOptions,
        teacher: Option<&TeacherDraft>,
    ) -> Result<Self> {
        let classes = match options.classes.as_slice() {
            [] => classes_of(survey, options.no_class.as_ref(), teacher),
            given => given.to_vec(),
        };
        if classes.len() < 2 {
            return Err(Error::Input {
                path: name.into(),
                problem: "has masks of one value only; a network tells at least two classes apart"
                    .into(),
            });
        }
        let size = match (options.size, teacher.and_then(|teacher| teacher.input)) {
            (Some(ImageSize { height, width }), _) | (None, Some([_, height, width])) => {
                [height, width]
            }
            (None, None) => size_of_masks(&survey.sizes),
        };
        let values: Vec<String> = classes.iter().map(class_in_words).collect();
        let mut lines = vec![
            line(
                "name",
                "\"masks\"",
                "images and masks of your own, under the same names",
            ),
            line(
                "path",
                &quoted(name),
                &format!("{} images to train on", survey.train),
            ),
            line("size", &sides(size), "height and width in pixels"),
            line(
                "classes",
                &format!("[{}]", values.join(", ")),
                "the values of the masks; rename freely",
            ),
        ];
        if let Some(value) = &options.no_class {
            lines.push(line(
                "no_class",
                &value_in_words(value),
                "pixels that nobody labelled",
            ));
        }
        let share = options.held_out.or((!survey.has_test).then_some(HELD_OUT));
        lines.extend(share.map(held_out));
        let mut notes = Vec::new();
        if options.classes.is_empty() && teacher.is_none() {
            let found: Vec<String> = survey.values.iter().map(value_in_words).collect();
            notes.push(format!(
                "the masks have the values {}; `--classes NAME={},..` gives them names",
                found.join(", "),
                found.first().map_or("0", |first| first.trim_matches('"')),
            ));
        }
        Ok(Self {
            lines,
            stem: stem(name),
            task: Task::Segmentation,
            is_text: false,
            classes: classes.len(),
            train: without(survey.train, share),
            uneven: None,
            input: [3, size[0], size[1]],
            may_flip: false,
            notes,
        })
    }
}

/// A line of a recipe: what is set, and why.
pub(super) fn line(key: &str, value: &str, comment: &str) -> [String; 2] {
    [format!("{key} = {value}"), comment.to_owned()]
}

/// A string as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn held_out(share: f64) -> [String; 2] {
    line(
        "held_out",
        &share.to_string(),
        "a share of each class, drawn by a seed; nothing is copied",
    )
}

fn sides([height, width]: [usize; 2]) -> String {
    if height == width {
        height.to_string()
    } else {
        format!("[{height}, {width}]")
    }
}

pub(super) fn stem(name: &str) -> String {
    let last = Path::new(name)
        .file_name()
        .map(|last| last.to_string_lossy().into_owned());
    last.unwrap_or_else(|| "data".into())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count"
)]
pub(super) fn without(samples: usize, share: Option<f64>) -> usize {
    (samples as f64 * (1.0 - share.unwrap_or(0.0))).floor() as usize
}

/// The share to hold out, so that each class has an image on both sides.
pub(super) fn usual_share(fewest: usize) -> f64 {
    let least = (50.0 / fewest.max(1) as f64).ceil() / 100.0;
    least.clamp(HELD_OUT, 0.5)
}

/// The shorter sides of some of the images to train on.
fn sizes_of(folder: &ImageFolder) -> Result<Vec<usize>> {
    let files: Vec<&Path> = folder.files(Split::Train).collect();
    let some = files.iter().step_by(files.len().div_ceil(LOOKED_AT).max(1));
    some.map(|file| Ok(image_size(file)?.into_iter().min().unwrap_or_default()))
        .collect()
}

/// The median, the least and the most.
fn of_sizes(sizes: &[usize]) -> [usize; 3] {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let at = |index: usize| sorted.get(index).copied().unwrap_or(SIDES[2]);
    [
        at(sorted.len() / 2),
        at(0),
        at(sorted.len().saturating_sub(1)),
    ]
}

/// The images of each class to train on.
fn counts_of(folder: &ImageFolder) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for file in folder.files(Split::Train) {
        let class = file.parent().and_then(Path::file_name).unwrap_or_default();
        *counts
            .entry(class.to_string_lossy().into_owned())
            .or_default() += 1;
    }
    counts
}

/// The median size of masks, brought to the nearest multiples of 32 and to at most 128 pixels a side.
fn size_of_masks(sizes: &[[usize; 2]]) -> [usize; 2] {
    [0, 1].map(|axis| {
        let of_axis: Vec<usize> = sizes.iter().map(|size| size[axis]).collect();
        let [median, ..] = of_sizes(&of_axis);
        ((median.min(128) + 16) / 32).max(1) * 32
    })
}

/// A class for each value, called as the teacher calls it or by its number.
fn classes_of(
    survey: &MaskSurvey,
    no_class: Option<&MaskValue>,
    teacher: Option<&TeacherDraft>,
) -> Vec<MaskClass> {
    let names = teacher
        .and_then(|teacher| teacher.class_names.as_deref())
        .unwrap_or_default();
    let values = survey
        .values
        .iter()
        .filter(|value| Some(*value) != no_class);
    let class = |(index, value): (usize, &MaskValue)| {
        let name = names
            .get(index)
            .cloned()
            .unwrap_or_else(|| format!("class-{index}"));
        MaskClass::Valued(ValuedClass {
            name,
            value: value.clone(),
        })
    };
    values.enumerate().map(class).collect()
}

fn class_in_words(class: &MaskClass) -> String {
    match class {
        MaskClass::Valued(class) => {
            format!(
                "{{ name = {}, value = {} }}",
                quoted(&class.name),
                value_in_words(&class.value)
            )
        }
        other => quoted(other.name()),
    }
}

fn value_in_words(value: &MaskValue) -> String {
    match value {
        MaskValue::Number(number) => number.to_string(),
        MaskValue::Colour(colour) => quoted(colour),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_median_and_suit_a_unet() {
        assert_eq!(of_sizes(&[40, 20, 90]), [40, 20, 90]);
        assert_eq!(size_of_masks(&[[30, 500], [70, 500], [80, 500]]), [64, 128]);
        assert_eq!(without(10, Some(0.2)), 8);
        let shares = [100, 3, 2].map(usual_share);
        assert!(
            shares
                .iter()
                .zip([0.2, 0.2, 0.25])
                .all(|(a, b)| (a - b).abs() < 1e-9),
            "{shares:?}"
        );
    }

    #[test]
    fn lines_are_toml() {
        assert_eq!(
            line("path", &quoted("a \"b\""), "")[0]
                .parse::<toml::Table>()
                .unwrap()["path"]
                .as_str(),
            Some("a \"b\"")
        );
        assert_eq!(sides([3, 4]), "[3, 4]");
    }
}
