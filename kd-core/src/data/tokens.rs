//! Texts as token ids, all of one length.

use std::fmt;

use crate::data::shape::ImageShape;
use crate::error::{Error, Result};

/// The token ids of every text of a data set.
///
/// All texts have one length: longer ones were cut and shorter ones filled up when they were made into ids.
///
/// ```
/// use kd_core::Tokens;
/// // Two texts of three tokens of a vocabulary of ten.
/// let tokens = Tokens::new(10, 3, vec![0, 7, 8, 1, 9, 2])?;
/// assert_eq!((tokens.vocabulary(), tokens.length()), (10, 3));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    vocabulary: usize,
    length: usize,
    ids: Vec<u16>,
}

/// Ids have 16 bits.
const MOST_IDS: usize = 1 << 16;

impl Tokens {
    /// Texts of `length` tokens each, one after the other: `[samples, length]`, every id below `vocabulary`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a vocabulary of 0 or more than 65,536 ids, a length of 0, or an id that is not
    /// in the vocabulary; [`Error::Shape`] if the ids are not whole texts.
    pub fn new(vocabulary: usize, length: usize, ids: Vec<u16>) -> Result<Self> {
        if !(1..=MOST_IDS).contains(&vocabulary) {
            let problem = format!("must be 1 to {MOST_IDS} ids, got {vocabulary}");
            return Err(Error::config("tokens: vocabulary", problem));
        }
        if length == 0 {
            return Err(Error::config("tokens: length", "must be at least 1, got 0"));
        }
        if !ids.len().is_multiple_of(length) {
            return Err(Error::Shape {
                what: "tokens".into(),
                expected: format!("texts of {length} ids each"),
                found: format!("{} ids", ids.len()),
                remedy: "fill up or cut every text to one length".into(),
            });
        }
        if let Some(at) = ids.iter().position(|&id| usize::from(id) >= vocabulary) {
            let problem = format!(
                "must be below {vocabulary} (the size of the vocabulary), got {} at place {} of text {}",
                ids[at],
                at % length,
                at / length
            );
            return Err(Error::config("tokens", problem));
        }
        Ok(Self {
            vocabulary,
            length,
            ids,
        })
    }

    /// The number of ids that there are; every id is below it.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The number of tokens of each text.
    pub fn length(&self) -> usize {
        self.length
    }

    /// All ids, `[samples, length]`.
    pub fn ids(&self) -> &[u16] {
        &self.ids
    }

    /// The number of texts.
    pub(super) fn samples(&self) -> usize {
        self.ids.len() / self.length
    }

    /// The size of a text written as an image of one channel an id, one row and one column a token.
    pub(super) fn shape(&self) -> ImageShape {
        ImageShape::new(self.vocabulary, 1, self.length)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("vocabulary", &self.vocabulary)
            .field("length", &self.length)
            .field("samples", &self.samples())
            .finish_non_exhaustive()
    }
}
