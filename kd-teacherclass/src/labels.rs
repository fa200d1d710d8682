//! The labels of a batch, the loss of logits by them, and what is measured of logits on held-out data.

use burn::tensor::{Int, Tensor};
use kd_core::{
    Batch, Error, Loader, Masks, Metrics, NetworkOutput, Output, Result, evaluate,
    evaluate_segmentation,
};
use kd_losses::{cross_entropy, pixel_cross_entropy};

use crate::method::is_of_pixels;

/// The metric that says how good a class is: `accuracy`, or `mean_iou` where each pixel has a class.
pub(crate) fn score<O: NetworkOutput>() -> &'static str {
    if is_of_pixels::<O>() {
        "mean_iou"
    } else {
        "accuracy"
    }
}

/// The cross-entropy with the labels of a batch of `loader`; pixels without a class are left out.
pub(crate) fn label_loss<O: NetworkOutput>(
    logits: O,
    loader: &Loader,
    batch: &Batch,
) -> Result<Tensor<1>> {
    let loss = match logits.into_output() {
        Output::Pixels(logits) => {
            let masks = loader.subset().dataset().masks();
            let void = masks.and_then(Masks::void).map(i64::from);
            pixel_cross_entropy(logits, Tensor::from_inner(pixels(loader, batch)?), void)
        }
        other => cross_entropy(
            other.logits()?,
            Tensor::from_inner(batch.targets.clone()),
            0.0,
        ),
    };
    loss.map_err(|error| Error::method("the loss of the head", error))
}

/// The classes of the pixels of a batch, rendered or not, `[batch_size, height, width]`.
pub(crate) fn pixels(loader: &Loader, batch: &Batch) -> Result<Tensor<3, Int>> {
    let masks = match &batch.masks {
        Some(masks) => Some(masks.clone()),
        None => loader.masks(&batch.ids)?,
    };
    masks.ok_or_else(|| Error::config("data", "must have a mask for each image"))
}

/// What a teacher says of the held-out samples, to be compared with.
#[derive(Clone, Debug, Default)]
pub(crate) struct TeacherAnswers {
    /// The logits, row by row.
    logits: Vec<f32>,
    /// The class with the largest logit of each pixel.
    classes: Vec<u8>,
}

impl TeacherAnswers {
    /// Takes up the logits of the next samples.
    pub(crate) fn add<O: NetworkOutput>(&mut self, logits: O) {
        match logits.into_output() {
            Output::Pixels(logits) => self.classes.extend(largest(logits)),
            other => {
                let logits = other.logits().map(Tensor::into_data);
                self.logits
                    .extend(logits.iter().flat_map(|data| data.iter::<f32>()));
            }
        }
    }
}

/// The class with the largest logit of each pixel; there are at most 256.
fn largest(logits: Tensor<4>) -> Vec<u8> {
    let classes = logits.argmax(1).into_data();
    let byte = |class: i64| u8::try_from(class).unwrap_or(u8::MAX);
    classes.iter::<i64>().map(byte).collect()
}

/// What is measured of logits on held-out data, and beside a teacher where its answers are given.
pub(crate) fn measured<O: NetworkOutput>(
    held_out: &Loader,
    teacher: Option<&TeacherAnswers>,
    mut logits: impl FnMut(&Batch) -> Result<O>,
) -> Result<Metrics> {
    if is_of_pixels::<O>() {
        return measured_pixels(held_out, teacher, logits);
    }
    let of_teacher = teacher.map(|teacher| teacher.logits.as_slice());
    let metrics = evaluate(held_out, of_teacher, |batch| {
        logits(batch)?.into_output().logits()
    })?;
    let summary = metrics.summary()?;
    let mut metrics = Metrics::from([
        ("accuracy".to_owned(), summary.accuracy),
        ("loss".to_owned(), summary.loss),
    ]);
    let agreement = summary.teacher.map(|compared| compared.agreement);
    metrics.extend(agreement.map(|agreement| ("agreement".to_owned(), agreement)));
    Ok(metrics)
}

fn measured_pixels<O: NetworkOutput>(
    held_out: &Loader,
    teacher: Option<&TeacherAnswers>,
    mut logits: impl FnMut(&Batch) -> Result<O>,
) -> Result<Metrics> {
    let mut agreement = Agreement::default();
    let counted = evaluate_segmentation(held_out, |batch| {
        let logits = Tensor::<4>::from_output(logits(batch)?.into_output())?;
        if let Some(teacher) = teacher {
            let truth = pixels(held_out, batch)?;
            agreement.add(&largest(logits.clone()), &teacher.classes, truth, held_out);
        }
        Ok(logits)
    })?;
    let summary = counted.summary()?;
    // A run whose logits are not finite stops in words.
    let mean_iou = match summary.non_finite {
        0 => summary.mean_iou,
        _ => f64::NAN,
    };
    let mut metrics = Metrics::from([
        ("mean_iou".to_owned(), mean_iou),
        ("miou_compat".to_owned(), summary.miou_compat),
        ("pixel_accuracy".to_owned(), summary.pixel_accuracy),
    ]);
    metrics.extend(teacher.map(|_| ("agreement".to_owned(), agreement.share())));
    Ok(metrics)
}

/// The pixels with a class for which a class of students and its teacher say the same.
#[derive(Default)]
struct Agreement {
    /// The pixels that have been looked at, those without a class among them.
    done: usize,
    same: u64,
    all: u64,
}

impl Agreement {
    /// Compares the next pixels with those of the teacher, which has said all of its own.
    fn add(&mut self, own: &[u8], teacher: &[u8], truth: Tensor<3, Int>, held_out: &Loader) {
        let masks = held_out.subset().dataset().masks();
        let void = masks.and_then(Masks::void).map(i64::from);
        let truth = truth.into_data();
        let pairs = own.iter().zip(teacher.iter().skip(self.done));
        for ((own, teacher), class) in pairs.zip(truth.iter::<i64>()) {
            let labelled = void != Some(class);
            self.all += u64::from(labelled);
            self.same += u64::from(labelled && own == teacher);
        }
        self.done += own.len();
    }

    fn share(&self) -> f64 {
        self.same as f64 / self.all.max(1) as f64
    }
}
