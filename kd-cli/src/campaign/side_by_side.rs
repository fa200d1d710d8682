//! Several runs at a time, each in its process, all of them told to one place.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::channel;

use kd_core::Result;
use serde_json::Value;

use super::cell::Cell;
use super::child::Finished;
use super::plan::Starter;
use super::state;

/// What is to be told of a run.
pub(super) enum News<'a> {
    /// Its process is about to be started.
    Begun(&'a Cell),
    /// It tells how far it is.
    Heard(&'a Cell, &'a Value),
    /// Its process has ended, or could not be started.
    Done(&'a Cell, Result<Finished>),
}

/// A step of a run, on its way from the thread that waits for it.
enum Step {
    Begun,
    Heard(Value),
    Done(Result<Finished>),
}

/// Makes all of `runs`, in order, `workers` of them at a time, and tells `tell` what comes of each, by its number. When `tell`
/// says no, or it is time to stop, no other run is begun; those under way end as they do.
pub(super) fn side_by_side(
    starter: &Starter<'_>,
    workers: usize,
    runs: Vec<(usize, Cell)>,
    mut tell: impl FnMut(usize, News<'_>) -> bool,
) {
    let cells = runs.clone();
    let queue = Mutex::new(runs.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (send, steps) = channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let send = send.clone();
            let next = &next;
            scope.spawn(move || {
                while !starter.is_stopped()
                    && let Some((place, (_, cell))) = next()
                {
                    // Nobody listens any more when the campaign has ended in an error.
                    let say = |step| drop(send.send((place, step)));
                    say(Step::Begun);
                    let done = one(starter, &cell, &mut |value| say(Step::Heard(value.clone())));
                    say(Step::Done(done));
                }
            });
        }
        drop(send);
        for (place, step) in steps {
            let (index, cell) = &cells[place];
            let goes_on = match step {
                Step::Begun => tell(*index, News::Begun(cell)),
                Step::Heard(value) => tell(*index, News::Heard(cell, &value)),
                Step::Done(done) => tell(*index, News::Done(cell, done)),
            };
            if !goes_on {
                while next().is_some() {}
            }
        }
    });
}

fn one(starter: &Starter<'_>, cell: &Cell, heard: &mut dyn FnMut(&Value)) -> Result<Finished> {
    let folder = starter.out.join(&cell.folder);
    starter.wait_for(&folder)?;
    state::forget_failure(&folder)?;
    starter.run(cell, false, heard)
}
