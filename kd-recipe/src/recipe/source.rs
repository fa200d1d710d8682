//! Data sources by name: the known data sets, and folders of images, of masks and of texts of your own.

use std::path::Path;

use kd_core::{
    DataRoots, DataSource, DatasetInfo, Error, ImageFit, ImageFolder, ImageShape, MaskClass,
    MaskFolder, MaskValue, Result, Task, TokenizerFile,
};
use kd_text::{KnownText, TextFiles, TextSettings};

use crate::recipe::size::ImageSize;

/// The name that stands for a folder of images.
const FOLDER: &str = "folder";

/// The settings of a folder of images beside its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct FolderSettings<'a> {
    /// The folder, which has `train/CLASS` and `test/CLASS` in it.
    pub path: Option<&'a Path>,
    /// The height and width that its images, or those of a data set with masks, are brought to.
    pub size: Option<ImageSize>,
    /// The length of their shorter side before the centre is cut out.
    pub resize: Option<usize>,
    /// Whether they are made grey.
    pub grey: bool,
    /// Whether the folders of classes may lie directly in `path`, as a part of them is held out.
    pub whole: bool,
    /// Whether images that cannot be read are left out.
    pub skip_broken: bool,
    /// The classes of masks of one's own, and what pixels without a class have.
    pub masks: Option<(&'a [MaskClass], Option<&'a MaskValue>)>,
    /// The classes of a model, for a folder that has no `train`: its images are to be tested on.
    pub classes: Option<&'a [String]>,
    /// How texts are read and made into token ids.
    pub text: Option<&'a TextSettings>,
    /// The tokenizer of a model that is to be measured on texts.
    pub tokenizer: Option<&'a TokenizerFile>,
    /// The folders with data sets, for texts that are known by name; those of the environment without them.
    pub roots: Option<&'a DataRoots>,
    /// The beginning of a setting's name as the user wrote it, for errors: `data.` in a recipe.
    pub prefix: &'static str,
}

/// The name that stands for folders of images and masks.
const MASKS: &str = "masks";

/// The name that stands for labelled texts.
const TEXT: &str = "text";

/// Whether `name` stands for labelled texts of one's own.
pub fn is_text(name: &str) -> bool {
    name.eq_ignore_ascii_case(TEXT)
}

/// Whether `name` stands for folders of images and masks.
pub fn is_masks(name: &str) -> bool {
    name.eq_ignore_ascii_case(MASKS)
}

/// Whether `name` stands for a folder of images.
pub fn is_folder(name: &str) -> bool {
    name.eq_ignore_ascii_case(FOLDER)
}

/// The data set that goes by `name`, or the folder of images that the settings describe, listed.
///
/// # Errors
///
/// [`Error::UnknownName`] for a data set that is not known, [`Error::Config`] for settings that it does not
/// have or needs, [`Error::Input`] for a folder that is none.
pub fn find_source(name: &str, settings: FolderSettings<'_>) -> Result<DataSource> {
    let FolderSettings {
        path,
        size,
        resize,
        grey,
        whole,
        skip_broken,
        masks,
        classes,
        text,
        prefix,
        ..
    } = settings;
    if is_text(name) || KnownText::find(name).is_some() {
        return find_texts(name, &settings);
    }
    if text.is_some() {
        let problem =
            format!("is for labelled texts (`{TEXT}`, `imdb`), and `{name}` is none; remove it");
        return Err(Error::config(format!("{prefix}text"), problem));
    }
    if is_masks(name) {
        return find_masks(&settings);
    }
    if masks.is_some() {
        let problem = "are for data with masks of your own (`masks`); remove them";
        return Err(Error::config(format!("{prefix}classes"), problem));
    }
    if is_folder(name) {
        let missing = |setting, what| missing(prefix, setting, "images", what);
        let places = "the folder that has `train/CLASS` and `test/CLASS` in it";
        let path = path.ok_or_else(|| missing("path", places))?;
        let size = size.ok_or_else(|| missing("size", SIDES))?;
        let channels = if grey { 1 } else { 3 };
        let shape = ImageShape::new(channels, size.height, size.width);
        let fit = ImageFit::new(shape).with_resize(resize);
        let folder = match classes.filter(|_| !path.join("train").is_dir()) {
            Some(classes) => ImageFolder::open_test(path, fit, classes),
            None if whole => ImageFolder::open_whole(path, fit),
            None => ImageFolder::open(path, fit),
        };
        let folder = folder.map_err(|error| prefixed(prefix, error))?;
        return Ok(folder.skipping_broken(skip_broken).into());
    }
    let info = DatasetInfo::find(name).map_err(|_| {
        let known = DatasetInfo::all().iter().map(|info| info.name);
        let texts = KnownText::all().iter().map(|known| known.name);
        let own = [FOLDER, MASKS, TEXT];
        Error::unknown_name("data set", name, known.chain(texts).chain(own))
    })?;
    let resized = info.task == Task::Segmentation;
    let given = [
        ("path", path.is_some()),
        ("size", size.is_some() && !resized),
        ("resize", resize.is_some()),
        ("grey", grey),
        ("skip_broken", skip_broken),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((setting, _)) => Err(only_for_folders(prefix, setting, info)),
        None => match size {
            Some(size) => {
                let sized = info.with_size([size.height, size.width]);
                Ok(sized.map_err(|error| prefixed(prefix, error))?.into())
            }
            None => Ok(info.into()),
        },
    }
}

