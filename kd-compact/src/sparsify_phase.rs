//! The phase of sparse training: the loss, and the penalty on the scales of norms.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use kd_core::{
    Classifier, Loader, LossTerms, Metrics, NamedGradients, NetworkInput, OptimizerConfig, Phase,
    PhaseState, Plan, Result, RunFolder, StepContext, Tensors, Trained, detached_copy,
};

use crate::alive::Alive;
use crate::budget::{Limit, UNLIMITED};
use crate::config::{Criterion, Update};
use crate::costs::Size;
use crate::method::{Compact, momentum};
use crate::objective::loss;
use crate::penalty::{Penalty, Resource, Scales};
use crate::recalibrate::recalibrated;

/// The share of the phase over which the allowed cost falls to the budget; ours, inferred.
const FALL: f64 = 0.7;
/// How fast the strength grows with what is above the allowed cost: by e for each twentieth of the cost;
/// ours, inferred.
const GAIN: f64 = 20.0;
/// The most that it grows by, as an exponent of e.
const MOST_GAIN: f64 = 2.0;
/// The share of a limit that one step may leave unused, so that a strong pull does not empty the network.
const UNUSED: f64 = 0.05;

/// The network under sparse training.
pub(crate) struct SparsifyPhase<'a, N: Classifier> {
    method: &'a Compact<N>,
    plan: Plan,
    network: Trained<N>,
    penalty: Penalty,
    resource: Resource,
    strength: f64,
    limits: Vec<Limit>,
    /// For each limit what it is about, before anything is cut.
    before: Vec<Size>,
    /// Weight decay, which norms do not have: their scales would fall with the weights, at no gain.
    decay: f64,
    train: Loader,
    held_out: Loader,
}

impl<N: Classifier> Compact<N> {
    pub(crate) fn sparsify_phase(&self, earlier: &RunFolder) -> Result<SparsifyPhase<'_, N>> {
        let limits = self.sparse_limits(&self.timed_model(earlier)?)?;
        let train = self.train_loader(&self.sparsify)?;
        let network = detached_copy(&self.network).train();
        let (optimizer, decay) = without_decay(&self.sparsify.optimizer);
        let whole = self.model.by_block(&Alive::all(&self.groups));
        let before = limits.iter().map(|limit| limit.of(&self.model, &whole));
        Ok(SparsifyPhase {
            plan: self.sparsify.plan(train.steps_per_epoch(), None)?,
            network: Trained::new("network", network, optimizer)?,
            penalty: self.penalty(),
            resource: self.resource(),
            strength: self.strength_within(&limits)?,
            before: before.collect(),
            limits,
            decay,
            held_out: self.held_out_loader()?,
            train,
            method: self,
        })
    }
}

