//! Students under training: branches of one network with their optimizers.

use std::fmt::Debug;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use kd_core::{
    AffineHead, Batch, Classifier, Error, NamedGradients, Names, NetworkInput, OptimizerConfig,
    PhaseState, Preprocessing, Result, StepContext, Tensors, Trained, detached_copy, export,
};

use crate::average::Averages;
use crate::branches::{
    BranchOutput, Branches, is_below_any, own_hash, run_branches, shared_paths, whole_tensors,
};

/// Runs students as they are at inference on a batch.
pub(crate) type Evaluator<'a> = Box<dyn Fn(&Batch) -> Result<Vec<BranchOutput>> + 'a>;

/// Students under training that share what they share. It is object-safe, so that networks of different types
/// stand side by side.
pub(crate) trait StudentGroup: Debug {
    /// The number of students.
    fn len(&self) -> usize;

    /// Runs them in training on one batch for all or one for each, the gradient of what they share scaled by
    /// the number of them where `scaled` says so.
    fn forward(&self, views: &[&Batch], scaled: bool) -> Result<Vec<BranchOutput>>;

    /// The logits of the averages, run as in training, constants.
    fn averaged_logits(&self, views: &[&Batch]) -> Result<Vec<Tensor<2>>>;

    /// The students at inference.
    fn evaluator(&self) -> Evaluator<'_>;

    /// The averages at inference.
    fn average_evaluator(&self) -> Option<Evaluator<'_>>;

    /// The weights of the affine heads, `[features, num_classes]`, through which gradients pass.
    fn classifiers(&self, features: usize) -> Vec<Tensor<2>>;

    /// Refuses a student whose head is not one linear layer, also while it learns.
    fn check_heads(&self, features: &[usize]) -> Result<()>;

    /// The square of the norm of those parameters that have a gradient.
    fn square_norm(&self, gradients: &NamedGradients) -> f64;

    /// Takes their gradients out of `raw`.
    fn collect(&self, gradients: &mut NamedGradients, raw: &mut Gradients);

    /// Moves them one step down their gradients.
    fn step(&mut self, at: StepContext, gradients: &NamedGradients);

    /// Moves the averages, if there are any, towards them.
    fn follow(&mut self, step: usize);

    /// Adds them to a result as whole networks.
    fn add_result(&self, result: &mut Tensors);

    /// Puts their whole state there, what is not used left out.
    fn put(&self, state: &mut PhaseState);

    /// Takes back what [`StudentGroup::put`] has put there.
    fn restore(&mut self, state: &PhaseState) -> Result<()>;
}

/// The settings of averaged students.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AverageSettings {
    pub(crate) decay: f64,
    /// Whether running statistics are averaged, too, as the averages are not run in training.
    pub(crate) statistics: bool,
}

/// Branches of one network under training; number `first` of the run and those after it.
#[derive(Debug)]
pub(crate) struct Group<N: Module> {
    students: Vec<Trained<N>>,
    shared: usize,
    first: usize,
    preprocessing: Preprocessing,
    averages: Option<Averages<N>>,
}

impl<N: Classifier> Group<N> {
    pub(crate) fn new(
        branches: &Branches<N>,
        preprocessing: &Preprocessing,
        first: usize,
        optimizer: &OptimizerConfig,
        average: Option<AverageSettings>,
        device: &Device,
    ) -> Result<Self> {
        let plain = device.clone().inner();
        let train = |(index, network): (usize, &N)| {
            // `train` puts the parameters on the autodiff form of their device and keeps frozen ones frozen.
            let network = detached_copy(&network.valid()).to_device(&plain).train();
            Trained::new(
                format!("branch-{}", first + index),
                network,
                optimizer.clone(),
            )
        };
        let students = branches.networks().iter().enumerate().map(train);
        let students: Vec<Trained<N>> = students.collect::<Result<_>>()?;
        let shared = branches.shared_stages();
        let averages = average.map(|settings| {
            let networks: Vec<&N> = students.iter().map(Trained::network).collect();
            Averages::new(&networks, shared, settings.statistics, settings.decay)
        });
        Ok(Self {
            students,
            shared,
            first,
            preprocessing: preprocessing.clone(),
            averages,
        })
    }

    fn networks(&self) -> Vec<&N> {
        self.students.iter().map(Trained::network).collect()
    }

    fn inputs(&self, views: &[&Batch]) -> Result<Vec<N::Input>> {
        let input = |view: &&Batch| {
            let input: N::Input = self.preprocessing.input(view)?;
            Ok(input.lifted())
        };
        views.iter().map(input).collect()
    }

    fn evaluator_of(&self, networks: Vec<N>) -> Evaluator<'_> {
        Box::new(move |batch: &Batch| {
            let input: N::Input = self.preprocessing.input(batch)?;
            let networks: Vec<&N> = networks.iter().collect();
            run_branches(&networks, self.shared, &[input], false)
        })
    }

    /// The unused tensors of student `index`, in Burn's names.
    fn unused(&self, index: usize) -> Tensors {
        let network = self.students[index].network();
        let paths = shared_paths(network, self.shared);
        let mut tensors = export(network, Names::Burn);
        tensors.retain(|path, _| index > 0 && is_below_any(path, &paths));
        tensors
    }
}

