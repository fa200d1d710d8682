//! The `kd` command.

use std::process::ExitCode;

/// The memory of the maps of a step is kept for the next one: the system's own allocator gives large ones
/// back, and has every page cleared anew.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kd_cli::Kd::new().main()
}
