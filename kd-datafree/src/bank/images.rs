//! A bank: synthetic images as a data set, with the teacher's logits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Dataset, Error, ImageShape, Normalisation, Observer, Result, Split, Tensors};

use super::config::BankConfig;
use super::source::{BLOCK, ImageSource};
use crate::teacher::ImageTeacher;

/// The file of a run folder that holds the bank.
pub const BANK_FILE: &str = "bank.safetensors";
/// The name of the same file as an artifact of a phase.
const BANK_NAME: &str = "bank";

/// Images that a method which keeps no bank leaves as one, to be shown.
pub(crate) const ARTIFACT_IMAGES: usize = 10 * BLOCK;

/// A bank of `images` images of `source` as an artifact of a phase, for methods that keep no bank while they
/// run.
pub(crate) fn bank_artifact(
    source: &dyn ImageSource,
    teacher: &dyn ImageTeacher,
    images: usize,
) -> Result<BTreeMap<String, Tensors>> {
    let config = BankConfig {
        images,
        refresh: 0.0,
    };
    let never = AtomicBool::new(false);
    // A student that has learnt is not lost with images that cannot be shown.
    let bank = match Bank::make(&config, 0, source, teacher, &mut (), &never) {
        Ok(bank) => bank,
        Err(Error::Config { .. }) => None,
        Err(error) => return Err(error),
    };
    let bank = bank.map(|bank| (BANK_NAME.to_owned(), bank.tensors()));
    Ok(bank.into_iter().collect())
}

/// Synthetic images, each with the teacher's logits.
///
/// The images are kept as bytes, evenly over the range of each channel. So the bytes are not pixels as those
/// of a photo: [`Bank::normalisation`] leads from them to the input of the teacher. The label of an image is
/// the teacher's class.
#[derive(Clone, Debug)]
pub struct Bank {
    pub(super) dataset: Dataset,
    /// `[images, num_classes]`, row by row.
    pub(super) logits: Vec<f32>,
    /// The smallest and the largest value of each channel.
    pub(super) range: [Vec<f64>; 2],
}

/// The name of the data set.
pub(super) const NAME: &str = "synthetic";

impl Bank {
    /// Makes all blocks as they are when epoch `epoch` begins. None if it was told to stop.
    pub(crate) fn make(
        config: &BankConfig,
        epoch: usize,
        source: &dyn ImageSource,
        teacher: &dyn ImageTeacher,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Self>> {
        config.check()?;
        let range = source.range()?;
        let shape = teacher.image();
        let count = config.rounded();
        let mut rows = BankRows {
            images: Vec::with_capacity(count * shape.channels * shape.height * shape.width),
            logits: Vec::with_capacity(count * teacher.classes()),
        };
        for block in 0..config.blocks() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let made = BankRows::of(
                source,
                teacher,
                &range,
                block,
                config.generation(block, epoch),
            )?;
            rows.images.extend(made.images);
            rows.logits.extend(made.logits);
            let done = ((block + 1) * BLOCK) as u64;
            observer.preparing("synthetic images", done, count as u64);
        }
        rows.into_bank(teacher, range).map(Some)
    }

    /// The bank when epoch `to` begins, given this one, which was made or renewed for epoch `from`.
    pub(crate) fn renewed(
        &self,
        config: &BankConfig,
        [from, to]: [usize; 2],
        source: &dyn ImageSource,
        teacher: &dyn ImageTeacher,
    ) -> Result<Self> {
        let mut rows = BankRows {
            images: self.dataset.images().to_vec(),
            logits: self.logits.clone(),
        };
        for block in 0..config.blocks() {
            let generation = config.generation(block, to);
            if generation != config.generation(block, from) {
                let made = BankRows::of(source, teacher, &self.range, block, generation)?;
                let place = |all: usize| block * all..(block + 1) * all;
                rows.images[place(made.images.len())].copy_from_slice(&made.images);
                rows.logits[place(made.logits.len())].copy_from_slice(&made.logits);
            }
        }
        rows.into_bank(teacher, self.range.clone())
    }

    /// The images, each with the teacher's class as its label.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The normalisation that leads from the bytes, divided by 255, to the input of the teacher.
    pub fn normalisation(&self) -> Normalisation {
        let [low, high] = &self.range;
        let width = || low.iter().zip(high).map(|(low, high)| high - low);
        Normalisation {
            mean: low
                .iter()
                .zip(width())
                .map(|(low, width)| -low / width)
                .collect(),
            std: width().map(f64::recip).collect(),
        }
    }

    /// The first `count` images.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for none, or for more than there are.
    pub fn first(&self, count: usize) -> Result<Self> {
        let all = self.dataset.len();
        if count == 0 || count > all {
            let problem = format!("must be from 1 to {all}, as many as the bank has, got {count}");
            return Err(Error::config("images", problem));
        }
        let shape = self.dataset.shape();
        let rows = BankRows {
            images: self.dataset.images()[..count * shape.bytes()].to_vec(),
            logits: self.logits[..count * self.dataset.classes()].to_vec(),
        };
        rows.with(shape, self.dataset.classes(), self.range.clone())
    }

