//! The images of `kd predict`: files, folders, a data set.

use std::ops::Range;
use std::path::{Path, PathBuf};

use kd_core::{
    DataRoots, Dataset, DatasetInfo, Error, ImageFit, ImageShape, Result, class_folders,
    is_image_path, read_images,
};

use crate::args::PredictOptions;

/// A few images, in one size.
pub(super) struct Images {
    /// What each is called.
    pub(super) names: Vec<String>,
    /// The class of each, where it is known.
    pub(super) labels: Vec<Option<usize>>,
    /// `[images, channels, height, width]`, 0 to 255.
    pub(super) pixels: Vec<u8>,
}

/// Where images come from.
pub(super) enum Source {
    /// Files, each with its class if its folder is called as one.
    Files {
        files: Vec<(PathBuf, Option<usize>)>,
        fit: ImageFit,
    },
    /// A split of a data set.
    Dataset(Dataset),
}

impl Source {
    /// The images that were typed, for a network that takes `shape` and knows the classes `names`.
    pub(super) fn find(
        options: &PredictOptions,
        shape: ImageShape,
        names: &[String],
    ) -> Result<Self> {
        if let [one] = options.images.as_slice()
            && !one.exists()
            && let Some(name) = one.to_str()
            && let Ok(info) = DatasetInfo::find(name)
        {
            return of_dataset(info, options, shape, names.len());
        }
        let mut files = Vec::new();
        for path in &options.images {
            let before = files.len();
            gather(path, 0, &mut files)?;
            if files.len() == before {
                return Err(input(path, "has no image of a kind that is read"));
            }
        }
        let folders = class_folders(names);
        let class = |path: &Path| {
            let folder = path.parent()?.file_name()?.to_str()?;
            let position = |names: &[String]| names.iter().position(|name| name == folder);
            position(names).or_else(|| position(&folders))
        };
        let files = files.into_iter().map(|path| (class(&path), path));
        Ok(Self::Files {
            files: files.map(|(class, path)| (path, class)).collect(),
            fit: ImageFit::new(shape).with_resize(options.resize),
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Files { files, .. } => files.len(),
            Self::Dataset(dataset) => dataset.len(),
        }
    }

    pub(super) fn read(&self, part: Range<usize>) -> Result<Images> {
        match self {
            Self::Files { files, fit } => {
                let files = &files[part];
                let paths: Vec<&PathBuf> = files.iter().map(|(path, _)| path).collect();
                Ok(Images {
                    names: paths
                        .iter()
                        .map(|path| path.display().to_string())
                        .collect(),
                    labels: files.iter().map(|(_, label)| *label).collect(),
                    pixels: read_images(&paths, fit)?,
                })
            }
            Self::Dataset(dataset) => {
                let ids = part.filter_map(|id| u32::try_from(id).ok());
                let (mut names, mut labels, mut pixels) = (Vec::new(), Vec::new(), Vec::new());
                for id in ids {
                    names.push(format!("{} {} {id}", dataset.name(), dataset.split()));
                    labels.push(dataset.label(id).map(usize::from));
                    pixels.extend_from_slice(dataset.image(id).unwrap_or_default());
                }
                Ok(Images {
                    names,
                    labels,
                    pixels,
                })
            }
        }
    }
}

fn of_dataset(
    info: &DatasetInfo,
    options: &PredictOptions,
    shape: ImageShape,
    classes: usize,
) -> Result<Source> {
    let roots = DataRoots::from_env().with_explicit(options.place.data_dir.clone());
    let dataset = info.load(options.split, &roots)?;
    dataset.check_labelled()?;
    if (dataset.shape(), dataset.classes()) != (shape, classes) {
        return Err(Error::Shape {
            what: format!("data set `{}`", info.name),
            expected: format!("{classes} classes of images of {shape}, as the model has"),
            found: format!("{} of {}", dataset.classes(), dataset.shape()),
            remedy: "name a data set of the model's, or image files".into(),
        });
    }
    Ok(Source::Dataset(dataset))
}

/// Adds a file, or the images of a folder and of those below it, sorted.
pub(super) fn gather(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    const DEEPEST: usize = 16;
    if !path.exists() {
        return Err(input(
            path,
            "is not there; name image files, folders of images, or a data set",
        ));
    }
    if !path.is_dir() {
        if !path.is_file() {
            return Err(input(
                path,
                "is no file; name image files or folders of images",
            ));
        }
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(input(
            path,
            "lies too deep below the folder that was named; name it itself",
        ));
    }
    let entries = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut entries: Vec<PathBuf> = entries
        .collect::<std::io::Result<_>>()
        .map_err(Error::io("read", path))?;
    entries.sort();
    for entry in entries {
        let is_hidden = entry
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && (entry.is_dir() || is_image_path(&entry)) {
            gather(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn input(path: &Path, problem: &str) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}
