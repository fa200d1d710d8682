//! The work of all students of a recipe: parameters and multiply-accumulates.

use kd_core::{Cost, Result};
use kd_models::ModelNetwork;

use super::Made;
use crate::{BranchCosts, Objective, OnlineConfig};

/// The costs of all students, and their parts where they are branches of one kind.
pub(super) struct Work {
    /// Trunk and branches, or as many networks of one kind.
    pub(super) branches: Option<BranchCosts>,
    /// All of them.
    pub(super) all: Cost,
}

/// What all students are made of.
pub(super) fn work<N: ModelNetwork>(config: &OnlineConfig, made: &Made<N>) -> Result<Work> {
    let first = &made.students[0];
    let name = |of: usize| made.students[of].config.network.name.as_str();
    let alike = (1..made.students.len()).all(|other| name(other) == name(0));
    if alike && config.branches > 1 {
        let network = first.network.costs(made.facts.input())?;
        let stages = first.network.stage_names();
        let shared = match &config.shared {
            Some(name) => first.network.tap(name)? + 1,
            None => 0,
        };
        let costs = BranchCosts::new(&network, &stages[..shared], config.branches);
        return Ok(Work {
            branches: Some(costs),
            all: costs.all(),
        });
    }
    let mut all = Cost::default();
    for student in &made.students {
        let costs = student.network.costs(made.facts.input())?;
        all.params += costs.params();
        all.macs += costs.macs();
    }
    Ok(Work {
        branches: None,
        all,
    })
}

/// The multiply-accumulates of a training step, an image: three times those of a forward pass for students
/// and what combines them, which are trained; once for averaged peers and a teacher that is not kept, which
/// only answer.
pub(super) fn step_macs<N: ModelNetwork>(config: &OnlineConfig, made: &Made<N>) -> Result<u64> {
    let students = work(config, made)?.all.macs;
    let averaged = match config.objective {
        Objective::Pcl { .. } => students,
        _ => 0,
    };
    let combiner = made.online.combiner_macs()?;
    Ok(3 * (students + combiner) + averaged + made.teacher_macs)
}
