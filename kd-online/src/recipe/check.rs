//! The check of a recipe: costs of trunk and branches beside whole networks, and what cannot work, in words.

use kd_core::{Cost, Error, ErrorKind, Finding, Result, Topic};
use kd_models::ModelNetwork;
use kd_recipe::Check;
use kd_report::{Align, Section, Table, count};

use super::{Made, work};
use crate::OnlineConfig;

pub(super) fn check<N: ModelNetwork>(config: &OnlineConfig, made: &Made<N>) -> Result<Check> {
    let mut check = Check::of_student(&made.students[config.student()], &made.facts)?;
    let kind = config.objective.name();
    check.title = format!("{}, {} students, kind {kind}", check.title, config.branches);
    match made.online.check() {
        Ok(()) => check.sections.push(costs(config, made)?),
        // What is wrong with the settings is a finding; what keeps from looking at all is an error.
        Err(error) if error.kind() == ErrorKind::Usage => {
            check
                .findings
                .push(Finding::error(Topic::Shapes, error.to_string()));
        }
        Err(error) => return Err(error),
    }
    if let Some(factor) = made.factor {
        let text = format!(
            "the network is trained {factor:.2} times as long as `train` says, to spend the compute of \
             branches; milestones and warm-up are moved with it"
        );
        check.findings.push(Finding::note(Topic::Schedule, text));
    }
    check.findings.extend(made.online.findings()?);
    Ok(check)
}

/// Parameters and multiply-accumulates of trunk, branch and all, against as many whole networks.
fn costs<N: ModelNetwork>(config: &OnlineConfig, made: &Made<N>) -> Result<Section> {
    let failed = |error: kd_report::Error| Error::method("the table of costs", error);
    let columns = [
        ("part", Align::Left),
        ("parameters", Align::Right),
        ("MACs an image", Align::Right),
    ];
    let mut table = Table::new(columns);
    let combiner = made
        .online
        .combiner()?
        .map_or(0, |combiner| combiner.parameters());
    let mut rows = Vec::new();
    let work = work::work(config, made)?;
    if let Some(costs) = work.branches {
        rows.push(("shared by all branches".to_owned(), costs.trunk));
        rows.push(("one branch".to_owned(), costs.branch));
    }
    if work.branches.is_none() && made.students.len() > 1 {
        for student in &made.students {
            let of_one = student.network.costs(made.facts.input())?;
            let (params, macs) = (of_one.params(), of_one.macs());
            rows.push((student.config.network.name.clone(), Cost { params, macs }));
        }
    }
    rows.push(("all".to_owned(), work.all));
    if work.in_training != work.all {
        let part = "all, with a view of its own for each";
        rows.push((part.to_owned(), work.in_training));
    }
    if let Some(costs) = work.branches {
        rows.push((format!("{} networks", config.branches), costs.networks()));
    }
    for (part, cost) in rows {
        table
            .row([part, count(cost.params), count(cost.macs)])
            .map_err(failed)?;
    }
    if combiner > 0 {
        let macs = made.online.combiner_macs()?;
        let row = [
            "what combines them".to_owned(),
            count(combiner),
            count(macs),
        ];
        table.row(row).map_err(failed)?;
    }
    Ok(Section::new("students").with_table(table))
}
