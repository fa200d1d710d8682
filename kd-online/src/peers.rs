//! The students of a run as they are at first: branches of one network, or different networks.

use std::fmt::Debug;

use burn::tensor::Device;
use kd_core::{Classifier, Error, OptimizerConfig, Preprocessing, Result};

use crate::branches::Branches;
use crate::config::OnlineConfig;
use crate::group::{AverageSettings, Group, StudentGroup, own_hashes};

/// The initial students of a run; they are not changed by it.
///
/// Mostly they are branches of one network. Networks of other types can stand beside them, as in deep mutual
/// learning of a large and a small network; each has its own preprocessing and, if it is to, its own
/// optimizer. The objective decides whether they must have maps or heads of one shape.
///
/// ```
/// # use kd_core::{Classifier, Normalisation, OptimizerConfig, Result};
/// # use kd_online::{Branches, OnlineConfig, Peers};
/// fn mutual<A, B>(large: A, small: B) -> Result<Peers>
/// where
///     A: Classifier + 'static,
///     B: Classifier + 'static,
/// {
///     let normalisation = Normalisation::identity(3);
///     let large = Branches::new(vec![large], None)?;
///     let small = Branches::new(vec![small], None)?;
///     let peers = Peers::of(large, normalisation.clone()).and(small, normalisation);
///     Ok(peers.with_optimizer(OptimizerConfig::adam()))
/// }
/// ```
#[derive(Debug)]
pub struct Peers {
    groups: Vec<Box<dyn InitialGroup>>,
}

/// Students of one type before they are trained; object-safe.
trait InitialGroup: Debug {
    fn len(&self) -> usize;
    fn shared(&self) -> Option<String>;
    fn preprocessing(&self) -> &Preprocessing;
    fn set_optimizer(&mut self, optimizer: OptimizerConfig);
    fn parameters(&self) -> u64;
    /// Hashes of what each student has for itself.
    fn own_hashes(&self) -> Vec<String>;
    fn start(
        &self,
        first: usize,
        optimizer: &OptimizerConfig,
        average: Option<AverageSettings>,
        device: &Device,
    ) -> Result<Box<dyn StudentGroup>>;
}

#[derive(Debug)]
struct Initial<N> {
    branches: Branches<N>,
    preprocessing: Preprocessing,
    optimizer: Option<OptimizerConfig>,
}

impl Peers {
    /// Branches, with their preprocessing.
    pub fn of<N: Classifier + 'static>(
        branches: Branches<N>,
        preprocessing: impl Into<Preprocessing>,
    ) -> Self {
        Self { groups: Vec::new() }.and(branches, preprocessing)
    }

    /// The branches that `config` asks for, each made by `make` of a seed of its own: see
    /// [`branch_seed`](crate::branch_seed).
    ///
    /// # Errors
    ///
    /// As [`OnlineConfig::check`] and [`Branches::new`], and those of `make`.
    pub fn drawn<N: Classifier + 'static>(
        config: &OnlineConfig,
        seed: u64,
        preprocessing: impl Into<Preprocessing>,
        make: impl Fn(u64) -> Result<N>,
    ) -> Result<Self> {
        config.check()?;
        let shared = config.shared.as_deref();
        let branches = Branches::drawn(config.branches, shared, seed, make)?;
        Ok(Self::of(branches, preprocessing))
    }

    /// And these, mostly one network of another type.
    #[must_use]
    pub fn and<N: Classifier + 'static>(
        mut self,
        branches: Branches<N>,
        preprocessing: impl Into<Preprocessing>,
    ) -> Self {
        self.groups.push(Box::new(Initial {
            branches,
            preprocessing: preprocessing.into(),
            optimizer: None,
        }));
        self
    }

    /// With an optimizer of their own for those added last.
    #[must_use]
    pub fn with_optimizer(mut self, optimizer: OptimizerConfig) -> Self {
        if let Some(last) = self.groups.last_mut() {
            last.set_optimizer(optimizer);
        }
        self
    }

    /// The number of students.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|group| group.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of their learnable parameters, shared ones counted once.
    pub fn parameters(&self) -> u64 {
        self.groups.iter().map(|group| group.parameters()).sum()
    }

    /// The preprocessing of the first.
    pub(crate) fn preprocessing(&self) -> Option<&Preprocessing> {
        self.groups.first().map(|group| group.preprocessing())
    }

    /// Refuses another number of students than `config` says, other shared stages, and students that are
    /// equal: they would stay equal for ever.
    pub(crate) fn check(&self, config: &OnlineConfig) -> Result<()> {
        if self.len() != config.branches {
            let problem = format!(
                "is {}, and there are {} students; set it to {}",
                config.branches,
                self.len(),
                self.len()
            );
            return Err(Error::config("branches", problem));
        }
        let several = self.groups.len() > 1;
        if several
            && (config.shared.is_some() || self.groups.iter().any(|group| group.shared().is_some()))
        {
            let problem =
                "is for branches of one network, and these are different ones; leave it out";
            return Err(Error::config("shared", problem));
        }
        let found = self.groups.first().and_then(|group| group.shared());
        if !several && found != config.shared {
            let word = |stage: &Option<String>| stage.clone().unwrap_or_else(|| "nothing".into());
            let problem = format!(
                "is {}, and the branches share {}; make them with the same settings",
                word(&config.shared),
                word(&found)
            );
            return Err(Error::config("shared", problem));
        }
        self.check_different()
    }

    fn check_different(&self) -> Result<()> {
        let hashes: Vec<String> = self
            .groups
            .iter()
            .flat_map(|group| group.own_hashes())
            .collect();
        for (index, hash) in hashes.iter().enumerate() {
            if let Some(other) = hashes[..index].iter().position(|other| other == hash) {
                let problem = format!(
                    "number {other} and number {index} have equal weights and would stay equal for ever; \
                     draw each from a seed of its own (`branch_seed`), and leave weights that are given to \
                     all (`student.weights`) out"
                );
                return Err(Error::config("branches", problem));
            }
        }
        Ok(())
    }

    /// The students under training on `device`.
    pub(crate) fn start(
        &self,
        optimizer: &OptimizerConfig,
        average: Option<AverageSettings>,
        device: &Device,
    ) -> Result<Vec<Box<dyn StudentGroup>>> {
        let mut first = 0;
        let start = |group: &dyn InitialGroup| {
            let here = first;
            first += group.len();
            group.start(here, optimizer, average, device)
        };
        self.groups.iter().map(AsRef::as_ref).map(start).collect()
    }
}

impl<N: Classifier + 'static> InitialGroup for Initial<N> {
    fn len(&self) -> usize {
        self.branches.len()
    }

    fn shared(&self) -> Option<String> {
        self.branches.shared()
    }

    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn set_optimizer(&mut self, optimizer: OptimizerConfig) {
        self.optimizer = Some(optimizer);
    }

    fn parameters(&self) -> u64 {
        self.branches.parameters()
    }

    fn own_hashes(&self) -> Vec<String> {
        own_hashes(&self.branches)
    }

    fn start(
        &self,
        first: usize,
        optimizer: &OptimizerConfig,
        average: Option<AverageSettings>,
        device: &Device,
    ) -> Result<Box<dyn StudentGroup>> {
        let optimizer = self.optimizer.as_ref().unwrap_or(optimizer);
        let group = Group::new(
            &self.branches,
            &self.preprocessing,
            first,
            optimizer,
            average,
            device,
        )?;
        Ok(Box::new(group))
    }
}
