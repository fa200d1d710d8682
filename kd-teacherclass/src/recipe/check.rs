//! The check of a recipe: chunks, costs by student, and what cannot work, in words.

use kd_core::{CountCosts, Error, ErrorKind, Finding, Result, Teacher, Topic};
use kd_models::ModelNetwork;
use kd_recipe::{Check, Context, DataFacts, NewNetwork};
use kd_report::{Align, Section, Table, count, percent};

use super::{Made, TeacherClassRecipe};
use crate::class::Class;
use crate::config::ChunkLoss;
use crate::family::ClassConfig;
use crate::student::Student;

pub(super) fn check<N: ModelNetwork + Student>(
    recipe: &mut TeacherClassRecipe,
    at: &Context,
    facts: &DataFacts,
) -> Result<Check> {
    let data = at.data(&recipe.data)?;
    let plain: NewNetwork<N> = at.network(&mut recipe.student, &data, at.seed())?;
    let mut check = Check::of_student(&plain, facts)?;
    check.networks.clear();
    let students = recipe.config.students;
    check.title = format!("{students} x {}", check.title);
    let teacher = check.teacher("the teacher".into(), &recipe.teacher, facts, at)?;
    if teacher.missing {
        return Ok(check);
    }
    match checked::<N>(recipe, at, teacher.teacher, facts) {
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

fn checked<N: ModelNetwork + Student>(
    recipe: &mut TeacherClassRecipe,
    at: &Context,
    teacher: Box<dyn Teacher>,
    facts: &DataFacts,
) -> Result<Made<N>> {
    let made = recipe.made(at, teacher, facts)?;
    made.method.check()?;
    Ok(made)
}

fn describe<N: ModelNetwork + Student>(check: &mut Check, made: &Made<N>) -> Result<()> {
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
    check.findings.extend(findings(made)?);
    check.findings.extend(fitted(made)?);
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

/// What is suspicious about the data, the training, the division and the merged class.
pub(super) fn findings<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Vec<Finding>> {
    let mut findings = made.method.findings()?;
    findings.extend(division(made)?);
    findings.push(merge(made)?);
    findings.extend(untuned(made));
    Ok(findings)
}

/// The widths that were chosen for a budget.
fn fitted<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Option<Finding>> {
    let Some(wanted) = made.wanted else {
        return Ok(None);
    };
    let costs = class_of(made)?.costs(made.facts.input())?;
    let found = wanted.of([costs.params(), costs.macs()]);
    let number = wanted.number();
    let config: ClassConfig = made.config.network.config_of(Class::<N>::FAMILIES[0])?;
    let first = config.students.first();
    let widths = first.and_then(|student| student.network.widths_in_words());
    let widths = widths.unwrap_or_else(|| "their own widths".into());
    let text = format!(
        "a budget of {} {}: students with {widths}; the class has {}, {:+.2} %",
        count(number),
        wanted.what(),
        count(found),
        100.0 * (found as f64 / number.max(1) as f64 - 1.0)
    );
    Ok(Some(Finding::ok(Topic::Costs, text)))
}

/// The multiply-accumulates of the largest student for one image.
pub(super) fn largest_student<N: ModelNetwork + Student>(made: &Made<N>) -> Result<u64> {
    let costs = class_of(made)?.costs(made.facts.input())?;
    let students = costs.by_stage().into_iter().take(made.chunks.len());
    Ok(students
        .map(|(_, cost)| cost.macs)
        .max()
        .unwrap_or_default())
}

fn class_of<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Class<N>> {
    Class::blank(&made.config.network, &burn::tensor::Device::default())
}

/// The warning that the copied head is of no use for the official adversarial loss.
fn untuned<N: ModelNetwork + Student>(made: &Made<N>) -> Option<Finding> {
    let config = &made.method.config;
    let literal = config.loss == ChunkLoss::GanLiteral;
    let text = "`gan-literal` does not bring the students' outputs to the teacher's units, so that the \
                copied head is at chance, and `teacher-class.head.epochs` is 0; tune the head, or use \
                `gan-direct`";
    (literal && config.head.epochs == 0).then(|| Finding::warning(Topic::Schedule, text))
}

/// How the dense vector is divided, where that is not by index.
fn division<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Option<Finding>> {
    let division = made.method.division()?;
    let shares = division.shares();
    let (Some(least), Some(most)) = (
        shares.iter().copied().min_by(f64::total_cmp),
        shares.iter().copied().max_by(f64::total_cmp),
    ) else {
        return Ok(None);
    };
    let text = format!(
        "the dense vector is divided by `{}`: a student learns {} to {} of its variance",
        division.kind().name(),
        percent(least),
        percent(most)
    );
    Ok(Some(Finding::note(Topic::Shapes, text)))
}

/// What is done to the joined chunks before the head.
fn merge<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Finding> {
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
fn costs<N: ModelNetwork + Student>(made: &Made<N>) -> Result<Section> {
    let failed = |error: kd_report::Error| Error::method("the table of costs", error);
    let columns = [
        ("part", Align::Left),
        ("units", Align::Right),
        ("parameters", Align::Right),
        ("MACs an image", Align::Right),
    ];
    let mut table = Table::new(columns);
    let costs = class_of(made)?.costs(made.facts.input())?;
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
