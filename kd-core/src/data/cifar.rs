//! The binary versions of CIFAR-10 and CIFAR-100.

use std::path::Path;

use crate::data::cifar_pickle;
use crate::data::dataset::Dataset;
use crate::data::published::Published;
use crate::data::shape::ImageShape;
use crate::data::split::Split;
use crate::data::stream::Stream;
use crate::error::Result;

/// The classes of CIFAR-10 in the order of their labels.
pub(super) const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Which of the two labels of a CIFAR-100 image is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CifarLabels {
    /// One of 100 classes.
    #[default]
    Fine,
    /// One of 20 superclasses.
    Coarse,
}

impl CifarLabels {
    /// The number of classes.
    pub fn classes(self) -> usize {
        match self {
            Self::Fine => 100,
            Self::Coarse => 20,
        }
    }
}

/// Reads CIFAR-10 from its binary batches, one after the other.
///
/// A record is one label byte and 1024 red, 1024 green and 1024 blue values, row by row. The format has
/// neither a count nor a checksum: a file that was cut between two records, or has a wrong pixel, looks
/// whole. [`DatasetInfo::load`] at least checks the count.
///
/// # Errors
///
/// [`DataMissing`] for a file that is not there; [`BadFile`] with the byte offset for an empty file, one
/// that is not a whole number of records, or a label that is not below 10.
///
/// # References
///
/// Krizhevsky, "Learning multiple layers of features from tiny images", technical report, 2009; the format is
/// described on the data set's page.
///
/// [`DataMissing`]: crate::Error::DataMissing
/// [`BadFile`]: crate::Error::BadFile
/// [`DatasetInfo::load`]: crate::DatasetInfo::load
pub fn read_cifar10<P: AsRef<Path>>(
    name: impl Into<String>,
    split: Split,
    files: impl IntoIterator<Item = P>,
) -> Result<Dataset> {
    let files = files.into_iter().map(|file| (file, Published::default()));
    read_published(Kind::Cifar10, name.into(), split, files)
}

/// Reads CIFAR-100 from a binary file or the Python version's, with its 100 fine or its 20 coarse labels.
///
/// A record is the coarse label, the fine label, and the pixels as in CIFAR-10. Both labels are checked,
/// whichever is used.
///
/// # Errors
///
/// As [`read_cifar10`], with labels below 20 and 100.
pub fn read_cifar100<P: AsRef<Path>>(
    name: impl Into<String>,
    split: Split,
    labels: CifarLabels,
    files: impl IntoIterator<Item = P>,
) -> Result<Dataset> {
    let files = files.into_iter().map(|file| (file, Published::default()));
    read_published(Kind::Cifar100(labels), name.into(), split, files)
}

/// Which of the two data sets is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Cifar10,
    Cifar100(CifarLabels),
}

/// [`read_cifar10`] or [`read_cifar100`] with the number of samples that each file should have.
pub(super) fn read_published<P: AsRef<Path>>(
    kind: Kind,
    name: String,
    split: Split,
    files: impl IntoIterator<Item = (P, Published)>,
) -> Result<Dataset> {
    let records = match kind {
        Kind::Cifar10 => Records {
            labels: &[10],
            wanted: 0,
        },
        Kind::Cifar100(labels) => Records {
            labels: &[20, 100],
            wanted: usize::from(labels == CifarLabels::Fine),
        },
    };
    records.read(name, split, files)
}

/// How records are laid out: the number of classes of each leading label byte, and which of them is wanted.
struct Records {
    labels: &'static [u8],
    wanted: usize,
}

const SHAPE: ImageShape = ImageShape {
    channels: 3,
    height: 32,
    width: 32,
};
const REMEDY: &str =
    "give the binary or the Python version of the data set as its archive has it, not Matlab's";

impl Records {
    fn read<P: AsRef<Path>>(
        &self,
        name: String,
        split: Split,
        files: impl IntoIterator<Item = (P, Published)>,
    ) -> Result<Dataset> {
        let streams = files
            .into_iter()
            .map(|(file, published)| {
                let path = file.as_ref();
                let stream = match cifar_pickle::records(path, self.labels.len())? {
                    Some(records) => Stream::of(path, records)?,
                    None => Stream::open(path)?,
                };
                Ok((stream, published))
            })
            .collect::<Result<Vec<_>>>()?;
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for (mut stream, published) in streams {
            let before = labels.len();
            while let Some(label) = self.next(&mut stream, &mut images)? {
                labels.push(u16::from(label));
            }
            if labels.len() == before {
                return Err(stream.bad_at(0, "the file is empty".into(), REMEDY));
            }
            published.check(stream.path(), stream.offset(), labels.len() - before)?;
        }
        let classes = usize::from(self.labels.get(self.wanted).copied().unwrap_or_default());
        Dataset::new(name, split, SHAPE, classes, images, labels)
    }

    /// Appends the pixels of the next record to `images` and gives its label; nothing at the end of the file.
    fn next(&self, stream: &mut Stream, images: &mut Vec<u8>) -> Result<Option<u8>> {
        let start = stream.offset();
        let size = self.labels.len() + SHAPE.bytes();
        let record = stream.up_to(size as u64)?;
        if record.is_empty() {
            return Ok(None);
        }
        if record.len() < size {
            let problem = format!(
                "the file ends {} bytes into a record of {size}",
                record.len()
            );
            return Err(stream.bad_at(
                stream.offset(),
                problem,
                "the file is truncated or of another kind: download it again",
            ));
        }
        let (found, pixels) = record.split_at(self.labels.len());
        if let Some(at) = found
            .iter()
            .zip(self.labels)
            .position(|(label, classes)| label >= classes)
        {
            let problem = format!(
                "label {} is not below {}, the number of classes",
                found[at], self.labels[at]
            );
            return Err(stream.bad_at(start + at as u64, problem, REMEDY));
        }
        images.extend_from_slice(pixels);
        Ok(found.get(self.wanted).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_label_wanted_is_the_one_read() {
        let mut record = vec![3, 77];
        record.resize(2 + SHAPE.bytes(), 5);
        let bytes: &'static [u8] = record.leak();
        for (labels, label) in [(CifarLabels::Coarse, 3), (CifarLabels::Fine, 77)] {
            let records = Records {
                labels: &[20, 100],
                wanted: usize::from(labels == CifarLabels::Fine),
            };
            let mut images = Vec::new();
            let mut stream = Stream::embedded("memory", bytes).unwrap();
            assert_eq!(records.next(&mut stream, &mut images).unwrap(), Some(label));
            assert_eq!(records.next(&mut stream, &mut images).unwrap(), None);
            assert_eq!(
                usize::from(records.labels[records.wanted]),
                labels.classes()
            );
            assert_eq!(images, [5; 3072]);
        }
    }

    #[test]
    fn an_empty_list_of_files_is_an_error() {
        let none: [&Path; 0] = [];
        assert!(matches!(
            read_cifar10("none", Split::Train, none),
            Err(Error::Config { .. })
        ));
    }
}
