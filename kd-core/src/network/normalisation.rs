//! Per-channel normalisation. It belongs to a model, not to a data set.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `(x - mean) / std` per channel, for pixels in `[0, 1]`.
///
/// Teacher and student may each have their own: a batch carries pixels in `[0, 1]`, and every model
/// normalises for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of each channel, of pixel values divided by 255.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel, of pixel values divided by 255.
    pub std: Vec<f64>,
}

impl Normalisation {
    /// A normalisation with one mean and one standard deviation a channel.
    ///
    /// # Errors
    ///
    /// If the two have different lengths, or a value is not finite, or a standard deviation is not above 0.
    pub fn new(mean: Vec<f64>, std: Vec<f64>) -> Result<Self> {
        let made = Self { mean, std };
        made.check()?;
        Ok(made)
    }

    /// The normalisation that changes nothing, for `channels` channels.
    pub fn identity(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
        }
    }

    /// Checks what [`Normalisation::new`] checks, for a value that was read from a file.
    ///
    /// # Errors
    ///
    /// As [`Normalisation::new`].
    pub fn check(&self) -> Result<()> {
        if self.mean.len() != self.std.len() || self.mean.is_empty() {
            return Err(Error::config(
                "normalisation",
                format!(
                    "needs as many means as standard deviations, got {} and {}",
                    self.mean.len(),
                    self.std.len()
                ),
            ));
        }
        if let Some(bad) = self.mean.iter().find(|x| !x.is_finite()) {
            return Err(Error::config(
                "normalisation.mean",
                format!("must be finite, got {bad}"),
            ));
        }
        if let Some(bad) = self.std.iter().find(|x| !x.is_finite() || **x <= 0.0) {
            return Err(Error::config(
                "normalisation.std",
                format!("must be finite and above 0, got {bad}"),
            ));
        }
        Ok(())
    }

    /// Normalises pixels in `[0, 1]`.
    ///
    /// # Shapes
    ///
    /// `pixels` and the result: `[batch_size, channels, height, width]`, with as many channels as this has
    /// means.
    ///
    /// # Errors
    ///
    /// [`Error::Shape`] if the number of channels differs.
    pub fn apply(&self, pixels: Tensor<4>) -> Result<Tensor<4>> {
        let channels = pixels.dims()[1];
        if channels != self.mean.len() {
            return Err(Error::Shape {
                what: "normalisation".into(),
                expected: format!("{} channels", self.mean.len()),
                found: format!("{channels}"),
                remedy: "give one mean and one std for each channel of the data".into(),
            });
        }
        let device = pixels.device();
        let row = |values: Vec<f64>| {
            let data = TensorData::new(values, [1, channels, 1, 1]).convert::<f32>();
            Tensor::<4>::from_data(data, &device)
        };
        let scale = row(self.std.iter().map(|s| 1.0 / s).collect());
        let shift = row(self
            .mean
            .iter()
            .zip(&self.std)
            .map(|(m, s)| -m / s)
            .collect());
        Ok(pixels * scale + shift)
    }
}
