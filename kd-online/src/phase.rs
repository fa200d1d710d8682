//! One phase: students that learn together, step by step.

use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Batch, CachedTeacher, Error, Loader, LossTerms, Metrics, NamedGradients, OptimizerConfig,
    Phase, PhaseState, Plan, Requested, Result, StepContext, Teacher, Tensors, Trained, Training,
    ViewPolicy,
};
use kd_losses::KdclErrors;

use crate::branches::BranchOutput;
use crate::combine::combiner::{Combiner, ENSEMBLE_PART};
use crate::config::{BranchViews, OnlineConfig};
use crate::evaluation::Evaluation;
use crate::group::StudentGroup;
use crate::kinds::{KdclTarget, Objective};
use crate::objective::LossInputs;
use crate::prepared::Prepared;

/// The name of the one phase of online distillation; its result is all students and what combines them.
pub const RESULT_PHASE: &str = "online";

/// The share of the mean error that is added to each peer's where KDCL's weights are found.
const RIDGE: f64 = 1e-3;

pub(crate) struct Exchange<'a> {
    pub(crate) groups: Vec<Box<dyn StudentGroup>>,
    pub(crate) combiner: Option<Trained<Combiner>>,
    pub(crate) prepared: &'a Prepared,
    pub(crate) training: &'a Training,
    pub(crate) teacher: Option<CachedTeacher<&'a dyn Teacher>>,
    /// The weights of the peers in KDCL's general target, of the epoch under way.
    pub(crate) peer_weights: Option<Vec<f64>>,
}

impl Exchange<'_> {
    fn config(&self) -> &OnlineConfig {
        self.prepared.loss.config()
    }

    /// The batch of a step: one view for all branches, or one for each.
    fn views(&self, at: StepContext) -> Result<Vec<Batch>> {
        let train = &self.prepared.train;
        let branches = self.config().branches;
        if self.config().views == BranchViews::Same || branches < 2 {
            return Ok(vec![train.batch(at.epoch, at.step_in_epoch)?]);
        }
        let ids = train.batch_without_samples(at.epoch, at.step_in_epoch)?.ids;
        let view = |branch| view_of(train, at.epoch, branches, branch);
        (0..branches)
            .map(|branch| train.view(view(branch), &ids))
            .collect()
    }

    /// Runs `of` for each group with its views.
    fn each_group<T>(
        &self,
        views: &[Batch],
        of: impl Fn(&dyn StudentGroup, &[&Batch]) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let views: Vec<&Batch> = views.iter().collect();
        let (mut all, mut first) = (Vec::new(), 0);
        for group in &self.groups {
            let end = first + group.len();
            let here = if views.len() == 1 {
                &views[..]
            } else {
                &views[first..end]
            };
            all.extend(of(group.as_ref(), here)?);
            first = end;
        }
        Ok(all)
    }

    fn outputs(&self, views: &[Batch]) -> Result<Vec<BranchOutput>> {
        let scaled = matches!(
            self.config().objective,
            Objective::ClIlr {
                scale_shared_gradient: true
            }
        );
        self.each_group(views, |group, views| group.forward(views, scaled))
    }

    /// The teacher's logits for each view.
    fn answers(&self, views: &[Batch]) -> Result<Option<Vec<Tensor<2>>>> {
        let Some(teacher) = &self.teacher else {
            return Ok(None);
        };
        let requested = Requested::output();
        let answer = |view: &Batch| teacher.answer(view, &requested)?.logits();
        views.iter().map(answer).collect::<Result<_>>().map(Some)
    }

    /// The classifiers of all branches, `[features, num_classes]`, where they can be compared.
    fn classifiers(&self) -> Option<Vec<Tensor<2>>> {
        let features = self.prepared.sizes.features;
        let classifiers = self
            .groups
            .iter()
            .flat_map(|group| group.classifiers(features));
        self.prepared.comparable.then(|| classifiers.collect())
    }

    /// Measures the peers on validation data, where KDCL's general target needs their weights.
    fn weigh_peers(&mut self, at: StepContext) -> Result<()> {
        let general = Objective::Kdcl {
            target: KdclTarget::General,
        };
        let due = at.step_in_epoch == 0 || self.peer_weights.is_none();
        let prepared = self.prepared;
        let Some(loader) = &prepared.validation else {
            return Ok(());
        };
        if self.config().objective != general || !due {
            return Ok(());
        }
        let failed = |error: kd_losses::Error| Error::method("kdcl", error);
        let mut errors = KdclErrors::new(self.config().branches).map_err(failed)?;
        let evaluators: Vec<_> = self.groups.iter().map(|group| group.evaluator()).collect();
        for batch in loader.epoch(0) {
            let batch = batch?;
            let mut logits = Vec::new();
            for evaluator in &evaluators {
                logits.extend(evaluator(&batch)?.into_iter().map(|output| output.logits));
            }
            errors.add(&logits, batch.targets).map_err(failed)?;
        }
        let weights = errors.weights(RIDGE).map_err(failed)?;
        drop(evaluators);
        self.peer_weights = Some(weights);
        Ok(())
    }

    /// The gradient of the penalty on classifiers beside that of weight decay, on the parameters that it
    /// reaches.
    fn diversification_ratio(&self) -> Result<Option<f64>> {
        let Some(term) = self.config().diversification else {
            return Ok(None);
        };
        let decay = weight_decay(&self.training.optimizer);
        if decay <= 0.0 {
            return Ok(None);
        }
        let classifiers = self.classifiers();
        let loss = self.prepared.loss.overlap(classifiers.as_deref())? * term.weight;
        let mut raw = loss.backward();
        let mut gradients = NamedGradients::new();
        for group in &self.groups {
            group.collect(&mut gradients, &mut raw);
        }
        let squares = gradients.paths().filter_map(|path| gradients.get(path));
        let squares = squares.map(|gradient| gradient.clone().square().sum().into_scalar::<f32>());
        let of_term: f64 = squares.map(f64::from).sum();
        let of_weights: f64 = self
            .groups
            .iter()
            .map(|group| group.square_norm(&gradients))
            .sum();
        Ok((of_weights > 0.0).then(|| (of_term / of_weights).sqrt() / decay))
    }
}

