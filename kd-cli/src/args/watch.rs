//! The arguments of `kd watch`.

use std::path::PathBuf;

use clap::Args as Group;

/// The runs to show.
#[derive(Debug, Group)]
pub(crate) struct WatchOptions {
    /// Run folders, folders of campaigns, or folders with runs below them
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// The port on this machine; by default a free one, the same again for the same folders
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Print the address as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
