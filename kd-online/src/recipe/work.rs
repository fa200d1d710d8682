//! The work of all students of a recipe: parameters and multiply-accumulates.

use kd_core::{Cost, Result};
use kd_models::ModelNetwork;

use super::Made;
use crate::{BranchCosts, BranchViews, Objective, OnlineConfig};

/// The costs of all students, and their parts where they are branches of one kind.
pub(super) struct Work {
    /// Trunk and branches, or as many networks of one kind.
    pub(super) branches: Option<BranchCosts>,
    /// All of them, with the same view of a sample for each.
    pub(super) all: Cost,
    /// All of them in a step of training, in which each may have a view of its own.
    pub(super) in_training: Cost,
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
            in_training: match config.views {
                BranchViews::Same => costs.all(),
                BranchViews::Own => costs.with_own_views(),
            },
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
        in_training: all,
    })
}

/// The multiply-accumulates of a training step, an image: three times those of a forward pass for students
/// and what combines them, which are trained; once for averaged peers and a teacher that is not kept, which
/// only answer. A teacher answers for each view.
pub(super) fn step_macs<N: ModelNetwork>(config: &OnlineConfig, made: &Made<N>) -> Result<u64> {
    let students = work(config, made)?.in_training.macs;
    let views = match config.views {
        BranchViews::Same => 1,
        BranchViews::Own => config.branches as u64,
    };
    let averaged = match config.objective {
        Objective::Pcl { .. } => students,
        _ => 0,
    };
    let combiner = made.online.combiner_macs()?;
    Ok(3 * (students + combiner) + averaged + views * made.teacher_macs)
}
