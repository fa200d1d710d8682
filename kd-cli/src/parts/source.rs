//! Which data set is meant, of those that are known by name and a person's own folder of images.

use std::path::Path;

use kd_core::{DataSource, DatasetInfo, Error, ImageFit, ImageFolder, ImageShape, Result, Task};

use super::ImageSize;

/// The name that stands for a folder of images.
const FOLDER: &str = "folder";

/// What is said of a folder of images beside its name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FolderSettings<'a> {
    pub(crate) path: Option<&'a Path>,
    pub(crate) size: Option<ImageSize>,
    pub(crate) resize: Option<usize>,
    pub(crate) grey: bool,
    /// How a setting is written where a person gave it: `data.path`, `--path`.
    pub(crate) prefix: &'static str,
}

/// Whether `name` stands for a folder of images.
pub(crate) fn is_folder(name: &str) -> bool {
    name.eq_ignore_ascii_case(FOLDER)
}

/// The data set that goes by `name`, or the folder of images that the settings describe.
pub(crate) fn find_source(name: &str, settings: FolderSettings<'_>) -> Result<DataSource> {
    let FolderSettings {
        path,
        size,
        resize,
        grey,
        prefix,
    } = settings;
    if is_folder(name) {
        let missing = |setting: &str, what: &str| {
            let problem = format!("is needed for a folder of images: {what}");
            Error::config(format!("{prefix}{setting}"), problem)
        };
        let path = path.ok_or_else(|| {
            missing(
                "path",
                "the folder that has `train/CLASS` and `test/CLASS` in it",
            )
        })?;
        let size = size.ok_or_else(|| {
            missing(
                "size",
                "the height and width in pixels that all are brought to",
            )
        })?;
        let channels = if grey { 1 } else { 3 };
        let shape = ImageShape::new(channels, size.height, size.width);
        let fit = ImageFit::new(shape).with_resize(resize);
        let folder = ImageFolder::open(path, fit);
        return Ok(folder.map_err(|error| prefixed(prefix, error))?.into());
    }
    let info = DatasetInfo::find(name).map_err(|_| {
        let known = DatasetInfo::all().iter().map(|info| info.name);
        Error::unknown_name("data set", name, known.chain([FOLDER]))
    })?;
    let resized = info.task == Task::Segmentation;
    let given = [
        ("path", path.is_some()),
        ("size", size.is_some() && !resized),
        ("resize", resize.is_some()),
        ("grey", grey),
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

/// The error with its field written as the person gave it.
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
