//! The method: sparse training, the cut, and training on.

use std::fmt;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Augment, Batch, Classifier, Error, Finding, Loader, LoaderConfig, Method, Metrics, Names,
    OptimizerConfig, Phase, Preprocessing, Requested, Result, RunFolder, Snapshot, Subset, Teacher,
    Tensors, Training, ViewPolicy, evaluate, export, import,
};

use crate::alive::{Alive, Widths};
use crate::budget::{Budget, Limit};
use crate::config::{CompactSettings, Criterion, cut_training, sparsify_training};
use crate::costs::{CostModel, Size};
use crate::graph::Graph;
use crate::groups::Groups;
use crate::latency::LatencyTable;
use crate::penalty::{Penalty, Resource, suggest_strength};
use crate::recalibrate::recalibrated;
use crate::scores::{group_norm_scores, l1_scores, random_scores, uniform_scores};
use crate::surgery::Surgery;
use crate::tensors::scales;

/// The phase without steps that measures layers, of a run with a budget in milliseconds.
pub const LATENCY_PHASE: &str = "latency";
/// The phase of sparse training.
pub const SPARSIFY_PHASE: &str = "sparsify";
/// The phase without steps whose result is the cut network.
pub const CUT_PHASE: &str = "cut";
/// The last phase, whose result is the cut network trained on.
pub const TRAIN_PHASE: &str = "train";

/// Makes the network of these widths, its weights new, on the plain form of the device.
type Build<N> = dyn Fn(&Widths) -> Result<N>;

/// A network made smaller: sparse training with distillation from the network as it was, the cut to a budget,
/// and training on with the same distillation.
///
/// What is cut is a function of what sparse training left, so that an interruption between or in the phases
/// costs nothing.
pub struct Compact<N> {
    pub(crate) network: N,
    pub(crate) teacher: Box<dyn Teacher>,
    build: Box<Build<N>>,
    pub(crate) preprocessing: Preprocessing,
    data: [Subset; 2],
    views: (ViewPolicy, Augment, u64),
    pub(crate) settings: CompactSettings,
    pub(crate) sparsify: Training,
    pub(crate) train: Training,
    seed: u64,
    pub(crate) device: Device,
    /// Times that were measured before, in place of those of this machine.
    pub(crate) latency: Option<LatencyTable>,
    pub(crate) graph: Graph,
    pub(crate) groups: Groups,
    pub(crate) model: CostModel,
}

impl<N> fmt::Debug for Compact<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compact")
            .field("teacher", &self.teacher)
            .field("settings", &self.settings)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The cut of a network: which channels stay, and the tensors of what is left.
pub(crate) struct Cut<N> {
    pub(crate) alive: Alive,
    /// By which they were chosen.
    pub(crate) scores: Vec<f64>,
    /// The network with its dead channels at 0; none where the cut network begins anew.
    pub(crate) masked: Option<N>,
    pub(crate) network: N,
}

impl<N: Classifier> Compact<N> {
    /// `network`, described by `graph`, which learns from `teacher`, is trained on the first of `data` and
    /// measured on the second. `build` makes the network of other widths; `preprocessing` is the network's.
    ///
    /// # Errors
    ///
    /// As [`Graph::check`] and [`Surgery::check`].
    pub fn new(
        network: &N,
        graph: Graph,
        build: impl Fn(&Widths) -> Result<N> + 'static,
        teacher: Box<dyn Teacher>,
        preprocessing: impl Into<Preprocessing>,
        data: [Subset; 2],
        device: &Device,
    ) -> Result<Self> {
        let device = device.clone().inner();
        let groups = Groups::of(&graph)?;
        let network = network.valid().to_device(&device);
        let surgery = Surgery {
            graph: &graph,
            groups: &groups,
        };
        surgery.check(&export(&network, Names::PyTorch))?;
        Ok(Self {
            network,
            teacher,
            build: Box::new(build),
            preprocessing: preprocessing.into(),
            data,
            views: (ViewPolicy::Fixed, Augment::none(), 0),
            settings: CompactSettings::default(),
            sparsify: sparsify_training(),
            train: cut_training(),
            seed: 0,
            device,
            latency: None,
            model: CostModel::of(&graph, &groups),
            graph,
            groups,
        })
    }

