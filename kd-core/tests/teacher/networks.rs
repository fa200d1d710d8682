//! The small networks of these tests, their samples, and a teacher that counts its queries.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Answer, Batch, Draws, FrozenTeacher, Names, Normalisation, Requested, Result, Samples,
    StagedNetwork, TaskNetwork, Teacher, export, import,
};

thread_local! {
    /// The stages of [`Small`] that this thread has run, in order.
    static STAGES_RUN: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The stages of [`Small`] that were run since the last call.
pub(crate) fn stages_run() -> Vec<usize> {
    STAGES_RUN.with_borrow_mut(std::mem::take)
}

/// Three convolutions, the second with a norm, pooled into a vector, and a linear layer.
///
/// Folded, it has twice the weights in its stem, so that it can be told from what it was.
#[derive(Module, Debug)]
pub(crate) struct Small {
    stem: Conv2d,
    stem_norm: BatchNorm,
    body: Conv2d,
    tail: Conv2d,
    /// The head, whose name begins as that of a stage.
    tail_head: Linear,
}

impl Small {
    pub(crate) fn new(seed: u64) -> Self {
        let device = Device::flex();
        let fresh = Self {
            stem: Conv2dConfig::new([3, 4], [3, 3]).init(&device),
            stem_norm: BatchNormConfig::new(4).init(&device),
            body: Conv2dConfig::new([4, 5], [3, 3]).init(&device),
            tail: Conv2dConfig::new([5, 6], [3, 3]).init(&device),
            tail_head: LinearConfig::new(6, 3).init(&device),
        };
        drawn(&fresh, seed)
    }
}

impl StagedNetwork for Small {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        ["stem", "body", "tail"].map(String::from).to_vec()
    }

    fn stage_parameters(&self, stage: usize) -> Vec<String> {
        let stem = ["stem", "stem_norm"].map(String::from).to_vec();
        [stem, vec!["body".into()], vec!["tail".into()]][stage].clone()
    }

    fn forward_stage(&self, stage: usize, input: &Tensor<4>, earlier: &[Tensor<4>]) -> Tensor<4> {
        STAGES_RUN.with_borrow_mut(|stages| stages.push(stage));
        relu(match stage {
            0 => self.stem_norm.forward(self.stem.forward(input.clone())),
            1 => self.body.forward(earlier[0].clone()),
            _ => self.tail.forward(earlier[1].clone()),
        })
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[2].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.tail_head.forward(dense)
    }

    fn fold_norms(&self) -> Self {
        let mut folded = self.valid();
        folded.stem.weight = folded.stem.weight.map(|weight| weight.mul_scalar(2.0));
        folded
    }
}

/// A network whose head is as wide as that of a ResNet-50, where products of matrices begin to depend on the
/// batch.
#[derive(Module, Debug)]
pub(crate) struct Wide {
    stem: Conv2d,
    norm: BatchNorm,
    fc: Linear,
}

impl Wide {
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        let fresh = Self {
            stem: Conv2dConfig::new([3, 32], [3, 3]).init(&device),
            norm: BatchNormConfig::new(32).init(&device),
            fc: LinearConfig::new(32 * 64, 100).init(&device),
        };
        drawn(&fresh, 1)
    }

    fn stem_map(&self, input: &Tensor<4>) -> Tensor<4> {
        relu(self.norm.forward(self.stem.forward(input.clone())))
    }
}

impl StagedNetwork for Wide {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _: &[Tensor<4>]) -> Tensor<4> {
        self.stem_map(input)
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// The same, with a map for its dense representation: the wide vector is made in its head.
#[derive(Module, Debug)]
pub(crate) struct WideOfMaps {
    wide: Wide,
}

impl WideOfMaps {
    pub(crate) fn new() -> Self {
        Self { wide: Wide::new() }
    }
}

impl StagedNetwork for WideOfMaps {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<4>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _: &[Tensor<4>]) -> Tensor<4> {
        self.wide.stem_map(input)
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<4> {
        maps[0].clone()
    }

    fn forward_head(&self, dense: Tensor<4>) -> Tensor<2> {
        self.wide.fc.forward(dense.flatten(1, 3))
    }
}

/// A network for segmentation: its dense representation is a map, its head a convolution.
#[derive(Module, Debug)]
pub(crate) struct Pixels {
    stem: Conv2d,
    head: Conv2d,
}

impl Pixels {
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        let fresh = Self {
            stem: Conv2dConfig::new([3, 4], [3, 3]).init(&device),
            head: Conv2dConfig::new([4, 2], [1, 1]).init(&device),
        };
        drawn(&fresh, 4)
    }
}

impl StagedNetwork for Pixels {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<4>;
    type Output = Tensor<4>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _: &[Tensor<4>]) -> Tensor<4> {
        relu(self.stem.forward(input.clone()))
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<4> {
        maps[0].clone()
    }

    fn forward_head(&self, dense: Tensor<4>) -> Tensor<4> {
        self.head.forward(dense)
    }
}

/// A network for text: every token embedded and sent through a wide layer, their mean into the head.
#[derive(Module, Debug)]
pub(crate) struct Text {
    embed: Embedding,
    mix: Linear,
    fc: Linear,
}

/// The number of words that [`Text`] knows.
pub(crate) const WORDS: usize = 20;

