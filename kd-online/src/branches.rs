//! The multi-branch network: whole networks, the first stages of which are run once for all.

use burn::module::Module;
use burn::tensor::Tensor;
use kd_core::{
    Classifier, Costs, Draws, Error, Names, Result, Tensors, detached_copy, export, hash_tensors,
    import, tensor_shapes,
};

use crate::costs::BranchCosts;

/// Several classifiers of one type that share their first stages.
///
/// It is made of whole networks, so that any network of the contract has branches. The stages up to a named
/// one are those of network 0; those of the others are never run, and neither counted nor kept. What comes
/// after (further stages, the dense representation, the head) is each branch's own.
///
/// ```
/// use burn::module::Module;
/// use burn::nn::{Linear, LinearConfig, conv::{Conv2d, Conv2dConfig}};
/// use burn::tensor::{Device, Tensor, activation::relu};
/// use kd_core::{Result, Scheme, StagedNetwork, initialise};
/// use kd_online::Branches;
///
/// #[derive(Module, Debug)]
/// struct Mine { stem: Conv2d, body: Conv2d, fc: Linear }
///
/// impl StagedNetwork for Mine {
///     type Input = Tensor<4>;
///     type Map = Tensor<4>;
///     type Dense = Tensor<2>;
///     type Output = Tensor<2>;
///
///     fn stage_names(&self) -> Vec<String> {
///         vec!["stem".into(), "body".into()]
///     }
///     fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
///         match stage {
///             0 => relu(self.stem.forward(input.clone())),
///             _ => relu(self.body.forward(earlier[0].clone())),
///         }
///     }
///     fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
///         maps[1].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
///     }
///     fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
///         self.fc.forward(dense)
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let device = Device::flex();
/// let make = |seed: u64| {
///     let mine = Mine {
///         stem: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
///         body: Conv2dConfig::new([4, 8], [3, 3]).init(&device),
///         fc: LinearConfig::new(8, 10).init(&device),
///     };
///     initialise(&mine, Scheme::PyTorch, seed)
/// };
/// let branches = Branches::drawn(3, Some("stem"), 0, make)?;
/// let stem = 4 * 9 + 4;
/// assert_eq!(branches.parameters(), stem + 3 * (8 * 4 * 9 + 8 + 8 * 10 + 10));
///
/// let images = Tensor::ones([2, 1, 8, 8], &device);
/// let outputs = branches.forward(std::slice::from_ref(&images))?;
/// assert_eq!(outputs.len(), 3);
/// let student = branches.into_student(2)?;
/// assert_eq!(student.forward(&images).into_data(), outputs[2].logits.clone().into_data());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Branches<N> {
    networks: Vec<N>,
    /// The number of stages that are run once.
    shared: usize,
}

/// The output of one branch, and what led to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BranchOutput {
    /// The last shared map, `[batch_size, channels, height, width]`; with one view for all branches it is
    /// with the first alone, and nowhere if nothing is shared.
    pub trunk: Option<Tensor<4>>,
    /// The map of the last stage, `[batch_size, channels, height, width]`.
    pub map: Tensor<4>,
    /// The dense representation, `[batch_size, features]`.
    pub dense: Tensor<2>,
    /// The logits, `[batch_size, num_classes]`.
    pub logits: Tensor<2>,
}

/// The seed of the weights of branch `index` in a run with `seed`: that of branch 0 is the run's, so that it
/// begins as a network alone does.
pub fn branch_seed(seed: u64, index: usize) -> u64 {
    match index {
        0 => seed,
        _ => Draws::new(seed, "branch", index as u64, 0).bits(),
    }
}

impl<N: Classifier> Branches<N> {
    /// Branches of these networks, which share the stages up to `shared`; nothing without a name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no network, `shared` is no stage or the last one, or the networks have
    /// different tensors.
    pub fn new(networks: Vec<N>, shared: Option<&str>) -> Result<Self> {
        let first = networks
            .first()
            .ok_or_else(|| Error::config("branches", "must be at least 1 network, got none"))?;
        let stages = first.stage_names();
        if stages.is_empty() {
            let problem = "must have at least one stage, got none";
            return Err(Error::config("branches", problem));
        }
        let shared = match shared {
            None => 0,
            Some(name) => stage_count(first, name)?,
        };
        let shapes = |network: &N| tensor_shapes(network, Names::Burn);
        let expected = shapes(first);
        if let Some(odd) = networks.iter().position(|other| shapes(other) != expected) {
            let problem = format!(
                "must be networks of one structure, and number {odd} has other tensors than number 0; \
                 different networks share nothing and are added with `Peers::and`"
            );
            return Err(Error::config("branches", problem));
        }
        Ok(Self { networks, shared })
    }