    /// With these settings.
    #[must_use]
    pub fn with_settings(mut self, settings: CompactSettings) -> Self {
        self.settings = settings;
        self
    }

    /// With these two trainings: the sparse one, and that after the cut.
    #[must_use]
    pub fn with_training(mut self, sparsify: Training, train: Training) -> Self {
        (self.sparsify, self.train) = (sparsify, train);
        self
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With views of the training samples; `seed` is that of a bank of them.
    #[must_use]
    pub fn with_views(mut self, views: ViewPolicy, augment: Augment, seed: u64) -> Self {
        self.views = (views, augment, seed);
        self
    }

    /// Checks everything that can be checked before the first step.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        self.settings.check()?;
        self.sparsify
            .check()
            .map_err(|error| error.within("sparsify"))?;
        self.train.check()?;
        for data in &self.data {
            data.dataset().check_labelled()?;
        }
        self.check_device()?;
        let budget = self.budget()?;
        if self.settings.compact.criterion != Criterion::None {
            let (scores, round_to) = (uniform_scores(&self.groups), self.settings.round_to());
            let known = self
                .latency
                .as_ref()
                .map(|table| self.model.clone().timed(table));
            let model = known.transpose()?;
            let model = model.as_ref().unwrap_or(&self.model);
            budget.choose_rounded(model, &self.groups, &scores, round_to)?;
        }
        if self.groups.channels() == 0 && self.settings.compact.criterion != Criterion::None {
            let problem = "has no channel that can be cut: no batch norm decides about one";
            return Err(Error::config("network", problem));
        }
        Ok(())
    }

