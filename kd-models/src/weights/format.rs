//! The kinds of weight files, told by their first bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use kd_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::model_config::CONFIG_FILE;
use crate::model_folder::WEIGHTS_FILE;

/// The kinds of weight files that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeightFormat {
    /// A folder with `model.safetensors` and `config.json`.
    ModelFolder,
    /// A safetensors file.
    Safetensors,
    /// A folder of Hugging Face's with `model.safetensors` and a `config.json` of its own.
    SafetensorsFolder,
    /// A folder with several safetensors files and the list of what is in which.
    Sharded,
    /// A file of `torch.save` as it is since PyTorch 1.6.
    PytorchZip,
    /// A file of `torch.save` as it was before PyTorch 1.6.
    PytorchLegacy,
}

/// The list of the files of a folder, and of what is in which.
pub(super) const INDEX_FILE: &str = "model.safetensors.index.json";

impl std::fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ModelFolder => "model folder",
            Self::Safetensors => "safetensors",
            Self::SafetensorsFolder => "Hugging Face folder",
            Self::Sharded => "safetensors in several files",
            Self::PytorchZip => "PyTorch archive",
            Self::PytorchLegacy => "PyTorch file of before version 1.6",
        })
    }
}

impl WeightFormat {
    /// The kind and the length in bytes of the file at `path`, by its content.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::Input`] if it is of no kind that is read here.
    pub(super) fn detect(path: &Path) -> Result<(Self, u64)> {
        let about = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if about.is_dir() {
            return detect_folder(path).map(|format| (format, 0));
        }
        if !about.is_file() {
            return Err(Error::Input {
                path: path.to_owned(),
                problem:
                    "is a pipe or a device and no file; write its bytes to a file and give that"
                        .into(),
            });
        }
        let length = about.len();
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let mut head = Vec::new();
        file.by_ref()
            .take(512)
            .read_to_end(&mut head)
            .map_err(Error::io("read", path))?;
        Self::of_bytes(&head, length)
            .map(|format| (format, length))
            .map_err(|problem| Error::Input {
                path: path.to_owned(),
                problem,
            })
    }

    /// By the first bytes of a file of `length` bytes.
    fn of_bytes(head: &[u8], length: u64) -> Result<Self, String> {
        let known = "give a .safetensors file, a state dictionary written by `torch.save`, or a model folder";
        if head.is_empty() {
            return Err(format!("is empty; {known}"));
        }
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return Ok(Self::PytorchZip);
        }
        if head.starts_with(&[0x80]) && matches!(head.get(1), Some(0..=9)) {
            return Ok(Self::PytorchLegacy);
        }
        if let Some((size, rest)) = head.split_first_chunk::<8>() {
            let size = u64::from_le_bytes(*size);
            if rest.first() == Some(&b'{') && size <= length {
                return Ok(Self::Safetensors);
            }
        }
        let other = if head.get(257..262) == Some(b"ustar") {
            "is a tar archive, as PyTorch wrote before version 0.1.2; load it in PyTorch and save it again"
        } else if head.starts_with(b"\x89HDF") {
            "is an HDF5 file (Keras), whose layouts are others"
        } else if head.starts_with(&[0x1f, 0x8b]) {
            "is compressed with gzip; unpack it first"
        } else if head.starts_with(b"GGUF") {
            "is a GGUF file"
        } else if head.starts_with(b"\x93NUMPY") {
            "is a NumPy array"
        } else if head.starts_with(b"version https://git-lfs") {
            "is a Git LFS pointer and not the file itself; fetch it with `git lfs pull`"
        } else if head.trim_ascii_start().starts_with(b"<") {
            "is a web page and not the file itself; download it again"
        } else {
            "is no weight file of a kind that is known here, or its first bytes are damaged"
        };
        Err(format!("{other}; {known}"))
    }

    /// Whether a file of this kind can hold several state dictionaries.
    pub(super) fn has_keys(self) -> bool {
        matches!(self, Self::PytorchZip | Self::PytorchLegacy)
    }
}

fn detect_folder(path: &Path) -> Result<WeightFormat> {
    let has = |file: &str| path.join(file).is_file();
    if has(INDEX_FILE) {
        return Ok(WeightFormat::Sharded);
    }
    if has(CONFIG_FILE) && has(WEIGHTS_FILE) {
        return Ok(if is_own(&path.join(CONFIG_FILE)) {
            WeightFormat::ModelFolder
        } else {
            WeightFormat::SafetensorsFolder
        });
    }
    let missing = if has(CONFIG_FILE) {
        WEIGHTS_FILE
    } else {
        CONFIG_FILE
    };
    Err(Error::Input {
        path: path.to_owned(),
        problem: format!(
            "is a folder without `{missing}`, and so no model folder; give a model folder, or a weight file \
             itself"
        ),
    })
}

/// Whether a `config.json` is not known to be of another library: Hugging Face's say their `architectures` or
/// `model_type`, timm's their `architecture`.
fn is_own(config: &Path) -> bool {
    let text = std::fs::read(config).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let others = [
        "architectures",
        "architecture",
        "model_type",
        "transformers_version",
    ];
    config.get("network").is_some() || !others.iter().any(|key| config.get(*key).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_kinds_of_files_are_named() {
        let tar = [&[b'a'; 257][..], b"ustar\0", &[0; 200]].concat();
        for (head, expected) in [
            (&b""[..], "is empty"),
            (&tar, "is a tar archive"),
            (b"\x89HDF\r\n\x1a\n", "Keras"),
            (b"\x1f\x8b\x08\x00", "gzip"),
            (b"\x93NUMPY\x01\x00", "NumPy"),
            (
                b"version https://git-lfs.github.com/spec/v1",
                "git lfs pull",
            ),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"hello, this is no weights", "no weight file"),
        ] {
            let problem = WeightFormat::of_bytes(head, 1000).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
            assert!(problem.contains("give a .safetensors file"), "{problem}");
        }
    }

    #[test]
    fn a_header_longer_than_the_file_is_not_safetensors() {
        let head = [&1001_u64.to_le_bytes()[..], b"{"].concat();
        assert!(WeightFormat::of_bytes(&head, 1000).is_err());
        assert_eq!(
            WeightFormat::of_bytes(&head, 2000),
            Ok(WeightFormat::Safetensors)
        );
    }
}
