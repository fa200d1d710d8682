//! `kd watch`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use kd_core::{Error, Result};
use serde_json::json;

use crate::args::WatchOptions;
use crate::output;
use crate::watch::{Watched, serve};

/// Ports that systems do not give to outgoing connections by default.
const FIRST_PORT: u64 = 61_000;
const PORTS: u64 = 4_500;

pub(super) fn run(options: &WatchOptions) -> Result<()> {
    for folder in &options.runs {
        if !folder.is_dir() {
            return Err(Error::NoRun {
                path: folder.clone(),
            });
        }
    }
    let watched = Watched::new(&options.runs)?;
    let listener = listen(options)?;
    let address = listener
        .local_addr()
        .map_err(Error::io("listen at", Path::new("127.0.0.1")))?;
    let url = format!("http://{address}/");
    if options.json {
        output::json(&json!({ "url": url }));
    } else {
        output::line(&format!("watching at {url}; Ctrl-C ends it"));
    }
    output::finish()?;
    serve(listener, address.port(), watched)
}

/// A port of this machine alone: the one that was asked for, or one that goes by the folders, so that open
/// pages go on when the command is started again.
fn listen(options: &WatchOptions) -> Result<TcpListener> {
    let at = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = options.port {
        return at(port).map_err(|error| {
            let problem =
                format!("is {port}, which cannot be used: {error}; give another, or none");
            Error::config("--port", problem)
        });
    }
    let usual = usual_port(&options.runs);
    at(usual)
        .or_else(|_| at(0))
        .map_err(Error::io("listen at", Path::new("127.0.0.1")))
}

fn usual_port(runs: &[std::path::PathBuf]) -> u16 {
    let paths = runs
        .iter()
        .map(|run| std::path::absolute(run).unwrap_or_else(|_| run.clone()));
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let hash = paths.join("\n").bytes().fold(7_u64, |hash, byte| {
        hash.wrapping_mul(1_000_003).wrapping_add(u64::from(byte))
    });
    u16::try_from(FIRST_PORT + hash % PORTS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_runs_have_the_same_port() {
        let of = |names: &[&str]| usual_port(&names.iter().map(Into::into).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b"]), of(&["runs/a", "runs/b"]));
        assert_ne!(of(&["runs/a"]), of(&["runs/b"]));
        assert!((61_000..65_500).contains(&of(&["x"])));
    }
}
