//! Errors, in words that can be acted on.

use std::path::PathBuf;

/// The result of the fallible functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error; see [`Error::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The run failed.
    Failed,
    /// Arguments or a recipe are wrong.
    Usage,
    /// An input file is missing or cannot be read.
    Input,
    /// A loss or a metric stopped being finite.
    Diverged,
    /// The user interrupted a run that can be resumed.
    Interrupted,
}

/// Everything that can go wrong in kd-core; each message says what, where, and, where that does not depend on
/// the program that is run, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}`, byte {offset}: {problem}; {remedy}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// Where in the (decompressed) file, in bytes from its start.
        offset: u64,
        /// What was expected and what was found.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A data set's files are not there.
    #[error("data set `{name}`: {missing} not found in {looked_in}; {remedy}")]
    DataMissing {
        /// The data set.
        name: String,
        /// The file names.
        missing: String,
        /// The folders that were searched.
        looked_in: String,
        /// Where the files come from.
        remedy: String,
    },
    /// A name that nothing goes by.
    #[error("unknown {what} `{name}`{hint}; known: {known}")]
    UnknownName {
        /// What it should name: "network", "data set", "tap", ...
        what: &'static str,
        /// What was given.
        name: String,
        /// The nearest known one, as a clause, or empty.
        hint: String,
        /// All known names.
        known: String,
    },
    /// A setting has a value that cannot be used.
    #[error("`{field}` {problem}")]
    Config {
        /// The setting, as a dotted path.
        field: String,
        /// What is wrong with it and which values are right.
        problem: String,
    },
    /// A recipe could not be understood.
    #[error("{origin}: {problem}")]
    Recipe {
        /// The file, with the line where it is known.
        origin: String,
        /// What is wrong, with the line shown where it is known.
        problem: String,
    },
    /// A device was asked for that this build or this machine does not have.
    #[error("device `{name}`: {problem}")]
    Device {
        /// The device as it was asked for.
        name: String,
        /// Why it cannot be had and what to do.
        problem: String,
    },
    /// Two shapes that must agree do not.
    #[error("{what}: expected {expected}, got {found}; {remedy}")]
    Shape {
        /// The tensor or setting.
        what: String,
        /// The shape that was expected.
        expected: String,
        /// The shape that was found.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// Stored tensors do not fit a module.
    #[error(
        "{}: tensors do not fit the network: {hint}{}{}",
        origin,
        if hint.is_empty() { "" } else { "; " },
        list_mismatch(missing, unexpected, unequal)
    )]
    Mismatch {
        /// The file or checkpoint.
        origin: String,
        /// Tensors of the network that the file lacks.
        missing: Vec<String>,
        /// Tensors of the file that the network lacks.
        unexpected: Vec<String>,
        /// Tensors whose shapes or types differ, each with both.
        unequal: Vec<String>,
        /// What the differences may mean, as a clause, or empty.
        hint: String,
    },
    /// Weights are not numbers, or are infinite.
    #[error(
        "{what} has weights that are not finite, in {tensors}; its training has diverged, or the file \
         is damaged: take an earlier checkpoint"
    )]
    WeightsNotFinite {
        /// The model.
        what: String,
        /// The first few names of such tensors.
        tensors: String,
    },
    /// A loss stopped being finite.
    #[error(
        "phase `{phase}`: loss term `{term}` became {value} at step {step} (epoch {epoch}); {remedy}"
    )]
    NonFinite {
        /// The phase.
        phase: String,
        /// The loss term.
        term: String,
        /// The value, NaN or infinite.
        value: f64,
        /// The step within the phase, from 0.
        step: usize,
        /// The epoch within the phase, from 0.
        epoch: usize,
        /// The last good checkpoint and what to change.
        remedy: String,
    },
    /// A value that was put over a recipe could not be understood.
    #[error("override `{entry}`: {problem}")]
    Override {
        /// The override as it was given: `train.epochs=3`.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The run was interrupted and can be resumed.
    #[error("interrupted at step {step} of phase `{phase}`")]
    Interrupted {
        /// The run folder.
        run: PathBuf,
        /// The phase.
        phase: String,
        /// The next step to be done.
        step: usize,
    },
    /// A file or folder that was named cannot be used for what it was named for.
    #[error("`{}` {problem}", path.display())]
    Input {
        /// The file or folder.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// A teacher cache is of something else than what is asked for.
    #[error(
        "`{}` is stale: {what} is {found}, wanted is {wanted}; remove the file to have it built again, or \
         name another",
        path.display()
    )]
    StaleCache {
        /// The file.
        path: PathBuf,
        /// The first thing that differs.
        what: &'static str,
        /// What it is in the file.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// Building or checking a teacher cache was interrupted; what is built stays.
    #[error(
        "interrupted at row {done} of {rows} of the teacher cache `{}`; what is done is kept, and building \
         goes on from there",
        path.display()
    )]
    CacheInterrupted {
        /// The file.
        path: PathBuf,
        /// Rows that are done.
        done: u64,
        /// Rows in all.
        rows: u64,
    },
    /// Not a run folder.
    #[error("`{}` is no run folder, `recipe.toml` is not in it", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A folder for a new run that has something in it.
    #[error("run folder `{}`: is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A run that is not finished, where the result of one is needed.
    #[error("`{}` is a run that is not finished", path.display())]
    Unfinished {
        /// The folder of the run.
        path: PathBuf,
    },
    /// A run folder cannot be used as asked.
    #[error("run folder `{}`: {problem}", path.display())]
    Run {
        /// The folder.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Something that a method crate reports.
    #[error("{what}: {source}")]
    Method {
        /// The method, loss or phase.
        what: String,
        /// Its own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Config { .. }
            | Self::Recipe { .. }
            | Self::Override { .. }
            | Self::UnknownName { .. }
            | Self::Device { .. }
            | Self::Shape { .. } => ErrorKind::Usage,
            Self::BadFile { .. }
            | Self::DataMissing { .. }
            | Self::Mismatch { .. }
            | Self::Input { .. }
            | Self::StaleCache { .. }
            | Self::NoRun { .. }
            | Self::Unfinished { .. } => ErrorKind::Input,
            Self::Io { action, .. } if *action == "read" => ErrorKind::Input,
            Self::NonFinite { .. } | Self::WeightsNotFinite { .. } => ErrorKind::Diverged,
            Self::Interrupted { .. } | Self::CacheInterrupted { .. } => ErrorKind::Interrupted,
            Self::Io { .. } | Self::Run { .. } | Self::NotEmpty { .. } | Self::Method { .. } => {
                ErrorKind::Failed
            }
        }
    }

    /// An [`Error::Io`] for `path`, made to be given to `map_err`.
    pub fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// An [`Error::Config`].
    pub fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The same error with the field of an [`Error::Config`] put below `table`, as a recipe has it.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        match self {
            Self::Config { field, problem } => Self::Config {
                field: format!("{table}.{field}"),
                problem,
            },
            other => other,
        }
    }

    /// An [`Error::UnknownName`] that names the nearest of `known`.
    pub fn unknown_name<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        Self::UnknownName {
            what,
            name: name.to_owned(),
            hint: crate::suggest::did_you_mean(name, known.iter().copied()),
            known: known.join(", "),
        }
    }

    /// An [`Error::Method`].
    pub fn method(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Method {
            what: what.into(),
            source: Box::new(source),
        }
    }
}

/// The three lists of a mismatch in one line, the long ones cut.
fn list_mismatch(missing: &[String], unexpected: &[String], unequal: &[String]) -> String {
    let part = |what: &str, names: &[String]| {
        let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(5);
        match (names.len(), more) {
            (0, _) => None,
            (n, 0) => Some(format!("{n} {what} ({shown})")),
            (n, more) => Some(format!("{n} {what} ({shown} and {more} more)")),
        }
    };
    [
        part("missing", missing),
        part("unexpected", unexpected),
        part("of another shape", unequal),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("; ")
}
