//! A campaign under way: runs what is not there yet.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{Error, Result};

use crate::campaign::error::CampaignError;
use crate::campaign::file::Campaign;
use crate::campaign::folder::CampaignFolder;
use crate::campaign::one_run::{RunEnding, RunProgress, StartRun};
use crate::campaign::options::CampaignOptions;
use crate::campaign::planned_run::{PlannedRun, PlannedRuns};
use crate::campaign::plans::Plans;
use crate::campaign::progress::{CampaignObserver, EndedRun, Tally};
use crate::campaign::results::{KnownRun, Results};
use crate::campaign::run_state::{self, Failure, FailureKind, RunState};
use crate::campaign::side_by_side::{News, side_by_side};
use crate::campaign::starter::Starter;
use crate::campaign::{markdown, page, plots};
use crate::methods::{Methods, Recipe};
use crate::outcome::Outcome;
use crate::recipe::paths::check_utf8;

/// Runs a campaign, or goes on with it, and gives its results; those so far are written after each run.
///
/// Runs without a result are no error here: [`Results::verdict`] names them.
///
/// # Errors
///
/// What is wrong with the campaign or its recipes, before anything is trained; [`CampaignError`];
/// [`Error::Interrupted`].
pub fn compare(
    methods: &Methods,
    options: &CampaignOptions,
    way: &dyn StartRun,
    observer: &mut dyn CampaignObserver,
    stop: &AtomicBool,
) -> Result<Results> {
    with_session(methods, options, way, observer, stop, |session| {
        let _folder = CampaignFolder::take(&options.out, &options.mark()?)?;
        session.run()
    })
}

/// The runs of a campaign and what there is of each; nothing is trained.
///
/// # Errors
///
/// As [`compare`].
pub fn list(
    methods: &Methods,
    options: &CampaignOptions,
    way: &dyn StartRun,
    stop: &AtomicBool,
) -> Result<(Results, Vec<ListedRun>)> {
    with_session(methods, options, way, &mut (), stop, |session| {
        session.list()
    })
}

/// A run of a campaign in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedRun {
    /// A title with value and seed.
    pub title: String,
    /// What there is of it, in words.
    pub state: String,
}

/// Reads the campaign with its recipes, and hands it to `work`.
fn with_session<T>(
    methods: &Methods,
    options: &CampaignOptions,
    way: &dyn StartRun,
    observer: &mut dyn CampaignObserver,
    stop: &AtomicBool,
    work: impl FnOnce(&mut Session<'_>) -> Result<T>,
) -> Result<T> {
    let campaign = Campaign::read(&options.file)?;
    for name in &options.only {
        let known = campaign.methods.iter().map(|entry| entry.name.as_str());
        if campaign.method(name).is_none() {
            return Err(Error::unknown_name("method", name, known));
        }
    }
    let out = std::path::absolute(&options.out).map_err(Error::io("read", &options.out))?;
    check_utf8(&out)?;
    let mut planned = PlannedRuns::new(&campaign, &options.file, &out, &options.overrides)?;
    let all: Vec<String> = campaign
        .methods
        .iter()
        .map(|entry| entry.name.clone())
        .collect();
    let wanted = if options.only.is_empty() {
        all.clone()
    } else {
        options.only.clone()
    };
    let needed: BTreeSet<PathBuf> = planned
        .teachers(&wanted)?
        .into_iter()
        .map(|run| run.folder)
        .collect();
    let unknown = |planned: PlannedRun| KnownRun {
        planned,
        plan: None,
        state: RunState::Missing,
    };
    let teachers: Vec<KnownRun> = planned.teachers(&all)?.into_iter().map(unknown).collect();
    let runs: Vec<KnownRun> = planned.methods()?.into_iter().map(unknown).collect();
    for known in &teachers {
        read_recipe(methods, &known.planned)?;
    }
    let recipes = runs
        .iter()
        .map(|known| read_recipe(methods, &known.planned));
    check_metrics(&campaign, &recipes.collect::<Result<Vec<Recipe>>>()?)?;
    let selected = |run: &PlannedRun| needed.contains(&run.folder) || wanted.contains(&run.name);
    let counted = teachers.iter().chain(&runs);
    let counted = counted.filter(|known| selected(&known.planned)).count();
    let starter = Starter {
        way,
        out: &out,
        options,
        stop,
        sharing: 1,
    };
    work(&mut Session {
        methods,
        campaign: &campaign,
        options,
        out: &out,
        observer,
        tally: Tally::new(counted),
        plans: Plans::new(starter.clone()),
        starter,
        selected: &selected,
        teachers,
        runs,
    })
}

/// Reads a recipe as its run will, but for the data and the teachers that it names.
fn read_recipe(methods: &Methods, run: &PlannedRun) -> Result<Recipe> {
    let path = &run.recipe;
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let origin = format!("{} (for {})", path.display(), run.title);
    let mut overrides = run.overrides.clone();
    overrides.push(format!("seed={}", run.seed));
    methods.read(&origin, &text, &overrides)
}

/// Checks that some method may measure each metric that is asked for, where all methods say what they
/// measure.
fn check_metrics(campaign: &Campaign, recipes: &[Recipe]) -> Result<()> {
    let known: Option<Vec<_>> = recipes.iter().map(Recipe::metrics).collect();
    let Some(known) = known else {
        return Ok(());
    };
    let known: BTreeSet<String> = known.into_iter().flatten().collect();
    let more = campaign.more_metrics.iter().chain(&campaign.plot_metrics);
    let mut asked = std::iter::once(&campaign.metric).chain(more);
    match asked.find(|name| !known.iter().any(|known| is_called(name, known))) {
        Some(name) => {
            let known = known.iter().map(String::as_str);
            Err(Error::unknown_name("metric", name, known))
        }
        None => Ok(()),
    }
}

/// Whether a metric has this name, in which `#` is any number.
fn is_called(metric: &str, name: &str) -> bool {
    let Some((before, after)) = name.split_once('#') else {
        return metric == name;
    };
    let number = metric.strip_prefix(before);
    let number = number.and_then(|rest| rest.strip_suffix(after));
    number.is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// One of the two lists of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Teachers,
    Compared,
}

/// A campaign under way.
struct Session<'a> {
    methods: &'a Methods,
    campaign: &'a Campaign,
    options: &'a CampaignOptions,
    out: &'a Path,
    observer: &'a mut dyn CampaignObserver,
    tally: Tally,
    starter: Starter<'a>,
    plans: Plans<'a>,
    /// Whether a run is asked for.
    selected: &'a dyn Fn(&PlannedRun) -> bool,
    teachers: Vec<KnownRun>,
    runs: Vec<KnownRun>,
}

