//! Panics of code that is not ours, caught without a word on standard error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is nobody's concern.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The hook is put in place once; before it Rust's own, or the program's, prints what it likes.
static HOOK: Once = Once::new();

/// Does `work`, and gives nothing if it panics. The panic's message is not printed: whoever asks for this
/// says in words of its own what went wrong. Panics of other threads and of other work are reported as
/// before, by the hook that the program had.
///
/// What `work` was changing when it panicked may be half changed, and should not be used. A hook that the
/// program sets later, and that does not call the one before it, hears of these panics as well.
///
/// ```
/// use kd_core::catch_quietly;
/// assert_eq!(catch_quietly(|| 1 + 1), Some(2));
/// assert_eq!(catch_quietly(|| [1, 2][usize::MAX.count_ones() as usize]), None);
/// ```
pub fn catch_quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // A thread that ends has no flag any more.
            if !IS_QUIET.try_with(Cell::get).unwrap_or(false) {
                before(panic);
            }
        }));
    });
    // Where a panic ends the process its message is all that is left.
    let before = IS_QUIET.replace(cfg!(panic = "unwind"));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(before);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_the_work_inside_panics_without_a_word() {
        const CHILD: &str = "KD_TEST_OF_QUIET_PANICS";
        if std::env::var_os(CHILD).is_some() {
            panics();
            return;
        }
        // In a process of its own, whose output can be read.
        let name = "quiet_panic::tests::only_the_work_inside_panics_without_a_word";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.args(["--exact", name, "--nocapture"]).env(CHILD, "1");
        let done = child.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        assert!(!said.contains("unheard"), "{said}");
        for loud in ["of another thread", "between", "after"] {
            assert!(said.contains(loud), "{loud}: {said}");
        }
    }

    fn panics() {
        let inside = || {
            let other = std::thread::spawn(|| panic!("of another thread"));
            assert!(other.join().is_err());
            assert_eq!(catch_quietly(|| -> u8 { panic!("unheard twice") }), None);
            panic!("unheard");
        };
        assert_eq!(catch_quietly(inside), None::<()>);
        assert!(catch_unwind(|| panic!("between")).is_err());
        assert_eq!(catch_quietly(|| 3), Some(3));
        assert!(catch_unwind(|| panic!("after")).is_err());
    }
}
