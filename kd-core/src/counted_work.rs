//! Counted work: loops that take their time tell how far they are, to whoever listens in their thread.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A part of some work that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedWork<'a> {
    /// What is done, as "reading images".
    pub what: &'a str,
    /// What is counted, in the plural.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

impl fmt::Display for CountedWork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            unit,
            done,
            total,
        } = self;
        write!(f, "{what}: {done} of {total} {unit}")
    }
}

type Listener = Rc<dyn Fn(CountedWork<'_>)>;

thread_local! {
    /// The listener of this thread, while there is one.
    static LISTENER: RefCell<Option<Listener>> = const { RefCell::new(None) };
}

/// Does `work`, in which `listener` hears of everything that this thread counts by [`tell_counted`]: images
/// that are read, samples that a report looks at. So a command can show the time that is left, and what
/// works need not know who asked.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// use kd_core::{CountedWork, listening, tell_counted};
///
/// let heard = Rc::new(Cell::new(0));
/// let last = heard.clone();
/// listening(move |work| last.set(work.done), || {
///     let work = CountedWork { what: "reading images", unit: "images", done: 3, total: 8 };
///     tell_counted(work);
/// });
/// assert_eq!(heard.get(), 3);
/// ```
pub fn listening<T>(listener: impl Fn(CountedWork<'_>) + 'static, work: impl FnOnce() -> T) -> T {
    let before = LISTENER.with(|own| own.replace(Some(Rc::new(listener))));
    let end = End(before);
    let result = work();
    drop(end);
    result
}

/// Tells the listener of this thread that a part of some work is done; without one nothing happens.
pub fn tell_counted(work: CountedWork<'_>) {
    let listener = LISTENER.with(|own| own.borrow().clone());
    if let Some(listener) = listener {
        listener(work);
    }
}

/// The end of the work, also where it panics: the listener of before is put back.
struct End(Option<Listener>);

impl Drop for End {
    fn drop(&mut self) {
        LISTENER.with(|own| own.replace(self.0.take()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(done: u64) {
        tell_counted(CountedWork {
            what: "reading",
            unit: "images",
            done,
            total: 9,
        });
    }

    #[test]
    fn only_the_work_inside_is_heard_and_the_innermost_hears_it() {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let hear = |who: &'static str| {
            let heard = Rc::clone(&heard);
            move |work: CountedWork<'_>| heard.borrow_mut().push((who, work.to_string()))
        };
        tell(0);
        listening(hear("outer"), || {
            tell(1);
            listening(hear("inner"), || tell(2));
            tell(3);
        });
        tell(4);
        let line = |who, done: u64| (who, format!("reading: {done} of 9 images"));
        let expected = [line("outer", 1), line("inner", 2), line("outer", 3)];
        assert_eq!(*heard.borrow(), expected);
    }

    #[test]
    fn a_panic_leaves_no_listener_behind() {
        let panics = || listening(|_| panic!("of the test"), || tell(1));
        assert!(std::panic::catch_unwind(panics).is_err());
        tell(2);
    }
}
