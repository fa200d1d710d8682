//! Networks whose every stage needs the map before it and nothing else, with average pooling and a linear
//! layer behind.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use kd_core::{Costs, Result, Scheme};

use crate::layers::average;

/// The parts that such a network has of its own; [`staged!`] makes the rest of it.
pub(crate) trait Chain: Module {
    /// The law of its initial weights.
    const SCHEME: Scheme;

    /// The names of the stages.
    fn stages(&self) -> Vec<String>;

    /// The paths of what belongs to a stage.
    fn paths(&self, stage: usize) -> Vec<String>;

    /// Runs one stage on the map before it, the first one on the images.
    fn run(&self, stage: usize, map: Tensor<4>) -> Tensor<4>;

    /// Makes the dense representation of the last map.
    fn dense(&self, map: Tensor<4>) -> Tensor<2> {
        average(map)
    }

    /// The last layer.
    fn last(&self) -> &Linear;

    /// Makes the logits of the dense representation.
    fn head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.last().forward(dense)
    }

    /// Counts every layer.
    fn count(&self, costs: &mut Costs, input: [usize; 3]) -> Result<()>;

    /// Folds the norms that follow a convolution into it.
    fn fold(&mut self);
}

/// The paths of a network whose stages after the first are fields of their names.
pub(crate) fn stem_and_fields(stages: Vec<String>, stage: usize) -> Vec<String> {
    match stage {
        0 => vec!["conv1".into(), "bn1".into()],
        _ => stages.into_iter().skip(stage).take(1).collect(),
    }
}

/// The contracts of kd-core for a [`Chain`].
macro_rules! staged {
    ($network:ty) => {
        impl kd_core::StagedNetwork for $network {
            type Input = burn::tensor::Tensor<4>;
            type Map = burn::tensor::Tensor<4>;
            type Dense = burn::tensor::Tensor<2>;
            type Output = burn::tensor::Tensor<2>;

            fn stage_names(&self) -> Vec<String> {
                crate::chain::Chain::stages(self)
            }

            fn forward_stage(
                &self,
                stage: usize,
                input: &burn::tensor::Tensor<4>,
                earlier: &[burn::tensor::Tensor<4>],
            ) -> burn::tensor::Tensor<4> {
                let map = if stage == 0 {
                    input
                } else {
                    &earlier[stage - 1]
                };
                crate::chain::Chain::run(self, stage, map.clone())
            }

            fn forward_dense(
                &self,
                _input: &burn::tensor::Tensor<4>,
                maps: &[burn::tensor::Tensor<4>],
            ) -> burn::tensor::Tensor<2> {
                crate::chain::Chain::dense(self, maps[maps.len() - 1].clone())
            }

            fn forward_head(&self, dense: burn::tensor::Tensor<2>) -> burn::tensor::Tensor<2> {
                crate::chain::Chain::head(self, dense)
            }

            fn stage_parameters(&self, stage: usize) -> Vec<String> {
                crate::chain::Chain::paths(self, stage)
            }

            fn fold_norms(&self) -> Self {
                let mut network = burn::module::Module::valid(self);
                crate::chain::Chain::fold(&mut network);
                network
            }
        }

        impl kd_core::CountCosts for $network {
            fn costs(&self, input: [usize; 3]) -> kd_core::Result<kd_core::Costs> {
                let mut costs = kd_core::Costs::new();
                crate::chain::Chain::count(self, &mut costs, input)?;
                Ok(costs)
            }
        }
    };
}
pub(crate) use staged;
