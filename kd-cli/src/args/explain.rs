//! The arguments of `kd explain`.

use clap::Args as Group;

/// What `kd explain` takes.
#[derive(Clone, Debug, Group)]
pub(crate) struct ExplainOptions {
    /// The key, as in `train.warmup_epochs`, or a table of keys; all are listed without it
    pub(crate) key: Option<String>,
    /// Only the keys of this method, or of a `campaign`
    #[arg(long, value_name = "NAME")]
    pub(crate) method: Option<String>,
    /// Print the JSON schema of recipes and campaigns, for editors
    #[arg(long, conflicts_with_all = ["key", "method", "json"])]
    pub(crate) schema: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
}
