//! The settings of texts: columns of tables, and how texts become token ids.

use std::path::PathBuf;

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The table `[data.text]` of a recipe: what cannot be seen from the files.
///
/// A setting that is not given has the value of the teacher-class paper's code, which is Keras's for the
/// reviews of IMDB.
///
/// ```
/// let settings: kd_text::TextSettings = toml::from_str("length = 200\ncut = \"back\"").unwrap();
/// assert_eq!((settings.length(), settings.vocabulary(), settings.lower_case()), (200, 1000, true));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextSettings {
    /// Tokens of each text, the token of its start among them, 2 to 65,536; 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 2, max = 65_536), extend("x-unit" = "tokens")))]
    pub length: Option<usize>,
    /// The most ids of the vocabulary, 4 to 65,536; 1,000. The first three are for filling up, for the start
    /// of a text and for unknown words; the others are the most frequent words of the training split.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 4, max = 65_536), extend("x-unit" = "ids")))]
    pub vocabulary: Option<usize>,
    /// Whether upper case counts as lower case; true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_case: Option<bool>,
    /// The end at which short texts are filled up; the front.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<End>,
    /// The end at which long texts are cut; the front, so that their ends are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<End>,
    /// A model folder or a `tokenizer.json` whose tokenizer is taken in place of one that is learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// The column of a table with the labels; `label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// The column of a table with the texts; `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_column: Option<String>,
}

/// One end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// Its beginning.
    Front,
    /// Its end.
    Back,
}

/// Ids have 16 bits.
pub(crate) const MOST: usize = 1 << 16;

impl TextSettings {
    /// Tokens of each text.
    pub fn length(&self) -> usize {
        self.length.unwrap_or(500)
    }

    /// The most ids of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary.unwrap_or(1000)
    }

    /// Whether upper case counts as lower case.
    pub fn lower_case(&self) -> bool {
        self.lower_case.unwrap_or(true)
    }

    /// The end at which short texts are filled up.
    pub fn padding(&self) -> End {
        self.padding.unwrap_or(End::Front)
    }

    /// The end at which long texts are cut.
    pub fn cut(&self) -> End {
        self.cut.unwrap_or(End::Front)
    }

    pub(crate) fn label_column(&self) -> &str {
        self.label_column.as_deref().unwrap_or("label")
    }

    pub(crate) fn text_column(&self) -> &str {
        self.text_column.as_deref().unwrap_or("text")
    }

    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a length or vocabulary out of range, for one column that is both, and for
    /// settings of a tokenizer that is learnt where one is given.
    pub fn check(&self) -> Result<()> {
        let between = |field: &str, least: usize, found: usize| {
            if (least..=MOST).contains(&found) {
                return Ok(());
            }
            let problem = format!("must be {least} to {MOST}, got {found}");
            Err(Error::config(format!("text.{field}"), problem))
        };
        between("length", 2, self.length())?;
        between("vocabulary", 4, self.vocabulary())?;
        if self.label_column() == self.text_column() {
            let problem = format!(
                "must be another column than that of the texts, both are `{}`",
                self.text_column()
            );
            return Err(Error::config("text.label_column", problem));
        }
        let learnt = [
            ("length", self.length.is_some()),
            ("vocabulary", self.vocabulary.is_some()),
            ("lower_case", self.lower_case.is_some()),
            ("padding", self.padding.is_some()),
            ("cut", self.cut.is_some()),
        ];
        let given = learnt.into_iter().find(|(_, given)| *given);
        match (&self.tokenizer, given) {
            (Some(_), Some((field, _))) => {
                let problem = "is for a tokenizer that is learnt, and `text.tokenizer` names one, which has \
                               its own; remove one of the two";
                Err(Error::config(format!("text.{field}"), problem))
            }
            _ => Ok(()),
        }
    }
}
