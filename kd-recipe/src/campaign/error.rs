//! Errors of campaigns.

use std::path::Path;

use kd_core::Error;

/// Why a campaign does not go on, beside what goes wrong with a single run.
///
/// It is the source of an [`Error::Method`], which names the folder of the campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The folder has something in it that is no campaign's.
    #[error("is not empty and holds no campaign")]
    NotEmpty,
    /// Another process works in the folder.
    #[error("is in use by another process; wait for it or stop it first")]
    InUse,
    /// There are runs that were made from something else than they would be made from now.
    #[error("holds runs that were made from something else ({first}{})", others(*.more))]
    Stale {
        /// The first of them, and what differs.
        first: String,
        /// So many more.
        more: usize,
    },
    /// A teacher has no result, so that nothing can learn from it.
    #[error("{title} {how}: {problem}; nothing can learn from it")]
    NoTeacher {
        /// The run of the teacher.
        title: String,
        /// `diverged` or `failed`.
        how: &'static str,
        /// Why.
        problem: String,
    },
    /// Some runs have no result.
    #[error("{} of {all} runs have no result: {}", failures.len(), failures.join("; "))]
    NoResult {
        /// Which, and whether they diverged or failed.
        failures: Vec<String>,
        /// Of so many.
        all: usize,
    },
}

fn others(more: usize) -> String {
    match more {
        0 => String::new(),
        1 => ", and 1 other run".into(),
        more => format!(", and {more} other runs"),
    }
}

impl CampaignError {
    /// As an error about the campaign in `folder`.
    pub(crate) fn of(self, folder: &Path) -> Error {
        Error::method(format!("campaign `{}`", folder.display()), self)
    }
}
