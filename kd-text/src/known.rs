//! Data sets of texts that are known by name.

use std::path::PathBuf;

use kd_core::{DataRoots, Error, Result};
use serde::Serialize;

/// A data set of texts that is known by name.
///
/// ```
/// let imdb = kd_text::KnownText::find("imdb").unwrap();
/// assert_eq!((imdb.train, imdb.class_names), (25_000, &["negative", "positive"]));
/// assert!(kd_text::KnownText::find("mnist").is_none());
/// ```
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct KnownText {
    /// The name to ask for.
    pub name: &'static str,
    /// The names of the classes in label order.
    pub class_names: &'static [&'static str; 2],
    /// Training samples of the published set.
    pub train: usize,
    /// Test samples of the published set.
    pub test: usize,
    /// Where its files come from.
    pub source: &'static str,
    /// Under which terms.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// The folder below a data root.
    #[serde(skip)]
    folder: &'static str,
    /// What must be in it.
    #[serde(skip)]
    part: &'static str,
    /// What its files call the classes, in label order.
    #[serde(skip)]
    pub(crate) labels: &'static [&'static str; 2],
}

const IMDB: KnownText = KnownText {
    name: "imdb",
    class_names: &["negative", "positive"],
    train: 25_000,
    test: 25_000,
    source: "https://ai.stanford.edu/~amaas/data/sentiment/ (aclImdb_v1.tar.gz)",
    licence: "none stated; reviews belong to their writers; research use, cite",
    citation: "Maas, Daly, Pham, Huang, Ng, Potts, \"Learning word vectors for sentiment analysis\", \
               ACL 2011",
    folder: "aclImdb",
    part: "train/pos",
    labels: &["neg", "pos"],
};

/// The first reviews of each class in the order of the SHA-256 of `imdb:SPLIT/CLASS/FILE`, those with a text
/// that came before, or that the training split has, passed over.
const IMDB_SUBSET: KnownText = KnownText {
    name: "imdb-subset",
    train: 10_000,
    test: 4_000,
    source: "a balanced part of IMDB, tables of `label` and `text`: `imdb/train.tsv.gz`, `imdb/test.tsv.gz`",
    folder: "imdb",
    part: "train.tsv.gz",
    labels: &["0", "1"],
    ..IMDB
};

impl KnownText {
    /// All of them.
    pub fn all() -> &'static [Self] {
        &[IMDB, IMDB_SUBSET]
    }

    /// The one of this name, in any case and with underscores for hyphens.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = name.to_lowercase().replace('_', "-");
        Self::all().iter().find(|known| known.name == name)
    }

    /// Its folder below the first of `roots` that has it.
    ///
    /// # Errors
    ///
    /// [`Error::DataMissing`] with the folders that were searched and where the files come from.
    pub fn locate(&self, roots: &DataRoots) -> Result<PathBuf> {
        let mut looked_in = Vec::new();
        for root in roots.folders() {
            let folder = root.join(self.folder);
            if folder.join(self.part).exists() {
                return Ok(folder);
            }
            looked_in.push(format!("`{}`", root.display()));
        }
        Err(Error::DataMissing {
            name: self.name.to_owned(),
            missing: format!("`{}/{}`", self.folder, self.part),
            looked_in: if looked_in.is_empty() {
                "any folder".to_owned()
            } else {
                looked_in.join(", ")
            },
            remedy: format!(
                "get them from {}, unpack them below one folder, and name it in `KD_DATA`",
                self.source
            ),
        })
    }
}
