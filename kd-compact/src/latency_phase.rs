//! The phase that measures layers, so that the cut can go by milliseconds: no steps, a table as its result.

use kd_core::{
    Batch, Classifier, DeviceName, Error, Latency, LossTerms, Metrics, Phase, PhaseState, Plan,
    Result, RunFolder, Snapshot, StepContext, Tensors,
};

use crate::budget::{Limit, UNLIMITED};
use crate::costs::{CostModel, Size};
use crate::latency::LatencyTable;
use crate::method::{Compact, LATENCY_PHASE};
use crate::scores::uniform_scores;

/// Measuring. What it found is kept in the run, and all later phases go by it: a run that is resumed, be it
/// on another machine, ends as it would have.
pub(crate) struct LatencyPhase<'a, N: Classifier> {
    method: &'a Compact<N>,
    plan: Plan,
    table: Option<LatencyTable>,
}

impl<N: Classifier> Compact<N> {
    /// With times that were measured before, be it on another machine, for a budget in milliseconds: nothing
    /// is measured here, neither before training nor after the cut.
    #[must_use]
    pub fn with_latency(mut self, table: LatencyTable) -> Self {
        self.latency = Some(table);
        self
    }

    /// The times by which a budget in milliseconds goes: those that were given, or measured here and now,
    /// which takes some seconds to a minute.
    ///
    /// # Errors
    ///
    /// As [`LatencyTable::measured`].
    pub fn latency_table(&self) -> Result<LatencyTable> {
        if let Some(table) = &self.latency {
            return Ok(table.clone());
        }
        let (network, batch) = (self.network.fold_norms(), self.settings.budget.batch());
        let pass = self.pass(&network);
        LatencyTable::measured(&self.graph, &self.groups, batch, &self.device, pass)
    }

    /// The time of answers of a network.
    pub(crate) fn latency_of(&self, network: &N) -> Result<Latency> {
        let network = network.fold_norms();
        Latency::of(self.settings.budget.batch(), self.pass(&network))
    }

    /// An answer of a network, until it is on the host.
    fn pass<'a>(&'a self, network: &'a N) -> impl FnMut() -> Result<()> + 'a {
        let (kind, count) = (self.preprocessing.kind(), self.settings.budget.batch());
        let samples = Batch::blank(kind, self.graph.nodes[0].shape, count, &self.device);
        move || {
            let input: N::Input = self.preprocessing.input(&samples)?;
            drop(network.forward(&input).into_data());
            Ok(())
        }
    }

    /// The costs by live channels, with the times that the run has measured where the budget goes by them.
    pub(crate) fn timed_model(&self, folder: &RunFolder) -> Result<CostModel> {
        let model = self.model.clone();
        if self.settings.budget.milliseconds.is_none() {
            return Ok(model);
        }
        let tensors = folder.result(LATENCY_PHASE, Snapshot::Last)?;
        model.timed(&LatencyTable::of_tensors(&tensors)?)
    }

    /// The limits of sparse training, whose penalty knows no time: those of the budget, and for milliseconds
    /// the multiply-accumulates that are left where all groups are thinned alike to so many.
    pub(crate) fn sparse_limits(&self, model: &CostModel) -> Result<Vec<Limit>> {
        let budget = self.budget()?;
        let mut limits = budget.limits.clone();
        if budget.milliseconds.is_some() {
            let (scores, round_to) = (uniform_scores(&self.groups), self.settings.round_to());
            let alive = budget.choose_rounded(model, &self.groups, &scores, round_to)?;
            let most = Size {
                macs: model.size(&alive).macs,
                parameters: UNLIMITED,
            };
            limits.push(Limit { block: None, most });
        }
        Ok(limits)
    }

    /// Milliseconds are those of the CPU.
    pub(crate) fn check_device(&self) -> Result<()> {
        let is_cpu = || DeviceName::Cpu.open().is_ok_and(|cpu| cpu == self.device);
        let measures = self.settings.budget.milliseconds.is_some() && self.latency.is_none();
        if !measures || is_cpu() {
            return Ok(());
        }
        let problem = "is measured on the CPU alone; run there (`device = \"cpu\"`), or say how many \
                       `macs` are allowed";
        Err(Error::config("budget.milliseconds", problem))
    }

    pub(crate) fn latency_phase(&self) -> LatencyPhase<'_, N> {
        LatencyPhase {
            method: self,
            plan: Plan::no_steps(None),
            table: None,
        }
    }
}

impl<N: Classifier> Phase for LatencyPhase<'_, N> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, _at: StepContext) -> Result<LossTerms> {
        Ok(LossTerms::new())
    }

    /// Measures, and refuses a budget that cannot be met.
    fn evaluate(&mut self) -> Result<Metrics> {
        let table = self.method.latency_table()?;
        let model = self.method.model.clone().timed(&table)?;
        self.method.sparse_limits(&model)?;
        let now = table.milliseconds();
        self.table = Some(table);
        Ok(Metrics::from([("milliseconds_before".to_owned(), now)]))
    }

    fn result(&self) -> Tensors {
        self.table
            .as_ref()
            .map(LatencyTable::tensors)
            .unwrap_or_default()
    }

    fn state(&self) -> PhaseState {
        PhaseState::default()
    }

    fn restore(&mut self, _state: &PhaseState) -> Result<()> {
        Ok(())
    }
}
