//! What a campaign prints: the table at its end, or the list of its runs.

use std::collections::BTreeSet;

use kd_core::{Error, Result};

use super::markdown;
use super::results::Known;
use super::session::{List, Session};
use super::state::State;
use crate::output;

impl Session<'_> {
    /// What is printed at the end.
    pub(super) fn report(&self) -> Result<()> {
        let results = self.results()?;
        if self.request.machine.json {
            output::json(&results);
        } else {
            markdown::print(&results);
            let file = self.request.out.join("results.md");
            output::line("");
            output::line(&format!("results in {}", file.display()));
        }
        let selected: Vec<&Known> = self
            .cells
            .iter()
            .filter(|known| (self.selected)(&known.cell))
            .collect();
        let failures: Vec<String> = selected
            .iter()
            .filter_map(|known| match &known.state {
                State::Failed(failure) => {
                    Some(format!("{} {}", known.cell.title, failure.kind.name()))
                }
                _ => None,
            })
            .collect();
        if !failures.is_empty() {
            let all = selected.len();
            let (count, list) = (failures.len(), failures.join("; "));
            return Err(self.failed(format!(
                "{count} of {all} runs have no result: {list}; `results.md` says why, `--rerun` tries them again"
            )));
        }
        let measured: BTreeSet<&str> = selected
            .iter()
            .filter_map(|known| match &known.state {
                State::Done(outcome) => Some(outcome.metrics.keys().map(String::as_str)),
                _ => None,
            })
            .flatten()
            .collect();
        if measured.contains(self.campaign.metric.as_str()) {
            Ok(())
        } else {
            Err(Error::unknown_name(
                "metric",
                &self.campaign.metric,
                measured,
            ))
        }
    }

    /// What there is of each run.
    pub(super) fn list(&mut self) -> Result<()> {
        for index in 0..self.teachers.len() {
            self.look(List::Teachers, index)?;
        }
        for index in 0..self.cells.len() {
            self.look(List::Cells, index)?;
        }
        if self.request.machine.json {
            output::json(&self.results()?);
            return Ok(());
        }
        let all = self.teachers.iter().chain(&self.cells);
        let rows: Vec<Vec<String>> = all
            .filter(|known| (self.selected)(&known.cell))
            .map(|known| {
                let what = match &known.state {
                    State::Stale(why) => format!("stale: {why}"),
                    State::Missing if known.plan.is_none() => "waits for its teacher".into(),
                    other => other.name().to_owned(),
                };
                vec![known.cell.title.clone(), what]
            })
            .collect();
        let head = [("run", output::Side::Left), ("state", output::Side::Left)];
        output::table(&head, &rows);
        Ok(())
    }
}
