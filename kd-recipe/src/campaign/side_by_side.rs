//! Several runs at a time, all of them told to one place.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::channel;

use kd_core::Result;

use crate::campaign::one_run::{RunEnding, RunProgress};
use crate::campaign::planned_run::PlannedRun;
use crate::campaign::run_state;
use crate::campaign::starter::Starter;

/// News of a run.
pub(crate) enum News<'a> {
    /// It is about to be started.
    Begun(&'a PlannedRun),
    /// It tells how far it is.
    Heard(&'a PlannedRun, &'a RunProgress),
    /// It has ended, or could not be started.
    Ended(&'a PlannedRun, Result<RunEnding>),
}

/// A step of a run, on its way from the thread that waits for it.
enum Step {
    Begun,
    Heard(RunProgress),
    Ended(Result<RunEnding>),
}

/// Makes all of `runs`, in order, `workers` of them at a time, and tells `tell` what comes of each, by its
/// number. When `tell` says no, or it is time to stop, no other run is begun; those under way end as they do.
pub(crate) fn side_by_side(
    starter: &Starter<'_>,
    workers: usize,
    runs: Vec<(usize, PlannedRun)>,
    mut tell: impl FnMut(usize, News<'_>) -> bool,
) {
    let planned = runs.clone();
    let queue = Mutex::new(runs.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let (send, steps) = channel();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let send = send.clone();
            let next = &next;
            scope.spawn(move || {
                while !starter.is_stopped()
                    && let Some((place, (_, run))) = next()
                {
                    // Nobody listens any more when the campaign has ended in an error.
                    let say = |step| drop(send.send((place, step)));
                    say(Step::Begun);
                    let heard = &mut |progress: &RunProgress| say(Step::Heard(progress.clone()));
                    say(Step::Ended(one(starter, &run, heard)));
                }
            });
        }
        drop(send);
        for (place, step) in steps {
            let (index, run) = &planned[place];
            let goes_on = match step {
                Step::Begun => tell(*index, News::Begun(run)),
                Step::Heard(progress) => tell(*index, News::Heard(run, &progress)),
                Step::Ended(ending) => tell(*index, News::Ended(run, ending)),
            };
            if !goes_on {
                while next().is_some() {}
            }
        }
    });
}

fn one(
    starter: &Starter<'_>,
    run: &PlannedRun,
    heard: &mut dyn FnMut(&RunProgress),
) -> Result<RunEnding> {
    let folder = starter.out.join(&run.folder);
    starter.wait_for(&folder)?;
    run_state::forget_failure(&folder)?;
    starter.run(run, false, heard)
}
