//! Synthetic images as a data set: bytes, and what the teacher says of them.

mod file;
mod look;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Dataset, Error, ImageShape, Normalisation, Observer, Result, Split, Tensors};
use serde::{Deserialize, Serialize};

use crate::teacher::ImageTeacher;

/// The file of a run folder that holds the bank.
pub const BANK_FILE: &str = "bank.safetensors";
/// The same as a phase leaves it.
const BANK_NAME: &str = "bank";

/// Images that are made together. A block is the unit that is made anew; in always the same number of rows a sample is the same to the
/// last bit.
pub(crate) const BLOCK: usize = 128;

/// How large a bank is, and how much of it is made anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BankConfig {
    /// The number of images; rounded up to a multiple of 128.
    pub images: usize,
    /// The share of the images that is made anew before each epoch but the first, in `[0, 1]`.
    pub refresh: f64,
}

impl Default for BankConfig {
    fn default() -> Self {
        Self {
            images: 50_000,
            refresh: 0.0,
        }
    }
}

impl BankConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for the first value out of range.
    pub fn check(&self) -> Result<()> {
        if self.images == 0 {
            let problem = "must be above 0; 50000 is as large as the training split of CIFAR-10";
            return Err(Error::config("bank.images", problem));
        }
        if !(0.0..=1.0).contains(&self.refresh) {
            let problem = format!("must be from 0 to 1, got {}", self.refresh);
            return Err(Error::config("bank.refresh", problem));
        }
        Ok(())
    }

    pub(crate) fn blocks(&self) -> usize {
        self.images.div_ceil(BLOCK)
    }

    /// How many blocks are made anew before an epoch.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count that fits"
    )]
    fn renewed(&self) -> usize {
        let blocks = (self.refresh * self.blocks() as f64).round() as usize;
        if self.refresh > 0.0 { blocks.max(1) } else { 0 }
    }

    /// How often block `block` has been made anew when epoch `epoch` begins: blocks take turns.
    pub(crate) fn generation(&self, block: usize, epoch: usize) -> u64 {
        let turns = self.renewed() * epoch;
        (turns + self.blocks() - 1 - block.min(self.blocks() - 1)) as u64 / self.blocks() as u64
    }
}

/// What makes images.
pub(crate) trait ImageSource {
    /// The images of block `block` in its generation `generation`, as the teacher takes them: `[128, channels, height, width]`.
    fn images(&self, block: u64, generation: u64) -> Result<Tensor<4>>;

    /// The smallest and the largest value of each channel.
    fn range(&self) -> Result<[Vec<f64>; 2]>;
}

/// Where black and white are after the teacher's normalisation: the range of images that are pixels.
pub(crate) fn pixel_range(teacher: &Normalisation) -> [Vec<f64>; 2] {
    let end = |pixel: f64| {
        let channels = teacher.mean.iter().zip(&teacher.std);
        channels.map(|(mean, std)| (pixel - mean) / std).collect()
    };
    [end(0.0), end(1.0)]
}

/// Images that a method which keeps no bank leaves as one, to be looked at.
pub(crate) const LEFT: usize = 10 * BLOCK;

/// What a phase leaves: a bank of `images` images of `source`.
pub(crate) fn left(
    source: &dyn ImageSource,
    teacher: &dyn ImageTeacher,
    images: usize,
) -> Result<BTreeMap<String, Tensors>> {
    let config = BankConfig {
        images,
        refresh: 0.0,
    };
    let never = AtomicBool::new(false);
    // A student that has learnt is not lost with images that cannot be looked at.
    let bank = match Bank::make(&config, 0, source, teacher, &mut (), &never) {
        Ok(bank) => bank,
        Err(Error::Config { .. }) => None,
        Err(error) => return Err(error),
    };
    let bank = bank.map(|bank| (BANK_NAME.to_owned(), bank.tensors()));
    Ok(bank.into_iter().collect())
}