impl Text {
    /// With embeddings of `width` numbers.
    pub(crate) fn new(width: usize) -> Self {
        let device = Device::flex();
        let fresh = Self {
            embed: EmbeddingConfig::new(WORDS, width).init(&device),
            mix: LinearConfig::new(width, 100).init(&device),
            fc: LinearConfig::new(100, 3).init(&device),
        };
        drawn(&fresh, 5)
    }
}

impl StagedNetwork for Text {
    type Input = Tensor<2, Int>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["embed".into(), "mix".into()]
    }

    fn forward_stage(
        &self,
        stage: usize,
        input: &Tensor<2, Int>,
        earlier: &[Tensor<4>],
    ) -> Tensor<4> {
        let rows = if stage == 0 {
            self.embed.forward(input.clone()) // [batch_size, tokens, features]
        } else {
            let [batch_size, features, _, tokens] = earlier[0].dims();
            let rows = earlier[0].clone().reshape([batch_size, features, tokens]);
            let rows = rows
                .swap_dims(1, 2)
                .reshape([batch_size * tokens, features]);
            relu(self.mix.forward(rows)).reshape([batch_size, tokens, 100])
        };
        rows.swap_dims(1, 2).unsqueeze_dim(2) // [batch_size, features, 1, tokens]
    }

    fn forward_dense(&self, _input: &Tensor<2, Int>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[1].clone().mean_dim(3).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// `fresh` with weights that depend on `seed` and their place alone.
fn drawn<M: Module>(fresh: &M, seed: u64) -> M {
    let mut tensors = export(fresh, Names::Burn);
    for (index, (name, data)) in tensors.iter_mut().enumerate() {
        let mut draws = Draws::new(seed, "networks", index as u64, 0);
        let shape = data.shape().clone();
        let shift = if name.ends_with("running_var") {
            1.0
        } else {
            0.0
        };
        #[expect(clippy::cast_possible_truncation, reason = "any numbers will do")]
        let values: Vec<f32> = (0..shape.num_elements())
            .map(|_| (shift + 0.2 * draws.normal()) as f32)
            .collect();
        *data = TensorData::new(values, shape);
    }
    import(fresh, &tensors, Names::Burn, "weights").unwrap()
}

/// Noise as images of 3x10x10.
pub(crate) fn images(samples: usize) -> Tensor<4> {
    let mut draws = Draws::new(3, "images", 0, 0);
    let values: Vec<f32> = (0..samples * 3 * 100)
        .map(|_| f32::from(draws.bits().to_le_bytes()[0]) / 255.0)
        .collect();
    Tensor::from_data(
        TensorData::new(values, [samples, 3, 10, 10]),
        &Device::flex(),
    )
}

/// Texts of `tokens` words each.
pub(crate) fn texts(samples: usize, tokens: usize) -> Tensor<2, Int> {
    let mut draws = Draws::new(3, "texts", 0, 0);
    let words: Vec<i64> = (0..samples * tokens)
        .map(|_| i64::try_from(draws.below(WORDS as u64)).unwrap())
        .collect();
    Tensor::from_data(TensorData::new(words, [samples, tokens]), &Device::flex())
}

/// A batch of no loader, all labels 0.
pub(crate) fn batch_of(samples: Samples) -> Batch {
    let targets = Tensor::zeros([samples.len()], &Device::flex());
    Batch::new(samples, targets)
}

/// A teacher that normalises to mean 0.5 and deviation 0.25.
pub(crate) fn frozen<N: TaskNetwork<Input = Tensor<4>>>(network: &N) -> FrozenTeacher<N> {
    let normalisation = Normalisation::new(vec![0.5; 3], vec![0.25; 3]).unwrap();
    FrozenTeacher::new(network, normalisation, &Device::flex())
}

/// The bits of all numbers of an answer, sample by sample.
pub(crate) fn bits(answer: &Answer) -> Vec<Vec<u32>> {
    use kd_core::{Output, Rows};
    let output = answer.output.clone().map(|output| match output {
        Output::Classes(logits) => logits,
        Output::Pixels(logits) => logits.into_rows(),
        other => unreachable!("{other:?}"),
    });
    let maps = answer.maps.iter().cloned().map(Rows::into_rows);
    let all = Tensor::cat(output.into_iter().chain(maps).collect(), 1);
    let [_, numbers] = all.dims();
    let bits: Vec<u32> = all.into_data().iter::<f32>().map(f32::to_bits).collect();
    bits.chunks_exact(numbers).map(<[u32]>::to_vec).collect()
}

/// A teacher that counts its queries.
#[derive(Debug)]
pub(crate) struct Counting<T> {
    pub(crate) teacher: T,
    pub(crate) queries: Arc<AtomicUsize>,
}

impl<T: Teacher> Counting<T> {
    pub(crate) fn new(teacher: T) -> (Self, Arc<AtomicUsize>) {
        let queries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&queries);
        (Self { teacher, queries }, count)
    }
}

impl<T: Teacher> Teacher for Counting<T> {
    fn stage_names(&self) -> Vec<String> {
        self.teacher.stage_names()
    }

    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.teacher.answer(batch, requested)
    }

    fn hash(&self) -> String {
        self.teacher.hash()
    }
}
