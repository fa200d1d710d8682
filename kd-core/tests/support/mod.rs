//! A network of your own and a phase that trains it, for the tests of the runner.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test file uses its part"
)]

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{
    Draws, LossTerms, Method, Metrics, NamedGradients, Names, Phase, PhaseState, Plan, Result,
    RunFolder, Selection, StagedNetwork, StepContext, Trained, Training, export, import,
};

/// A small convolutional network with batch norm, which knows nothing of kd-models.
#[derive(Module, Debug)]
pub struct Small {
    pub stem: Conv2d,
    pub norm: BatchNorm,
    pub fc: Linear,
}

impl Small {
    pub fn new(device: &Device) -> Self {
        let fresh = Self {
            stem: Conv2dConfig::new([1, 4], [3, 3]).init(device),
            norm: BatchNormConfig::new(4).init(device),
            fc: LinearConfig::new(4, 3).init(device),
        };
        // Weights that depend on nothing but their place.
        let mut tensors = export(&fresh, Names::Burn);
        for (index, (name, data)) in tensors.iter_mut().enumerate() {
            if name.starts_with("norm.") {
                continue;
            }
            let mut draws = Draws::new(5, "init", index as u64, 0);
            let shape = data.shape().clone();
            let values: Vec<f32> = (0..shape.num_elements())
                .map(|_| draws.normal() as f32 * 0.4)
                .collect();
            *data = TensorData::new(values, shape);
        }
        import(&fresh, &tensors, Names::Burn, "initial weights").expect("the tensors are its own")
    }
}

impl StagedNetwork for Small {
    type Input = Tensor<4>;
    type Map = Tensor<4>;
    type Dense = Tensor<2>;
    type Output = Tensor<2>;

    fn stage_names(&self) -> Vec<String> {
        vec!["stem".into()]
    }

    fn stage_parameters(&self, _stage: usize) -> Vec<String> {
        vec!["stem".into(), "norm".into()]
    }

    fn forward_stage(&self, _stage: usize, input: &Tensor<4>, _earlier: &[Tensor<4>]) -> Tensor<4> {
        relu(self.norm.forward(self.stem.forward(input.clone())))
    }

    fn forward_dense(&self, _input: &Tensor<4>, maps: &[Tensor<4>]) -> Tensor<2> {
        maps[0].clone().mean_dim(3).mean_dim(2).flatten(1, 3)
    }

    fn forward_head(&self, dense: Tensor<2>) -> Tensor<2> {
        self.fc.forward(dense)
    }
}

/// Images with a bright bar in one of three places, made from the step alone.
pub fn batch(seed: u64, step: usize, device: &Device) -> (Tensor<4>, Vec<i64>) {
    let mut draws = Draws::new(seed, "bars", step as u64, 0);
    let (mut pixels, mut targets) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let target = draws.below(3);
        for y in 0..8_u64 {
            for x in 0..8_u64 {
                let lit = match target {
                    0 => y == 2,
                    1 => x == 5,
                    _ => x == y,
                };
                pixels.push(if lit { 1.0_f32 } else { 0.0 } + draws.normal() as f32 * 0.3);
            }
        }
        targets.push(i64::try_from(target).expect("below 3"));
    }
    (
        Tensor::from_data(TensorData::new(pixels, [12, 1, 8, 8]), device),
        targets,
    )
}

/// Trains [`Small`] with cross-entropy.
pub struct Bars {
    pub student: Trained<Small>,
    training: Training,
    plan: Plan,
    seed: u64,
    poison_at: Option<usize>,
}

/// The cross-entropy of `network` on a batch of bars.
pub fn loss(network: &Small, seed: u64, step: usize) -> Tensor<1> {
    let device = Device::flex().autodiff();
    let (pixels, targets) = batch(seed, step, &device);
    let logits = network.forward(&pixels);
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [12]), &device);
    log_softmax(logits, 1)
        .gather(1, targets.unsqueeze_dim(1))
        .mean()
        .neg()
}

/// The accuracy of `network` on bars that no step has.
pub fn accuracy(network: &Small, seed: u64) -> f64 {
    let (pixels, targets) = batch(seed + 1000, 0, &Device::flex());
    let predicted = network.forward(&pixels).argmax(1).into_data();
    let right = predicted.iter::<i64>().zip(targets).filter(|(a, b)| a == b);
    right.count() as f64 / 12.0
}

impl Phase for Bars {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let loss = loss(self.student.network(), self.seed, at.step);
        let loss = if self.poison_at == Some(at.step) {
            loss.mul_scalar(f32::NAN)
        } else {
            loss
        };
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        self.student.collect(&mut gradients, &mut raw);
        self.training.clip(&mut gradients);
        self.student.step(at, &gradients);
        Ok(vec![
            ("cross_entropy".into(), loss.clone().inner()),
            ("total".into(), loss.inner()),
        ])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let accuracy = accuracy(&self.student.valid(), self.seed);
        Ok(BTreeMap::from([("accuracy".to_owned(), accuracy)]))
    }

    fn result(&self) -> kd_core::Tensors {
        self.student.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)
    }
}

/// Two phases, the second of which goes on from the best of the first.
pub struct TwoPhases {
    pub training: Training,
    pub poison_at: Option<usize>,
    pub steps_per_epoch: usize,
}

impl TwoPhases {
    pub fn new() -> Self {
        let mut training = Training::default();
        training.steps = Some(23);
        Self {
            training,
            poison_at: None,
            steps_per_epoch: 5,
        }
    }
}

impl Method for TwoPhases {
    fn phases(&self) -> Vec<String> {
        vec!["first".into(), "second".into()]
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        let device = Device::flex().autodiff();
        let mut student = Small::new(&device);
        if index == 1 {
            let tensors = earlier.result("first", kd_core::Snapshot::Best)?;
            student = import(&student, &tensors, Names::PyTorch, "first")?;
        }
        Ok(Box::new(Bars {
            student: Trained::new("student", student, self.training.optimizer.clone())?,
            training: self.training.clone(),
            plan: self
                .training
                .plan(self.steps_per_epoch, Some(Selection::highest("accuracy")))?,
            seed: index as u64,
            poison_at: self.poison_at.filter(|_| index == 1),
        }))
    }
}