/// Synthetic images, each with what the teacher says of it.
///
/// The images are kept as bytes, evenly over the range of each channel. So the bytes are not pixels as those of a photo: [`Bank::normalisation`]
/// leads from them to what the teacher takes. The label of an image is the teacher's class.
#[derive(Clone, Debug)]
pub struct Bank {
    dataset: Dataset,
    /// `[images, num_classes]`, row by row.
    logits: Vec<f32>,
    range: [Vec<f64>; 2],
}

const NAME: &str = "synthetic";

impl Bank {
    /// Makes all blocks as they are when epoch `epoch` begins. Nothing if it was told to stop.
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
        let count = config.blocks() * BLOCK;
        let mut rows = Rows {
            images: Vec::with_capacity(count * shape.channels * shape.height * shape.width),
            logits: Vec::with_capacity(count * teacher.classes()),
        };
        for block in 0..config.blocks() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let made = Rows::of(
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
        let mut rows = Rows {
            images: self.dataset.images().to_vec(),
            logits: self.logits.clone(),
        };
        for block in 0..config.blocks() {
            let generation = config.generation(block, to);
            if generation != config.generation(block, from) {
                let made = Rows::of(source, teacher, &self.range, block, generation)?;
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

    /// What leads from the bytes, divided by 255, to what the teacher takes.
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
        let rows = Rows {
            images: self.dataset.images()[..count * shape.bytes()].to_vec(),
            logits: self.logits[..count * self.dataset.classes()].to_vec(),
        };
        rows.with(shape, self.dataset.classes(), self.range.clone())
    }

    /// What the teacher says of the images `ids`, `[ids, num_classes]`.
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

    /// What the teacher says of all images, `[images, num_classes]` row by row.
    pub fn all_logits(&self) -> &[f32] {
        &self.logits
    }
}

/// Images as bytes and what the teacher says of them.
struct Rows {
    images: Vec<u8>,
    logits: Vec<f32>,
}

impl Rows {
    /// One block. The teacher is asked about the images as the bytes have them.
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
        let seen = teacher.look(bytes / 255.0 * width + shift);
        Ok(Self {
            images: kept,
            logits: seen.logits.into_data().iter::<f32>().collect(),
        })
    }

    fn into_bank(self, teacher: &dyn ImageTeacher, range: [Vec<f64>; 2]) -> Result<Bank> {
        self.with(teacher.image(), teacher.classes(), range)
    }

    fn with(self, image: ImageShape, classes: usize, range: [Vec<f64>; 2]) -> Result<Bank> {
        if let Some(row) = self
            .logits
            .chunks(classes)
            .position(|row| row.iter().any(|value| !value.is_finite()))
        {
            let problem = format!(
                "says something that is no number of synthetic image {row}; look at its weights, or at the learning rate of the generator"
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

/// The place of the largest value, of equal ones the first.
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
mod tests {
    use super::*;

    #[test]
    fn blocks_take_turns() {
        let config = BankConfig {
            images: 5 * BLOCK - 3,
            refresh: 0.4,
        };
        let at = |epoch| -> Vec<u64> {
            (0..5)
                .map(|block| config.generation(block, epoch))
                .collect()
        };
        assert_eq!(config.blocks(), 5);
        assert_eq!(at(0), [0, 0, 0, 0, 0]);
        assert_eq!(at(1), [1, 1, 0, 0, 0]);
        assert_eq!(at(2), [1, 1, 1, 1, 0]);
        assert_eq!(at(3), [2, 1, 1, 1, 1]);
        assert_eq!(at(5), [2, 2, 2, 2, 2]);
        let still = BankConfig {
            refresh: 0.0,
            ..config.clone()
        };
        assert_eq!(still.generation(4, 100), 0);
        let whole = BankConfig {
            refresh: 1.0,
            ..config
        };
        assert_eq!(whole.generation(4, 3), 3);
    }

    /// A bank of two channels, the first from -1 to 1, the second from 0 to 10.
    pub(super) fn bank() -> Bank {
        let rows = Rows {
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
