//! The loss of one step: cross-entropies, divergences between students, penalties.

use burn::tensor::{Int, Tensor};
use kd_core::{Error, Result};
use kd_losses::{
    ClassifierDiversificationLossConfig, Schedule, WeightedSum, classifier_diversification,
    kdcl_general, kdcl_linear, kdcl_min_logit, kdcl_naive, prediction_diversification, soft_target,
};

use crate::branches::BranchOutput;
use crate::combine::combiner::{Combination, Combiner, Ensembled};
use crate::config::OnlineConfig;
use crate::divergence::{
    Softening, cross_entropies, divergences, mean_of_others, mutual_divergences, stacked,
};
use crate::kinds::{AttentionDetach, KdclTarget, MutualTarget, Objective};

/// The iterations of the search for KDCL's convex combination.
const LINEAR_STEPS: usize = 100;

/// The loss of a step, made of the settings of a run.
///
/// ```text
/// L = sum over branches of CE(z_i, y) + CE(z_e, y) + w(epoch) * sum over branches of KL(target_i -> z_i)
///   + weight * overlap of classifiers + weight * likeness of predictions
///   + weight * sum over branches of KL(teacher -> z_i)
/// ```
///
/// Which of the terms there are, and what the targets are, is [`Objective`]'s. Losses are summed over
/// branches as in all public codes: with more branches what they share gets a larger gradient.
#[derive(Clone, Debug)]
pub struct OnlineLoss {
    config: OnlineConfig,
    kd_weight: Schedule,
}

/// What the loss of a step is computed of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LossInputs<'a> {
    /// The outputs of all branches, a leader last.
    pub outputs: &'a [BranchOutput],
    /// The labels, `[batch_size]`, on the plain device.
    pub targets: &'a Tensor<1, Int>,
    /// The logits of the averaged branches, for an objective that has them as targets.
    pub averaged: Option<&'a [Tensor<2>]>,
    /// The classifiers of the branches, `[features, num_classes]`, where their likeness is a term.
    pub classifiers: Option<&'a [Tensor<2>]>,
    /// The weights of the peers, for KDCL's general target.
    pub peer_weights: Option<&'a [f64]>,
    /// The logits of a frozen teacher: for all branches one, or for each its own.
    pub teacher: Option<&'a [Tensor<2>]>,
}

impl<'a> LossInputs<'a> {
    /// Outputs and labels, nothing else.
    pub fn new(outputs: &'a [BranchOutput], targets: &'a Tensor<1, Int>) -> Self {
        Self {
            outputs,
            targets,
            averaged: None,
            classifiers: None,
            peer_weights: None,
            teacher: None,
        }
    }
}

/// The loss of a step.
#[derive(Debug)]
#[non_exhaustive]
pub struct StepLoss {
    /// The sum that is differentiated, `[1]`.
    pub total: Tensor<1>,
    /// The value of each term without its weight, `[1]` on the plain device.
    pub terms: Vec<(String, Tensor<1>)>,
}

impl OnlineLoss {
    /// The loss of these settings in a run of so many epochs.
    ///
    /// # Errors
    ///
    /// As [`OnlineConfig::check`].
    pub fn new(config: &OnlineConfig, epochs: usize) -> Result<Self> {
        config.check()?;
        Ok(Self {
            config: config.clone(),
            kd_weight: config.kd_schedule(epochs),
        })
    }

    /// The settings.
    pub fn config(&self) -> &OnlineConfig {
        &self.config
    }

    /// The weight of the divergences between students in `epoch`, from 0; it changes once an epoch.
    pub fn kd_weight(&self, epoch: usize) -> f64 {
        self.kd_weight.at(epoch as f64)
    }

    /// Combines the peers: the ensemble, or a target for each.
    pub fn ensembled(&self, combiner: Option<&Combiner>, outputs: &[BranchOutput]) -> Ensembled {
        let peers = &outputs[..self.config.peers().min(outputs.len())];
        Combination::of(&self.config.objective).apply(combiner, peers)
    }

