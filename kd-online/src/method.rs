//! The method: students that teach each other.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{
    Cache, CacheConfig, CacheRequest, CachedTeacher, Finding, KeptAnswers, Method, Names, Observer,
    Phase, Requested, Result, RunFolder, Teacher, Tensors, Topic, Trained, Training, export,
    import,
};

use crate::combine::combiner::{Combiner, CombinerSizes, ENSEMBLE_PART};
use crate::config::{BranchViews, OnlineConfig};
use crate::data::OnlineData;
use crate::group::AverageSettings;
use crate::kinds::{AttentionDetach, Objective};
use crate::peers::Peers;
use crate::phase::{Exchange, RESULT_PHASE};
use crate::prepared::Prepared;

/// Students that teach each other, as branches of one network or as networks: the methods of
/// [`Objective`](crate::Objective), and their controls.
///
/// It is one phase, [`RESULT_PHASE`]. Its result holds each student as a whole network, `branch-0/...` and so
/// on, with what they share in each of them; averaged ones as `average-0/...`; gate, attention or classifier
/// as `ensemble/...`. The student that is deployed is branch 0, or the leader, chosen before anything is
/// measured: [`OnlineConfig::student`].
///
/// The students that are given are the initial ones; they are not changed. The seed decides the order of the
/// samples, their views where they are unlimited, and the initial weights of gate and attention. Evaluations
/// are those of the last step; nothing is selected by them but the best snapshot, which is kept beside the
/// last.
#[derive(Debug)]
pub struct Online {
    pub(crate) peers: Peers,
    pub(crate) config: OnlineConfig,
    pub(crate) training: Training,
    pub(crate) data: OnlineData,
    pub(crate) seed: u64,
    pub(crate) bank_seed: u64,
    pub(crate) device: Device,
    /// In place of a drawn one.
    pub(crate) given_combiner: Option<Combiner>,
    pub(crate) teacher: Option<Box<dyn Teacher>>,
    pub(crate) cache: Option<CacheConfig>,
    pub(crate) prepared: OnceLock<Prepared>,
    pub(crate) kept: OnceLock<KeptAnswers>,
}

impl Online {
    /// A run of `peers` on `device` (its plain form or the autodiff one).
    pub fn new(
        peers: Peers,
        config: OnlineConfig,
        data: OnlineData,
        training: Training,
        device: &Device,
    ) -> Self {
        Self {
            peers,
            config,
            training,
            data,
            seed: 0,
            bank_seed: 0,
            device: device.clone().autodiff(),
            given_combiner: None,
            teacher: None,
            cache: None,
            prepared: OnceLock::new(),
            kept: OnceLock::new(),
        }
    }

