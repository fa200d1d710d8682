//! The check of a recipe: the budget beside the floor of each block, what is fixed and why.

use kd_core::{ErrorKind, Finding, Result, Topic};
use kd_models::Network;
use kd_recipe::{Check, Context, DataFacts};
use kd_report::{Align, Section, Table, count};

use super::CompactRecipe;
use crate::alive::Alive;
use crate::budget::{Floor, Limit};
use crate::config::Criterion;
use crate::method::Compact;

pub(super) fn check(recipe: &CompactRecipe, at: &Context, facts: &DataFacts) -> Result<Check> {
    let mut check = Check::prepared(<CompactRecipe as kd_recipe::MethodRecipe>::METHOD);
    check.findings.clear();
    let opened = match at.open_teacher(&recipe.network, facts, "the network") {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::Usage || error.kind() == ErrorKind::Input => {
            let finding = Finding::error(Topic::Weights, format!("the network: {error}"));
            check.findings.push(finding);
            return Ok(check);
        }
        Err(error) => return Err(error),
    };
    check.title = format!(
        "{} on {} ({}, {} classes), made smaller",
        opened.model.config().network.title(),
        facts.name,
        facts.shape,
        facts.classes
    );
    check.frozen("the network", opened.model.as_ref(), facts)?;
    let teacher = match recipe.open_teacher(at, facts) {
        Ok(teacher) => teacher,
        Err(error) if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Input) => {
            let finding = Finding::error(Topic::Weights, format!("the teacher: {error}"));
            check.findings.push(finding);
            return Ok(check);
        }
        Err(error) => return Err(error),
    };
    if let Some(teacher) = &teacher {
        check.frozen("the teacher", teacher.model.as_ref(), facts)?;
    }
    let method = match recipe.method(at, &opened, teacher.as_ref()) {
        Ok(method) => method,
        Err(error) if matches!(error.kind(), ErrorKind::Usage | ErrorKind::Input) => {
            let finding = Finding::error(Topic::Shapes, error.to_string());
            check.findings.push(finding);
            return Ok(check);
        }
        Err(error) => return Err(error),
    };
    check.sections.push(blocks(&method)?);
    describe(&mut check, &method);
    let limits = method.check().and_then(|()| limits(&mut check, &method));
    match limits {
        Ok(limits) => {
            check.findings.extend(pace(&method, &limits)?);
            check.findings.extend(method.findings()?);
        }
        Err(error) => {
            let finding = Finding::error(Topic::Costs, error.to_string());
            check.findings.push(finding);
        }
    }
    Ok(check)
}

/// The limits of sparse training. For a budget in milliseconds the network is measured, and the time of an
/// answer said beside the least that is possible.
fn limits(check: &mut Check, method: &Compact<Network>) -> Result<Vec<Limit>> {
    let budget = method.budget()?;
    let Some(asked) = budget.milliseconds else {
        return Ok(budget.limits);
    };
    let (table, groups) = (method.latency_table()?, method.groups());
    let model = method.costs().clone().timed(&table)?;
    let round_to = method.settings.round_to();
    let least = Alive::chosen(groups, |_, channel| channel < round_to);
    let text = format!(
        "an answer for a batch of {} takes {:.3} ms on this machine, and no less than {:.3} ms are left \
         where \
         each group keeps {round_to} channels; asked are {asked}",
        table.batch(),
        table.milliseconds(),
        model.milliseconds(&least).unwrap_or_default(),
    );
    check.findings.push(Finding::note(Topic::Costs, text));
    method.sparse_limits(&model)
}

/// Costs now and at the floor, by block.
fn blocks(method: &Compact<Network>) -> Result<Section> {
    let columns = [
        ("block", Align::Left),
        ("MACs", Align::Right),
        ("no less than", Align::Right),
        ("parameters", Align::Right),
        ("no less than", Align::Right),
    ];
    let mut table = Table::new(columns);
    let floor = Floor::of(method.costs(), method.groups());
    let now = method.costs().by_block(&Alive::all(method.groups()));
    let whole = method.costs().size(&Alive::all(method.groups()));
    let blocks = floor.blocks.into_iter().zip(now);
    let rows = blocks.map(|((name, floor), now)| (name, now, floor));
    for (name, now, floor) in rows.chain([("all".to_owned(), whole, floor.whole)]) {
        let row = [
            name,
            count(now.macs),
            count(floor.macs),
            count(now.parameters),
            count(floor.parameters),
        ];
        let failed = |error: kd_report::Error| kd_core::Error::method("the table of blocks", error);
        table.row(row).map_err(failed)?;
    }
    Ok(Section::new("blocks").with_table(table))
}

fn describe(check: &mut Check, method: &Compact<Network>) {
    let free = method.groups().groups().iter();
    let free = free.filter(|group| group.fixed.is_none()).count();
    let text = format!(
        "{} channels in {free} groups may be cut, by {} scales of norms",
        method.groups().channels(),
        method.groups().scales()
    );
    check.findings.push(Finding::ok(Topic::Shapes, text));
    for group in method.groups().groups() {
        if let Some(reason) = &group.fixed {
            let text = format!(
                "{} channels of `{}` stay as they are: {reason}",
                group.channels, group.name
            );
            check.findings.push(Finding::note(Topic::Shapes, text));
        }
    }
}

/// What sparse training will do, as far as arithmetic says.
fn pace(method: &Compact<Network>, limits: &[Limit]) -> Result<Option<Finding>> {
    if !method.settings.compact.criterion.sparsifies() {
        let chosen = match method.settings.compact.criterion {
            Criterion::None => "nothing is cut",
            _ => "channels are chosen without sparse training",
        };
        return Ok(Some(Finding::note(Topic::Schedule, chosen)));
    }
    let strength = method.strength_within(limits)?;
    let text = format!(
        "sparse training has a strength of {strength:.3}{}",
        match method.settings.compact.strength {
            Some(_) => "",
            None =>
                ", at which the penalty alone moves the scales by a half for each halving of the cost",
        }
    );
    Ok(Some(Finding::note(Topic::Schedule, text)))
}