    /// `count` branches, each made by `make` of a seed of its own: see [`branch_seed`].
    ///
    /// # Errors
    ///
    /// As [`Branches::new`], and those of `make`.
    pub fn drawn(
        count: usize,
        shared: Option<&str>,
        seed: u64,
        make: impl Fn(u64) -> Result<N>,
    ) -> Result<Self> {
        let networks = (0..count).map(|index| make(branch_seed(seed, index)));
        Self::new(networks.collect::<Result<_>>()?, shared)
    }

    /// The number of branches.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether there is none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The number of shared stages.
    pub fn shared_stages(&self) -> usize {
        self.shared
    }

    /// The name of the last shared stage.
    pub fn shared(&self) -> Option<String> {
        let last = self.shared.checked_sub(1)?;
        self.networks[0].stage_names().into_iter().nth(last)
    }

    /// The same with other weights.
    pub(crate) fn with_networks(self, networks: Vec<N>) -> Self {
        Self { networks, ..self }
    }

    /// The networks as they are held; of those after the first, the shared stages are not used.
    pub fn networks(&self) -> &[N] {
        &self.networks
    }

    /// Runs all branches: on one input for all, the shared stages then once, or on one input for each.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for another number of inputs.
    pub fn forward(&self, inputs: &[N::Input]) -> Result<Vec<BranchOutput>> {
        let networks: Vec<&N> = self.networks.iter().collect();
        run_branches(&networks, self.shared, inputs, false)
    }

    /// As [`Branches::forward`], the gradient that reaches the shared stages divided by the number of
    /// branches.
    ///
    /// # Errors
    ///
    /// As [`Branches::forward`].
    pub fn forward_scaled(&self, inputs: &[N::Input]) -> Result<Vec<BranchOutput>> {
        let networks: Vec<&N> = self.networks.iter().collect();
        run_branches(&networks, self.shared, inputs, true)
    }

    /// The number of learnable parameters, shared ones counted once.
    pub fn parameters(&self) -> u64 {
        let paths = shared_paths(&self.networks[0], self.shared);
        let shapes = tensor_shapes(&self.networks[0], Names::Burn);
        let learnable = shapes
            .iter()
            .filter(|(path, _)| !is_running_statistic(path));
        let (mut once, mut each) = (0, 0);
        for (path, shape) in learnable {
            let size: usize = shape.iter().product();
            if is_below_any(path, &paths) {
                once += size;
            } else {
                each += size;
            }
        }
        (once + self.len() * each) as u64
    }

    /// The costs of trunk and branches, of those of one network: see [`kd_core::CountCosts`].
    pub fn costs(&self, network: &Costs) -> BranchCosts {
        let stages = self.networks[0].stage_names();
        BranchCosts::new(network, &stages[..self.shared], self.len())
    }

    /// Branch `index` as a network of its own, with the shared stages in it; the same to the last bit.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no such branch.
    pub fn into_student(self, index: usize) -> Result<N> {
        let count = self.len();
        let network = self.networks.get(index).ok_or_else(|| {
            let problem = format!("must be below {count} (the number of branches), got {index}");
            Error::config("student", problem)
        })?;
        if index == 0 || self.shared == 0 {
            return Ok(detached_copy(network));
        }
        let whole = whole_tensors(&self.networks[0], network, self.shared, Names::Burn);
        import(network, &whole, Names::Burn, "branch")
    }

    /// The branches with the weights that a run has left: the parts `branch-0/...` of its result. These give
    /// structure, device and training flags.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if they are of other networks.
    pub fn with_result(&self, result: &Tensors) -> Result<Self> {
        self.with_parts(result, "branch")
    }

    /// The same with the averaged weights, the parts `average-0/...`.
    ///
    /// # Errors
    ///
    /// As [`Branches::with_result`].
    pub fn with_averages(&self, result: &Tensors) -> Result<Self> {
        self.with_parts(result, "average")
    }

    fn with_parts(&self, result: &Tensors, what: &str) -> Result<Self> {
        let networks = self.networks.iter().enumerate();
        let networks = networks.map(|(index, network)| {
            let part = format!("{what}-{index}");
            import(network, &part_of(result, &part), Names::PyTorch, &part)
        });
        Ok(Self {
            networks: networks.collect::<Result<_>>()?,
            shared: self.shared,
        })
    }
}