    /// The loss of a step in `epoch`, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] for another number of branches than the settings say; [`Error::Config`] if a term
    /// lacks its input; those of kd-losses.
    pub fn forward(
        &self,
        combiner: Option<&Combiner>,
        inputs: &LossInputs<'_>,
        epoch: usize,
    ) -> Result<StepLoss> {
        self.check_count(inputs.outputs.len())?;
        let logits = stacked(inputs.outputs.iter().map(|output| output.logits.clone()));
        let hard = cross_entropies(logits.clone(), inputs.targets);
        let mut sum = WeightedSum::new().add("cross_entropy", 1.0, hard.sum());
        let ensembled = self.ensembled(combiner, inputs.outputs);
        if self.has_ensemble_loss()
            && let Some(ensemble) = &ensembled.logits
        {
            let hard = cross_entropies(ensemble.clone().unsqueeze_dim(0), inputs.targets);
            sum = sum.add("ensemble_cross_entropy", 1.0, hard);
        }
        let weight = self.kd_weight(epoch);
        if let Some(kd) = self.divergences(&logits, &ensembled, inputs)? {
            sum = sum.add("kd", weight, kd.sum());
        }
        if let (Objective::Pcl { .. }, Some(averaged)) = (&self.config.objective, inputs.averaged) {
            let targets = stacked(averaged.iter().cloned());
            let mutual = mutual_divergences(targets, logits, self.softening());
            sum = sum.add("averaged_kd", weight, mutual.sum());
        }
        let sum = self.add_penalties(sum, inputs)?;
        let sum = self.add_teacher(sum, inputs)?;
        let combined = sum
            .finish()
            .map_err(|error| Error::method("online", error))?;
        let mut terms = combined.terms;
        terms.push(("total".into(), combined.total.clone().without_autodiff()));
        Ok(StepLoss {
            total: combined.total,
            terms,
        })
    }

    /// The divergence of each branch from its target without the ramped weight, `[branches]`; none for an
    /// objective without targets. Averaged branches are no part of it.
    ///
    /// # Errors
    ///
    /// As [`OnlineLoss::forward`].
    pub fn kd(
        &self,
        combiner: Option<&Combiner>,
        inputs: &LossInputs<'_>,
    ) -> Result<Option<Tensor<1>>> {
        self.check_count(inputs.outputs.len())?;
        let logits = stacked(inputs.outputs.iter().map(|output| output.logits.clone()));
        let ensembled = self.ensembled(combiner, inputs.outputs);
        self.divergences(&logits, &ensembled, inputs)
    }

    /// Whether the targets can be told from these inputs: KDCL's general one needs weights, which the first
    /// step finds.
    pub(crate) fn is_known(&self, inputs: &LossInputs<'_>) -> bool {
        let general = Objective::Kdcl {
            target: KdclTarget::General,
        };
        self.config.objective != general || inputs.peer_weights.is_some()
    }

    fn softening(&self) -> Softening {
        Softening {
            temperature: self.config.temperature,
            target_epsilon: self.config.target_epsilon,
        }
    }

    fn check_count(&self, found: usize) -> Result<()> {
        let expected = self.config.branches;
        if found == expected {
            return Ok(());
        }
        Err(Error::Shape {
            what: "branches".into(),
            expected: format!("{expected}, as the settings say"),
            found: format!("{found}"),
            remedy: "set `branches` to the number of branches there are".into(),
        })
    }

    fn has_ensemble_loss(&self) -> bool {
        match self.config.objective {
            Objective::One {} | Objective::Pcl { .. } => true,
            Objective::Okdmde {
                attention,
                ensemble_loss,
                ..
            } => ensemble_loss.unwrap_or(!attention.is_per_peer()),
            _ => false,
        }
    }

    fn divergences(
        &self,
        logits: &Tensor<3>,
        ensembled: &Ensembled,
        inputs: &LossInputs<'_>,
    ) -> Result<Option<Tensor<1>>> {
        let softening = self.softening();
        let peers = logits.clone().narrow(0, 0, self.config.peers());
        let from = |targets: Tensor<3>| divergences(targets, peers.clone(), softening);
        let of_peers = match self.config.objective {
            Objective::Single { .. } | Objective::Independent {} => return Ok(None),
            Objective::Dml {
                target: MutualTarget::Pairwise,
            } => mutual_divergences(peers.clone(), peers.clone(), softening),
            Objective::Dml {
                target: MutualTarget::EnsembleFirst,
            }
            | Objective::ClIlr { .. } => from(mean_of_others(peers.clone())),
            Objective::Kdcl { target } => from(kdcl_target(target, inputs)?.unsqueeze_dim(0)),
            Objective::One {}
            | Objective::Pcl { .. }
            | Objective::Okddip { .. }
            | Objective::Okdmde { .. } => match (&ensembled.per_peer, &ensembled.logits) {
                // [batch_size, peers, num_classes] to [peers, batch_size, num_classes]
                (Some(targets), _) => from(targets.clone().swap_dims(0, 1)),
                (None, Some(target)) => from(target.clone().detach().unsqueeze_dim(0)),
                (None, None) => return Ok(None),
            },
        };
        if !self.config.objective.has_leader() {
            return Ok(Some(of_peers));
        }
        let leader = logits.clone().narrow(0, self.config.peers(), 1);
        let mean = peers.mean_dim(0);
        // As in the code: the leader's divergence reaches the peers, too, unless nothing of a target does.
        let mean = if self.detaches_targets() {
            mean.detach()
        } else {
            mean
        };
        let of_leader = divergences(mean, leader, softening);
        Ok(Some(Tensor::cat(vec![of_peers, of_leader], 0)))
    }

