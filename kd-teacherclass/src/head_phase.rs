//! The phase of the head: it begins with the teacher's and is tuned on the features of the finished students.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    ClassificationSummary, Draws, Loader, LossTerms, Metrics, NamedGradients, Names,
    OptimizerConfig, Phase, PhaseState, Plan, Result, RunFolder, Selection, StepContext, Store,
    Tensors, Trained, Training, detached_copy, evaluate, export,
};
use kd_losses::cross_entropy;

use crate::class::Class;
use crate::config::HeadConfig;
use crate::kept::Features;
use crate::method::TeacherClass;
use crate::missing::{ALL_SETS, AdditiveHead, HostParts, MissingAccuracy, MissingChunk, summed};
use crate::refit::RefittedHeads;
use crate::student::Student;

/// The head under training, and the class that it belongs to.
pub(crate) struct HeadPhase<'a, S: Student> {
    method: &'a TeacherClass<S>,
    plan: Plan,
    class: Class<S>,
    lengths: Vec<usize>,
    head: Trained<Linear>,
    features: Features,
    train: Loader,
    held_out: Loader,
    /// The accuracy with the head as it was copied.
    copied: f64,
    /// The teacher's logits for the held-out samples, row by row.
    teacher: Vec<f32>,
    teacher_accuracy: f64,
    /// What was last measured of each student.
    measured: Vec<Metrics>,
}