    /// What is suspicious about samples, batches and rates of the two trainings.
    ///
    /// # Errors
    ///
    /// As [`Training::plan`].
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let [train, held_out] = &self.data;
        let mut findings = Vec::new();
        if self.settings.compact.criterion.sparsifies() {
            let of_sparsify = self.sparsify.schedule_findings(train.len(), &[])?;
            findings.extend(of_sparsify.into_iter().map(|found| {
                let text = found.text.replace("`train.", "`sparsify.");
                Finding::new(found.grade, found.topic, text)
            }));
        }
        findings.extend(self.train.findings(train, held_out, &[])?);
        Ok(findings)
    }

    /// The budget in numbers.
    ///
    /// # Errors
    ///
    /// As [`CompactSettings::limits`].
    pub fn budget(&self) -> Result<Budget> {
        self.settings.limits(&self.model, &self.groups)
    }

    /// The costs by live channels.
    pub fn costs(&self) -> &CostModel {
        &self.model
    }

    /// The groups of channels.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The widths of the network that a run has made, given the results of its first two phases.
    ///
    /// # Errors
    ///
    /// If there are none, or they are those of another network.
    pub fn widths(&self, folder: &RunFolder) -> Result<Widths> {
        let alive = self.alive(folder, &self.scores(&self.left(folder)?)?)?;
        Ok(Widths::of(&self.graph, &self.groups, &alive))
    }

    /// What the penalty is about: what the limits are about, in equal shares; multiply-accumulates where
    /// these are milliseconds.
    pub(crate) fn resource(&self) -> Resource {
        let Budget {
            limits,
            milliseconds,
        } = self.budget().unwrap_or_default();
        let has = |of: fn(&Size) -> u64| {
            let limited = limits.iter().any(|limit| of(&limit.most) != u64::MAX);
            f64::from(u8::from(limited))
        };
        let timed = f64::from(u8::from(milliseconds.is_some()));
        let (macs, parameters) = (
            has(|size| size.macs).max(timed),
            has(|size| size.parameters),
        );
        let sum = f64::max(macs + parameters, 1.0);
        Resource::mixed(&self.model, &self.groups, macs / sum, parameters / sum)
    }

    /// The strength of the penalty: the settings' own, or the one that fits the budget.
    ///
    /// # Errors
    ///
    /// If the data or the settings cannot be used.
    pub fn strength(&self) -> Result<f64> {
        self.strength_within(&self.budget()?.limits)
    }

    /// As [`Compact::strength`], with these limits of sparse training.
    pub(crate) fn strength_within(&self, limits: &[Limit]) -> Result<f64> {
        if let Some(strength) = self.settings.compact.strength {
            return Ok(strength);
        }
        let loader = self.train_loader(&self.sparsify)?;
        let plan = self.sparsify.plan(loader.steps_per_epoch(), None)?;
        let rates: f64 = (0..plan.total_steps).map(|step| plan.lr.at(step)).sum();
        let whole = self.model.by_block(&Alive::all(&self.groups));
        let shares = limits
            .iter()
            .map(|limit| limit.share(limit.of(&self.model, &whole)));
        let least = shares.fold(1.0, f64::min).max(1e-3);
        let move_by = -0.5 * least.log2();
        let momentum = momentum(&self.sparsify.optimizer);
        Ok(suggest_strength(
            move_by,
            rates,
            momentum,
            self.groups.scales(),
        ))
    }

    pub(crate) fn penalty(&self) -> Penalty {
        Penalty::new(&self.groups, self.settings.compact.grouping)
    }

    /// The teacher's logits for a batch, if anything is learnt from it.
    pub(crate) fn teacher_logits(&self, batch: &Batch) -> Result<Option<Tensor<2>>> {
        if self.settings.distill.weight <= 0.0 {
            return Ok(None);
        }
        let answer = self.teacher.answer(batch, &Requested::output())?;
        answer.logits().map(Some)
    }

    /// The training samples in the order of the seed.
    pub(crate) fn train_loader(&self, training: &Training) -> Result<Loader> {
        let (views, augment, bank_seed) = self.views.clone();
        let config = LoaderConfig {
            seed: self.seed,
            bank_seed,
            views,
            augment,
            ..LoaderConfig::new(training.batch_size)
        };
        Loader::new(self.data[0].clone(), config, &self.device)
    }

    pub(crate) fn held_out_loader(&self) -> Result<Loader> {
        let config = LoaderConfig::ordered(self.train.eval_batch_size);
        Loader::new(self.data[1].clone(), config, &self.device)
    }

    /// The inputs on which statistics are taken anew.
    pub(crate) fn first_inputs(&self, loader: &Loader) -> Result<Vec<N::Input>> {
        let count = self
            .settings
            .compact
            .recalibrate
            .min(loader.steps_per_epoch());
        let batches = (0..count).map(|step| loader.batch(0, step));
        let input = |batch: Result<Batch>| self.preprocessing.input(&batch?);
        batches.map(input).collect()
    }

    /// Accuracy and loss of a network, on the plain device, on held-out data.
    pub(crate) fn measure(&self, network: &N, held_out: &Loader) -> Result<Metrics> {
        let classify = |batch: &Batch| Ok(network.forward(&self.preprocessing.input(batch)?));
        let summary = evaluate(held_out, None, classify)?.summary()?;
        Ok(Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            ("loss".to_owned(), summary.loss),
        ]))
    }

    /// The tensors that are cut: those that sparse training left, or the network's own.
    fn left(&self, folder: &RunFolder) -> Result<Tensors> {
        if self.settings.compact.criterion.sparsifies() {
            return folder.result(SPARSIFY_PHASE, Snapshot::Last);
        }
        Ok(export(&self.network, Names::PyTorch))
    }

    /// The scores of a network with these tensors, one for each channel; none where nothing is cut.
    fn scores(&self, tensors: &Tensors) -> Result<Vec<f64>> {
        Ok(match self.settings.compact.criterion {
            Criterion::None => Vec::new(),
            Criterion::Sparsify | Criterion::Slimming => self
                .penalty()
                .scores(&scales(tensors, self.groups.norms())?),
            Criterion::L1 => l1_scores(&self.graph, &self.groups, tensors),
            Criterion::GroupNorm => group_norm_scores(&self.graph, &self.groups, tensors),
            Criterion::Random => random_scores(&self.groups, self.seed),
            Criterion::Uniform => uniform_scores(&self.groups),
        })
    }

    /// Which channels with these scores stay.
    fn alive(&self, folder: &RunFolder, scores: &[f64]) -> Result<Alive> {
        if self.settings.compact.criterion == Criterion::None {
            return Ok(Alive::all(&self.groups));
        }
        let (model, round_to) = (self.timed_model(folder)?, self.settings.round_to());
        self.budget()?
            .choose_rounded(&model, &self.groups, scores, round_to)
    }

    /// The network cut, a function of the results of the phases before.
    pub(crate) fn cut(&self, folder: &RunFolder) -> Result<Cut<N>> {
        let tensors = self.left(folder)?;
        let scores = self.scores(&tensors)?;
        let alive = self.alive(folder, &scores)?;
        let built = (self.build)(&Widths::of(&self.graph, &self.groups, &alive))?;
        let built = built.valid().to_device(&self.device);
        if self.settings.compact.begins_anew() {
            return Ok(Cut {
                alive,
                scores,
                masked: None,
                network: built,
            });
        }
        let surgery = Surgery {
            graph: &self.graph,
            groups: &self.groups,
        };
        let policy = self.settings.compact.policy;
        let masked = surgery.masked(&tensors, &alive, policy)?;
        let masked = import(&self.network, &masked, Names::PyTorch, "the mask")?;
        let masked = match self.settings.compact.criterion {
            Criterion::None => masked,
            _ => recalibrated(
                &masked,
                &self.first_inputs(&self.train_loader(&self.train)?)?,
            )?,
        };
        let cut = surgery.cut(&export(&masked, Names::PyTorch), &alive, policy)?;
        Ok(Cut {
            network: import(&built, &cut, Names::PyTorch, "the cut")?,
            masked: Some(masked),
            alive,
            scores,
        })
    }

    /// The network with which the last phase begins.
    pub(crate) fn cut_result(&self, folder: &RunFolder) -> Result<N> {
        let built = (self.build)(&self.widths(folder)?)?
            .valid()
            .to_device(&self.device);
        let tensors = folder.result(CUT_PHASE, Snapshot::Last)?;
        import(&built, &tensors, Names::PyTorch, "the run's cut network")
    }
}