/// The view that branch `branch` sees of the samples in `epoch`.
fn view_of(train: &Loader, epoch: usize, branches: usize, branch: usize) -> u64 {
    let turn = (epoch * branches + branch) as u64;
    match train.config().views {
        ViewPolicy::Bank(views) => turn % u64::from(views.max(1)),
        ViewPolicy::Fixed => 0,
        ViewPolicy::Unlimited => turn,
    }
}

fn weight_decay(optimizer: &OptimizerConfig) -> f64 {
    match *optimizer {
        OptimizerConfig::Sgd { weight_decay, .. }
        | OptimizerConfig::Adam { weight_decay, .. }
        | OptimizerConfig::Adamw { weight_decay, .. } => weight_decay,
        _ => 0.0,
    }
}

impl Phase for Exchange<'_> {
    fn plan(&self) -> &Plan {
        &self.prepared.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        let train = &self.prepared.train;
        Some((train.device().clone(), train.config().seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        self.weigh_peers(at)?;
        let views = self.views(at)?;
        let outputs = self.outputs(&views)?;
        let targets: &Tensor<1, Int> = &views[0].targets;
        let averaged = match self.config().objective {
            Objective::Pcl { .. } => {
                Some(self.each_group(&views, |group, views| group.averaged_logits(views))?)
            }
            _ => None,
        };
        let term = self.config().diversification.is_some();
        let classifiers = if term { self.classifiers() } else { None };
        let teacher = self.answers(&views)?;
        let inputs = LossInputs {
            outputs: &outputs,
            targets,
            averaged: averaged.as_deref(),
            classifiers: classifiers.as_deref(),
            peer_weights: self.peer_weights.as_deref(),
            teacher: teacher.as_deref(),
        };
        let combiner = self.combiner.as_ref().map(Trained::network);
        let loss = self.prepared.loss.forward(combiner, &inputs, at.epoch)?;

        let mut raw = loss.total.backward();
        let mut gradients = NamedGradients::new();
        for group in &self.groups {
            group.collect(&mut gradients, &mut raw);
        }
        if let Some(combiner) = &self.combiner {
            combiner.collect(&mut gradients, &mut raw);
        }
        self.training.clip(&mut gradients);
        for group in &mut self.groups {
            group.step(at, &gradients);
            group.follow(at.step);
        }
        if let Some(combiner) = &mut self.combiner {
            combiner.step(at, &gradients);
        }
        Ok(loss.terms)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let classifiers = self.classifiers();
        let evaluation = Evaluation {
            groups: &self.groups,
            combiner: self.combiner.as_ref().map(Trained::valid),
            loss: &self.prepared.loss,
            held_out: &self.prepared.held_out,
            peer_weights: self.peer_weights.as_deref(),
            classifiers: classifiers.as_deref(),
        };
        let mut metrics = evaluation.metrics()?;
        if let Some(ratio) = self.diversification_ratio()? {
            metrics.insert("diversification_to_weight_decay".into(), ratio);
        }
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        let mut result = Tensors::new();
        for group in &self.groups {
            group.add_result(&mut result);
        }
        if let Some(combiner) = &self.combiner {
            let named = combiner.result().into_iter();
            result.extend(named.map(|(name, data)| (format!("{ENSEMBLE_PART}/{name}"), data)));
        }
        result
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        for group in &self.groups {
            group.put(&mut state);
        }
        if let Some(combiner) = &self.combiner {
            combiner.put(&mut state);
        }
        if let Some(weights) = &self.peer_weights {
            let weights = serde_json::json!(weights);
            state.values.insert("peer_weights".into(), weights);
        }
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        for group in &mut self.groups {
            group.restore(state)?;
        }
        if let Some(combiner) = &mut self.combiner {
            combiner.restore(state)?;
        }
        let weights = state.values.get("peer_weights").cloned();
        self.peer_weights = weights
            .map(serde_json::from_value)
            .transpose()
            .map_err(|error| Error::method("peer weights of the checkpoint", error))?;
        Ok(())
    }
}
