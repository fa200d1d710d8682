//! A family of the tests: several linear layers on a trunk of kd-models, whose logits are averaged.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, Scheme, StagedNetwork, initialise};
use kd_models::{ModelNetwork, Network, NetworkSpec, Structure};
use serde::{Deserialize, Serialize};

/// A trunk with its own head, and `branches - 1` more heads.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BranchedConfig {
    pub(super) branches: usize,
    pub(super) trunk: Structure,
}

#[derive(Module, Debug)]
pub(super) struct Branched {
    trunk: Network,
    branches: Vec<Linear>,
}

impl Branched {
    pub(super) const FAMILY: &'static str = "branched";
}

impl ModelNetwork for Branched {
    const FAMILIES: &'static [&'static str] = &[Self::FAMILY];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        let BranchedConfig { branches, trunk } = spec.config_of(Self::FAMILY)?;
        if !(1..=16).contains(&branches) {
            return Err(Error::config(
                "branches",
                format!("must be 1 to 16, got {branches}"),
            ));
        }
        let trunk = NetworkSpec::with_structure("trunk", trunk, spec.classes, spec.input);
        let trunk = Network::blank(&trunk, device)?;
        let image = Tensor::zeros([1, spec.input[0], spec.input[1], spec.input[2]], device);
        let [_, features] = trunk.forward_traced(&image).dense.dims();
        let head = |_| LinearConfig::new(features, spec.classes).init(device);
        Ok(Self {
            trunk,
            branches: (1..branches).map(head).collect(),
        })
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        initialise(&Self::blank(spec, device)?, Scheme::PyTorch, seed)
    }

    fn portable(self) -> Self {
        Self {
            trunk: self.trunk.portable(),
            ..self
        }
    }
}

impl StagedNetwork for Branched {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        self.trunk.stage_names()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        self.trunk.forward_stage(stage, input, earlier)
    }

    fn forward_dense(&self, input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        self.trunk.forward_dense(input, maps)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        let own = self.trunk.forward_head(dense.clone());
        let others = self.branches.iter().map(|head| head.forward(dense.clone()));
        let sum = others.fold(own, |sum, logits| sum + logits);
        sum.div_scalar((1 + self.branches.len()) as f64)
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        let paths = self.trunk.stage_parameters(stage).into_iter();
        paths.map(|path| format!("trunk.{path}")).collect()
    }
}

impl CountCosts for Branched {
    fn costs(&self, input: [usize; 3]) -> Result<Costs> {
        let mut costs = self.trunk.costs(input)?;
        for (index, head) in self.branches.iter().enumerate() {
            costs.linear("head", &format!("branches.{index}"), head, 1);
        }
        Ok(costs)
    }
}
