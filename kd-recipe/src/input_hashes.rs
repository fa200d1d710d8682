//! The inputs of a run by hash: the file `inputs.json` in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::{Error, Result, RunFolder};
use serde::{Deserialize, Serialize};

const FILE: &str = "inputs.json";

/// What a run is made from, by hash: it must be the same when the run goes on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputHashes {
    /// The SHA-256 of each input, by what an error calls it.
    pub(crate) sha256: BTreeMap<String, String>,
    /// The folder of data sets that was named.
    pub(crate) data_dir: Option<PathBuf>,
}

impl InputHashes {
    /// Those of a run that was begun.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = run.join(FILE);
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        serde_json::from_slice(&text).map_err(|error| Error::BadFile {
            path,
            offset: 0,
            problem: error.to_string(),
            remedy: "start the run again in a new folder".into(),
        })
    }

    /// Writes them into the folder of a run.
    pub(crate) fn write(&self, run: &RunFolder) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| Error::method(FILE, error))?;
        run.write(FILE, &json)
    }

    /// The first input that is another one now.
    pub(crate) fn changed<'a>(&'a self, now: &'a Self) -> Option<&'a str> {
        let names = self.sha256.keys().chain(now.sha256.keys());
        let mut names = names.map(String::as_str);
        names.find(|name| self.sha256.get(*name) != now.sha256.get(*name))
    }
}