impl<S: Student> TeacherClass<S> {
    pub(crate) fn head_phase(&self, folder: &RunFolder) -> Result<HeadPhase<'_, S>> {
        let (class, measured) = self.merged(folder)?;
        let features = self.keep_features(&class, folder, &mut (), &AtomicBool::new(false))?;
        let train = self.train_loader(self.seed)?;
        let head = detached_copy(class.head()).train();
        let lengths = self.division()?.chunks().iter().map(|chunk| chunk.length);
        let held_out = self.held_out_loader()?;
        let copied = measure_head(class.head(), &features.held_out, &held_out, None)?;
        let (teacher, teacher_accuracy) = self.teacher_logits(class.head(), &held_out)?;
        Ok(HeadPhase {
            plan: self.head_plan(train.steps_per_epoch())?,
            head: Trained::new("head", head, OptimizerConfig::adam())?,
            lengths: lengths.collect(),
            method: self,
            class,
            features,
            train,
            held_out,
            copied: copied.accuracy,
            teacher,
            teacher_accuracy,
            measured,
        })
    }

    /// The logits of the teacher, row by row, and its accuracy: its own dense vectors, divided as the
    /// students have them, and its head.
    fn teacher_logits(&self, head: &Linear, held_out: &Loader) -> Result<(Vec<f32>, f64)> {
        let targets = self.targets()?;
        let mut all = Vec::new();
        let metrics = evaluate(held_out, None, |batch| {
            let logits = head.forward(targets.all(batch)?);
            all.extend(numbers(logits.clone()));
            Ok(logits)
        })?;
        Ok((all, metrics.summary()?.accuracy))
    }

    fn head_plan(&self, steps_per_epoch: usize) -> Result<Plan> {
        let selection = Some(Selection::highest("accuracy"));
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

/// What is measured of a head on kept features, beside the teacher's logits where they are given.
fn measure_head(
    head: &Linear,
    features: &Store,
    held_out: &Loader,
    teacher: Option<&[f32]>,
) -> Result<ClassificationSummary> {
    let metrics = evaluate(held_out, teacher, |batch| {
        let features = Features::read(features, batch.view, &batch.ids)?;
        Ok(head.forward(features))
    })?;
    metrics.summary()
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
    /// The accuracies by number of missing students, named by policy.
    fn missing(&self, head: &Linear) -> Result<Metrics> {
        let mut metrics = Metrics::new();
        if !(2..=ALL_SETS).contains(&self.lengths.len()) {
            return Ok(metrics);
        }
        // The features that are kept have passed through the ReLU already.
        let additive = AdditiveHead::new(head, &self.lengths, false)?;
        let means = self.features.statistics.means().into_iter();
        #[expect(clippy::cast_possible_truncation, reason = "means of single precision")]
        let means: Vec<f32> = means.map(|mean| mean as f32).collect();
        let additive = additive.with_means(&means);
        let parts = self.host_parts(head, &additive)?;
        let mut found = Vec::new();
        for (name, policy) in [("zero", MissingChunk::Zero), ("mean", MissingChunk::Mean)] {
            found.push((name, parts.accuracies(&additive.fills(policy)?)));
        }
        if let Some(refitted) = self.refitted_heads()? {
            found.push(("head", self.refitted_accuracies(head, &refitted)?));
        }
        for (name, all) in found {
            for found in all {
                let name = format!("{name}_without_{}", found.missing);
                metrics.insert(format!("{name}_accuracy"), found.mean);
                metrics.insert(format!("{name}_worst_accuracy"), found.worst);
            }
        }
        Ok(metrics)
    }

    /// The heads for each set of students, if there can be any.
    fn refitted_heads(&self) -> Result<Option<RefittedHeads>> {
        if !RefittedHeads::can_be_of(&self.lengths) {
            return Ok(None);
        }
        let ridge = self.method.config.head.ridge;
        RefittedHeads::new(&self.features.statistics, &self.lengths, ridge).map(Some)
    }

    /// The accuracies by number of missing students, each set with a head of its own.
    fn refitted_accuracies(
        &self,
        head: &Linear,
        refitted: &RefittedHeads,
    ) -> Result<Vec<MissingAccuracy>> {
        let ids = self.held_out.subset().ids();
        let features = Features::read(&self.features.held_out, 0, ids)?;
        let dataset = self.held_out.subset().dataset();
        let labels = ids.iter().filter_map(|&id| dataset.label(id));
        let labels: Vec<i64> = labels.map(i64::from).collect();
        let mut found: Vec<Vec<f64>> = vec![Vec::new(); self.lengths.len()];
        for present in refitted.sets() {
            let of_set = refitted.head(head, &present)?;
            let classes = of_set.forward(features.clone()).argmax(1).into_data();
            let pairs = classes.iter::<i64>().zip(&labels);
            let right = pairs.filter(|(class, label)| class == *label).count();
            let missing = present.iter().filter(|&&there| !there).count();
            found[missing].push(right as f64 / labels.len().max(1) as f64);
        }
        Ok(summed(&found))
    }

    fn host_parts(&self, head: &Linear, additive: &AdditiveHead) -> Result<HostParts> {
        let ids = self.held_out.subset().ids();
        let features = Features::read(&self.features.held_out, 0, ids)?;
        let mut start = 0;
        let mut parts = Vec::new();
        for (student, &length) in self.lengths.iter().enumerate() {
            let chunk = features.clone().narrow(1, start, length);
            start += length;
            parts.push(numbers(additive.part(student, chunk)));
        }
        let bias = head.bias.as_ref().map(burn::module::Param::val);
        let dataset = self.held_out.subset().dataset();
        let labels = ids.iter().filter_map(|&id| dataset.label(id));
        Ok(HostParts {
            parts,
            bias: bias.map_or_else(|| vec![0.0; dataset.classes()], numbers),
            labels: labels.map(usize::from).collect(),
        })
    }
}

/// The numbers of a tensor on the host.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

impl AdditiveHead {
    /// What stands in place of each student's part, on the host.
    fn fills(&self, policy: MissingChunk) -> Result<Vec<Vec<f32>>> {
        let fill = |student| {
            let filled = self.filled(student, policy)?;
            Ok(filled.map_or_else(|| vec![0.0; self.classes()], numbers))
        };
        (0..self.students()).map(fill).collect()
    }
}

impl<S: Student> Phase for HeadPhase<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self
            .train
            .batch_without_samples(at.epoch, at.step_in_epoch)?;
        let features = Features::read(&self.features.train, batch.view, &batch.ids)?;
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
        let features = Tensor::from_inner(features * kept);
        let logits = self.head.network().forward(features);
        let loss = cross_entropy(logits, Tensor::from_inner(batch.targets), 0.0)
            .map_err(|error| kd_core::Error::method("the loss of the head", error))?;
        let mut gradients = NamedGradients::new();
        self.head
            .collect(&mut gradients, &mut loss.clone().backward());
        self.head.step(at, &gradients);
        Ok(vec![("total".into(), loss.inner())])
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        let head = self.head.valid();
        let (features, teacher) = (&self.features.held_out, Some(self.teacher.as_slice()));
        let summary = measure_head(&head, features, &self.held_out, teacher)?;
        let mut metrics = self.missing(&head)?;
        metrics.insert("accuracy".into(), summary.accuracy);
        metrics.insert("loss".into(), summary.loss);
        if let Some(compared) = summary.teacher {
            metrics.insert("agreement".into(), compared.agreement);
        }
        metrics.insert("teacher_accuracy".into(), self.teacher_accuracy);
        metrics.insert("copied_head_accuracy".into(), self.copied);
        for (student, measured) in self.measured.iter().enumerate() {
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
            let heads = refitted.tensors(&self.head.valid())?;
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
