//! A family of the tests that takes text: the mean of embedded words, and a linear layer.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};
use kd_core::{Costs, CountCosts, Error, Result, Scheme, StagedNetwork, initialise};
use kd_models::{ModelNetwork, NetworkSpec};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordsConfig {
    pub(super) vocabulary: usize,
    pub(super) width: usize,
}

#[derive(Module, Debug)]
pub(super) struct Words {
    embedding: Embedding,
    fc: Linear,
}

impl ModelNetwork for Words {
    const FAMILIES: &'static [&'static str] = &["words"];

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::check_spec(spec)?;
        let WordsConfig { vocabulary, width } = spec.config_of("words")?;
        if [vocabulary, width]
            .into_iter()
            .any(|size| !(1..=4096).contains(&size))
        {
            return Err(Error::config("vocabulary", "and `width` must be 1 to 4096"));
        }
        Ok(Self {
            embedding: EmbeddingConfig::new(vocabulary, width).init(device),
            fc: LinearConfig::new(width, spec.classes).init(device),
        })
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        initialise(&Self::blank(spec, device)?, Scheme::PyTorch, seed)
    }
}

impl StagedNetwork for Words {
    type Input = Tensor<2, Int>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["embedding".into()]
    }

    fn forward_stage(&self, _: usize, input: &Tensor<2, Int>, _: &[Tensor<4>]) -> Tensor<4> {
        let [batch_size, words] = input.dims();
        let embedded = self.embedding.forward(input.clone()); // [batch_size, words, width]
        let [_, _, width] = embedded.dims();
        embedded
            .swap_dims(1, 2)
            .reshape([batch_size, width, 1, words])
    }

    fn forward_dense(&self, _: &Tensor<2, Int>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().mean_dim(3).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

impl CountCosts for Words {
    fn costs(&self, _input: [usize; 3]) -> Result<Costs> {
        let mut costs = Costs::new();
        costs.linear("head", "fc", &self.fc, 1);
        Ok(costs)
    }
}
