//! The folders that data sets are searched in.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folders that hold data sets, each laid out as the original archives unpack to.
///
/// They are searched in the order of the fields.
///
/// ```
/// use kd_core::DataRoots;
/// let roots = DataRoots { explicit: Some("my/data".into()), ..DataRoots::default() };
/// assert_eq!(roots.folders().count(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataRoots {
    /// The folder that was named for this run.
    pub explicit: Option<PathBuf>,
    /// What the environment variable `KD_DATA` names.
    pub env: Option<PathBuf>,
    /// The user's cache folder for kd.
    pub cache: Option<PathBuf>,
}

impl DataRoots {
    /// `KD_DATA` and the user's cache folder, as the environment of this process has them.
    ///
    /// The cache folder is `$XDG_CACHE_HOME/kd`, or else `~/.cache/kd`; on macOS `~/Library/Caches/kd`, on
    /// Windows `%LOCALAPPDATA%\kd`.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// The same, with `folder` searched first if there is one.
    #[must_use]
    pub fn with_explicit(mut self, folder: Option<PathBuf>) -> Self {
        self.explicit = folder;
        self
    }

    /// The folders, in the order in which they are searched.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        [&self.explicit, &self.env, &self.cache]
            .into_iter()
            .filter_map(Option::as_deref)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let folder = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        // The XDG specification has relative paths ignored.
        let caches = folder("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| {
                if cfg!(windows) {
                    folder("LOCALAPPDATA")
                } else if cfg!(target_os = "macos") {
                    folder("HOME").map(|home| home.join("Library").join("Caches"))
                } else {
                    folder("HOME").map(|home| home.join(".cache"))
                }
            });
        Self {
            explicit: None,
            env: folder("KD_DATA"),
            cache: caches.map(|caches| caches.join("kd")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(variables: &[(&str, &str)]) -> DataRoots {
        DataRoots::from_variables(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn nothing_is_searched_where_the_environment_names_nothing() {
        assert_eq!(roots(&[]), DataRoots::default());
        assert_eq!(
            roots(&[("KD_DATA", ""), ("XDG_CACHE_HOME", "")]),
            DataRoots::default()
        );
    }

    #[test]
    #[cfg(unix)]
    fn the_cache_folder_follows_xdg() {
        let given = roots(&[("KD_DATA", "d"), ("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]);
        assert_eq!(
            given.folders().collect::<Vec<_>>(),
            [Path::new("d"), Path::new("/c/kd")]
        );
        let relative = roots(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]);
        assert!(
            relative
                .cache
                .is_some_and(|cache| cache.starts_with("/h") && cache.ends_with("kd"))
        );
    }
}
