//! `kd` with one method more.

mod phase;
mod recipe;

use std::process::ExitCode;

fn main() -> ExitCode {
    kd_cli::Kd::new()
        .with_method::<recipe::LogitRegression>()
        .main()
}
