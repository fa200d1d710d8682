//! Exit codes of the command.

use kd_core::ErrorKind;

/// The exit code of a failure of this kind.
pub(crate) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failed => 1,
        ErrorKind::Usage => 2,
        ErrorKind::Input => 3,
        ErrorKind::Diverged => 4,
        ErrorKind::Interrupted => 130,
    }
}

/// The word for a failure of this kind, for other programs.
pub(crate) fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Failed => "failed",
        ErrorKind::Usage => "usage",
        ErrorKind::Input => "input",
        ErrorKind::Diverged => "diverged",
        ErrorKind::Interrupted => "interrupted",
    }
}
