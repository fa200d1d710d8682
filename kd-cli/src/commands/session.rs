//! The beginning of every command that computes: threads, the machine, Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kd_core::{Error, Result};
use kd_recipe::Machine;

use crate::args::MachineOptions;
use crate::output;
use crate::progress::notices::Printed;

/// The most threads that are started.
const MOST_THREADS: u16 = 1024;

/// The machine that was asked for. The thread pool of the CPU backend is sized here, which must be done
/// before its first use.
pub(super) fn machine(options: &MachineOptions) -> Result<Machine> {
    use_threads(options.threads)?;
    Ok(Machine::default()
        .with_device(options.device)
        .with_data_dir(options.place.data_dir.clone())
        .with_threads(options.threads.map(usize::from))
        .with_notices(Printed))
}

/// So many threads on the CPU, or all cores.
pub(super) fn use_threads(threads: Option<u16>) -> Result<()> {
    let Some(threads) = threads else {
        return Ok(());
    };
    if threads > MOST_THREADS {
        let problem = format!("must be at most {MOST_THREADS}, got {threads}");
        return Err(Error::config("--threads", problem));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(threads))
        .build_global()
        .map_err(|error| Error::method("--threads", error))
}

/// The flag that Ctrl-C sets. The second Ctrl-C ends the process at once; the last checkpoint stays good.
pub(super) fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(130);
        }
        output::notice(
            "finishing the step and writing a checkpoint; press Ctrl-C again to stop at once",
        );
    })
    .map_err(|error| Error::method("the handler of Ctrl-C", error))?;
    Ok(stop)
}
