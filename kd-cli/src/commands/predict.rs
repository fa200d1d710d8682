//! `kd predict`.

mod masks;
mod show;
mod sources;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{
    Batch, DeviceName, Error, ImageShape, Result, SampleKind, Samples, Task, check_finite,
};
use kd_models::{Families, TrainedModel};
use kd_recipe::{Methods, model_folder};

use self::sources::{Images, Source};
use crate::args::{PredictFormat, PredictOptions};
use crate::progress::counted::Counted;

/// Images in a batch.
const AT_ONCE: usize = 64;

/// The answer of one network for an image.
#[derive(Clone, Debug)]
struct Answer {
    /// The likeliest class.
    class: usize,
    /// The probability of each class, in the order of their numbers.
    probabilities: Vec<f64>,
}

/// An image with what is said of it.
#[derive(Clone, Debug)]
struct Prediction {
    /// The path of its file, or its number in a data set.
    image: String,
    /// Its class, if it is known.
    label: Option<usize>,
    answer: Answer,
    teacher: Option<Answer>,
}

pub(super) fn run(methods: &Methods, options: &PredictOptions) -> Result<()> {
    let device = options.device.unwrap_or(DeviceName::Auto).open()?;
    let model = open(methods.families(), &options.model, &device)?;
    let names: Vec<String> = match &model.config().class_names {
        Some(names) => names.clone(),
        None => (0..model.config().network.classes)
            .map(|class| class.to_string())
            .collect(),
    };
    if model.task() == Task::Segmentation {
        return masks::run(options, model.as_ref(), &names, &device);
    }
    if options.masks.is_some() {
        let problem = "is for a network with a class of each pixel; leave it out";
        return Err(Error::config("--masks", problem));
    }
    let teacher = options.teacher.as_deref();
    let teacher = teacher
        .map(|path| open(methods.families(), path, &device))
        .transpose()?;
    if let Some(teacher) = &teacher {
        check_beside(model.as_ref(), teacher.as_ref())?;
    }
    let config = model.config();
    let [channels, height, width] = config.network.input;
    let shape = ImageShape::new(channels, height, width);
    let source = Source::find(options, shape, &names)?;
    let mut shown = show::Shown::new(options, &names, teacher.is_some());
    // Lines that are written as they come leave no room for a bar.
    let is_counted = options.format == PredictFormat::Table;
    let counting = || Counted::new("predicting", "images", 0, source.len() as u64);
    let mut counted = is_counted.then(counting);
    for first in (0..source.len()).step_by(AT_ONCE) {
        let images = source.read(first..source.len().min(first + AT_ONCE))?;
        let batch = batch(&images, shape, &device);
        let said = answers(model.as_ref(), &batch)?;
        let beside = teacher
            .as_ref()
            .map(|teacher| answers(teacher.as_ref(), &batch));
        let mut beside = beside.transpose()?.map(Vec::into_iter);
        for ((image, label), answer) in images.names.into_iter().zip(images.labels).zip(said) {
            let teacher = beside.as_mut().and_then(Iterator::next);
            shown.add(Prediction {
                image,
                label,
                answer,
                teacher,
            });
        }
        if let Some(counted) = &mut counted {
            counted.at(source.len().min(first + AT_ONCE) as u64);
        }
    }
    drop(counted);
    shown.finish();
    Ok(())
}

/// The network in a model folder.
fn open(families: &Families, path: &Path, device: &Device) -> Result<Box<dyn TrainedModel>> {
    let model = families.open(&model_folder(path)?, device)?;
    if model.config().preprocessing.kind() != SampleKind::Images {
        let problem = "is a network for texts, and this shows images; measure it with `kd eval`";
        return Err(Error::Input {
            path: path.to_owned(),
            problem: problem.into(),
        });
    }
    check_finite(&format!("`{}`", path.display()), &model.state_dict())?;
    Ok(model)
}

/// Two networks are shown beside each other if they take the same images and know the same classes.
fn check_beside(model: &dyn TrainedModel, teacher: &dyn TrainedModel) -> Result<()> {
    let (own, other) = (&model.config().network, &teacher.config().network);
    if (own.input, own.classes) == (other.input, other.classes) && model.task() == teacher.task() {
        return Ok(());
    }
    let shape = |[channels, height, width]: [usize; 3]| format!("{channels}x{height}x{width}");
    Err(Error::Shape {
        what: "--teacher".into(),
        expected: format!("{} classes of images of {}", own.classes, shape(own.input)),
        found: format!("{} of {}", other.classes, shape(other.input)),
        remedy: "name a network for the same images and classes".into(),
    })
}

/// Images as a batch, pixels from 0 to 1.
fn batch(images: &Images, shape: ImageShape, device: &Device) -> Batch {
    let count = images.names.len();
    let pixels: Vec<f32> = images
        .pixels
        .iter()
        .map(|&byte| f32::from(byte) / 255.0)
        .collect();
    let data = TensorData::new(pixels, [count, shape.channels, shape.height, shape.width]);
    let pixels = Tensor::<4>::from_data(data, device);
    Batch::new(Samples::Images(pixels), Tensor::zeros([count], device))
}

fn answers(model: &dyn TrainedModel, batch: &Batch) -> Result<Vec<Answer>> {
    let logits = model.output(batch)?.logits()?;
    let [_, classes] = logits.dims();
    let values: Vec<f64> = logits.into_data().iter::<f64>().collect();
    Ok(values.chunks(classes).map(Answer::of).collect())
}

impl Answer {
    /// Of logits; of equal ones the lowest class is the likeliest.
    fn of(logits: &[f64]) -> Self {
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
        let total: f64 = powers.iter().sum();
        let class = logits
            .iter()
            .position(|logit| *logit >= largest)
            .unwrap_or(0);
        Self {
            class,
            probabilities: powers.iter().map(|power| power / total).collect(),
        }
    }

    /// The likeliest classes with their probabilities.
    fn top(&self, count: usize) -> Vec<(usize, f64)> {
        let mut all: Vec<(usize, f64)> = self.probabilities.iter().copied().enumerate().collect();
        all.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        all.truncate(count);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_a_softmax_and_the_first_of_equal_classes_leads() {
        let answer = Answer::of(&[3_f64.ln(), 0.0, 3_f64.ln()]);
        assert_eq!(answer.class, 0);
        for (found, expected) in answer.probabilities.iter().zip([3.0, 1.0, 3.0]) {
            assert!((found - expected / 7.0).abs() < 1e-15);
        }
        let top: Vec<usize> = answer.top(2).into_iter().map(|(class, _)| class).collect();
        assert_eq!(top, [0, 2]);
        assert!(
            Answer::of(&[1e4, -1e4])
                .probabilities
                .iter()
                .all(|share| share.is_finite())
        );
    }
}
