//! The built `kd` in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A short run on real data: 10 steps an epoch.
pub(crate) const TEACHER: &str = r#"
method = "train"

[data]
name = "fashion-mnist-mini"
per_class = 32
held_out = 0.1
views = "unlimited"
augment = { crop_padding = 2, flip = 0.5 }

[network]
name = "lenet5-half"

[train]
epochs = 2
batch_size = 32
lr = 0.003
optimizer = { kind = "adam" }
schedule = { kind = "cosine" }
"#;

/// Its student, which has a regressor beside it.
pub(crate) const STUDENT: &str = r#"
method = "offline"

[data]
name = "fashion-mnist-mini"
per_class = 32
held_out = 0.1

[student]
name = "lenet5-half"

[[teachers]]
model = "teacher"

[[losses]]
kind = "cross-entropy"

[[losses]]
kind = "kd"

[[losses]]
kind = "hint"
student_tap = "conv2"
regressor = "always"

[train]
epochs = 2
batch_size = 32
lr = 0.003
optimizer = { kind = "adam" }
"#;

/// A folder to work in, gone when dropped.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder with `teacher.toml` and `student.toml` in it.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("teacher.toml"), TEACHER).unwrap();
        std::fs::write(folder.path().join("student.toml"), STUDENT).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `kd` with these arguments, which finds no data but what it brings along.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kd"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"))
            .env_remove("KD_DATA")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        Finished::new(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed, and gives what it said on standard output and standard error.
    pub(crate) fn done(&self, args: &[&str]) -> (String, String) {
        let done = self.run(args);
        let said = (done.stdout, done.stderr);
        assert_eq!(done.code, Some(0), "{args:?}: {}{}", said.0, said.1);
        said
    }

    /// Runs to a good end and gives the object on the last line; there is nothing else on either stream.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let done = self.run(args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
        assert_eq!(done.stderr, "", "{args:?}");
        let mut lines = done.stdout.lines();
        let last = lines.next_back().unwrap();
        assert_eq!(lines.count(), 0, "{args:?}: {}", done.stdout);
        serde_json::from_str(last).unwrap()
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running(self.command(args).spawn().unwrap())
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }
}

/// What a process said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A process under way; it is killed if the test ends before it.
pub(crate) struct Running(Child);

impl Running {
    /// Waits until the run in `folder` has a checkpoint at or after `step`, or the process has ended.
    pub(crate) fn wait_for_step(&mut self, folder: &Path, step: u64) {
        let began = Instant::now();
        while self.0.try_wait().unwrap().is_none() && last_step(folder) < Some(step) {
            assert!(began.elapsed() < Duration::from_mins(2), "no such step");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGKILL, or what the system has in its place.
    pub(crate) fn kill(mut self) -> Finished {
        self.0.kill().unwrap();
        self.end()
    }

    /// SIGINT, as Ctrl-C sends it.
    pub(crate) fn interrupt(self) -> Finished {
        // The shell's own `kill`, as not every system has the program.
        let kill = format!("kill -INT {}", self.0.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
        self.end()
    }

    pub(crate) fn end(mut self) -> Finished {
        let mut output = Output {
            status: std::process::ExitStatus::default(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        // What kd says fits into the pipes, so that they can be read after its end.
        output.status = self.0.wait().unwrap();
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        std::io::copy(&mut stdout.unwrap(), &mut output.stdout).unwrap();
        std::io::copy(&mut stderr.unwrap(), &mut output.stderr).unwrap();
        Finished::new(output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The step of the last checkpoint of a run folder; a finished phase counts as all steps.
fn last_step(folder: &Path) -> Option<u64> {
    let text = std::fs::read(folder.join("checkpoint.json")).ok()?;
    let checkpoint: Value = serde_json::from_slice(&text).ok()?;
    let done = checkpoint["phase_index"].as_u64()? > 0;
    if done {
        Some(u64::MAX)
    } else {
        checkpoint["step"].as_u64()
    }
}
