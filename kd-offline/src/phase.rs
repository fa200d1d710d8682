//! Distillation as a phase: one step, one evaluation, the whole state.

use burn::tensor::{Device, Int, Tensor};
use kd_core::{
    Answer, Batch, Loader, LossTerms, Metrics, NamedGradients, NetworkInput, Phase, PhaseState,
    Plan, Preprocessing, Requested, Result, Rows, StepContext, TaskNetwork, Teacher, Tensors,
    Trained, Training, evaluate, evaluate_segmentation,
};

use crate::Ensemble;
use crate::ensemble::average;
use crate::kinds::{PixelTargets, TermInputs};
use crate::objective::BoundLosses;
use crate::taps::{answer_as_read, as_read, is_of_pixels};

/// The name of the one phase of offline distillation; its result is the student.
pub const RESULT_PHASE: &str = "distill";

pub(crate) struct Distill<'a, S> {
    pub(crate) student: Trained<S>,
    pub(crate) losses: BoundLosses,
    pub(crate) plan: &'a Plan,
    pub(crate) preprocessing: &'a Preprocessing,
    pub(crate) teachers: Vec<Box<dyn Teacher + 'a>>,
    pub(crate) ensemble: Ensemble,
    pub(crate) training: &'a Training,
    pub(crate) train: &'a Loader,
    pub(crate) held_out: &'a Loader,
    /// Whether the teachers know the student's classes, so that their answers can be compared.
    pub(crate) comparable: bool,
    /// The teachers' averaged logits for the held-out data, which never change.
    pub(crate) teacher_logits: Option<Vec<f32>>,
}

/// A batch as the student takes it, on the autodiff device, with the teachers' answers.
pub(crate) struct AnsweredBatch<I> {
    pub(crate) input: I,
    pub(crate) targets: Tensor<1, Int>,
    pub(crate) masks: Option<PixelTargets>,
    pub(crate) ids: Vec<u32>,
    pub(crate) answers: Vec<Answer>,
}

impl<S: TaskNetwork> Distill<'_, S> {
    /// Queries the teachers for a batch of the training data, but for those that no loss reads.
    pub(crate) fn query(&self, batch: &Batch) -> Result<Vec<Answer>> {
        let teachers = self.teachers.iter().zip(&self.losses.requested);
        teachers
            .map(|(teacher, requested)| {
                if requested.is_nothing() {
                    return Ok(Answer::new(None, Vec::new()));
                }
                teacher.answer(batch, requested).map(answer_as_read)
            })
            .collect()
    }

    /// A batch of the training data with the teachers' answers.
    pub(crate) fn answered(&self, batch: Batch) -> Result<AnsweredBatch<S::Input>> {
        let answers = self.query(&batch)?;
        let input: S::Input = self.preprocessing.input(&batch)?;
        Ok(AnsweredBatch {
            input: input.lifted(),
            targets: Tensor::from_inner(batch.targets),
            masks: batch.masks.map(|masks| PixelTargets {
                masks: Tensor::from_inner(masks),
                void: self.void(),
            }),
            ids: batch.ids,
            answers,
        })
    }

    /// What pixels without a class have in the masks.
    fn void(&self) -> Option<i64> {
        let masks = self.train.subset().dataset().masks();
        masks.and_then(|masks| masks.void().map(i64::from))
    }

    /// The measures of a network with an output for each pixel.
    fn evaluate_pixels(&self) -> Result<Metrics> {
        let student = self.student.valid();
        let summary = evaluate_segmentation(self.held_out, |batch| {
            Ok(student
                .forward(&self.preprocessing.input(batch)?)
                .into_map())
        })?
        .summary()?;
        // Outputs that are no numbers stop the run in words.
        let mean_iou = if summary.non_finite > 0 {
            f64::NAN
        } else {
            summary.mean_iou
        };
        Ok(Metrics::from([
            ("mean_iou".to_owned(), mean_iou),
            ("miou_compat".to_owned(), summary.miou_compat),
            ("pixel_accuracy".to_owned(), summary.pixel_accuracy),
        ]))
    }

    /// Queries the teachers for their averaged logits for the held-out data, `[samples, num_classes]` row by
    /// row.
    fn query_on_held_out(&mut self) -> Result<()> {
        if self.teachers.is_empty() || !self.comparable || self.teacher_logits.is_some() {
            return Ok(());
        }
        let requested = Requested::output();
        let mut all = Vec::new();
        for batch in self.held_out.epoch(0) {
            let batch = batch?;
            let answers = self.teachers.iter();
            let answers = answers.map(|teacher| teacher.answer(&batch, &requested)?.logits());
            let logits: Vec<Tensor<2>> = answers.collect::<Result<_>>()?;
            if let Some(logits) = average(&logits, self.ensemble, 1.0) {
                all.extend(logits.into_data().iter::<f32>());
            }
        }
        self.teacher_logits = Some(all);
        Ok(())
    }
}

impl<S: TaskNetwork> Phase for Distill<'_, S> {
    fn plan(&self) -> &Plan {
        self.plan
    }

    fn draws_on(&self) -> Option<(Device, u64)> {
        Some((self.train.device().clone(), self.train.config().seed))
    }

    fn step(&mut self, at: StepContext) -> Result<LossTerms> {
        let batch = self.train.batch(at.epoch, at.step_in_epoch)?;
        let batch = self.answered(batch)?;
        let trace = as_read::<S>(self.student.network().forward_traced(&batch.input));
        let steps = self.train.steps_per_epoch().max(1) as f64;
        let epoch = at.epoch as f64 + at.step_in_epoch as f64 / steps;
        let inputs = TermInputs {
            student: &trace,
            answers: &batch.answers,
            teachers: &self.teachers,
            targets: &batch.targets,
            masks: batch.masks.as_ref(),
            ids: &batch.ids,
            step: at.step as u64,
            epoch,
            trial: false,
        };
        let combined = self.losses.combine(&inputs)?;
        let mut report = combined.terms;
        report.push(("total".into(), combined.total.clone().inner()));

        let mut raw = combined.total.backward();
        let mut gradients = NamedGradients::new();
        self.student.collect(&mut gradients, &mut raw);
        self.losses.collect(&mut gradients, &mut raw);
        self.training.clip(&mut gradients);
        self.student.step(at, &gradients);
        // The step of the student has set the optimizer's momentum.
        let optimizer = self.student.optimizer_mut();
        self.losses.step(optimizer, at.lr, &gradients);
        Ok(report)
    }

    fn evaluate(&mut self) -> Result<Metrics> {
        if is_of_pixels::<S>() {
            return self.evaluate_pixels();
        }
        self.query_on_held_out()?;
        let student = self.student.valid();
        let teacher = self.teacher_logits.as_deref();
        let summary = evaluate(self.held_out, teacher, |batch| {
            Ok(student
                .forward(&self.preprocessing.input(batch)?)
                .into_rows())
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
        self.student.result()
    }

    fn state(&self) -> PhaseState {
        let mut state = PhaseState::default();
        self.student.put(&mut state);
        self.losses.put(&mut state);
        state
    }

    fn restore(&mut self, state: &PhaseState) -> Result<()> {
        self.student.restore(state)?;
        self.losses.restore(state)
    }
}
