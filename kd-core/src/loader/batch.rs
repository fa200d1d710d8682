//! A batch: some samples in one view each, on the device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::data::dataset::Dataset;
use crate::data::kind::SampleKind;
use crate::draws::Draws;
use crate::error::{Error, Result};
use crate::views::augment::Augment;
use crate::views::policy::ViewPolicy;

/// Some samples in one view each, on the plain form of the device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The samples as the data set has them: no model's preprocessing is in them.
    pub samples: Samples,
    /// The labels, `[batch_size]`; all 0 where there are masks.
    pub targets: Tensor<1, Int>,
    /// The class of each pixel, `[batch_size, height, width]`, where the data set has masks; pixels without a
    /// class have the value of [`Masks::void`](crate::Masks::void).
    pub masks: Option<Tensor<3, Int>>,
    /// The ids of the samples in their data set.
    pub ids: Vec<u32>,
    /// The view that this is of the samples.
    pub view: u64,
    /// The data set and the views that ids and view count in; none for a batch that no loader made.
    pub source: Option<Arc<BatchSource>>,
}

/// Samples before any model's preprocessing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Samples {
    /// Pixels in `[0, 1]`, not normalised: `[batch_size, channels, height, width]`.
    Images(Tensor<4>),
    /// Token ids of texts of one length: `[batch_size, tokens]`.
    Tokens(Tensor<2, Int>),
    /// So many samples that were not rendered, as all that is computed of them is kept.
    NotRendered(usize),
}

/// The data set and the views that the batches of a loader are of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchSource {
    /// The data set.
    pub dataset: Dataset,
    /// The number of views of each sample.
    pub views: ViewPolicy,
    /// The augmentation that makes the views.
    pub augment: Augment,
    /// The seed of the views.
    pub view_seed: u64,
}

const NOT_RENDERED: &str =
    "was not rendered for this batch, and something must be computed of it; use `Loader::batch`";

impl Batch {
    /// A batch that no loader made: samples with their labels, ids from 0.
    ///
    /// # Shapes
    ///
    /// `targets`: `[batch_size]`, as many labels as there are samples.
    pub fn new(samples: Samples, targets: Tensor<1, Int>) -> Self {
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        Self {
            samples,
            targets,
            masks: None,
            ids: (0..count).collect(),
            view: 0,
            source: None,
        }
    }

    /// `count` black images `[count, channels, height, width]`, to learn the shapes of maps and outputs from.
    pub fn black(shape: [usize; 3], count: usize, device: &Device) -> Self {
        let device = device.clone().inner();
        let [channels, height, width] = shape;
        let pixels = Tensor::zeros([count, channels, height, width], &device);
        Self::new(Samples::Images(pixels), Tensor::zeros([count], &device))
    }

    /// `count` samples that learn nothing but shapes: black images, or texts of the token 0 where the samples
    /// are texts of shape `[vocabulary, 1, length]`.
    pub fn blank(kind: SampleKind, shape: [usize; 3], count: usize, device: &Device) -> Self {
        match kind {
            SampleKind::Images => Self::black(shape, count, device),
            SampleKind::Texts => {
                let device = device.clone().inner();
                let tokens = Tensor::zeros([count, shape[2]], &device);
                Self::new(Samples::Tokens(tokens), Tensor::zeros([count], &device))
            }
        }
    }

    /// `count` images of standard normal noise `[count, channels, height, width]`, always the same, to find
    /// out what the results of a network depend on.
    #[expect(clippy::cast_possible_truncation, reason = "noise")]
    pub fn noise(shape: [usize; 3], count: usize, device: &Device) -> Self {
        let device = device.clone().inner();
        let [channels, height, width] = shape;
        let mut draws = Draws::new(0, "probe", 0, 0);
        let noise = (0..count * channels * height * width).map(|_| draws.normal() as f32);
        let shape = [count, channels, height, width];
        let noise = TensorData::new(noise.collect::<Vec<f32>>(), shape);
        let pixels = Tensor::from_data(noise, &device);
        Self::new(Samples::Images(pixels), Tensor::zeros([count], &device))
    }

    /// As [`Batch::noise`], of samples of either kind: of texts any ids of the vocabulary.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a share of a vocabulary of 16 bits"
    )]
    pub fn drawn(kind: SampleKind, shape: [usize; 3], count: usize, device: &Device) -> Self {
        if kind == SampleKind::Images {
            return Self::noise(shape, count, device);
        }
        let device = device.clone().inner();
        let [vocabulary, _, length] = shape;
        let mut draws = Draws::new(0, "probe", 0, 0);
        let ids = (0..count * length).map(|_| (draws.uniform() * vocabulary as f64) as i64);
        let data = TensorData::new(ids.collect::<Vec<i64>>(), [count, length]);
        let tokens = Tensor::from_data(data, &device);
        Self::new(Samples::Tokens(tokens), Tensor::zeros([count], &device))
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has no sample; no loader makes such a batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels, `[batch_size, channels, height, width]` in `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the samples are no images.
    pub fn pixels(&self) -> Result<Tensor<4>> {
        self.samples.images().cloned()
    }

    /// The device that the batch is on.
    pub fn device(&self) -> Device {
        self.targets.device()
    }
}

impl Samples {
    /// The number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::Images(pixels) => pixels.dims()[0],
            Self::Tokens(ids) => ids.dims()[0],
            Self::NotRendered(samples) => *samples,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pixels, `[batch_size, channels, height, width]` in `[0, 1]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the samples are no images.
    pub fn images(&self) -> Result<&Tensor<4>> {
        let problem = match self {
            Self::Images(pixels) => return Ok(pixels),
            Self::Tokens(_) => "is text, and this network takes images; use a network for text",
            Self::NotRendered(_) => NOT_RENDERED,
        };
        Err(Error::config("data", problem))
    }

    /// The token ids, `[batch_size, tokens]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the samples are no texts.
    pub fn tokens(&self) -> Result<&Tensor<2, Int>> {
        let problem = match self {
            Self::Tokens(ids) => return Ok(ids),
            Self::Images(_) => "is images, and this network takes text; use a network for images",
            Self::NotRendered(_) => NOT_RENDERED,
        };
        Err(Error::config("data", problem))
    }
}

impl BatchSource {
    /// Whether a view of a sample is the same in both.
    pub fn is_same(&self, other: &Self) -> bool {
        self.views == other.views
            && self.view_seed == other.view_seed
            && self.augment == other.augment
            && self.dataset.is_same(&other.dataset)
    }
}
