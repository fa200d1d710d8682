//! The check of a recipe: chunks, costs by student, and what cannot work, in words.

use kd_core::{CountCosts, Error, ErrorKind, Finding, Result, Teacher, Topic};
use kd_models::{ModelNetwork, Network};
use kd_recipe::{Check, Context, DataFacts, NewNetwork};
use kd_report::{Align, Section, Table, count};

use super::{Made, TeacherClassRecipe};
use crate::class::Class;

pub(super) fn check(
    recipe: &mut TeacherClassRecipe,
    at: &Context,
    facts: &DataFacts,
) -> Result<Check> {
    let data = at.data(&recipe.data)?;
    let plain: NewNetwork<Network> = at.network(&mut recipe.student, &data, at.seed())?;
    let mut check = Check::of_student(&plain, facts)?;
    check.networks.clear();
    let students = recipe.config.students;
    check.title = format!("{students} x {}", check.title);
    let teacher = check.teacher("the teacher".into(), &recipe.teacher, facts, at)?;
    if teacher.missing {
        return Ok(check);
    }
    match checked(recipe, at, teacher.teacher, facts) {
        Ok(made) => describe(&mut check, &made)?,
        // What is wrong with the settings is a finding; what keeps from looking at all is an error.
        Err(error) if error.kind() == ErrorKind::Usage => {
            let finding = Finding::error(Topic::Shapes, error.to_string());
            check.findings.push(finding);
        }
        Err(error) => return Err(error),
    }
    Ok(check)
}

fn checked(
    recipe: &mut TeacherClassRecipe,
    at: &Context,
    teacher: Box<dyn Teacher>,
    facts: &DataFacts,
) -> Result<Made> {
    let made = recipe.made(at, teacher, facts)?;
    made.method.check()?;
    Ok(made)
}

fn describe(check: &mut Check, made: &Made) -> Result<()> {
    let lengths: Vec<usize> = made.chunks.iter().map(|chunk| chunk.length).collect();
    let (most, least) = (lengths.iter().max(), lengths.iter().min());
    if most != least {
        let text = format!(
            "{} students do not divide the {} units of the teacher's dense vector: the chunks have {} or {} \
             of them",
            lengths.len(),
            lengths.iter().sum::<usize>(),
            most.unwrap_or(&0),
            least.unwrap_or(&0)
        );
        check.findings.push(Finding::note(Topic::Shapes, text));
    }
    check.findings.push(merge(made)?);
    let dead = made.method.dead_units()?;
    if dead > 0 {
        let text = format!(
            "{dead} of {} units of the teacher's dense vector are the same for all samples that were looked \
             at; they are learnt and left out of the normalised error",
            lengths.iter().sum::<usize>()
        );
        check.findings.push(Finding::note(Topic::Teachers, text));
    }
    check.sections.push(costs(made)?);
    Ok(())
}

/// What is done to the joined chunks before the head.
fn merge(made: &Made) -> Result<Finding> {
    if !made.method.has_relu()? {
        let text = "the joined chunks go to the head as they are, without a ReLU";
        return Ok(Finding::note(Topic::Shapes, text));
    }
    if made.method.is_signed()? {
        let text = "the joined chunks pass through a ReLU, as `teacher-class.relu` says, and the teacher's \
                    dense vector is negative in places: what is below 0 is lost before the head";
        return Ok(Finding::warning(Topic::Shapes, text));
    }
    let text =
        "the joined chunks pass through a ReLU, as the teacher's dense vector is nowhere negative";
    Ok(Finding::note(Topic::Shapes, text))
}

/// Parameters and multiply-accumulates of each student, the head, and all.
fn costs(made: &Made) -> Result<Section> {
    let failed = |error: kd_report::Error| Error::method("the table of costs", error);
    let columns = [
        ("part", Align::Left),
        ("units", Align::Right),
        ("parameters", Align::Right),
        ("MACs an image", Align::Right),
    ];
    let mut table = Table::new(columns);
    let class = Class::<Network>::blank(&made.config.network, &burn::tensor::Device::default())?;
    let costs = class.costs(made.facts.input())?;
    for (index, (stage, cost)) in costs.by_stage().into_iter().enumerate() {
        let units = made.chunks.get(index).map(|chunk| chunk.length.to_string());
        let units = units.unwrap_or_default();
        let row = [stage, units, count(cost.params), count(cost.macs)];
        table.row(row).map_err(failed)?;
    }
    let units: usize = made.chunks.iter().map(|chunk| chunk.length).sum();
    let (params, macs) = (count(costs.params()), count(costs.macs()));
    let row = ["the class".to_owned(), units.to_string(), params, macs];
    table.row(row).map_err(failed)?;
    Ok(Section::new("students").with_table(table))
}
