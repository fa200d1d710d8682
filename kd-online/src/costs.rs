//! Costs of a multi-branch network beside those of whole networks, and training for as much compute.

use kd_core::{Cost, Costs, Schedule, Training};

/// Parameters and multiply-accumulates of trunk and branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BranchCosts {
    /// The number of branches.
    pub branches: usize,
    /// What is run once.
    pub trunk: Cost,
    /// One branch, without the trunk.
    pub branch: Cost,
}

impl BranchCosts {
    /// The costs of `branches` networks that share the stages named, given the costs of one network.
    pub fn new(network: &Costs, shared: &[String], branches: usize) -> Self {
        let (mut trunk, mut branch) = (Cost::default(), Cost::default());
        for (stage, cost) in network.by_stage() {
            let into = if shared.contains(&stage) {
                &mut trunk
            } else {
                &mut branch
            };
            into.params += cost.params;
            into.macs += cost.macs;
        }
        Self {
            branches,
            trunk,
            branch,
        }
    }

    /// One network alone: what is deployed.
    pub fn single(&self) -> Cost {
        sum(self.trunk, self.branch, 1)
    }

    /// Trunk and all branches.
    pub fn all(&self) -> Cost {
        sum(self.trunk, self.branch, self.branches as u64)
    }

    /// What is run of a sample where each branch sees a view of its own: what the branches share is one set
    /// of parameters, which is run for each view.
    pub fn with_own_views(&self) -> Cost {
        Cost {
            params: self.all().params,
            macs: self.networks().macs,
        }
    }

    /// As many whole networks as there are branches.
    pub fn networks(&self) -> Cost {
        sum(Cost::default(), self.single(), self.branches as u64)
    }

    /// The multiply-accumulates of a step in units of those of one network: so many times longer may one
    /// network be trained for the same compute.
    pub fn compute_factor(&self) -> f64 {
        self.all().macs as f64 / self.single().macs.max(1) as f64
    }
}

fn sum(once: Cost, each: Cost, times: u64) -> Cost {
    Cost {
        params: once.params + times * each.params,
        macs: once.macs + times * each.macs,
    }
}

/// `training` made `factor` times longer, its milestones and its warm-up with it: the control that has one
/// network and the compute of several branches.
///
/// ```
/// use kd_core::{Schedule, Training};
/// use kd_online::stretched;
///
/// let mut training = Training::for_epochs(10);
/// training.schedule = Schedule::MultiStep { milestones: vec![5, 8], gamma: 0.1 };
/// let longer = stretched(&training, 1.5);
/// assert_eq!(longer.epochs, Some(15));
/// assert_eq!(longer.schedule, Schedule::MultiStep { milestones: vec![8, 12], gamma: 0.1 });
/// ```
pub fn stretched(training: &Training, factor: f64) -> Training {
    let mut longer = training.clone();
    let times = |count: usize| scaled(count, factor);
    longer.epochs = training.epochs.map(|epochs| times(epochs).max(1));
    longer.steps = training.steps.map(|steps| times(steps).max(1));
    longer.warmup_epochs *= factor;
    if let Schedule::MultiStep { milestones, .. } = &mut longer.schedule {
        for milestone in milestones {
            *milestone = times(*milestone);
        }
    }
    longer
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count times a factor that is not negative; a float that is too large saturates"
)]
fn scaled(count: usize, factor: f64) -> usize {
    (count as f64 * factor.max(0.0)).round() as usize
}
