//! The phase of the head: it begins with the teacher's and is tuned on the features of the finished students.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Batch, Draws, Loader, LossTerms, Metrics, NamedGradients, Names, OptimizerConfig, Phase,
    PhaseState, Plan, Result, Rows, RunFolder, Selection, StepContext, Tensors, Trained, Training,
    detached_copy, export,
};

use crate::class::{Class, HeadOf};
use crate::config::HeadConfig;
use crate::kept::Features;
use crate::labels::{TeacherAnswers, label_loss, measured, score};
use crate::method::{TeacherClass, is_of_pixels};
use crate::missing::AdditiveHead;
use crate::missing_sets::{ALL_SETS, ALL_SETS_OF_PIXELS, SetScores};
use crate::output::{ChunkOutput, ClassHead};
use crate::refit::RefittedHeads;
use crate::student::Student;

/// The head under training, and the class that it belongs to.
pub(crate) struct HeadPhase<'a, S: Student> {
    method: &'a TeacherClass<S>,
    plan: Plan,
    class: Class<S>,
    lengths: Vec<usize>,
    head: Trained<HeadOf<S>>,
    features: Features,
    train: Loader,
    held_out: Loader,
    /// The accuracy, or mean intersection over union, with the head as it was copied.
    copied: f64,
    /// What the teacher says of the held-out samples.
    teacher: TeacherAnswers,
    teacher_score: f64,
    /// What was last measured of each student.
    students: Vec<Metrics>,
}

impl<S: Student> TeacherClass<S> {
    pub(crate) fn head_phase(&self, folder: &RunFolder) -> Result<HeadPhase<'_, S>> {
        let (class, students) = self.merged(folder)?;
        let features = self.keep_features(&class, folder, &mut (), &AtomicBool::new(false))?;
        let train = self.train_loader(self.seed)?;
        let head = detached_copy(class.head()).train();
        let lengths = self.division()?.chunks().iter().map(|chunk| chunk.length);
        let held_out = self.held_out_loader()?;
        let (teacher, teacher_score) = self.teacher_answers(class.head(), &held_out)?;
        let mut phase = HeadPhase {
            plan: self.head_plan(train.steps_per_epoch())?,
            head: Trained::new("head", head, OptimizerConfig::adam())?,
            lengths: lengths.collect(),
            method: self,
            class,
            features,
            train,
            held_out,
            copied: 0.0,
            teacher,
            teacher_score,
            students,
        };
        phase.copied = phase.measured(phase.class.head())?[score::<S::Output>()];
        Ok(phase)
    }

    /// What the teacher says of the held-out samples, and how good that is: its own dense representations,
    /// divided as the students have them, and its head.
    fn teacher_answers(
        &self,
        head: &HeadOf<S>,
        held_out: &Loader,
    ) -> Result<(TeacherAnswers, f64)> {
        let targets = self.targets()?;
        let mut answers = TeacherAnswers::default();
        let metrics = measured(held_out, None, |batch| {
            let logits: S::Output = head.apply(targets.all(batch)?);
            answers.add(logits.clone());
            Ok(logits)
        })?;
        Ok((answers, metrics[score::<S::Output>()]))
    }

    fn head_plan(&self, steps_per_epoch: usize) -> Result<Plan> {
        let selection = Some(Selection::highest(score::<S::Output>()));
        let HeadConfig { epochs, lr, .. } = self.config.head;
        if epochs == 0 {
            return Ok(Plan::no_steps(selection));
        }
        let mut training = Training::for_epochs(epochs);
        training.lr = lr;
        training.batch_size = self.training.batch_size;
        training.log_every = self.training.log_every;
        training.plan(steps_per_epoch, selection)
    }
}

/// The factors of a step's features, `[samples, features]`: 0 for those that are dropped, one by one and by
/// whole chunks, and more than 1 for the others.
#[expect(
    clippy::cast_possible_truncation,
    reason = "factors of single precision"
)]
fn dropout(
    config: &HeadConfig,
    lengths: &[usize],
    samples: usize,
    draws: &mut Draws,
    device: &Device,
) -> Tensor<2> {
    let factor = |draws: &mut Draws, share: f64| match share {
        0.0 => 1.0,
        share if draws.chance(share) => 0.0,
        share => 1.0 / (1.0 - share),
    };
    let features: usize = lengths.iter().sum();
    let mut factors = Vec::with_capacity(samples * features);
    for _ in 0..samples {
        for &length in lengths {
            let whole = factor(draws, config.chunk_dropout);
            factors.extend((0..length).map(|_| (whole * factor(draws, config.dropout)) as f32));
        }
    }
    Tensor::from_data(TensorData::new(factors, [samples, features]), device)
}

