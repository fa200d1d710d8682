//! The dry run: student and teachers shown one sample, for their classes and the shapes of their maps.

use kd_core::{Batch, Finding, SampleKind, TaskNetwork, Topic};

use super::{Diagnosis, DiagnosisOptions};
use crate::taps::{FullAnswer, StudentTrace, TapShapes};
use crate::{LossConfig, Offline};

/// The outputs of student and teachers for one sample.
pub(super) struct DryRun {
    pub(super) student: TapShapes,
    pub(super) trace: StudentTrace,
    /// One entry a teacher; none for one that gives no answer or has other classes.
    pub(super) teachers: Vec<Option<FullAnswer>>,
}

impl<S: TaskNetwork> Offline<S> {
    /// Shows student and teachers one sample. None if the student does not take it, or has other classes.
    pub(super) fn dry_run(
        &self,
        options: &DiagnosisOptions,
        diagnosis: &mut Diagnosis,
    ) -> Option<DryRun> {
        let shown = self.sample().and_then(|sample| {
            let (student, trace) = self.show_student(&sample)?;
            Ok((sample, student, trace))
        });
        let (sample, student, trace) = match shown {
            Ok(shown) => shown,
            Err(error) => {
                let text = format!("student: {error}");
                let finding = Finding::error(Topic::Normalisation, text);
                diagnosis.findings.push(finding);
                return None;
            }
        };
        let fits = self.has_classes("the student", student.classes, diagnosis);
        let teachers = self.show_teachers(&sample, options, diagnosis);
        let other = |answer: &Option<FullAnswer>| {
            answer
                .as_ref()
                .is_some_and(|answer| answer.shapes.classes != student.classes)
        };
        for (index, answer) in teachers.iter().enumerate() {
            if let Some(answer) = answer.as_ref().filter(|_| other(&teachers[index])) {
                let text = format!(
                    "{} tells {} other classes apart, and no loss reads its logits: it gives features alone",
                    diagnosis.teachers[index].name, answer.shapes.classes
                );
                diagnosis.findings.push(Finding::ok(Topic::Teachers, text));
            }
        }
        if fits && teachers.iter().all(Option::is_some) && !teachers.iter().any(other) {
            let who = if teachers.is_empty() {
                "the student tells"
            } else {
                "student and teachers tell"
            };
            let [channels, height, width] = diagnosis.data.shape;
            let samples = match diagnosis.data.kind {
                SampleKind::Texts => format!("texts of {width} tokens, {channels} ids"),
                _ => format!("images of {channels}x{height}x{width}"),
            };
            let text = format!(
                "{samples}; {who} {} classes apart, as many as there are",
                diagnosis.data.classes
            );
            diagnosis.findings.push(Finding::ok(Topic::Shapes, text));
        }
        fits.then_some(DryRun {
            student,
            trace,
            teachers,
        })
    }

    /// The answers of those teachers that are there, take the sample, and have the classes of the data set.
    fn show_teachers(
        &self,
        sample: &Batch,
        options: &DiagnosisOptions,
        diagnosis: &mut Diagnosis,
    ) -> Vec<Option<FullAnswer>> {
        let mut answers = Vec::new();
        for (index, teacher) in self.teachers.iter().enumerate() {
            let known = options.teachers.get(index);
            if known.is_some_and(|known| known.missing) {
                answers.push(None);
                continue;
            }
            let name = diagnosis.teachers[index].name.clone();
            answers.push(match FullAnswer::of(teacher.as_ref(), sample) {
                Ok(answer) => {
                    let classes = answer.shapes.classes;
                    diagnosis.teachers[index].classes = Some(classes);
                    // A teacher whose logits nothing reads may know other classes.
                    let fits = !self.losses.iter().any(LossConfig::reads_logits)
                        || self.has_classes(&name, classes, diagnosis);
                    fits.then_some(answer)
                }
                Err(error) => {
                    let text = format!("{name} gives no answer: {error}");
                    let finding = Finding::error(Topic::Teachers, text);
                    diagnosis.findings.push(finding);
                    None
                }
            });
        }
        answers
    }

    /// Whether `found` is the number of classes of the data set; an error otherwise.
    fn has_classes(&self, who: &str, found: usize, diagnosis: &mut Diagnosis) -> bool {
        let classes = diagnosis.data.classes;
        if found == classes {
            return true;
        }
        let text = format!(
            "{who} tells {found} classes apart, data set `{}` has {classes}; use a network and a data set of \
             the same classes",
            self.data.train.dataset().name()
        );
        diagnosis.findings.push(Finding::error(Topic::Shapes, text));
        false
    }
}