impl Session<'_> {
    fn list_of(&self, list: List) -> &[KnownRun] {
        match list {
            List::Teachers => &self.teachers,
            List::Compared => &self.runs,
        }
    }

    fn known(&mut self, list: List, index: usize) -> &mut KnownRun {
        match list {
            List::Teachers => &mut self.teachers[index],
            List::Compared => &mut self.runs[index],
        }
    }

    /// Everything, teachers first.
    fn run(&mut self) -> Result<Results> {
        for index in 0..self.teachers.len() {
            self.make_teacher(index)?;
        }
        for index in 0..self.runs.len() {
            self.inspect(List::Compared, index)?;
        }
        if let Some(last) = self.runs.len().checked_sub(1) {
            self.clear(List::Compared, 0..=last)?;
        }
        self.write()?;
        let wanted: Vec<usize> = (0..self.runs.len())
            .filter(|&index| (self.selected)(&self.runs[index].planned))
            .collect();
        let (there, open): (Vec<usize>, Vec<usize>) = wanted
            .into_iter()
            .partition(|&index| self.runs[index].state.has_ended());
        if !there.is_empty() && !open.is_empty() {
            let (there, all) = (there.len(), there.len() + open.len());
            self.observer.runs_are_there(there, all);
        }
        for index in there {
            self.count(List::Compared, index);
        }
        self.run_all(List::Compared, &open)?;
        self.results()
    }

    /// One teacher, if it is asked for.
    fn make_teacher(&mut self, index: usize) -> Result<()> {
        self.inspect(List::Teachers, index)?;
        if !(self.selected)(&self.teachers[index].planned) {
            return Ok(());
        }
        self.clear(List::Teachers, index..=index)?;
        self.count(List::Teachers, index);
        self.run_all(List::Teachers, &[index])?;
        let RunState::Failed(failure) = &self.teachers[index].state else {
            return Ok(());
        };
        let error = CampaignError::NoTeacher {
            title: self.teachers[index].planned.title.clone(),
            how: failure.kind.name(),
            problem: failure.problem.clone(),
        };
        self.write()?;
        Err(error.of(&self.options.out))
    }

    /// The state of each run.
    fn list(&mut self) -> Result<(Results, Vec<ListedRun>)> {
        for index in 0..self.teachers.len() {
            self.inspect(List::Teachers, index)?;
        }
        for index in 0..self.runs.len() {
            self.inspect(List::Compared, index)?;
        }
        let all = self.teachers.iter().chain(&self.runs);
        let listed = all.filter(|known| (self.selected)(&known.planned));
        let listed = listed.map(|known| ListedRun {
            title: known.planned.title.clone(),
            state: match &known.state {
                RunState::Stale(why) => format!("stale: {why}"),
                RunState::Missing if known.plan.is_none() => "waits for its teacher".into(),
                other => other.name().to_owned(),
            },
        });
        Ok((self.results()?, listed.collect()))
    }

    /// Finds out the state of a run.
    fn inspect(&mut self, list: List, index: usize) -> Result<()> {
        self.starter.not_stopped()?;
        let run = self.list_of(list)[index].planned.clone();
        let done = |folder: &PathBuf| {
            let teachers = &mut self.teachers.iter();
            let teacher = teachers.find(|known| known.planned.folder == *folder);
            teacher.is_some_and(|known| matches!(known.state, RunState::Done(_)))
        };
        if !run.needs.iter().all(done) {
            if self.out.join(&run.folder).join("recipe.toml").is_file() {
                let why = "a teacher of the campaign is not there".to_owned();
                self.known(list, index).state = RunState::Stale(why);
            }
            return Ok(());
        }
        let mut plan = self.plans.of(&run)?;
        self.starter.not_stopped()?;
        let state = run_state::state(self.methods, &mut self.plans, self.out, &run, &mut plan)?;
        let known = self.known(list, index);
        known.plan = Some(plan);
        known.state = state;
        Ok(())
    }

    /// Removes what is asked to be made again, or refuses to go on with what was made from something else.
    fn clear(&mut self, list: List, range: std::ops::RangeInclusive<usize>) -> Result<()> {
        let mut stale = Vec::new();
        for index in range {
            let known = &self.list_of(list)[index];
            if !(self.selected)(&known.planned) {
                continue;
            }
            match (&known.state, self.options.rerun) {
                (RunState::Stale(_) | RunState::Failed(_), true) => {
                    let folder = self.out.join(&known.planned.folder);
                    self.starter.wait_for(&folder)?;
                    run_state::remove(&folder)?;
                    self.known(list, index).state = RunState::Missing;
                }
                (RunState::Stale(why), false) => {
                    stale.push(format!("{}: {why}", known.planned.title));
                }
                _ => {}
            }
        }
        let Some(first) = stale.first() else {
            return Ok(());
        };
        let error = CampaignError::Stale {
            first: first.clone(),
            more: stale.len() - 1,
        };
        Err(error.of(&self.options.out))
    }

    /// Counts a run if it has ended already.
    fn count(&mut self, list: List, index: usize) {
        let known = &self.list_of(list)[index];
        let seconds = match &known.state {
            RunState::Done(outcome) => Some(outcome.seconds),
            _ if known.state.has_ended() => None,
            _ => return,
        };
        let run = known.planned.clone();
        self.tally.count(&run, seconds);
    }

    /// Runs those of `indices` that have not ended, as many side by side as are asked for.
    fn run_all(&mut self, list: List, indices: &[usize]) -> Result<()> {
        let open = |&index: &usize| {
            let known = &self.list_of(list)[index];
            (!known.state.has_ended()).then(|| (index, known.planned.clone()))
        };
        let open: Vec<(usize, PlannedRun)> = indices.iter().filter_map(open).collect();
        let workers = usize::from(self.options.jobs).min(open.len());
        // What is alone, as a teacher is, has all cores.
        let starter = Starter {
            sharing: workers,
            ..self.starter.clone()
        };
        let mut ended = Ok(());
        side_by_side(&starter, workers, open, |index, news| {
            match news {
                News::Begun(run) => self.begin(run),
                News::Heard(run, progress) => self.hear(run, progress),
                News::Ended(run, ending) => {
                    self.tally.leave();
                    let kept = ending.and_then(|ending| self.keep(list, index, run, ending));
                    if ended.is_ok() {
                        ended = kept;
                    }
                }
            }
            ended.is_ok()
        });
        ended?;
        let all = self.list_of(list);
        if indices.iter().all(|&index| all[index].state.has_ended()) {
            return Ok(());
        }
        self.starter.not_stopped()
    }

    fn begin(&mut self, run: &PlannedRun) {
        let number = self.tally.begin();
        self.observer.run_begun(run, number, self.tally.all());
    }

    fn hear(&mut self, run: &PlannedRun, progress: &RunProgress) {
        self.observer.run_heard(run, progress);
    }

    /// Keeps how a run has ended.
    fn keep(
        &mut self,
        list: List,
        index: usize,
        run: &PlannedRun,
        ending: RunEnding,
    ) -> Result<()> {
        let state = self.state_after(list, index, run, ending)?;
        let result = match &state {
            RunState::Done(outcome) => {
                let value = markdown::one_value(self.campaign, &outcome.metrics);
                format!("{value}, {:.1} s", outcome.seconds)
            }
            RunState::Failed(failure) => format!("{}: {}", failure.kind.name(), failure.problem),
            _ => {
                self.known(list, index).state = state;
                self.write()?;
                return Err(self.interrupted(run));
            }
        };
        self.known(list, index).state = state;
        self.count(list, index);
        let left = self.tally.left(self.rest(list));
        let ended = EndedRun {
            ended: self.tally.ended(),
            all: self.tally.all(),
            result,
            seconds_left: left.map(|left| left / f64::from(self.options.jobs)),
        };
        self.observer.run_ended(run, &ended);
        self.write()
    }

    /// The state that a run is in by how it has ended; a failure is noted beside its folder.
    fn state_after(
        &self,
        list: List,
        index: usize,
        run: &PlannedRun,
        ending: RunEnding,
    ) -> Result<RunState> {
        let folder = self.out.join(&run.folder);
        let (kind, problem) = match ending {
            RunEnding::Done => match Outcome::read(&folder)? {
                Some(outcome) => return Ok(RunState::Done(Box::new(outcome))),
                None => (FailureKind::Failed, "it has no outcome".to_owned()),
            },
            RunEnding::Interrupted => return Ok(RunState::Begun),
            RunEnding::Diverged(problem) => (FailureKind::Diverged, problem),
            RunEnding::Refused(problem)
            | RunEnding::NoInput(problem)
            | RunEnding::Failed(problem) => (FailureKind::Failed, problem),
            RunEnding::Planned(_) => (FailureKind::Failed, "it was only planned".to_owned()),
        };
        match &self.list_of(list)[index].plan {
            Some(plan) if !self.starter.is_stopped() => {
                let failure = Failure::new(kind, problem, plan);
                failure.write(&folder)?;
                Ok(RunState::Failed(failure))
            }
            _ => Ok(RunState::Begun),
        }
    }

    /// The runs that have not ended yet.
    fn rest(&self, list: List) -> impl Iterator<Item = &PlannedRun> {
        let teachers = match list {
            List::Teachers => &self.teachers[..],
            List::Compared => &[][..],
        };
        let all = teachers.iter().chain(&self.runs);
        all.filter(|known| (self.selected)(&known.planned) && !known.state.has_ended())
            .map(|known| &known.planned)
    }

    /// The campaign stops in the middle of a run.
    fn interrupted(&self, run: &PlannedRun) -> Error {
        let path = self.out.join(&run.folder).join("checkpoint.json");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let checkpoint: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let step = checkpoint["step"].as_u64();
        let phase = checkpoint["phase"].as_str().unwrap_or("preparation");
        Error::Interrupted {
            run: self.options.out.clone(),
            phase: format!("{phase} ({})", run.title),
            step: step
                .and_then(|step| usize::try_from(step).ok())
                .unwrap_or_default(),
        }
    }

    fn results(&self) -> Result<Results> {
        let made_with = &self.options.made_with;
        let selected = |known: &&KnownRun| (self.selected)(&known.planned);
        let mut results = Results::gather(
            self.campaign,
            made_with,
            self.out,
            &self.teachers,
            &self.runs,
        )?;
        results.folder.clone_from(&self.options.out);
        results.selected = self
            .runs
            .iter()
            .filter(selected)
            .map(|known| known.planned.title.clone())
            .collect();
        Ok(results)
    }

    /// Writes the results so far.
    fn write(&self) -> Result<()> {
        let results = self.results()?;
        let mut json = serde_json::to_vec_pretty(&results)
            .map_err(|error| Error::method("results.json", error))?;
        json.push(b'\n');
        kd_core::write_atomically(&self.out.join("results.json"), &json)?;
        let plots = plots::draw(&results)?;
        for plot in &plots {
            kd_core::write_atomically(&self.out.join(&plot.file), plot.svg.as_bytes())?;
        }
        let text = markdown::document(&results, &plots)?;
        kd_core::write_atomically(&self.out.join("results.md"), text.as_bytes())?;
        Ok(page::page(&results, plots)?.write(&self.out.join("results.html"))?)
    }
}
