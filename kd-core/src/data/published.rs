//! The published sizes of a data set's files.

use std::path::Path;

use crate::error::{Error, Result};

/// How many samples a file has as it was published, where that is known; nothing is checked where it is not.
///
/// A CIFAR file that is cut between two records, or an IDX file of another set, looks whole: only its number
/// of samples tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) samples: Option<usize>,
}

impl Published {
    /// Checks that `path`, whose count ends or is written at byte `offset`, has the samples that it was
    /// published with.
    pub(super) fn check(self, path: &Path, offset: u64, found: usize) -> Result<()> {
        match self.samples {
            Some(samples) if samples != found => Err(Error::BadFile {
                path: path.to_owned(),
                offset,
                problem: format!(
                    "the file has {found} samples, as it was published it has {samples}"
                ),
                remedy:
                    "it was cut off or changed, or belongs to another data set: download it again"
                        .into(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_checked() {
        let (path, any) = (Path::new("file"), Published::default());
        any.check(path, 0, 7).unwrap();
        let published = Published { samples: Some(8) };
        published.check(path, 0, 8).unwrap();
        let error = published.check(path, 42, 7).unwrap_err().to_string();
        assert_eq!(
            error,
            "`file`, byte 42: the file has 7 samples, as it was published it has 8; it was cut off or \
             changed, or \
             belongs to another data set: download it again"
        );
    }
}
