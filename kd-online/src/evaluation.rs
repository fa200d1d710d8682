//! An evaluation: all students and ensembles on the held-out data in one pass.

use burn::tensor::Tensor;
use kd_core::{Batch, Error, Loader, Metrics, Result};
use kd_losses::{
    ClassifierDiversificationLossConfig, ClassifierOverlap, classifier_diversification,
};

use crate::branches::BranchOutput;
use crate::combine::combiner::{Combination, Combiner};
use crate::group::{Evaluator, StudentGroup};
use crate::measures::{HostBatch, Measures};
use crate::objective::{LossInputs, OnlineLoss};

/// All that is measured, and on what.
pub(crate) struct Evaluation<'a> {
    pub(crate) groups: &'a [Box<dyn StudentGroup>],
    pub(crate) combiner: Option<Combiner>,
    pub(crate) loss: &'a OnlineLoss,
    pub(crate) held_out: &'a Loader,
    pub(crate) peer_weights: Option<&'a [f64]>,
    /// The classifiers of all branches, `[features, num_classes]`, where they can be compared.
    pub(crate) classifiers: Option<&'a [Tensor<2>]>,
}

impl Evaluation<'_> {
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let config = self.loss.config();
        let dataset = self.held_out.subset().dataset();
        let peers = config.peers().max(1);
        let mut measures = Measures::new(config.branches, peers, dataset.classes())?;
        let students: Vec<_> = self.groups.iter().map(|group| group.evaluator()).collect();
        let averages: Option<Vec<_>> = self
            .groups
            .iter()
            .map(|group| group.average_evaluator())
            .collect();
        for batch in self.held_out.epoch(0) {
            let batch = batch?;
            let outputs = run(&students, &batch)?;
            let averaged = averages.as_ref().map(|all| run(all, &batch)).transpose()?;
            self.add(&mut measures, &batch, &outputs, averaged.as_deref())?;
        }
        let mut metrics = measures.metrics()?;
        self.add_overlaps(&mut metrics)?;
        Ok(metrics)
    }

    fn add(
        &self,
        measures: &mut Measures,
        batch: &Batch,
        outputs: &[BranchOutput],
        averaged: Option<&[BranchOutput]>,
    ) -> Result<()> {
        let config = self.loss.config();
        let combiner = self.combiner.as_ref();
        let ensembled = self.loss.ensembled(combiner, outputs);
        let combined = ensembled
            .logits
            .filter(|_| Combination::of(&config.objective) != Combination::Mean);
        let inputs = LossInputs {
            peer_weights: self.peer_weights,
            ..LossInputs::new(outputs, &batch.targets)
        };
        let kd = if self.loss.is_known(&inputs) {
            self.loss.kd(combiner, &inputs)?
        } else {
            None
        };
        let branches: Vec<Vec<f32>> = outputs
            .iter()
            .map(|output| host(output.logits.clone()))
            .collect();
        let student = match averaged.and_then(|averaged| averaged.get(config.student())) {
            Some(output) => host(output.logits.clone()),
            None => branches[config.student()].clone(),
        };
        let dataset = self.held_out.subset().dataset();
        let labels = batch.ids.iter().filter_map(|&id| dataset.label(id));
        let targets: Vec<usize> = labels.map(usize::from).collect();
        measures.add(&HostBatch {
            student: &student,
            branches: &branches,
            combined: combined.map(host).as_deref(),
            targets: &targets,
            gate: ensembled.gate.map(host).as_deref(),
            attention: ensembled.attention.map(host).as_deref(),
            kd: kd
                .map(|kd| kd.into_data().iter::<f64>().collect::<Vec<_>>())
                .as_deref(),
        })
    }

    /// The likeness of the classifiers in the two forms that have a scale, where they can be compared.
    fn add_overlaps(&self, metrics: &mut Metrics) -> Result<()> {
        let peers = self.loss.config().peers();
        let Some(classifiers) = self.classifiers.filter(|_| peers > 1) else {
            return Ok(());
        };
        let epsilon = ClassifierDiversificationLossConfig::new().epsilon;
        let forms = [
            (
                "overlap_normalised_frobenius",
                ClassifierOverlap::NormalisedFrobenius,
            ),
            ("overlap_class_cosine", ClassifierOverlap::ClassCosine),
        ];
        for (name, form) in forms {
            let plain = classifiers[..peers]
                .iter()
                .map(|weight| weight.clone().without_autodiff());
            let value = classifier_diversification(&plain.collect::<Vec<_>>(), form, epsilon)
                .map_err(|error| Error::method(name, error))?;
            metrics.insert(name.into(), f64::from(value.into_scalar::<f32>()));
        }
        Ok(())
    }
}

fn run(evaluators: &[Evaluator<'_>], batch: &Batch) -> Result<Vec<BranchOutput>> {
    let mut outputs = Vec::new();
    for evaluator in evaluators {
        outputs.extend(evaluator(batch)?);
    }
    Ok(outputs)
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