    /// With this seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed,
            ..self.changed()
        }
    }

    /// With this seed of the views of a bank; 0 where none is given.
    #[must_use]
    pub fn with_bank_seed(self, bank_seed: u64) -> Self {
        Self {
            bank_seed,
            ..self.changed()
        }
    }

    /// With this part in place of a drawn one, to go on with what another run has left: see
    /// [`Online::combiner_of`].
    #[must_use]
    pub fn with_combiner(self, combiner: Combiner) -> Self {
        Self {
            given_combiner: Some(combiner),
            ..self.changed()
        }
    }

    /// With a frozen teacher, whose answers are one more target of all students; the settings need its term.
    #[must_use]
    pub fn with_teacher(self, teacher: Box<dyn Teacher>) -> Self {
        Self {
            teacher: Some(teacher),
            ..self.changed()
        }
    }

    /// With the teacher's answers for the training data read from a cache, at the place that `config` says.
    /// One that is missing is built before the first step, one that was begun is finished.
    #[must_use]
    pub fn with_cache(self, config: CacheConfig) -> Self {
        Self {
            cache: Some(config),
            ..self.changed()
        }
    }

    /// The same settings, with nothing made of them yet.
    fn changed(self) -> Self {
        Self {
            prepared: OnceLock::new(),
            kept: OnceLock::new(),
            ..self
        }
    }

    /// The settings.
    pub fn config(&self) -> &OnlineConfig {
        &self.config
    }

    /// The initial students.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Checks everything that can be checked before the first step.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, by its key in a recipe.
    pub fn check(&self) -> Result<()> {
        self.prepared()?;
        match &self.cache {
            Some(config) => config.check(usize::from(self.teacher.is_some())),
            None => Ok(()),
        }
    }

    /// What is suspicious about samples, batches and rates, and what is worth knowing about the settings.
    ///
    /// # Errors
    ///
    /// As [`Training::plan`].
    pub fn findings(&self) -> Result<Vec<Finding>> {
        let (train, held_out) = (&self.data.train, &self.data.held_out);
        let mut findings = self.training.findings(train, held_out, &[])?;
        findings.extend(self.notes());
        Ok(findings)
    }

    /// What is worth knowing about the settings before a run, in words.
    pub fn notes(&self) -> Vec<Finding> {
        let mut notes = Vec::new();
        let mut note = |text: &str| notes.push(Finding::note(Topic::Losses, text));
        if self.config.diversification == Some(crate::Diversification::literal()) {
            note(
                "`online.diversification` is `literal`: its gradient is some 1e-5 of that of a usual weight \
                 decay, so that it changes nothing that can be measured; `working` does",
            );
        }
        let frozen = matches!(
            self.config.objective,
            Objective::Okddip {
                detach: AttentionDetach::All,
                ..
            }
        );
        if frozen {
            note(
                "`online.detach` is `all`: query and key of the attention stay as they were drawn",
            );
        }
        if self.config.views == BranchViews::Own && self.data.augment.is_none() {
            note(
                "`online.views` is `own`, but without `data.augment` every view of a sample is the same \
                 image",
            );
        }
        notes
    }

    /// Parameters that are trained: students, shared ones once, and what makes their ensemble.
    ///
    /// # Errors
    ///
    /// As [`Online::check`].
    pub fn trained_parameters(&self) -> Result<u64> {
        let combiner = self.combiner()?.map_or(0, |combiner| combiner.parameters());
        Ok(self.peers.parameters() + combiner)
    }

    /// The part that makes the ensemble as it is at first, on the plain form of the device; none where none
    /// is trained.
    ///
    /// # Errors
    ///
    /// As [`Online::check`].
    pub fn combiner(&self) -> Result<Option<Combiner>> {
        let plain = self.device.clone().inner();
        let sizes = self.prepared()?.sizes;
        let drawn = Combiner::new(&self.config.objective, sizes, self.seed, &plain)?;
        let (Some(drawn), Some(given)) = (&drawn, &self.given_combiner) else {
            return Ok(drawn);
        };
        // Of another kind or size it is refused in words.
        let tensors = export(&given.valid(), Names::PyTorch);
        import(drawn, &tensors, Names::PyTorch, "combiner").map(Some)
    }

    /// The sizes that this part is made for, those of what the peers output.
    ///
    /// # Errors
    ///
    /// As [`Online::check`].
    pub fn combiner_sizes(&self) -> Result<CombinerSizes> {
        Ok(self.prepared()?.sizes)
    }

    /// The part that makes the ensemble with the weights that a run has left.
    ///
    /// # Errors
    ///
    /// As [`Online::check`] and [`Combiner::with_result`].
    pub fn combiner_of(&self, result: &Tensors) -> Result<Option<Combiner>> {
        let combiner = self.combiner()?;
        combiner
            .map(|combiner| combiner.with_result(result))
            .transpose()
    }

    /// Multiply-accumulates of the part that makes the ensemble, for one sample.
    ///
    /// # Errors
    ///
    /// As [`Online::check`].
    pub fn combiner_macs(&self) -> Result<u64> {
        let sizes = self.prepared()?.sizes;
        Ok(self.combiner()?.map_or(0, |combiner| combiner.macs(sizes)))
    }

    /// Opens the cache, and builds it if it is missing; the runner does it at the beginning of a run.
    ///
    /// # Errors
    ///
    /// As [`Online::check`] and [`CacheRequest::open`].
    pub fn open_cache(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let Some(config) = self.cache.as_ref().filter(|_| self.kept.get().is_none()) else {
            return Ok(());
        };
        self.check()?;
        let prepared = self.prepared()?;
        let (Some(teacher), Some(answer)) = (&self.teacher, &prepared.answer) else {
            return Ok(());
        };
        let requested = Requested::output();
        let request = CacheRequest::new(
            teacher.as_ref(),
            &requested,
            answer,
            &prepared.train,
            self.training.batch_size,
            config.dtype,
        )?;
        // Had another thread been faster, its cache would be the same.
        drop(self.kept.set(request.open(config, observer, stop)?));
        Ok(())
    }

    /// The cache, if it is open.
    pub fn cache(&self) -> Option<&Cache> {
        self.kept.get().and_then(|kept| kept.store().cache())
    }

    pub(crate) fn average_settings(&self) -> Option<AverageSettings> {
        let decay = self.config.objective.average_decay()?;
        // PCL's averages are run in training, so that their statistics are their own.
        let statistics = !matches!(self.config.objective, Objective::Pcl { .. });
        Some(AverageSettings { decay, statistics })
    }

    fn cached_teacher(&self) -> Option<CachedTeacher<&dyn Teacher>> {
        let teacher = CachedTeacher::new(self.teacher.as_deref()?);
        Some(match self.kept.get() {
            Some(kept) => teacher.with(kept.clone()),
            None => teacher,
        })
    }
}

impl Method for Online {
    fn phases(&self) -> Vec<String> {
        vec![RESULT_PHASE.into()]
    }

    fn make_ready(
        &self,
        _index: usize,
        _earlier: &RunFolder,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<()> {
        self.open_cache(observer, stop)
    }

    fn start(&self, _index: usize, _earlier: &RunFolder) -> Result<Box<dyn Phase + '_>> {
        self.check()?;
        self.open_cache(&mut (), &AtomicBool::new(false))?;
        let combiner = self.combiner()?;
        let optimizer = &self.training.optimizer;
        let combiner = combiner
            .map(|combiner| Trained::new(ENSEMBLE_PART, combiner.train(), optimizer.clone()))
            .transpose()?;
        Ok(Box::new(Exchange {
            groups: self.groups()?,
            combiner,
            prepared: self.prepared()?,
            training: &self.training,
            teacher: self.cached_teacher(),
            peer_weights: None,
        }))
    }
}