impl<S: Student> HeadPhase<'_, S> {
    /// The scores by number of missing students, named by policy.
    fn missing(&self, head: &HeadOf<S>) -> Result<Metrics> {
        let score = score::<S::Output>();
        let mut metrics = Metrics::new();
        let Some(scores) = self.missing_scores(head)? else {
            return Ok(metrics);
        };
        for (policy, all) in scores.by_policy()? {
            for found in all {
                let name = format!("{policy}_without_{}", found.missing);
                metrics.insert(format!("{name}_{score}"), found.mean);
                metrics.insert(format!("{name}_worst_{score}"), found.worst);
            }
        }
        Ok(metrics)
    }

    /// What every set of students answers; none where there are too few or too many.
    fn missing_scores(&self, head: &HeadOf<S>) -> Result<Option<SetScores>> {
        let most = if is_of_pixels::<S::Output>() {
            ALL_SETS_OF_PIXELS
        } else {
            ALL_SETS
        };
        if !(2..=most).contains(&self.lengths.len()) {
            return Ok(None);
        }
        let head = head.linear();
        // The features have passed through the ReLU already.
        let additive = AdditiveHead::new(&head, &self.lengths, false)?;
        let means = self.features.statistics.means().into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "means of single precision")]
        let means: Vec<f32> = means.map(|mean| mean as f32).collect();
        let additive = additive.with_means(&means);
        let refitted = self.refitted_heads()?;
        let refitted = refitted.map(|heads| heads.all(&head)).transpose()?;
        let mut scores = SetScores::new(&additive, refitted, &self.held_out)?;
        for batch in self.held_out.epoch(0) {
            let batch = batch?;
            let kept = self.features.held_out();
            let features = self.method.features(kept, &self.class, &batch)?;
            scores.add(&additive, features.vectors(), &self.held_out, &batch)?;
        }
        Ok(Some(scores))
    }

    /// The heads for each set of students, if there can be any.
    fn refitted_heads(&self) -> Result<Option<RefittedHeads>> {
        if !RefittedHeads::can_be_of(&self.lengths) {
            return Ok(None);
        }
        let ridge = self.method.config.head.ridge;
        RefittedHeads::new(&self.features.statistics, &self.lengths, ridge).map(Some)
    }

    /// A batch of training samples, rendered if their features are not kept.
    fn batch(&self, at: StepContext) -> Result<Batch> {
        match self.features.train() {
            Some(_) => self.train.batch_without_samples(at.epoch, at.step_in_epoch),
            None => self.train.batch(at.epoch, at.step_in_epoch),
        }
    }

    /// What is measured of a head on the held-out samples.
    fn measured(&self, head: &HeadOf<S>) -> Result<Metrics> {
        let kept = self.features.held_out();
        measured(&self.held_out, Some(&self.teacher), |batch| {
            Ok(head.apply(self.method.features(kept, &self.class, batch)?))
        })
    }
}

impl<S: Student> Phase for HeadPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.batch(at)?;
        let kept_features = self.features.train();
        let features = self.method.features(kept_features, &self.class, &batch)?;
        let mut draws = Draws::new(self.method.seed, "dropout of the head", at.step as u64, 0);
        let config = &self.method.config.head;
        let samples = batch.ids.len();
        let kept = dropout(
            config,
            &self.lengths,
            samples,
            &mut draws,
            &self.method.device,
        );
        let features = features.scaled(kept).lifted();
        let logits = self.head.network().apply(features);
        let loss = label_loss(logits, &self.train, &batch)?;
        let mut gradients = NamedGradients::new();
        self.head
            .collect(&mut gradients, &mut loss.clone().backward());
        self.head.step(at, &gradients);
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let head = self.head.valid();
        let score = score::<S::Output>();
        let mut metrics = self.missing(&head)?;
        metrics.extend(self.measured(&head)?);
        metrics.insert(format!("teacher_{score}"), self.teacher_score);
        metrics.insert(format!("copied_head_{score}"), self.copied);
        for (student, measured) in self.students.iter().enumerate() {
            for name in ["dead_units", "nmse"] {
                let value = measured.get(name).copied();
                metrics.extend(value.map(|value| (format!("student_{student}_{name}"), value)));
            }
        }
        Ok(metrics)
    }

    fn result(&self) -> Tensors {
        let class = self.class.clone().with_head(self.head.valid());
        export(&class, Names::PyTorch)
    }

    fn artifacts(&self) -> Result<BTreeMap<String, Tensors>> {
        let mut files = self.method.division_artifact()?;
        if let Some(refitted) = self.refitted_heads()? {
            let heads = refitted.tensors(&self.head.valid().linear())?;
            if !heads.is_empty() {
                files.insert("missing-heads".into(), heads);
            }
        }
        Ok(files)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.head.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.head.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_chunks_are_dropped_and_the_mean_stays() {
        let config = HeadConfig {
            dropout: 0.25,
            chunk_dropout: 0.5,
            ..HeadConfig::default()
        };
        let lengths = [3, 2];
        let mut draws = Draws::new(1, "dropout of the head", 0, 0);
        let factors = dropout(&config, &lengths, 4000, &mut draws, &Device::flex());
        let rows: Vec<f32> = factors.into_data().iter::<f32>().collect();
        let kept = 1.0 / (0.5 * 0.75);
        assert!(
            rows.iter()
                .all(|&factor| factor == 0.0 || (factor - kept).abs() < 1e-6)
        );
        let mean = rows.iter().sum::<f32>() / rows.len() as f32;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        // A chunk is dropped whole in half of the samples, and by chance in some more.
        let first = rows
            .chunks_exact(5)
            .map(|row| row[..3].iter().all(|&factor| factor == 0.0));
        let share = first.filter(|&whole| whole).count() as f64 / 4000.0;
        assert!(
            (share - (0.5 + 0.5 * 0.25_f64.powi(3))).abs() < 0.03,
            "{share}"
        );
    }
}
