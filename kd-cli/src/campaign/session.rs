//! Runs what is not there yet of a campaign.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use kd_core::{Error, ErrorKind, Result};

use super::board::Board;
use super::cell::{Cell, Cells};
use super::child::Finished;
use super::file::Campaign;
use super::place::Place;
use super::plan::{Plans, Starter};
use super::request::Request;
use super::results::{Known, Results};
use super::side_by_side::{News, side_by_side};
use super::state::{self, Failure, State};
use super::{markdown, plots};
use crate::job::{check_utf8, outcome};
use crate::method::Methods;

/// Runs the campaign, or goes on with it.
///
/// # Errors
///
/// What is wrong with the campaign or its recipes, before anything is trained; [`Error::Interrupted`]; at the end an error
/// that names the runs without a result.
pub(crate) fn run(methods: &Methods, request: &Request, stop: &AtomicBool) -> Result<()> {
    let campaign = Campaign::read(&request.file)?;
    for name in &request.only {
        let known = campaign.methods.iter().map(|entry| entry.name.as_str());
        if campaign.method(name).is_none() {
            return Err(Error::unknown_name("method", name, known));
        }
    }
    let out = std::path::absolute(&request.out).map_err(Error::io("read", &request.out))?;
    check_utf8(&out)?;
    let mut cells = Cells::new(&campaign, &request.file, &out, &request.overrides)?;
    let all: Vec<String> = campaign
        .methods
        .iter()
        .map(|entry| entry.name.clone())
        .collect();
    let wanted = if request.only.is_empty() {
        all.clone()
    } else {
        request.only.clone()
    };
    let needed: BTreeSet<PathBuf> = cells
        .teachers(&wanted)?
        .into_iter()
        .map(|cell| cell.folder)
        .collect();
    let unknown = |cell: Cell| Known {
        cell,
        plan: None,
        state: State::Missing,
    };
    let teachers: Vec<Known> = cells.teachers(&all)?.into_iter().map(unknown).collect();
    let cells: Vec<Known> = cells.methods()?.into_iter().map(unknown).collect();
    for known in teachers.iter().chain(&cells) {
        check_recipe(methods, &known.cell)?;
    }
    let selected = |cell: &Cell| needed.contains(&cell.folder) || wanted.contains(&cell.name);
    let runs = teachers
        .iter()
        .chain(&cells)
        .filter(|known| selected(&known.cell));
    let starter = Starter {
        out: &out,
        shown: &request.out,
        started_in: &request.started_in,
        machine: &request.machine,
        stop,
        sharing: 1,
    };
    let mut session = Session {
        methods,
        campaign: &campaign,
        request,
        out: &out,
        board: Board::new(runs.count(), request.machine.json),
        plans: Plans::new(starter.clone()),
        starter,
        selected: &selected,
        teachers,
        cells,
    };
    if request.dry_run {
        return session.list();
    }
    let _place = Place::take(&request.out, &request.mark()?)?;
    session.go()
}

/// Reads a recipe as its run will, but for the data and the teachers that it names.
fn check_recipe(methods: &Methods, cell: &Cell) -> Result<()> {
    let path = &cell.recipe;
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let origin = format!("{} (for {})", path.display(), cell.title);
    let mut overrides = cell.overrides.clone();
    overrides.push(format!("seed={}", cell.seed));
    methods.read(&origin, &text, &overrides, None).map(drop)
}

/// Which of the two lists of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Teachers,
    Cells,
}

/// A campaign under way.
pub(crate) struct Session<'a> {
    methods: &'a Methods,
    pub(super) campaign: &'a Campaign,
    pub(super) request: &'a Request,
    out: &'a Path,
    board: Board,
    starter: Starter<'a>,
    plans: Plans<'a>,
    /// Whether a run is asked for.
    pub(super) selected: &'a dyn Fn(&Cell) -> bool,
    pub(super) teachers: Vec<Known>,
    pub(super) cells: Vec<Known>,
}