    /// The teacher's logits for the images `ids`, `[ids, num_classes]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an image that is not there.
    pub fn logits(&self, ids: &[u32], device: &Device) -> Result<Tensor<2>> {
        let classes = self.dataset.classes();
        let mut rows = Vec::with_capacity(ids.len() * classes);
        for &id in ids {
            let first = id as usize * classes;
            let row = self.logits.get(first..first + classes).ok_or_else(|| {
                Error::config("ids", format!("must be images of the bank, got {id}"))
            })?;
            rows.extend_from_slice(row);
        }
        Ok(Tensor::from_data(
            TensorData::new(rows, [ids.len(), classes]),
            device,
        ))
    }

    /// The teacher's logits for all images, `[images, num_classes]` row by row.
    pub fn all_logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Images as bytes, and the teacher's logits for them.
pub(super) struct BankRows {
    pub(super) images: Vec<u8>,
    pub(super) logits: Vec<f32>,
}

impl BankRows {
    /// One block. The teacher is queried with the images as the bytes have them.
    fn of(
        source: &dyn ImageSource,
        teacher: &dyn ImageTeacher,
        [low, high]: &[Vec<f64>; 2],
        block: usize,
        generation: u64,
    ) -> Result<Self> {
        let images = source.images(block as u64, generation)?;
        let device = images.device();
        let channels = low.len();
        let by_channel = |values: Vec<f64>| {
            let data = TensorData::new(values, [1, channels, 1, 1]).convert::<f32>();
            Tensor::<4>::from_data(data, &device)
        };
        let shift = by_channel(low.clone());
        let width = by_channel(low.iter().zip(high).map(|(low, high)| high - low).collect());
        let bytes = ((images - shift.clone()) / width.clone() * 255.0)
            .clamp(0.0, 255.0)
            .round();
        let kept: Vec<u8> = {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded, and from 0 to 255"
            )]
            let byte = |value: f32| value as u8;
            bytes.to_data().iter::<f32>().map(byte).collect()
        };
        let answer = teacher.inspect(bytes / 255.0 * width + shift);
        Ok(Self {
            images: kept,
            logits: answer.logits.into_data().iter::<f32>().collect(),
        })
    }

    fn into_bank(self, teacher: &dyn ImageTeacher, range: [Vec<f64>; 2]) -> Result<Bank> {
        self.with(teacher.image(), teacher.classes(), range)
    }

    pub(super) fn with(
        self,
        image: ImageShape,
        classes: usize,
        range: [Vec<f64>; 2],
    ) -> Result<Bank> {
        if let Some(row) = self
            .logits
            .chunks(classes)
            .position(|row| row.iter().any(|value| !value.is_finite()))
        {
            let problem = format!(
                "outputs something that is no number for synthetic image {row}; look at its weights, \
                 or at the learning rate of the generator"
            );
            return Err(Error::config("teacher", problem));
        }
        let labels = self.logits.chunks_exact(classes).map(largest).collect();
        let dataset = Dataset::new(NAME, Split::Train, image, classes, self.images, labels)?;
        Ok(Bank {
            dataset,
            logits: self.logits,
            range,
        })
    }
}

/// The index of the largest value, of equal ones the first.
fn largest(row: &[f32]) -> u16 {
    let mut best = 0;
    for (place, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = place;
        }
    }
    u16::try_from(best).unwrap_or(u16::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A bank of two channels, the first from -1 to 1, the second from 0 to 10.
    pub(in crate::bank) fn bank() -> Bank {
        let rows = BankRows {
            images: vec![0, 128, 255, 3, /**/ 10, 20, 30, 40],
            logits: vec![1.0, 2.0, 7.0, 0.0],
        };
        let range = [vec![-1.0, 0.0], vec![1.0, 10.0]];
        rows.with(ImageShape::new(2, 1, 2), 2, range).unwrap()
    }

    #[test]
    fn a_part_of_a_bank_is_a_bank() {
        let part = bank().first(1).unwrap();
        assert_eq!(
            (part.dataset().labels(), part.all_logits()),
            (&[1][..], &[1.0, 2.0][..])
        );
        assert_eq!(part.normalisation(), bank().normalisation());
        let said = |count| bank().first(count).unwrap_err().to_string();
        assert_eq!(
            said(3),
            "`images` must be from 1 to 2, as many as the bank has, got 3"
        );
        assert!(said(0).ends_with("got 0"));
    }

    #[test]
    fn of_equal_logits_the_first_is_the_class() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(largest(&[2.0]), 0);
    }
}
