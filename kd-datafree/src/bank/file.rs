//! A bank as a file.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use kd_core::{Error, ImageShape, Result, Tensors, read_tensors, write_tensors};

use super::images::{BANK_FILE, Bank, BankRows};

impl Bank {
    /// Writes it as a safetensors file: `images`, bytes `[images, channels, height, width]`, `logits`, and
    /// `range`, `[2, channels]`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_tensors(path, &self.tensors())
    }

    /// The tensors of the file, by name.
    pub(crate) fn tensors(&self) -> Tensors {
        let ImageShape {
            channels,
            height,
            width,
        } = self.dataset.shape();
        let count = self.dataset.len();
        Tensors::from([
            (
                "images".to_owned(),
                TensorData::new(
                    self.dataset.images().to_vec(),
                    [count, channels, height, width],
                ),
            ),
            (
                "logits".to_owned(),
                TensorData::new(self.logits.clone(), [count, self.dataset.classes()]),
            ),
            (
                "range".to_owned(),
                TensorData::new(self.range.concat(), [2, channels]),
            ),
        ])
    }

    /// Reads one back.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not a bank's.
    pub fn read(path: &Path) -> Result<Self> {
        let mut tensors = read_tensors(path)?;
        let mut take = |name: &str, dtype: DType, rank: usize| {
            let found = tensors.remove(name);
            let found = found.filter(|data| data.dtype() == dtype && data.shape().len() == rank);
            found.ok_or_else(|| Error::Input {
                path: path.to_owned(),
                problem: format!(
                    "is no bank of images: it has no `{name}` of {rank} axes; \
                     give the `{BANK_FILE}` of a data-free run"
                ),
            })
        };
        let images = take("images", DType::U8, 4)?;
        let logits = take("logits", DType::F32, 2)?;
        let range = take("range", DType::F64, 2)?;
        let damaged = |what: &str| Error::Input {
            path: path.to_owned(),
            problem: format!(
                "is no bank of images: {what}; give the `{BANK_FILE}` of a data-free run"
            ),
        };
        let shape = images.shape().as_slice().to_vec();
        let classes = logits.shape().as_slice()[1];
        let range: Vec<f64> = range.iter::<f64>().collect();
        let [low, high] = [&range[..range.len() / 2], &range[range.len() / 2..]];
        let fits = low.len() == shape[1]
            && low
                .iter()
                .zip(high)
                .all(|(low, high)| low.is_finite() && high.is_finite() && low < high);
        if !fits {
            return Err(damaged("its range is not one of its channels"));
        }
        let rows = BankRows {
            images: images.iter::<u8>().collect(),
            logits: logits.iter::<f32>().collect(),
        };
        if rows.logits.len() != shape[0] * classes || rows.logits.is_empty() {
            return Err(damaged("it has not one row of logits for each image"));
        }
        let image = ImageShape::new(shape[1], shape[2], shape[3]);
        rows.with(image, classes, [low.to_vec(), high.to_vec()])
    }
}
