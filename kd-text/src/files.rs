//! Labelled texts of one's own, or of a known data set, as data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use kd_core::{
    DataFiles, DataRoots, DataSource, Dataset, Error, ImageShape, Preprocessing, Result,
    SampleKind, Split, TokenizerFile, Tokens,
};

use crate::encoder::Encoder;
use crate::folders::{find_folder, has_images, has_texts, read_folder};
use crate::known::KnownText;
use crate::lines::input;
use crate::settings::TextSettings;
use crate::table::{Labelled, find_table, is_table, read_table};

/// Texts with a class each, read and ready to be made into token ids.
///
/// ```text
/// path/train.tsv  path/test.tsv        tab-separated, the first line names the columns; or .csv; or with .gz
/// path/train/CLASS/*.txt  path/test/CLASS/*.txt      a folder a class, one file a text
/// path                                 one table, from which a part is held out
/// ```
///
/// `validation` beside `train` and `test` is understood as well. The classes are those of the training split
/// in the order of their names, as numbers where all are. The vocabulary is learnt from the whole training
/// split, never from another, whatever part of it is trained on, so that runs on parts can be compared.
///
/// Clones share what was read.
///
/// ```
/// use kd_core::{DataFiles, Split};
/// use kd_text::{TextFiles, TextSettings};
/// let folder = tempfile::tempdir().unwrap();
/// let table = "label\ttext\ngood\tA fine film.\nbad\tA dull film.\n";
/// std::fs::write(folder.path().join("train.tsv"), table).unwrap();
/// let settings: TextSettings = toml::from_str("length = 5").unwrap();
/// let texts = TextFiles::open(folder.path(), &settings, None)?;
/// assert_eq!(texts.class_names(), ["bad", "good"]);
/// // "a" and "film" have the ids 3 and 4, "dull" 5, "fine" 6.
/// let train = texts.load(Split::Train)?;
/// assert_eq!((train.label(0), train.text(0)), (Some(1), Some(&[0, 1, 3, 6, 4][..])));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextFiles {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    path: PathBuf,
    class_names: Vec<String>,
    encoder: Encoder,
    known: Option<&'static KnownText>,
    parts: Vec<Part>,
}

/// A split.
#[derive(Debug)]
struct Part {
    split: Split,
    texts: Vec<String>,
    labels: Vec<u16>,
    made: OnceLock<Dataset>,
}

/// Labels have 16 bits.
const MOST_CLASSES: usize = 1 << 16;

impl TextFiles {
    /// Reads the texts at `path` and learns their vocabulary, or makes ids of them with `tokenizer`: that of
    /// a model that is to be measured on them.
    ///
    /// # Errors
    ///
    /// As [`TextSettings::check`]; [`Error::Input`] naming the file, and the line where there is one, for
    /// what cannot be read as labelled texts: no training split, not UTF-8, no column names, a column that
    /// is missing, an empty line or text, one class, a class that the training split does not have.
    pub fn open(
        path: impl AsRef<Path>,
        settings: &TextSettings,
        tokenizer: Option<&TokenizerFile>,
    ) -> Result<Self> {
        let path = path.as_ref();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::read(name, path, None, settings, tokenizer)
    }

    /// Whether labelled texts lie at `path`: a table by its ending, or a folder with a table or with folders
    /// of texts to train on, and without images, beside which lists and notes often lie. Nothing is read.
    pub fn are_at(path: &Path) -> bool {
        if path.is_file() {
            return is_table(path);
        }
        let has_table = find_table(path, Split::Train).is_some();
        let has_folders = || find_folder(path, Split::Train).is_some_and(|at| has_texts(&at));
        (has_table || has_folders()) && !has_images(path)
    }

    /// As [`TextFiles::open`], of a data set that is known by name.
    ///
    /// # Errors
    ///
    /// As [`KnownText::locate`] and [`TextFiles::open`]; [`Error::Input`] for other numbers of texts than
    /// were published.
    pub fn known(
        known: &'static KnownText,
        roots: &DataRoots,
        settings: &TextSettings,
        tokenizer: Option<&TokenizerFile>,
    ) -> Result<Self> {
        let path = known.locate(roots)?;
        let read = Self::read(
            known.name.to_owned(),
            &path,
            Some(known),
            settings,
            tokenizer,
        )?;
        for (split, published) in [(Split::Train, known.train), (Split::Test, known.test)] {
            let found = read.samples(split).unwrap_or_default();
            if found != published {
                let problem = format!(
                    "has the wrong number of {split} texts, {found} in place of the {published} that were \
                     published; download the data set again, or read a part of it as data of your own: \
                     `name = \"text\"` with its `path`"
                );
                return Err(input(&path, problem));
            }
        }
        Ok(read)
    }