/// What a size of images is.
const SIDES: &str = "the height and width in pixels that all are brought to";

/// The error of a setting that a folder needs.
fn missing(prefix: &str, setting: &str, kind: &str, what: &str) -> Error {
    let problem = format!("is needed for a folder of {kind}: {what}");
    Error::config(format!("{prefix}{setting}"), problem)
}

/// Images and masks of one's own.
fn find_masks(settings: &FolderSettings<'_>) -> Result<DataSource> {
    let prefix = settings.prefix;
    let missing = |setting, what| missing(prefix, setting, "images and masks", what);
    let places = "the folder that has `train` and `trainannot`, or `images` and `masks`";
    let path = settings.path.ok_or_else(|| missing("path", places))?;
    let size = settings.size.ok_or_else(|| missing("size", SIDES))?;
    let names = "their names in the order of their values, or names with `value`";
    let (classes, no_class) = settings.masks.ok_or_else(|| missing("classes", names))?;
    let given = [
        ("resize", settings.resize.is_some()),
        ("grey", settings.grey),
    ];
    if let Some((setting, _)) = given.into_iter().find(|(_, given)| *given) {
        let problem =
            "is for a folder of images, of masks only the `size` can be chosen; remove it";
        return Err(Error::config(format!("{prefix}{setting}"), problem));
    }
    let folder = MaskFolder::open(path, [size.height, size.width], classes, no_class);
    let folder = folder.map_err(|error| prefixed(prefix, error))?;
    Ok(folder.skipping_broken(settings.skip_broken).into())
}

/// Labelled texts of one's own, or those of a known data set.
fn find_texts(name: &str, settings: &FolderSettings<'_>) -> Result<DataSource> {
    let prefix = settings.prefix;
    let known = KnownText::find(name);
    let pixels = [
        ("size", settings.size.is_some()),
        ("resize", settings.resize.is_some()),
        ("grey", settings.grey),
        ("classes", settings.masks.is_some()),
    ];
    if let Some((setting, _)) = pixels.into_iter().find(|(_, given)| *given) {
        let problem = format!("is for images, and `{name}` has texts; remove it");
        return Err(Error::config(format!("{prefix}{setting}"), problem));
    }
    let usual = TextSettings::default();
    let text = settings.text.unwrap_or(&usual);
    let opened = match (known, settings.path) {
        (Some(_), Some(_)) => {
            let problem = format!(
                "is for texts of your own (`{TEXT}`), and `{name}` is looked for below `KD_DATA`; remove it"
            );
            return Err(Error::config(format!("{prefix}path"), problem));
        }
        (Some(known), None) => {
            let environment = DataRoots::from_env();
            let roots = settings.roots.unwrap_or(&environment);
            TextFiles::known(known, roots, text, settings.tokenizer)
        }
        (None, Some(path)) => TextFiles::open(path, text, settings.tokenizer),
        (None, None) => {
            let problem = "is needed for texts: a table, or the folder that has `train.tsv`, `train.csv` or \
                           `train/CLASS` in it";
            return Err(Error::config(format!("{prefix}path"), problem));
        }
    };
    Ok(opened.map_err(|error| prefixed(prefix, error))?.into())
}

/// The error with its field written as the user gave it.
fn prefixed(prefix: &str, error: Error) -> Error {
    match error {
        Error::Config { field, problem } => Error::config(format!("{prefix}{field}"), problem),
        other => other,
    }
}

/// The error for a setting that a data set known by name does not have.
pub(super) fn only_for_folders(prefix: &str, setting: &str, info: &DatasetInfo) -> Error {
    let problem = match info.task {
        Task::Segmentation => format!(
            "is for a folder of images (`{FOLDER}`), of `{}` only the `size` can be chosen; remove it",
            info.name
        ),
        _ => format!(
            "is for a folder of images (`{FOLDER}`), and `{}` has images of {} as they are; remove it",
            info.name, info.shape
        ),
    };
    Error::config(format!("{prefix}{setting}"), problem)
}
