//! The errors of the crate.

/// The result of the fallible functions of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in kd-report; each message says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to summarise or to draw.
    #[error("{what}: there are no values; {remedy}")]
    NoValues {
        /// The statistic, table or picture.
        what: String,
        /// The remedy.
        remedy: String,
    },
    /// A value is NaN, infinite, or too large to be drawn.
    #[error(
        "{what}: value {place} is {value}; every value must be finite and at most 1e100, leave the others out"
    )]
    NotFinite {
        /// The statistic or the series of a picture.
        what: String,
        /// The position of the value, from 0.
        place: usize,
        /// The value.
        value: f64,
    },
    /// A logarithmic axis has a value that is 0 or less.
    #[error(
        "{what}: {value} has no place on a logarithmic axis; use values above 0, or `Scale::Linear`"
    )]
    NotPositive {
        /// The picture and its axis.
        what: String,
        /// The value.
        value: f64,
    },
    /// Two lists that belong together differ in length.
    #[error("{what}: expected {expected} entries, got {found}; {remedy}")]
    Length {
        /// The lists.
        what: String,
        /// The number expected.
        expected: usize,
        /// The number found.
        found: usize,
        /// The remedy.
        remedy: String,
    },
    /// A setting has a value that cannot be used.
    #[error("`{field}` {problem}")]
    Config {
        /// The setting.
        field: &'static str,
        /// The problem, and the values that are right.
        problem: String,
    },
    /// The plotting library failed.
    #[error("picture `{title}` cannot be drawn: {problem}")]
    Draw {
        /// The title of the picture.
        title: String,
        /// The message of the library.
        problem: String,
    },
    /// TensorBoard's event file cannot be written.
    #[error("event file `{}`: {problem}; the run goes on without it", path.display())]
    Events {
        /// The file.
        path: std::path::PathBuf,
        /// The problem.
        problem: String,
    },
    /// A file cannot be read or written, or does not hold what it should.
    #[error(transparent)]
    Core(#[from] kd_core::Error),
}

impl From<Error> for kd_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            other => Self::method("report", other),
        }
    }
}

/// Checks that every value is finite and small enough for the arithmetic that follows.
pub(crate) fn check_finite(what: &str, values: &[f64]) -> Result<()> {
    let bad = |value: &f64| !value.is_finite() || value.abs() > 1e100;
    match values.iter().position(bad) {
        Some(place) => Err(Error::NotFinite {
            what: what.to_owned(),
            place,
            value: values[place],
        }),
        None => Ok(()),
    }
}