    fn read(
        name: String,
        path: &Path,
        known: Option<&'static KnownText>,
        settings: &TextSettings,
        tokenizer: Option<&TokenizerFile>,
    ) -> Result<Self> {
        settings.check()?;
        let folders = known.map(|known| &known.labels[..]);
        let train =
            labelled(path, Split::Train, folders, settings)?.ok_or_else(|| missing(path))?;
        let classes = match known {
            Some(known) => known.labels.map(str::to_owned).to_vec(),
            None => classes(&train)?,
        };
        let encoder = match (tokenizer, &settings.tokenizer) {
            (Some(file), _) => Encoder::new(file)?,
            (None, Some(path)) => Encoder::open(path)?,
            (None, None) => Encoder::learn(&train.texts, settings)?,
        };
        let mut parts = vec![Part::new(Split::Train, train, &classes)?];
        for split in [Split::Validation, Split::Test] {
            if let Some(found) = labelled(path, split, folders, settings)? {
                parts.push(Part::new(split, found, &classes)?);
            }
        }
        let class_names = match known {
            Some(known) => known.class_names.map(str::to_owned).to_vec(),
            None => classes,
        };
        let shared = Shared {
            name,
            path: path.to_owned(),
            class_names,
            encoder,
            known,
            parts,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The file or folder that was read.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The tokenizer.
    pub fn encoder(&self) -> &Encoder {
        &self.shared.encoder
    }

    /// What is known of the data set, if it goes by name.
    pub fn info(&self) -> Option<&'static KnownText> {
        self.shared.known
    }

    /// The texts of a split in the order of the samples, if it is there.
    pub fn texts(&self, split: Split) -> Option<&[String]> {
        self.part(split).map(|part| part.texts.as_slice())
    }

    fn part(&self, split: Split) -> Option<&Part> {
        self.shared.parts.iter().find(|part| part.split == split)
    }
}

impl Part {
    /// A split whose labels are among `classes`.
    fn new(split: Split, found: Labelled, classes: &[String]) -> Result<Self> {
        let Labelled {
            path,
            texts,
            labels,
        } = found;
        let number = |(label, line): &(String, usize)| {
            let place = classes.iter().position(|class| class == label);
            place.and_then(|place| u16::try_from(place).ok()).ok_or_else(|| {
                let place = match line {
                    0 => String::new(),
                    line => format!(" in line {line}"),
                };
                let problem = format!(
                    "has the class `{label}`{place}, which the training split does not have; its classes \
                     are {}",
                    listed(classes)
                );
                input(&path, problem)
            })
        };
        let labels = labels.iter().map(number).collect::<Result<_>>()?;
        Ok(Self {
            split,
            texts,
            labels,
            made: OnceLock::new(),
        })
    }
}

impl DataFiles for TextFiles {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn kind(&self) -> SampleKind {
        SampleKind::Texts
    }

    fn shape(&self) -> ImageShape {
        let encoder = self.encoder();
        ImageShape::new(encoder.vocabulary(), 1, encoder.length())
    }

    fn class_names(&self) -> &[String] {
        &self.shared.class_names
    }

    fn samples(&self, split: Split) -> Option<usize> {
        self.part(split).map(|part| part.texts.len())
    }

    fn load(&self, split: Split) -> Result<Dataset> {
        let part = self.part(split).ok_or_else(|| {
            let problem = format!("has no {split} split with texts");
            input(self.path(), problem)
        })?;
        if let Some(made) = part.made.get() {
            return Ok(made.clone());
        }
        let encoder = self.encoder();
        let tokens = Tokens::new(
            encoder.vocabulary(),
            encoder.length(),
            encoder.ids(&part.texts)?,
        )?;
        let classes = self.class_names();
        let made = Dataset::texts(
            self.name(),
            split,
            classes.len(),
            tokens,
            part.labels.clone(),
        )?
        .with_class_names(classes.iter().cloned())?;
        Ok(part.made.get_or_init(|| made).clone())
    }

    fn preprocessing(&self) -> Preprocessing {
        Preprocessing::Text(self.encoder().file().clone())
    }
}

impl From<TextFiles> for DataSource {
    fn from(files: TextFiles) -> Self {
        Self::Files(Arc::new(files))
    }
}

/// The texts of a split below `path`, if it is there.
fn labelled(
    path: &Path,
    split: Split,
    classes: Option<&[&str]>,
    settings: &TextSettings,
) -> Result<Option<Labelled>> {
    if path.is_file() {
        let whole = (split == Split::Train).then(|| read_table(path, settings));
        return whole.transpose();
    }
    if let Some(table) = find_table(path, split) {
        return read_table(&table, settings).map(Some);
    }
    let folder = find_folder(path, split);
    folder
        .map(|folder| read_folder(&folder, classes))
        .transpose()
}

/// The error that there is no training split.
fn missing(path: &Path) -> Error {
    let problem = if path.exists() {
        "has no training split; put `train.tsv` or `train.csv` with a line of column names there, or folders \
         `train/CLASS` with a file `.txt` for each text"
    } else {
        "is not there; give a table of labelled texts, or the folder that has `train.tsv`, `train.csv` or \
         `train/CLASS`"
    };
    input(path, problem)
}

/// The classes of the training split in their order: as numbers where all are, else as words.
fn classes(train: &Labelled) -> Result<Vec<String>> {
    let distinct: BTreeSet<&str> = train
        .labels
        .iter()
        .map(|(label, _)| label.as_str())
        .collect();
    let mut classes: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or_default());
    }
    match classes.as_slice() {
        [one] => {
            let problem = format!("has one class only, `{one}`; a classifier needs two");
            Err(input(&train.path, problem))
        }
        all if all.len() > MOST_CLASSES => {
            let problem = format!(
                "has {} classes, at most {MOST_CLASSES} can be told apart",
                all.len()
            );
            Err(input(&train.path, problem))
        }
        _ => Ok(classes),
    }
}

/// The first few classes for an error.
fn listed(classes: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = classes.iter().take(SHOWN).map(|class| format!("`{class}`"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if classes.len() > SHOWN { ", ..." } else { "" };
    format!("{shown}{more}")
}
