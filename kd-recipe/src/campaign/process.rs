//! Runs of a campaign, each in a process of its own: its memory is its own, and what goes wrong in it stays
//! there.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use kd_core::{Error, Result};

use crate::campaign::one_run::{RunEnding, RunProgress, RunRequest, StartRun};
use crate::campaign::serve::RunMessage;

/// So much of what a process says at its end is kept, in bytes.
const KEPT: usize = 16 * 1024;

/// Makes each run in a process of its own, by a program that calls [`serve_run`](crate::serve_run).
#[derive(Clone, Debug)]
pub struct Processes {
    program: PathBuf,
    arguments: fn(&RunRequest) -> Vec<OsString>,
}

impl Processes {
    /// Processes of `program`, mostly the one that runs already ([`std::env::current_exe`]); `arguments` are
    /// those that make it serve a request.
    pub fn new(program: impl Into<PathBuf>, arguments: fn(&RunRequest) -> Vec<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments,
        }
    }
}

impl StartRun for Processes {
    /// The process watches its standard input, which ends when `stop` turns true or when this process is
    /// gone; it then writes a checkpoint and ends. It has a process group of its own where there are such
    /// groups, so that Ctrl-C reaches it this way alone.
    fn start(
        &self,
        request: &RunRequest,
        folder: &Path,
        stop: &AtomicBool,
        heard: &mut dyn FnMut(&RunProgress),
    ) -> Result<RunEnding> {
        let mut command = Command::new(&self.program);
        command
            .args((self.arguments)(request))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(Error::io("start", &self.program))?;
        let mut input = child.stdin.take();
        let messages = lines_of(&mut child);
        let problem = end_of(&mut child);
        let ending = follow(&messages, &mut input, stop, heard);
        let status = child.wait();
        let status = status.map_err(|error| Error::method("the process of a run", error))?;
        drop(input);
        let problem = problem.and_then(|problem| problem.join().ok());
        let in_words = || in_words(status, &problem.unwrap_or_default());
        Ok(ending.unwrap_or_else(|| RunEnding::Failed(in_words())))
    }
}

/// The messages that a process prints, as they come.
fn lines_of(child: &mut Child) -> Receiver<RunMessage> {
    let (send, lines) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            for line in lines.map_while(std::io::Result::ok) {
                let Ok(message) = serde_json::from_str(&line) else {
                    continue;
                };
                if send.send(message).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

/// The end of what a process says on standard error.
fn end_of(child: &mut Child) -> Option<JoinHandle<String>> {
    let mut errors = child.stderr.take()?;
    Some(std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = errors.read(&mut piece) {
            kept.extend_from_slice(&piece[..read]);
            let over = kept.len().saturating_sub(KEPT);
            kept.drain(..over);
        }
        String::from_utf8_lossy(&kept).into_owned()
    }))
}

/// Listens until the process says no more, and ends its input when `stop` turns true. Gives how it has ended,
/// if it says so.
fn follow(
    messages: &Receiver<RunMessage>,
    input: &mut Option<ChildStdin>,
    stop: &AtomicBool,
    heard: &mut dyn FnMut(&RunProgress),
) -> Option<RunEnding> {
    let mut ending = None;
    loop {
        if stop.load(Ordering::Relaxed) {
            drop(input.take());
        }
        match messages.recv_timeout(Duration::from_millis(50)) {
            Ok(RunMessage::Progress(progress)) => heard(&progress),
            Ok(RunMessage::Ended(ended)) => ending = Some(ended),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ending,
        }
    }
}

/// What went wrong: the error that the process reports, or how it ended.
fn in_words(status: ExitStatus, said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rev().find_map(|line| line.strip_prefix("error: "));
    let panic = lines().find(|line| line.contains("panicked at"));
    let after = || {
        lines()
            .skip_while(|line| !line.contains("panicked at"))
            .nth(1)
    };
    let ended = if status.code().is_none() {
        Some(format!(
            "its process was ended from outside ({status}); where memory runs out, systems do that"
        ))
    } else {
        None
    };
    match (panic, error, ended) {
        (Some(panic), ..) => format!("{panic} {}", after().unwrap_or_default())
            .trim()
            .to_owned(),
        (_, Some(error), _) => error.to_owned(),
        (_, _, Some(ended)) => ended,
        _ => match lines().next_back() {
            Some(line) => line.to_owned(),
            None => format!("it ended with {status}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn the_end_of_a_process_is_put_into_words() {
        use std::os::unix::process::ExitStatusExt;
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let panic = "thread 'main' (7) panicked at src/a.rs:3:5:\nout of memory\nnote: run with\nerror: kd \
                     stopped\n";
        for (status, said, expected) in [
            (exit(4), "a remark\nerror: it diverged\n", "it diverged"),
            (
                exit(1),
                panic,
                "thread 'main' (7) panicked at src/a.rs:3:5: out of memory",
            ),
            (
                exit(1),
                "memory allocation of 8 bytes failed\n",
                "memory allocation of 8 bytes failed",
            ),
            (exit(1), " \n", "it ended with exit status: 1"),
            (
                ExitStatus::from_raw(9),
                "",
                "its process was ended from outside (signal: 9 (SIGKILL)); where memory runs out, systems do \
                 that",
            ),
        ] {
            assert_eq!(in_words(status, said), expected);
        }
    }
}
