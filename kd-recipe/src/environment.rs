//! The environment of a run: the machine and the build that it was computed by, in the file
//! `environment.json` of its folder.

use std::num::NonZero;
use std::path::Path;

use kd_core::{Error, Result, RunFolder, meminfo};
use serde::{Deserialize, Serialize};

const FILE: &str = "environment.json";

/// A machine and a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// The version of kd.
    pub kd: String,
    /// The operating system and the kind of processor.
    pub system: String,
    /// The processor by its maker's name, where the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Cores that the process may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<usize>,
    /// Threads that were asked for, where that is another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// The vector instructions of the kernels.
    pub instructions: String,
    /// The memory of the machine, where the system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The device of the run: `cpu`, `cuda:0`, ...
    pub device: String,
}

impl Environment {
    /// That of this process, for a run on `device`.
    pub(crate) fn here(device: &str, threads: Option<usize>) -> Self {
        Self {
            kd: env!("CARGO_PKG_VERSION").into(),
            system: system(),
            processor: processor(),
            cores: std::thread::available_parallelism().ok().map(NonZero::get),
            threads,
            instructions: kd_kernels::instruction_set().into(),
            memory_bytes: meminfo("MemTotal:"),
            device: device.into(),
        }
    }

    /// Those of a run, in the order of its sessions; none of one that has never been begun, or by an earlier
    /// version.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read, [`Error::BadFile`] if it is damaged.
    pub fn read(run: &Path) -> Result<Vec<Self>> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        serde_json::from_slice(&text).map_err(|error| Error::BadFile {
            path,
            offset: 0,
            problem: format!("is no list of environments: {error}"),
            remedy: "remove it; a run goes on without it".into(),
        })
    }

    /// Adds it to those of a run, unless the last session had the same. A list that cannot be read is begun
    /// anew: nothing is computed by it.
    pub(crate) fn note(self, run: &RunFolder) -> Result<()> {
        let mut all = Self::read(run.path()).unwrap_or_default();
        if all.last() == Some(&self) {
            return Ok(());
        }
        all.push(self);
        let text = serde_json::to_vec_pretty(&all);
        let text = text.map_err(|error| Error::method(FILE, error))?;
        run.write(FILE, &text)
    }

    /// Names and values, as a page shows them.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("kd", self.kd.clone()), ("system", self.system.clone())];
        facts.extend(self.processor.clone().map(|name| ("processor", name)));
        if let Some(cores) = self.cores {
            let threads = self.threads.filter(|&threads| threads != cores);
            let threads = threads.map(|threads| format!(", {threads} threads asked for"));
            facts.push(("cores", format!("{cores}{}", threads.unwrap_or_default())));
        }
        facts.push(("vector instructions", self.instructions.clone()));
        if let Some(bytes) = self.memory_bytes {
            let gibibytes = bytes as f64 / f64::from(1 << 30);
            facts.push(("memory", format!("{gibibytes:.1} GiB")));
        }
        facts.push(("device", self.device.clone()));
        facts
    }
}

/// The system by its own name, where it says it, and the kind of processor.
fn system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let name = name.map_or(std::env::consts::OS, |name| name.trim_matches('"'));
    format!("{name}, {}", std::env::consts::ARCH)
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let (_, name) = line.split_once(':')?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_on_other_machines_are_kept_and_the_same_one_once() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&place.path().join("run")).unwrap();
        assert_eq!(Environment::read(run.path()).unwrap(), []);
        let here = Environment::here("cpu", None);
        let other = Environment {
            cores: Some(1),
            threads: Some(4),
            ..here.clone()
        };
        for session in [&here, &here, &other, &here] {
            session.clone().note(&run).unwrap();
        }
        let all = Environment::read(run.path()).unwrap();
        assert_eq!(all, [here.clone(), other.clone(), here]);
        let cores = ("cores", "1, 4 threads asked for".to_owned());
        assert!(other.facts().contains(&cores));
    }

    #[test]
    fn a_damaged_list_is_named_and_begun_anew() {
        let place = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&place.path().join("run")).unwrap();
        run.write(FILE, b"[{").unwrap();
        let error = Environment::read(run.path()).unwrap_err().to_string();
        assert!(error.contains(FILE), "{error}");
        Environment::here("cpu", None).note(&run).unwrap();
        assert_eq!(Environment::read(run.path()).unwrap().len(), 1);
    }
}