    /// Whether no gradient reaches the peers through a target.
    fn detaches_targets(&self) -> bool {
        match self.config.objective {
            Objective::Okddip { detach, .. } | Objective::Okdmde { detach, .. } => {
                detach != AttentionDetach::None
            }
            _ => true,
        }
    }

    fn add_penalties(&self, mut sum: WeightedSum, inputs: &LossInputs<'_>) -> Result<WeightedSum> {
        if let Some(term) = &self.config.diversification {
            let overlap = self.overlap(inputs.classifiers)?;
            sum = sum.add("diversification", term.weight, overlap);
        }
        if let Some(penalty) = &self.config.prediction_penalty {
            let peers = inputs.outputs[..self.config.peers()].iter();
            let peers: Vec<Tensor<2>> = peers.map(|output| output.logits.clone()).collect();
            let targets = inputs.targets.clone();
            let likeness = prediction_diversification(&peers, targets, penalty.temperature)
                .map_err(|error| Error::method("prediction_penalty", error))?;
            sum = sum.add("prediction_penalty", penalty.weight, likeness);
        }
        Ok(sum)
    }

    /// The likeness of the classifiers without its weight.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it is no term, or the classifiers are not there; those of kd-losses.
    pub fn overlap(&self, classifiers: Option<&[Tensor<2>]>) -> Result<Tensor<1>> {
        let missing = || Error::config("diversification", "lacks the classifiers of the branches");
        let term = self.config.diversification.as_ref().ok_or_else(missing)?;
        let classifiers = classifiers.ok_or_else(missing)?;
        let count = if term.leader {
            self.config.branches
        } else {
            self.config.peers()
        };
        let epsilon = ClassifierDiversificationLossConfig::new().epsilon;
        let classifiers = &classifiers[..count.min(classifiers.len())];
        classifier_diversification(classifiers, term.overlap, epsilon)
            .map_err(|error| Error::method("diversification", error))
    }

    fn add_teacher(&self, mut sum: WeightedSum, inputs: &LossInputs<'_>) -> Result<WeightedSum> {
        let Some(term) = &self.config.teacher else {
            return Ok(sum);
        };
        let missing = || Error::config("teacher", "is a term, and there is no teacher; give one");
        let answers = inputs.teacher.ok_or_else(missing)?;
        let mut total: Option<Tensor<1>> = None;
        for (index, output) in inputs.outputs.iter().enumerate() {
            let answer = answers.get(index).or_else(|| answers.first());
            let answer = answer.ok_or_else(missing)?.clone();
            let loss = soft_target(output.logits.clone(), answer, term.temperature)
                .map_err(|error| Error::method("teacher", error))?;
            total = Some(match total {
                Some(total) => total + loss,
                None => loss,
            });
        }
        if let Some(total) = total {
            sum = sum.add("teacher_kd", term.weight, total);
        }
        Ok(sum)
    }
}

/// KDCL's target for all peers, a constant.
fn kdcl_target(target: KdclTarget, inputs: &LossInputs<'_>) -> Result<Tensor<2>> {
    let peers: Vec<Tensor<2>> = inputs
        .outputs
        .iter()
        .map(|output| output.logits.clone())
        .collect();
    let targets = inputs.targets.clone();
    let made = match target {
        KdclTarget::Naive => kdcl_naive(&peers, targets),
        KdclTarget::MinLogit => kdcl_min_logit(&peers, targets),
        KdclTarget::Linear => kdcl_linear(&peers, targets, LINEAR_STEPS),
        KdclTarget::General => {
            let problem = "is `general`, which needs the weights of the peers from validation data";
            let missing = || Error::config("target", problem);
            kdcl_general(&peers, inputs.peer_weights.ok_or_else(missing)?)
        }
    };
    made.map_err(|error| Error::method("kdcl", error))
}
