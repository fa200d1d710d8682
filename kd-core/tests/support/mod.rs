//! A network of a person's own and a phase that trains it, for the tests of the runner.
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
    Draws, Error, LossTerms, Method, Metrics, NamedGradients, Names, Optimizer, Phase, PhaseState,
    Plan, Result, RunFolder, Selection, StagedNetwork, StepContext, Training, detached_copy,
    export, import,
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
    pub student: Small,
    optimizer: Optimizer,
    training: Training,
    plan: Plan,
    seed: u64,
    poison_at: Option<usize>,
}

impl Phase for Bars {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let device = Device::flex().autodiff();
        let (pixels, targets) = batch(self.seed, at.step, &device);
        let logits = self.student.forward(&pixels);
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [12]), &device);
        let loss = log_softmax(logits, 1)
            .gather(1, targets.unsqueeze_dim(1))
            .mean()
            .neg();
        let loss = if self.poison_at == Some(at.step) {
            loss.mul_scalar(f32::NAN)
        } else {
            loss
        };
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &self.student, &mut raw);
        self.training.clip(&mut gradients);
        let student = detached_copy(&self.student);
        self.student = self.optimizer.step("student", student, at.lr, &gradients);
        Ok(vec![
            ("cross_entropy".into(), loss.clone().inner()),
            ("total".into(), loss.inner()),
        ])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let (pixels, targets) = batch(self.seed + 1000, 0, &Device::flex());
        let predicted: Vec<i64> = self
            .student
            .valid()
            .forward(&pixels)
            .argmax(1)
            .into_data()
            .iter::<i64>()
            .collect();
        let right = predicted
            .iter()
            .zip(&targets)
            .filter(|(a, b)| a == b)
            .count();
        Ok(BTreeMap::from([(
            "accuracy".to_owned(),
            right as f64 / 12.0,
        )]))
    }

    fn result(&self) -> kd_core::Tensors {
        export(&self.student, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let (mut tensors, steps) = self.optimizer.state();
        for (name, data) in export(&self.student, Names::Burn) {
            tensors.insert(format!("student/{name}"), data);
        }
        let steps = serde_json::to_value(steps).expect("a map of numbers");
        PhaseState {
            tensors,
            values: BTreeMap::from([("steps".into(), steps)]),
        }
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let student = state
            .tensors
            .iter()
            .filter_map(|(name, data)| {
                Some((name.strip_prefix("student/")?.to_owned(), data.clone()))
            })
            .collect();
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        let steps = serde_json::from_value(state.values["steps"].clone())
            .map_err(|error| Error::method("checkpoint", error))?;
        self.optimizer
            .restore(&state.tensors, &steps, &Device::flex());
        Ok(())
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
            student,
            optimizer: Optimizer::new(self.training.optimizer.clone())?,
            training: self.training.clone(),
            plan: self
                .training
                .plan(self.steps_per_epoch, Some(Selection::highest("accuracy")))?,
            seed: index as u64,
            poison_at: self.poison_at.filter(|_| index == 1),
        }))
    }
}
