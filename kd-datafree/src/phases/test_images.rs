//! The test images: real ones that student and teacher are measured on.

use kd_core::{ImageClassifier, Loader, Metrics, Result, evaluate};

use crate::teacher::ImageTeacher;

/// Real images to measure on, if there are any; nothing is ever learnt from them.
#[derive(Debug)]
pub(crate) struct TestImages {
    loader: Option<Loader>,
    /// The teacher's logits for them, computed once.
    logits: Option<Vec<f32>>,
}

impl TestImages {
    pub(crate) fn new(loader: Option<Loader>) -> Self {
        Self {
            loader,
            logits: None,
        }
    }

    /// The accuracy of a student on them, and its agreement with the teacher; it has the teacher's
    /// normalisation.
    pub(crate) fn metrics<S: ImageClassifier>(
        &mut self,
        teacher: &dyn ImageTeacher,
        student: &S,
    ) -> Result<Metrics> {
        let Some(loader) = &self.loader else {
            return Ok(Metrics::new());
        };
        let logits = match self.logits.take() {
            Some(logits) => logits,
            None => teacher_logits(loader, teacher)?,
        };
        let normalisation = teacher.normalisation()?;
        let counted = evaluate(loader, Some(&logits), |batch| {
            Ok(student.forward(&normalisation.apply(batch.pixels()?)?))
        })?;
        self.logits = Some(logits);
        let summary = counted.summary()?;
        let mut metrics = Metrics::from([
            ("accuracy".to_owned(), summary.accuracy),
            ("loss".to_owned(), summary.loss),
        ]);
        if let Some(teacher) = summary.teacher {
            metrics.insert("agreement".into(), teacher.agreement);
        }
        Ok(metrics)
    }
}

/// The teacher's logits for all images of a loader, row by row.
fn teacher_logits(loader: &Loader, teacher: &dyn ImageTeacher) -> Result<Vec<f32>> {
    let normalisation = teacher.normalisation()?;
    let mut logits = Vec::new();
    for batch in loader.epoch(0) {
        let input = normalisation.apply(batch?.pixels()?)?;
        logits.extend(teacher.inspect(input).logits.into_data().iter::<f32>());
    }
    Ok(logits)
}
