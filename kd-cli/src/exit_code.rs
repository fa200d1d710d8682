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