/// The number of stages up to `name`, which must be there and not be the last.
fn stage_count<N: Classifier>(network: &N, name: &str) -> Result<usize> {
    let stages = network.stage_names();
    let before_last = &stages[..stages.len() - 1];
    let stage = stages.iter().position(|stage| stage == name);
    if let Some(stage) = stage.filter(|stage| *stage < before_last.len()) {
        return Ok(stage + 1);
    }
    let advice = if before_last.is_empty() {
        format!("leave it out, for `{}` is the only stage", stages[0])
    } else {
        format!("use one of {}", before_last.join(", "))
    };
    let problem = if stage.is_some() {
        format!("must leave the branches a stage, and `{name}` is the last; {advice}")
    } else {
        format!("must be a stage of the network, and it has no `{name}`; {advice}")
    };
    Err(Error::config("shared", problem))
}

/// Runs branches whose first `shared` stages are those of network 0, on one input for all or one for each.
pub(crate) fn run_branches<N: Classifier>(
    networks: &[&N],
    shared: usize,
    inputs: &[N::Input],
    scaled: bool,
) -> Result<Vec<BranchOutput>> {
    let (count, given) = (networks.len(), inputs.len());
    if given == 0 || (given != 1 && given != count) {
        return Err(Error::Shape {
            what: "views".into(),
            expected: format!("1 or {count}, one for each branch"),
            found: format!("{given}"),
            remedy: "give one view for all branches, or one for each".into(),
        });
    }
    // Without a shared stage network 0 has nothing to do for the others.
    let run_trunk = |input: &N::Input| networks[0].forward_maps(input, shared);
    let mut trunks: Vec<Vec<Tensor<4>>> = inputs.iter().map(run_trunk).collect();
    let lasts: Vec<Option<Tensor<4>>> = trunks.iter().map(|maps| maps.last().cloned()).collect();
    if scaled {
        let share = (count as f64).recip();
        let scale = |maps: Vec<Tensor<4>>| maps.into_iter().map(|map| gradient_scaled(map, share));
        trunks = trunks
            .into_iter()
            .map(|maps| scale(maps).collect())
            .collect();
    }
    let stages = networks[0].stage_names().len();
    let run = |(index, network): (usize, &&N)| {
        let view = if given == 1 { 0 } else { index };
        let input = &inputs[view];
        let mut maps = trunks[view].clone();
        for stage in shared..stages {
            maps.push(network.forward_stage(stage, input, &maps));
        }
        let dense = network.forward_dense(input, &maps);
        BranchOutput {
            trunk: lasts.get(index).cloned().flatten(),
            map: maps[stages - 1].clone(),
            logits: network.forward_head(dense.clone()),
            dense,
        }
    };
    Ok(networks.iter().enumerate().map(run).collect())
}

/// The same values to the last bit, with `share` of the gradient.
fn gradient_scaled(map: Tensor<4>, share: f64) -> Tensor<4> {
    if !map.is_autodiff() {
        return map;
    }
    // map + share * (map - constant map): the difference is exactly 0, so that the values do not change.
    let constant = map.clone().detach();
    constant.clone() + (map - constant) * share
}

/// The paths of the parameters of the first `shared` stages.
pub(crate) fn shared_paths<N: Classifier>(network: &N, shared: usize) -> Vec<String> {
    let paths = (0..shared).flat_map(|stage| network.stage_parameters(stage));
    paths.collect()
}

/// Whether `path` is one of `paths` or something in one.
pub(crate) fn is_below_any(path: &str, paths: &[String]) -> bool {
    paths.iter().any(|above| {
        let rest = path.strip_prefix(above.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

pub(crate) fn is_running_statistic(path: &str) -> bool {
    matches!(
        path.rsplit('.').next(),
        Some("running_mean" | "running_var")
    )
}

/// The tensors of `network` with those of the first `shared` stages taken from `trunk`.
pub(crate) fn whole_tensors<N: Classifier>(
    trunk: &N,
    network: &N,
    shared: usize,
    names: Names,
) -> Tensors {
    let mut tensors = export(network, names);
    let paths = shared_paths(trunk, shared);
    let of_trunk = export(trunk, names).into_iter();
    tensors.extend(of_trunk.filter(|(path, _)| is_below_any(path, &paths)));
    tensors
}

/// The tensors below `part/`, by their names there.
pub(crate) fn part_of(tensors: &Tensors, part: &str) -> Tensors {
    let inside = tensors.iter().filter_map(|(name, data)| {
        let name = name.strip_prefix(part)?.strip_prefix('/')?;
        Some((name.to_owned(), data.clone()))
    });
    inside.collect()
}

/// A hash of what a branch has for itself: equal branches have equal ones.
pub(crate) fn own_hash<N: Module + Classifier>(network: &N, shared: usize) -> String {
    let paths = shared_paths(network, shared);
    let mut own = export(network, Names::Burn);
    own.retain(|path, _| !is_below_any(path, &paths));
    hash_tensors(&own)
}