impl<N: Classifier> SparsifyPhase<'_, N> {
    /// The scales as they are.
    fn scales(&mut self) -> Scales {
        let mut found = BTreeMap::new();
        self.network.change(|path, values| {
            if let Some(norm) = path.strip_suffix(".gamma") {
                let numbers: Vec<f64> = values.into_data().iter::<f64>().collect();
                found.insert(norm.to_owned(), numbers);
            }
            None
        });
        let norms = self.method.groups.norms().iter();
        norms
            .map(|norm| found.remove(norm).unwrap_or_default())
            .collect()
    }

    /// How far the allowed cost has fallen by a step: 1 where it is the limit.
    fn progress(&self, step: usize) -> f64 {
        let steps = FALL * self.plan.total_steps as f64;
        ((step + 1) as f64 / steps).min(1.0)
    }

    /// For each limit by how much the cost of these channels is above what it may be, as a share of what it
    /// was.
    fn excesses(&self, alive: &Alive, progress: f64) -> Vec<f64> {
        let sizes = self.method.model.by_block(alive);
        let limits = self.limits.iter().zip(&self.before);
        limits
            .map(|(limit, before)| {
                excess(
                    limit.of(&self.method.model, &sizes),
                    *before,
                    limit.most,
                    progress,
                )
            })
            .collect()
    }

    /// The strength in every block: none where the channels that are alive cost no more than they may by
    /// now, and above the method's where they cost more.
    fn strengths(&self, alive: &Alive, step: usize) -> Vec<f64> {
        let excesses = self.excesses(alive, self.progress(step));
        let strength = |name: &String| {
            let own = self.method.settings.blocks.get(name);
            let own = own.and_then(|block| block.strength).unwrap_or(1.0);
            let pulls = self.limits.iter().zip(&excesses);
            let pulls = pulls.filter(|(limit, excess)| **excess > 0.0 && limit.is_about(name));
            let gain = |excess: f64| (GAIN * excess).min(MOST_GAIN).exp();
            pulls
                .map(|(_, excess)| own * self.strength * gain(*excess))
                .fold(0.0, f64::max)
        };
        self.method.model.blocks().iter().map(strength).collect()
    }

    /// The pressure on every channel.
    fn pressures(&self, scales: &Scales, step: usize) -> Vec<f64> {
        let alive = self
            .penalty
            .alive(scales, self.method.settings.compact.threshold);
        let strengths = self.strengths(&alive, step);
        let model = &self.method.model;
        let pressures = model.pressures(&self.resource, &alive, &strengths);
        if self.method.settings.compact.criterion != Criterion::Slimming {
            return pressures;
        }
        // One penalty for all, as strong as the weighted one is on the mean: twice the strength in all.
        let strongest = strengths.into_iter().fold(0.0, f64::max);
        let even = 2.0 * strongest / self.method.groups.scales().max(1) as f64;
        vec![even; pressures.len()]
    }

    /// The scales after a step of the penalty, which is halved until it takes no cost from above what it may
    /// be by now to far below its limit.
    fn pulled(&self, scales: &Scales, pressures: &[f64], rate: f64, step: usize) -> Scales {
        let threshold = self.method.settings.compact.threshold;
        let excesses = |scales: &Scales, progress: f64| {
            let alive = self.penalty.alive(scales, threshold);
            self.excesses(&alive, progress)
        };
        let above = excesses(scales, self.progress(step));
        let mut length = rate;
        loop {
            let stepped = self.moved(scales, pressures, length);
            let left = excesses(&stepped, 1.0);
            let shares = self.limits.iter().zip(&self.before);
            let shares = shares.map(|(limit, before)| limit.share(*before));
            let pairs = above.iter().zip(&left).zip(shares);
            let mut far =
                pairs.filter(|((above, left), share)| **above > 0.0 && **left < -UNUSED * *share);
            let is_far = far.next().is_some();
            if !is_far || length < rate * 1e-6 {
                return stepped;
            }
            length /= 2.0;
        }
    }

    /// The scales after a step of this length down the penalty.
    fn moved(&self, scales: &Scales, pressures: &[f64], length: f64) -> Scales {
        match self.method.settings.compact.update {
            Update::Proximal => self.penalty.proximal(scales, pressures, length),
            Update::Subgradient => {
                let slopes = self.penalty.subgradient(scales, pressures);
                let down = |(scale, slope): (&f64, &f64)| scale - length * slope;
                let norms = scales.iter().zip(&slopes);
                let norm = |(scales, slopes): (&Vec<f64>, &Vec<f64>)| {
                    scales.iter().zip(slopes).map(down).collect()
                };
                norms.map(norm).collect()
            }
        }
    }

    /// Moves the scales by the penalty and lets weights decay, at the pace that momentum gives to steps. A
    /// channel whose scales were all 0 before the optimizer's step, as in `before`, stays dead.
    fn shrink(&mut self, at: StepContext, before: &Scales) -> f64 {
        let momentum = at
            .momentum
            .unwrap_or(momentum(&self.method.sparsify.optimizer));
        let rate = at.lr / (1.0 - momentum);
        let scales = self.scales();
        let scales = self.penalty.without_dead(scales, before);
        let pressures = self.pressures(&scales, at.step);
        let value = self.penalty.value(&scales, &pressures);
        let stepped = self.pulled(&scales, &pressures, rate, at.step);
        let norms = self.method.groups.norms().iter().zip(stepped);
        let norms: BTreeMap<&str, Vec<f64>> = norms
            .map(|(norm, scales)| (norm.as_str(), scales))
            .collect();
        let (decays, kept) = (self.decay > 0.0, 1.0 - rate * self.decay);
        self.network.change(|path, values| {
            if let Some(scales) = path.strip_suffix(".gamma").and_then(|norm| norms.get(norm)) {
                return Some(on_device(scales, &values));
            }
            (decays && path.ends_with(".weight")).then(|| values * kept)
        });
        value
    }
}

