//! The progress of a campaign: how many runs have ended, and how long the rest will take.

use std::collections::BTreeMap;

use crate::campaign::one_run::RunProgress;
use crate::campaign::planned_run::{PlannedRun, shown};

/// The observer of a campaign; each method does nothing by default.
pub trait CampaignObserver {
    /// Some of the runs are there from before: `there` of `all`.
    fn runs_are_there(&mut self, _there: usize, _all: usize) {}

    /// A run begins, the `number`-th of `all`, teachers counted.
    fn run_begun(&mut self, _run: &PlannedRun, _number: usize, _all: usize) {}

    /// A run tells how far it is.
    fn run_heard(&mut self, _run: &PlannedRun, _progress: &RunProgress) {}

    /// A run has ended.
    fn run_ended(&mut self, _run: &PlannedRun, _ended: &EndedRun) {}
}

/// An observer that ignores everything.
impl CampaignObserver for () {}

/// The end of a run of a campaign.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndedRun {
    /// Runs that have ended, this one counted.
    pub ended: usize,
    /// Runs in all.
    pub all: usize,
    /// The result in words: the metric and the seconds, or how it failed.
    pub result: String,
    /// Seconds that the rest will take, if that can be said.
    pub seconds_left: Option<f64>,
}

/// A count of the runs of a campaign.
#[derive(Debug)]
pub(crate) struct Tally {
    all: usize,
    ended: usize,
    under_way: usize,
    /// Seconds of the runs that are done, by method and value.
    seconds: BTreeMap<(String, String), Vec<f64>>,
}

impl Tally {
    /// A count of so many runs.
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all,
            ended: 0,
            under_way: 0,
            seconds: BTreeMap::new(),
        }
    }

    /// Runs in all.
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// Runs that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.ended
    }

    /// A run begins; gives its number.
    pub(crate) fn begin(&mut self) -> usize {
        self.under_way += 1;
        self.ended + self.under_way
    }

    /// A run that was under way is no more.
    pub(crate) fn leave(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Counts a run that has ended, now or earlier; with its seconds if it has a result.
    pub(crate) fn count(&mut self, run: &PlannedRun, seconds: Option<f64>) {
        self.ended += 1;
        if let Some(seconds) = seconds {
            self.seconds.entry(key(run)).or_default().push(seconds);
        }
    }

    /// Seconds that the rest will take one after the other: each as long as its like, or as the runs so far.
    pub(crate) fn left<'a>(&self, rest: impl Iterator<Item = &'a PlannedRun>) -> Option<f64> {
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
            (count > 0).then(|| sum / f64::from(count))
        };
        let mut left = 0.0;
        for run in rest {
            let own = self.seconds.get(&key(run)).into_iter().flatten();
            let named = self.seconds.iter().filter(|(key, _)| key.0 == run.name);
            let named = named.flat_map(|(_, seconds)| seconds);
            let all = self.seconds.values().flatten();
            left += mean(&mut own.copied())
                .or_else(|| mean(&mut named.copied()))
                .or_else(|| mean(&mut all.copied()))?;
        }
        Some(left)
    }
}

fn key(run: &PlannedRun) -> (String, String) {
    let value = run.value.as_ref().map(shown);
    (run.name.clone(), value.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, value: Option<i64>, seed: u64) -> PlannedRun {
        PlannedRun {
            name: name.into(),
            title: name.into(),
            value: value.map(toml::Value::Integer),
            seed,
            recipe: "r.toml".into(),
            overrides: Vec::new(),
            folder: name.into(),
            needs: Vec::new(),
        }
    }

    #[test]
    fn the_time_left_goes_by_the_nearest_kin() {
        let mut tally = Tally::new(9);
        let rest = [
            run("kd", Some(1), 1),
            run("kd", Some(2), 1),
            run("at", None, 0),
        ];
        assert_eq!(tally.left(rest.iter()), None);
        tally.count(&run("kd", Some(1), 0), Some(10.0));
        // All as long as the only run there was.
        assert_eq!(tally.left(rest.iter()), Some(30.0));
        tally.count(&run("kd", Some(2), 0), Some(20.0));
        tally.count(&run("alone", None, 0), Some(3.0));
        assert_eq!(tally.left(rest.iter()), Some(10.0 + 20.0 + 11.0));
        assert_eq!(tally.left([].iter()), Some(0.0));
    }

    #[test]
    fn runs_are_numbered_as_they_begin() {
        let mut tally = Tally::new(3);
        tally.count(&run("a", None, 0), None);
        assert_eq!((tally.begin(), tally.begin()), (2, 3));
        tally.leave();
        tally.count(&run("b", None, 0), None);
        assert_eq!((tally.ended(), tally.begin()), (2, 4));
    }
}
