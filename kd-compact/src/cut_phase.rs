//! The phase of the cut: no steps, one evaluation, the smaller network.

use std::collections::BTreeMap;

use burn::tensor::TensorData;
use kd_core::{
    Classifier, LossTerms, Metrics, Names, Phase, PhaseState, Plan, Result, RunFolder, StepContext,
    Tensors, export,
};

use crate::alive::Alive;
use crate::costs::CostModel;
use crate::method::{Compact, Cut};

/// The file beside the results that holds channels and costs by layer.
pub(crate) const CHANNELS_FILE: &str = "channels";

/// The file beside it that holds the scores of all channels that could be cut, and which of them stay.
pub(crate) const SCORES_FILE: &str = "scores";

/// The cut network, as it is before it is trained on.
pub(crate) struct CutPhase<'a, N: Classifier> {
    method: &'a Compact<N>,
    plan: Plan,
    cut: Cut<N>,
    /// The costs by live channels, with measured times where the budget goes by them.
    model: CostModel,
}

impl<N: Classifier> Compact<N> {
    /// The phase of the cut, a function of what the phases before it left.
    pub(crate) fn cut_phase(&self, earlier: &RunFolder) -> Result<CutPhase<'_, N>> {
        Ok(CutPhase {
            method: self,
            plan: Plan::no_steps(None),
            cut: self.cut(earlier)?,
            model: self.timed_model(earlier)?,
        })
    }
}

impl<N: Classifier> CutPhase<'_, N> {
    fn scores(&self) -> Tensors {
        let groups = &self.method.groups;
        let units = groups.units.iter().zip(&self.cut.scores);
        let free = units
            .zip(&self.cut.alive.0)
            .filter(|((unit, _), _)| groups.is_free(unit));
        let (scores, stays): (Vec<f64>, Vec<i64>) = free
            .map(|((_, score), alive)| (*score, i64::from(*alive)))
            .unzip();
        let shape = [scores.len()];
        Tensors::from([
            ("scores".to_owned(), TensorData::new(scores, shape)),
            ("stays".to_owned(), TensorData::new(stays, shape)),
        ])
    }
}

impl<N: Classifier> Phase for CutPhase<'_, N> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, _at: StepContext) -> Result<LossTerms> {
        Ok(LossTerms::new())
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let held_out = self.method.held_out_loader()?;
        let mut metrics = self.method.measure(&self.cut.network, &held_out)?;
        metrics.insert("cut_accuracy".into(), metrics["accuracy"]);
        if let Some(masked) = &self.cut.masked {
            let masked = self.method.measure(masked, &held_out)?;
            metrics.insert("masked_accuracy".into(), masked["accuracy"]);
        }
        let whole = self.model.size(&Alive::all(&self.method.groups));
        let size = self.model.size(&self.cut.alive);
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        metrics.insert("macs".into(), size.macs as f64);
        metrics.insert("parameters".into(), size.parameters as f64);
        metrics.insert("macs_share".into(), share(size.macs, whole.macs));
        let parameters = share(size.parameters, whole.parameters);
        metrics.insert("parameters_share".into(), parameters);
        if let Some(predicted) = self.model.milliseconds(&self.cut.alive) {
            metrics.insert("milliseconds_predicted".into(), predicted);
            if self.method.latency.is_none() {
                let measured = self.method.latency_of(&self.cut.network)?;
                metrics.insert("milliseconds".into(), 1e3 * measured.median_seconds);
            }
        }
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        export(&self.cut.network, Names::PyTorch)
    }

    /// For every layer, numbered, its channels, multiply-accumulates and parameters before and after.
    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        let model = &self.model;
        let before = model.by_layer(&Alive::all(&self.method.groups));
        let after = model.by_layer(&self.cut.alive);
        let pairs = before.into_iter().zip(after).enumerate();
        let rows = pairs.map(|(index, (before, after))| {
            let numbers = [
                before.channels as u64,
                after.channels as u64,
                before.size.macs,
                after.size.macs,
                before.size.parameters,
                after.size.parameters,
            ];
            let numbers = numbers.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
            let name = format!("{index:05} {} {}", before.block, before.path);
            (name, TensorData::new(numbers.to_vec(), vec![6]))
        });
        let mut files = BTreeMap::from([(CHANNELS_FILE.to_owned(), rows.collect())]);
        if !self.cut.scores.is_empty() {
            files.insert(SCORES_FILE.to_owned(), self.scores());
        }
        Ok(files)
    }

    fn state(&self) -> PhaseState {
        PhaseState::default()
    }

    fn restore(&mut self, _state: &PhaseState) -> Result<()> {
        Ok(())
    }
}
