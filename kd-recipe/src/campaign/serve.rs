//! The process of one run of a campaign: it makes the run and says how far it is, an object a line.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kd_core::Result;
use serde::{Deserialize, Serialize};

use crate::campaign::one_run::{RunEnding, RunProgress, RunRequest, make_run};
use crate::machine::Machine;
use crate::methods::Methods;

/// A message of the process of a run: an object on a line of its standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunMessage {
    /// How far it is.
    Progress(RunProgress),
    /// How it has ended: the last message.
    Ended(RunEnding),
}

/// Makes the run of a request in this process, which [`Processes`](crate::Processes) has started for it, and
/// hands `say` the messages to be printed, each on a line of standard output.
///
/// It ends soon after `stop` turns true or standard input ends, as it does when the campaign stops, or is no
/// more. Who starts such a process by hand from a terminal ends it with Ctrl-D.
///
/// # Errors
///
/// Whatever goes wrong with the run; it is among the messages, too.
pub fn serve_run(
    methods: &Methods,
    request: &RunRequest,
    machine: &Machine,
    stop: &Arc<AtomicBool>,
    say: &mut dyn FnMut(&RunMessage),
) -> Result<()> {
    stop_with_input(stop);
    let made = make_run(methods, request, machine, stop, &mut |progress| {
        say(&RunMessage::Progress(progress.clone()));
    });
    let ending = match &made {
        Ok(ending) => ending.clone(),
        Err(error) => RunEnding::of(error),
    };
    say(&RunMessage::Ended(ending));
    made.map(drop)
}

/// Sets the flag when standard input ends.
fn stop_with_input(stop: &Arc<AtomicBool>) {
    let flag = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut input = std::io::stdin();
        let mut piece = [0; 64];
        loop {
            match input.read(&mut piece) {
                Ok(1..) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        flag.store(true, Ordering::Relaxed);
    });
}