/// By how much a cost is above what it may be by now, as a share of what it was before; the largest of the
/// resources that are limited. What it may be falls in a line to the limit, until `progress` is 1.
fn excess(now: Size, before: Size, most: Size, progress: f64) -> f64 {
    let of = |now: u64, before: u64, most: u64| {
        if most == UNLIMITED {
            return f64::MIN;
        }
        let before = before.max(1) as f64;
        let allowed = 1.0 - (1.0 - most as f64 / before) * progress.min(1.0);
        now as f64 / before - allowed
    };
    f64::max(
        of(now.macs, before.macs, most.macs),
        of(now.parameters, before.parameters, most.parameters),
    )
}

/// Numbers as a tensor like another.
#[expect(clippy::cast_possible_truncation, reason = "networks are in 32 bits")]
fn on_device(numbers: &[f64], like: &Tensor<1>) -> Tensor<1> {
    let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    let shape = [numbers.len()];
    Tensor::from_data(TensorData::new(numbers, shape), &like.device())
}

/// The optimizer without weight decay, and the decay.
fn without_decay(optimizer: &OptimizerConfig) -> (OptimizerConfig, f64) {
    let mut plain = optimizer.clone();
    let decay = match &mut plain {
        OptimizerConfig::Sgd { weight_decay, .. }
        | OptimizerConfig::Adam { weight_decay, .. }
        | OptimizerConfig::Adamw { weight_decay, .. } => std::mem::take(weight_decay),
        _ => 0.0,
    };
    (plain, decay)
}

impl<N: Classifier> Phase for SparsifyPhase<'_, N> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let method = self.method;
        let teacher = method.teacher_logits(&batch)?;
        let input: N::Input = method.preprocessing.input(&batch)?;
        let logits = self.network.network().forward(&input.lifted());
        let targets = Tensor::from_inner(batch.targets);
        let (total, mut terms) = loss(logits, teacher, targets, &method.settings.distill)?;
        let mut gradients = NamedGradients::new();
        self.network.collect(&mut gradients, &mut total.backward());
        method.sparsify.clip(&mut gradients);
        let before = self.scales();
        self.network.step(at, &gradients);
        let penalty = self.shrink(at, &before);
        let like = Tensor::<1>::zeros([1], self.train.device());
        terms.push(("penalty".into(), on_device(&[penalty], &like)));
        Ok(terms)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let scales = self.scales();
        let threshold = self.method.settings.compact.threshold;
        let alive = self.penalty.alive(&scales, threshold);
        let inputs = self.method.first_inputs(&self.train)?;
        let network = recalibrated(&self.network.valid(), &inputs)?;
        let mut metrics = self.method.measure(&network, &self.held_out)?;
        let size = self.method.model.size(&alive);
        let scores = self.penalty.scores(&scales);
        let finite: Vec<f64> = scores
            .into_iter()
            .filter(|score| score.is_finite())
            .collect();
        let near = |score: &&f64| (threshold / 3.0..=3.0 * threshold).contains(*score);
        let in_gap = finite.iter().filter(near).count() as f64 / finite.len().max(1) as f64;
        metrics.insert("live_macs".into(), size.macs as f64);
        metrics.insert("live_parameters".into(), size.parameters as f64);
        metrics.insert("scores_in_gap".into(), in_gap);
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        self.network.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.network.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.network.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowed_cost_falls_in_a_line_and_rests_at_the_limit() {
        let size = |macs, parameters| Size { macs, parameters };
        let before = size(1000, 100);
        for (now, most, progress, expected) in [
            (size(1000, 100), size(500, UNLIMITED), 0.5, 0.25),
            (size(700, 100), size(500, UNLIMITED), 0.5, -0.05),
            (size(700, 100), size(500, UNLIMITED), 3.0, 0.2),
            (size(700, 100), size(500, 20), 1.0, 0.8),
            (size(700, 100), size(UNLIMITED, 20), 1.0, 0.8),
        ] {
            let found = excess(now, before, most, progress);
            assert!((found - expected).abs() < 1e-12, "{now:?} {found}");
        }
    }
}
