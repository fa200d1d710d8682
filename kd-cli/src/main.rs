//! The `kd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kd_cli::Kd::new().main()
}
