//! The classes and files of a split of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The classes of one split and what was passed over.
#[derive(Clone, Debug)]
pub(in crate::data) struct Listing {
    pub(in crate::data) path: PathBuf,
    pub(in crate::data) classes: Vec<Class>,
    pub(super) skipped: Vec<PathBuf>,
}

/// One class: its name and its files, sorted.
#[derive(Clone, Debug)]
pub(in crate::data) struct Class {
    pub(in crate::data) name: String,
    pub(in crate::data) files: Vec<PathBuf>,
}

const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff"];
/// Names of the folder with the samples to test on, the first that is there.
const HELD_OUT: [&str; 4] = ["test", "val", "valid", "validation"];
const LAYOUT: &str = "put the images of each class into a folder `train/CLASS` below it";
/// Labels have 16 bits.
const MOST_CLASSES: usize = 1 << 16;

impl Listing {
    /// The training split of the data set at `root`.
    pub(super) fn train(root: &Path) -> Result<Self> {
        if !root.exists() {
            return Err(input(
                root,
                "is not there; give the folder that has `train`",
            ));
        }
        if !root.is_dir() {
            return Err(input(
                root,
                "is no folder; give the folder that has `train`",
            ));
        }
        let path = root.join("train");
        if !path.is_dir() {
            let (folders, _) = entries(root)?;
            let names: Vec<_> = folders.iter().filter_map(|path| path.file_name()).collect();
            let names: Vec<_> = names
                .iter()
                .map(|name| format!("`{}`", name.display()))
                .collect();
            let found = match names.as_slice() {
                [] => String::new(),
                names => format!(", it has {}", shortened(names)),
            };
            return Err(input(
                root,
                format!("has no folder `train`{found}; {LAYOUT}"),
            ));
        }
        Self::read(path)?.checked(root)
    }

    /// The folders of classes directly in `root`, of a data set without a folder `train`.
    pub(super) fn whole(root: &Path) -> Result<Self> {
        if root.join("train").is_dir() || !root.is_dir() {
            return Self::train(root);
        }
        let listing = Self::read(root.to_owned())?;
        if listing.classes.is_empty() {
            return Err(input(
                root,
                "has no folder of images; put those of each class into one of its name",
            ));
        }
        listing.checked(root)
    }

    /// Refuses too few and too many classes.
    fn checked(self, root: &Path) -> Result<Self> {
        match self.classes.as_slice() {
            [] if root.join("trainannot").is_dir() => {
                let problem =
                    "has images with masks, no folder of each class; read it as `name = \"masks\"`";
                Err(input(root, problem))
            }
            [] => Err(input(root, format!("has no folder in `train`; {LAYOUT}"))),
            [one] => {
                let problem = format!(
                    "has one class only, `{}`; a classifier needs two, each a folder in {}",
                    one.name,
                    if self.path == root { "it" } else { "`train`" }
                );
                Err(input(root, problem))
            }
            classes if classes.len() > MOST_CLASSES => {
                let problem = format!(
                    "has {} classes, at most {MOST_CLASSES} can be told apart",
                    classes.len()
                );
                Err(input(root, problem))
            }
            _ => Ok(self),
        }
    }

    /// The held-out split of the data set at `root`, if it has one.
    pub(super) fn test(root: &Path, train: &Self) -> Result<Option<Self>> {
        let Some(path) = Self::test_folder(root) else {
            return Ok(None);
        };
        let names: Vec<&str> = train
            .classes
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        let origin = format!("`{}`", train.path.display());
        Self::in_classes(path, &names, &origin).map(Some)
    }

    /// The folder with the samples to test on, if there is one.
    fn test_folder(root: &Path) -> Option<PathBuf> {
        let mut paths = HELD_OUT.iter().map(|name| root.join(name));
        paths.find(|path| path.is_dir())
    }

    /// The samples to test on below `root`, or in it, of classes that are known by name.
    pub(super) fn test_alone(root: &Path, classes: &[&str]) -> Result<Self> {
        if !root.is_dir() {
            return Err(input(
                root,
                "is not there, or no folder; give one with images",
            ));
        }
        let path = Self::test_folder(root).unwrap_or_else(|| root.to_owned());
        Self::in_classes(path, classes, "the model")
    }

    /// The samples of a split in the order of `classes`, of which some may have none.
    fn in_classes(path: PathBuf, classes: &[&str], origin: &str) -> Result<Self> {
        let mut test = Self::read_with(path, true)?;
        let unknown = |class: &&Class| !classes.contains(&class.name.as_str());
        if let Some(class) = test.classes.iter().find(unknown) {
            let problem = format!("is no class of {origin}; move it there as well, or remove it");
            return Err(input(&test.path.join(&class.name), problem));
        }
        if test.samples() == 0 {
            return Err(input(&test.path, format!("has no images; {LAYOUT}")));
        }
        let of_class = |name: &&str| {
            let found = test.classes.iter().find(|class| class.name == **name);
            let files = found.map(|class| class.files.clone()).unwrap_or_default();
            Class {
                name: (*name).to_owned(),
                files,
            }
        };
        test.classes = classes.iter().map(of_class).collect();
        Ok(test)
    }

    /// The number of images.
    pub(in crate::data) fn samples(&self) -> usize {
        self.classes.iter().map(|class| class.files.len()).sum()
    }

    /// The classes of the folder `path`.
    pub(in crate::data) fn read(path: PathBuf) -> Result<Self> {
        Self::read_with(path, false)
    }

    /// The classes below `path`, of which some may be empty.
    fn read_with(path: PathBuf, may_be_empty: bool) -> Result<Self> {
        let (folders, mut skipped) = entries(&path)?;
        let mut classes = Vec::with_capacity(folders.len());
        for folder in folders {
            if is_hidden(&folder) {
                skipped.push(folder);
                continue;
            }
            let name = folder.file_name().unwrap_or_default();
            let Some(name) = name.to_str().map(str::to_owned) else {
                let problem = "is not UTF-8, so that it cannot be the name of a class; use another";
                return Err(input(&folder, problem));
            };
            let (inner, files) = entries(&folder)?;
            let (files, others): (Vec<_>, Vec<_>) =
                files.into_iter().partition(|file| is_image(file));
            if files.is_empty() && !(may_be_empty && inner.len() + others.len() == 0) {
                let others = match inner.len() + others.len() {
                    0 => String::new(),
                    n => format!("; of the {n} entries in it none is one"),
                };
                let problem = format!(
                    "has no image; put files of the kinds {} directly into it, or remove it{others}",
                    EXTENSIONS.join(", ")
                );
                return Err(input(&folder, problem));
            }
            skipped.extend(inner.into_iter().chain(others));
            classes.push(Class { name, files });
        }
        skipped.sort();
        Ok(Self {
            path,
            classes,
            skipped,
        })
    }
}

/// The folders and the other entries of `folder`, each sorted by name.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::io("read", folder))?;
    all.sort();
    Ok(all.into_iter().partition(|path| path.is_dir()))
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

pub(super) fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    !is_hidden(path)
        && EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The first few of a list.
fn shortened(names: &[String]) -> String {
    match names {
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", names.len() - 3)
        }
        few => few.join(", "),
    }
}

fn input(path: &Path, problem: impl Into<String>) -> Error {
    Error::Input {
        path: path.to_owned(),
        problem: problem.into(),
    }
}