impl<N: Classifier> StudentGroup for Group<N> {
    fn len(&self) -> usize {
        self.students.len()
    }

    fn forward(&self, views: &[&Batch], scaled: bool) -> Result<Vec<BranchOutput>> {
        run_branches(&self.networks(), self.shared, &self.inputs(views)?, scaled)
    }

    fn averaged_logits(&self, views: &[&Batch]) -> Result<Vec<Tensor<2>>> {
        let Some(averages) = &self.averages else {
            return Ok(Vec::new());
        };
        let inputs = self.inputs(views)?;
        let outputs = run_branches(&averages.networks(), self.shared, &inputs, false)?;
        let logits = outputs.into_iter().map(|output| output.logits.detach());
        Ok(logits.collect())
    }

    fn evaluator(&self) -> Evaluator<'_> {
        self.evaluator_of(self.students.iter().map(Trained::valid).collect())
    }

    fn average_evaluator(&self) -> Option<Evaluator<'_>> {
        let averages = self.averages.as_ref()?;
        let networks = averages.networks().into_iter().map(Module::valid).collect();
        Some(self.evaluator_of(networks))
    }

    fn classifiers(&self, features: usize) -> Vec<Tensor<2>> {
        let classifier = |student: &Trained<N>| {
            let network = student.network();
            let device = network.devices().into_iter().next().unwrap_or_default();
            AffineHead::of(network, features, &device)
                .weight
                .transpose()
        };
        self.students.iter().map(classifier).collect()
    }

    fn check_heads(&self, features: &[usize]) -> Result<()> {
        let students = self.students.iter().zip(features);
        for (student, &features) in students {
            AffineHead::check(student.network(), features, student.name())?;
            check_learning_head(student.network(), features, student.name())?;
        }
        Ok(())
    }

    fn square_norm(&self, gradients: &NamedGradients) -> f64 {
        let mut sum = 0.0;
        for student in &self.students {
            for (path, data) in export(student.network(), Names::Burn) {
                let path = format!("{}.{path}", student.name());
                if gradients.get(&path).is_some() {
                    sum += data.iter::<f64>().map(|value| value * value).sum::<f64>();
                }
            }
        }
        sum
    }

    fn collect(&self, gradients: &mut NamedGradients, raw: &mut Gradients) {
        for student in &self.students {
            student.collect(gradients, raw);
        }
    }

    fn step(&mut self, at: StepContext, gradients: &NamedGradients) {
        for student in &mut self.students {
            student.step(at, gradients);
        }
    }

    fn follow(&mut self, step: usize) {
        if let Some(averages) = &mut self.averages {
            let networks: Vec<&N> = self.students.iter().map(Trained::network).collect();
            averages.follow(&networks, step);
        }
    }

    fn add_result(&self, result: &mut Tensors) {
        let trunk = self.students[0].network();
        for student in &self.students {
            let whole = whole_tensors(trunk, student.network(), self.shared, Names::PyTorch);
            let named = whole.into_iter();
            let part = student.name();
            result.extend(named.map(|(name, data)| (format!("{part}/{name}"), data)));
        }
        if let Some(averages) = &self.averages {
            averages.add_result(self.first, result);
        }
    }

    fn put(&self, state: &mut PhaseState) {
        for (index, student) in self.students.iter().enumerate() {
            student.put(state);
            for path in self.unused(index).keys() {
                state.tensors.remove(&format!("{}/{path}", student.name()));
            }
        }
        if let Some(averages) = &self.averages {
            averages.put(self.first, state);
        }
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        for index in 0..self.students.len() {
            let unused = self.unused(index);
            let student = &mut self.students[index];
            let name = student.name().to_owned();
            // What was left out stays as it was drawn.
            let mut whole = PhaseState::default();
            for part in [name.clone(), format!("{name}-optimizer")] {
                whole.put(&part, state.part(&part));
            }
            whole.put(&name, unused);
            whole.values.clone_from(&state.values);
            student.restore(&whole)?;
        }
        match &mut self.averages {
            Some(averages) => averages.restore(self.first, state),
            None => Ok(()),
        }
    }
}

/// Compares a head in training with its matrix on one batch: a batch norm or dropout in it shows here.
fn check_learning_head<N: Classifier>(network: &N, features: usize, who: &str) -> Result<()> {
    // Norms that look at the batch forget it with the copy.
    let network = detached_copy(network);
    let device = network.devices().into_iter().next().unwrap_or_default();
    let head = AffineHead::of(&network, features, &device);
    let batch = Tensor::<2>::eye(features, &device) * 2.0;
    let (found, expected) = (network.forward_head(batch.clone()), head.apply(batch));
    let size = expected.clone().abs().max().into_scalar::<f32>();
    let off = (found - expected).abs().max().into_scalar::<f32>();
    if off <= 1e-3 * size.max(f32::MIN_POSITIVE) {
        return Ok(());
    }
    let problem = "has a head that is not linear while it learns, as with a batch norm or dropout in it; \
                   leave `diversification` out, or use a network whose head is linear";
    Err(Error::config(who, problem))
}

/// The hashes of what each branch has for itself.
pub(crate) fn own_hashes<N: Classifier>(branches: &Branches<N>) -> Vec<String> {
    let networks = branches.networks().iter();
    networks
        .map(|network| own_hash(network, branches.shared_stages()))
        .collect()
}
