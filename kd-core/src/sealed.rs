//! JSON files with a hash of themselves, so that a byte that was changed is noticed.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::network::tensors::hex;

/// The key of the hash, which is the last of its object.
const KEY: &str = ",\n  \"seal\": \"";

/// The end of the object behind the hash.
const END: &str = "\"\n}";

/// `value`, an object, as JSON of several lines whose last field, `seal`, is the SHA-256 of the text before
/// it.
///
/// # Errors
///
/// [`Error::Method`] if the value cannot be written as JSON.
pub fn to_sealed_json<T: Serialize>(file: &str, value: &T) -> Result<Vec<u8>> {
    let json = serde_json::to_string_pretty(value).map_err(|error| Error::method(file, error))?;
    let Some(body) = json.strip_suffix("\n}") else {
        return Ok(json.into_bytes());
    };
    let seal = hex(&Sha256::digest(body.as_bytes()));
    Ok(format!("{body}{KEY}{seal}{END}").into_bytes())
}

/// Reads what [`to_sealed_json`] wrote. A file without a seal, as they were before, is taken as it is.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::BadFile`] if it is no such JSON or was changed.
pub fn from_sealed_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bad = |problem: String| Error::BadFile {
        path: path.to_owned(),
        offset: 0,
        problem,
        remedy: "restore it, or start the run again in a new folder".into(),
    };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let sealed = text
        .rfind(KEY)
        .map(|at| (&text[..at], &text[at + KEY.len()..]));
    let Some((body, rest)) = sealed else {
        return serde_json::from_str(&text).map_err(|error| bad(error.to_string()));
    };
    let seal = rest.strip_suffix(END);
    if seal != Some(hex(&Sha256::digest(body.as_bytes())).as_str()) {
        return Err(bad(
            "was changed: its content does not fit its `seal`".into()
        ));
    }
    serde_json::from_str(&format!("{body}\n}}")).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Table = BTreeMap<String, BTreeMap<String, u32>>;

    #[test]
    fn every_changed_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counters.json");
        let inner = BTreeMap::from([("step".to_owned(), 17), ("seal".to_owned(), 3)]);
        let table: Table = BTreeMap::from([("phase".to_owned(), inner)]);
        let bytes = to_sealed_json("counters.json", &table).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(from_sealed_json::<Table>(&path).unwrap(), table);
        for at in 0..bytes.len() {
            for bit in [1, 0x20] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                std::fs::write(&path, &changed).unwrap();
                let error = from_sealed_json::<Table>(&path).unwrap_err().to_string();
                assert!(error.contains("counters.json"), "{at}: {error}");
            }
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(from_sealed_json::<Table>(&path).is_err());
    }

    #[test]
    fn files_without_a_seal_are_read_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.json");
        std::fs::write(&path, "{\"phase\": {}}").unwrap();
        let read: Table = from_sealed_json(&path).unwrap();
        assert_eq!(read.len(), 1);
    }
}