/// The momentum of an optimizer, as far as it lengthens steps.
pub(crate) fn momentum(optimizer: &OptimizerConfig) -> f64 {
    match optimizer {
        OptimizerConfig::Sgd { momentum, .. } => *momentum,
        _ => 0.0,
    }
}

impl<N: Classifier> Method for Compact<N> {
    fn phases(&self) -> Vec<String> {
        let milliseconds = self.settings.budget.milliseconds;
        let latency = milliseconds.map(|_| LATENCY_PHASE).into_iter();
        let phases = latency.chain([SPARSIFY_PHASE, CUT_PHASE, TRAIN_PHASE]);
        phases.map(str::to_owned).collect()
    }

    fn skips(&self, index: usize, _earlier: &RunFolder) -> Result<bool> {
        let is_sparse = self.phases()[index] == SPARSIFY_PHASE;
        Ok(is_sparse && !self.settings.compact.criterion.sparsifies())
    }

    fn start(&self, index: usize, earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        Ok(match self.phases()[index].as_str() {
            LATENCY_PHASE => Box::new(self.latency_phase()),
            SPARSIFY_PHASE => Box::new(self.sparsify_phase(earlier)?),
            CUT_PHASE => Box::new(self.cut_phase(earlier)?),
            _ => Box::new(self.train_phase(earlier)?),
        })
    }
}