impl Session<'_> {
    fn list_of(&self, list: List) -> &[Known] {
        match list {
            List::Teachers => &self.teachers,
            List::Cells => &self.cells,
        }
    }

    fn known(&mut self, list: List, index: usize) -> &mut Known {
        match list {
            List::Teachers => &mut self.teachers[index],
            List::Cells => &mut self.cells[index],
        }
    }

    /// Everything, teachers first.
    fn go(&mut self) -> Result<()> {
        for index in 0..self.teachers.len() {
            self.look(List::Teachers, index)?;
            if !(self.selected)(&self.teachers[index].cell) {
                continue;
            }
            self.clear(List::Teachers, index..=index)?;
            self.count(List::Teachers, index);
            self.run_all(List::Teachers, &[index])?;
            if let State::Failed(failure) = &self.teachers[index].state {
                let title = &self.teachers[index].cell.title;
                let (how, problem) = (failure.kind.name(), &failure.problem);
                let problem = format!("{title} {how}: {problem}; nothing can learn from it");
                self.write()?;
                return Err(self.failed(problem));
            }
        }
        for index in 0..self.cells.len() {
            self.look(List::Cells, index)?;
        }
        if let Some(last) = self.cells.len().checked_sub(1) {
            self.clear(List::Cells, 0..=last)?;
        }
        self.write()?;
        let wanted: Vec<usize> = (0..self.cells.len())
            .filter(|&index| (self.selected)(&self.cells[index].cell))
            .collect();
        let (there, open): (Vec<usize>, Vec<usize>) = wanted
            .into_iter()
            .partition(|&index| self.cells[index].state.has_ended());
        if !there.is_empty() && !open.is_empty() {
            let (there, all) = (there.len(), there.len() + open.len());
            self.board
                .say(&format!("{there} of {all} runs are there already"));
        }
        for index in there {
            self.count(List::Cells, index);
        }
        self.run_all(List::Cells, &open)?;
        self.report()
    }

    /// Finds out what there is of a run.
    pub(super) fn look(&mut self, list: List, index: usize) -> Result<()> {
        self.starter.not_stopped()?;
        let cell = self.list_of(list)[index].cell.clone();
        let done = |folder: &PathBuf| {
            let teacher = self
                .teachers
                .iter()
                .find(|known| known.cell.folder == *folder);
            teacher.is_some_and(|known| matches!(known.state, State::Done(_)))
        };
        if !cell.needs.iter().all(done) {
            if self.out.join(&cell.folder).join("recipe.toml").is_file() {
                let why = "a teacher of the campaign is not there".to_owned();
                self.known(list, index).state = State::Stale(why);
            }
            return Ok(());
        }
        let mut plan = self.plans.of(&cell)?;
        self.starter.not_stopped()?;
        let state = state::state(self.methods, &mut self.plans, self.out, &cell, &mut plan)?;
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
            if !(self.selected)(&known.cell) {
                continue;
            }
            match (&known.state, self.request.rerun) {
                (State::Stale(_) | State::Failed(_), true) => {
                    let folder = self.out.join(&known.cell.folder);
                    self.starter.wait_for(&folder)?;
                    state::remove(&folder)?;
                    self.known(list, index).state = State::Missing;
                }
                (State::Stale(why), false) => stale.push(format!("{}: {why}", known.cell.title)),
                _ => {}
            }
        }
        let Some(first) = stale.first() else {
            return Ok(());
        };
        let others = match stale.len() - 1 {
            0 => String::new(),
            1 => ", and 1 other run".into(),
            more => format!(", and {more} other runs"),
        };
        Err(self.failed(format!(
            "holds runs that were made from something else ({first}{others}); add `--rerun` to throw them away and make them again, or give another folder with `--out`"
        )))
    }

    /// Counts a run if it has ended already.
    fn count(&mut self, list: List, index: usize) {
        let known = &self.list_of(list)[index];
        let seconds = match &known.state {
            State::Done(outcome) => Some(outcome.seconds),
            _ if known.state.has_ended() => None,
            _ => return,
        };
        let cell = known.cell.clone();
        self.board.count(&cell, seconds);
    }

    /// Runs those of `indices` that have not ended, as many side by side as are asked for.
    fn run_all(&mut self, list: List, indices: &[usize]) -> Result<()> {
        let open = |&index: &usize| {
            let known = &self.list_of(list)[index];
            (!known.state.has_ended()).then(|| (index, known.cell.clone()))
        };
        let open: Vec<(usize, Cell)> = indices.iter().filter_map(open).collect();
        let workers = usize::from(self.request.jobs).min(open.len());
        // What is alone, as a teacher is, has all cores.
        let starter = Starter {
            sharing: workers,
            ..self.starter.clone()
        };
        let mut ended = Ok(());
        side_by_side(&starter, workers, open, |index, news| {
            match news {
                News::Begun(cell) => self.board.begin(cell),
                News::Heard(cell, heard) => self.board.hear(cell, heard),
                News::Done(cell, done) => {
                    let kept = done.and_then(|done| self.keep(list, index, cell, done));
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

    /// What came of the process of a run.
    fn keep(&mut self, list: List, index: usize, cell: &Cell, done: Finished) -> Result<()> {
        let folder = self.out.join(&cell.folder);
        let interrupted = i32::from(ErrorKind::Interrupted.exit_code());
        let outcome = match done.code {
            Some(0) => outcome(&folder)?,
            _ => None,
        };
        let state = match (outcome, self.list_of(list)[index].plan.as_ref()) {
            (Some(outcome), _) => State::Done(Box::new(outcome)),
            _ if done.code == Some(interrupted) || self.starter.is_stopped() => State::Begun,
            (None, Some(plan)) => {
                let failure = Failure::new(done.code, done.problem, plan);
                failure.write(&folder)?;
                State::Failed(failure)
            }
            (None, None) => State::Begun,
        };
        let result = match &state {
            State::Done(outcome) => {
                let value = markdown::one_value(self.campaign, &outcome.metrics);
                format!("{value}, {:.1} s", outcome.seconds)
            }
            State::Failed(failure) => format!("{}: {}", failure.kind.name(), failure.problem),
            _ => {
                self.known(list, index).state = state;
                self.write()?;
                return Err(self.interrupted(cell));
            }
        };
        self.known(list, index).state = state;
        self.count(list, index);
        let left = self.board.left(self.rest(list));
        let left = left.map(|left| left / f64::from(self.request.jobs));
        self.board.end(cell, &result, left);
        self.write()
    }

    /// What has not ended yet.
    fn rest(&self, list: List) -> impl Iterator<Item = &Cell> {
        let teachers = match list {
            List::Teachers => &self.teachers[..],
            List::Cells => &[][..],
        };
        let all = teachers.iter().chain(&self.cells);
        all.filter(|known| (self.selected)(&known.cell) && !known.state.has_ended())
            .map(|known| &known.cell)
    }

    /// The campaign stops in the middle of a run.
    fn interrupted(&self, cell: &Cell) -> Error {
        let path = self.out.join(&cell.folder).join("checkpoint.json");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let checkpoint: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let step = checkpoint["step"].as_u64();
        let phase = checkpoint["phase"].as_str().unwrap_or("preparation");
        Error::Interrupted {
            run: self.request.out.clone(),
            phase: format!("{phase} ({})", cell.title),
            step: step
                .and_then(|step| usize::try_from(step).ok())
                .unwrap_or_default(),
        }
    }

    pub(super) fn failed(&self, problem: String) -> Error {
        Error::Run {
            path: self.request.out.clone(),
            problem,
        }
    }

    pub(super) fn results(&self) -> Result<Results> {
        let command = self.request.command();
        Results::gather(
            self.campaign,
            &command,
            self.out,
            &self.teachers,
            &self.cells,
        )
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
        kd_core::write_atomically(&self.out.join("results.md"), text.as_bytes())
    }
}
