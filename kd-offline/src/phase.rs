//! Distillation as a phase: one step, one evaluation, the whole state.

use burn::tensor::{Device, Tensor};
use kd_core::{
    Batch, ImageClassifier, Loader, LossTerms, Metrics, NamedGradients, Names, Normalisation,
    Optimizer, Phase, PhaseState, Plan, Result, StepContext, Tensors, Training, evaluate, export,
    import,
};

use crate::cached::TeacherCaches;
use crate::kinds::Scene;
use crate::teacher::average;
use crate::terms::Terms;
use crate::{Answer, Ensemble, Teacher};

/// The name of the one phase of offline distillation; its result is the student.
pub const RESULT_PHASE: &str = "distill";

pub(crate) struct Distill<'a, S> {
    pub(crate) student: S,
    pub(crate) terms: Terms,
    pub(crate) optimizer: Optimizer,
    pub(crate) plan: Plan,
    pub(crate) normalisation: &'a Normalisation,
    pub(crate) teachers: &'a [Box<dyn Teacher>],
    /// Where the answers are read from; none where the teachers are asked themselves.
    pub(crate) caches: &'a [TeacherCaches],
    /// What the teachers say of one black image: the shapes of their answers.
    pub(crate) answers: Vec<Answer>,
    pub(crate) ensemble: Ensemble,
    pub(crate) training: &'a Training,
    pub(crate) train: Loader,
    pub(crate) held_out: Loader,
    pub(crate) device: Device,
    /// What the teachers say of the held-out data; it never changes.
    pub(crate) teacher_logits: Option<Vec<f32>>,
}

impl<S: ImageClassifier> Distill<'_, S> {
    /// What the teachers say of a batch of the training data.
    pub(crate) fn ask(&self, batch: &Batch) -> Result<Vec<Answer>> {
        let device = batch.pixels.device();
        let teachers = self.teachers.iter().zip(&self.terms.asked).enumerate();
        teachers
            .map(|(index, (teacher, taps))| match self.caches.get(index) {
                Some(caches) => caches.train.answer(batch, &device),
                None => teacher.answer(batch.pixels.clone(), taps),
            })
            .collect()
    }

    /// The logits of the teachers for a batch of the held-out data.
    fn ask_logits(&self, batch: &Batch) -> Result<Vec<Tensor<2>>> {
        let device = batch.pixels.device();
        let teachers = self.teachers.iter().enumerate();
        teachers
            .map(|(index, teacher)| {
                let caches = self.caches.get(index);
                let answer = match caches.and_then(|caches| caches.held_out.as_ref()) {
                    Some(cache) => cache.answer(batch, &device),
                    None => teacher.answer(batch.pixels.clone(), &[]),
                };
                Ok(answer?.logits)
            })
            .collect()
    }

    /// The teachers' averaged logits for the held-out data, `[samples, num_classes]` row by row.
    fn ask_on_held_out(&mut self) -> Result<()> {
        if self.teachers.is_empty() || self.teacher_logits.is_some() {
            return Ok(());
        }
        let mut all = Vec::new();
        for batch in self.held_out.epoch(0) {
            let logits = self.ask_logits(&batch?)?;
            if let Some(logits) = average(&logits, self.ensemble, 1.0) {
                all.extend(logits.into_data().iter::<f32>());
            }
        }
        self.teacher_logits = Some(all);
        Ok(())
    }
}

impl<S: ImageClassifier> Phase for Distill<'_, S> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let teachers = self.ask(&batch)?;
        let input = Tensor::from_inner(self.normalisation.apply(batch.pixels)?);
        let targets = Tensor::from_inner(batch.targets);
        let student = self.student.forward_traced(&input);
        let scene = Scene {
            student: &student,
            answers: &teachers,
            teachers: self.teachers,
            targets: &targets,
            ids: &batch.ids,
            step: at.step as u64,
            trial: false,
        };
        let steps = self.train.steps_per_epoch().max(1) as f64;
        let epoch = at.epoch as f64 + at.step_in_epoch as f64 / steps;
        let combined = self.terms.combine(&scene, epoch)?;
        let mut report = combined.terms;
        report.push(("total".into(), combined.total.clone().inner()));

        let mut raw = combined.total.backward();
        let mut gradients = NamedGradients::new();
        gradients.collect("student", &self.student, &mut raw);
        for (index, term) in self.terms.list.iter().enumerate() {
            term.collect(index, &mut gradients, &mut raw);
        }
        self.training.clip(&mut gradients);
        self.optimizer.set_momentum(self.plan.lr.momentum(at.step));
        self.student = self
            .optimizer
            .step("student", self.student.clone(), at.lr, &gradients);
        self.terms.step(&mut self.optimizer, at.lr, &gradients);
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        self.ask_on_held_out()?;
        let student = self.student.valid();
        let teacher = self.teacher_logits.as_deref();
        let summary = evaluate(&self.held_out, teacher, |pixels| {
            Ok(student.forward(&self.normalisation.apply(pixels)?))
        })?
        .summary()?;
        let mut named = Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            (
                format!("top{}_accuracy", summary.top_k),
                summary.top_k_accuracy,
            ),
            ("loss".to_owned(), summary.loss),
            ("ece".to_owned(), summary.ece),
        ]);
        if let Some(teacher) = summary.teacher {
            named.insert("agreement".into(), teacher.agreement);
            named.insert("teacher_kl".into(), teacher.kl);
        }
        Ok(named)
    }

    fn result(&self) -> Tensors {
        export(&self.student, Names::PyTorch)
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        state.put_optimizer(&self.optimizer);
        state.put("student", export(&self.student, Names::Burn));
        state.tensors.extend(self.terms.state());
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        let student = state.part("student");
        self.student = import(&self.student, &student, Names::Burn, "checkpoint")?;
        self.terms.restore(&state.tensors)?;
        state.restore_optimizer(&mut self.optimizer, &self.device)
    }
}
