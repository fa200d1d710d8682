//! The file of a tokenizer: what makes the ids of a text network of texts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::network::tensors::hex;

/// The file `tokenizer.json` of a text network, with its hash.
///
/// The format is that of the Hugging Face libraries: normaliser, division into words, vocabulary, length,
/// padding and cutting. This crate keeps, compares and hands on the text of the file; what makes ids of texts
/// by it is kd-text, or any library that reads the format.
///
/// In `config.json` it is the hash alone; the file lies beside it. Two are equal if their hashes are.
///
/// ```
/// use kd_core::TokenizerFile;
/// let file = TokenizerFile::new(r#"{"version":"1.0"}"#);
/// assert_eq!(file.sha256().len(), 64);
/// assert_eq!(file.json(), Some(r#"{"version":"1.0"}"#));
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFile {
    tokenizer_sha256: String,
    #[serde(skip)]
    json: Option<Arc<str>>,
}

impl TokenizerFile {
    /// The file with this text.
    pub fn new(json: impl Into<Arc<str>>) -> Self {
        let json = json.into();
        Self {
            tokenizer_sha256: hex(&Sha256::digest(json.as_bytes())),
            json: Some(json),
        }
    }

    /// The SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.tokenizer_sha256
    }

    /// The text of the file; none where only its hash was read.
    pub fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }
}

impl PartialEq for TokenizerFile {
    fn eq(&self, other: &Self) -> bool {
        self.tokenizer_sha256 == other.tokenizer_sha256
    }
}

impl Eq for TokenizerFile {}

impl fmt::Debug for TokenizerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenizerFile")
            .field("sha256", &self.tokenizer_sha256)
            .finish_non_exhaustive()
    }
}
