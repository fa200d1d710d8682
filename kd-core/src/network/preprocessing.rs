//! Preprocessing: the samples of a batch made into the input of a network.

use std::fmt::Debug;

use burn::tensor::{Gradients, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::kind::SampleKind;
use crate::error::{Error, Result};
use crate::loader::batch::{Batch, Samples};
use crate::network::normalisation::Normalisation;
use crate::network::tokenizer_file::TokenizerFile;

/// A model's own preprocessing. It belongs to the model, not to the data: teacher and student may differ in
/// it.
///
/// Methods make inputs with it and so never look at pixels: a network for text is trained by the same code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Preprocessing {
    /// Images normalised channel by channel.
    Images(Normalisation),
    /// Token ids as they are; the network embeds them.
    Tokens,
    /// Token ids that this tokenizer makes of texts. A data set has them already: they are taken as they are.
    Text(TokenizerFile),
}

impl From<Normalisation> for Preprocessing {
    fn from(normalisation: Normalisation) -> Self {
        Self::Images(normalisation)
    }
}

impl Preprocessing {
    /// The input that a network of input type `I` takes for a batch, on the plain form of the device.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use kd_core::{Batch, Normalisation, Preprocessing};
    ///
    /// let batch = Batch::black([1, 4, 4], 2, &Device::flex());
    /// let preprocessing = Preprocessing::from(Normalisation::new(vec![0.5], vec![0.25])?);
    /// let input: Tensor<4> = preprocessing.input(&batch)?;
    /// assert_eq!(input.min().into_scalar::<f32>(), -2.0);
    /// # Ok::<(), kd_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the samples, this preprocessing and `I` are not of one kind, and those of
    /// [`Normalisation::apply`].
    pub fn input<I: NetworkInput>(&self, batch: &Batch) -> Result<I> {
        I::from_samples(&batch.samples, self)
    }

    /// The tokenizer of the texts, where one is known.
    pub fn tokenizer(&self) -> Option<&TokenizerFile> {
        match self {
            Self::Text(tokenizer) => Some(tokenizer),
            Self::Images(_) | Self::Tokens => None,
        }
    }

    /// What it is for.
    pub fn kind(&self) -> SampleKind {
        match self {
            Self::Images(_) => SampleKind::Images,
            Self::Tokens | Self::Text(_) => SampleKind::Texts,
        }
    }

    /// The normalisation, where the samples are images.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if they are not.
    pub fn normalisation(&self) -> Result<&Normalisation> {
        match self {
            Self::Images(normalisation) => Ok(normalisation),
            Self::Tokens | Self::Text(_) => Err(wrong_kind("images")),
        }
    }
}

fn wrong_kind(wanted: &str) -> Error {
    let problem =
        format!("is not one for {wanted}; use the preprocessing that the network was trained with");
    Error::config("preprocessing", problem)
}

/// A type of network input that batches can be made into: images `Tensor<4>` or token ids `Tensor<2, Int>`.
pub trait NetworkInput: Clone + Debug + Send + 'static {
    /// Whether the stages of its networks are products of matrices, in which the number of samples decides
    /// the order of sums. Convolutions go sample by sample.
    const MIXES_SAMPLES: bool;
    /// What the samples are.
    const KIND: SampleKind;

    /// The input for some samples.
    ///
    /// # Errors
    ///
    /// As [`Preprocessing::input`].
    fn from_samples(samples: &Samples, preprocessing: &Preprocessing) -> Result<Self>;

    /// The number of samples.
    fn samples(&self) -> usize;

    /// The samples from `first` on, `count` of them, filled up to `filled` with copies of the last one.
    #[must_use]
    fn block(&self, first: usize, count: usize, filled: usize) -> Self;

    /// The same on the autodiff form of its device, without a graph behind it.
    #[must_use]
    fn lifted(self) -> Self;

    /// The same as a leaf of a graph on the autodiff form of its device, so that [`NetworkInput::is_read`]
    /// can tell whether a result was computed from it.
    #[must_use]
    fn tracked(self) -> Self;

    /// Whether the result that these gradients are of was computed from it. Token ids have no gradients and
    /// count as read.
    fn is_read(&self, gradients: &Gradients) -> bool;

    /// Zeros in the shape of these samples, `samples` of them, that take no memory of their own: the stand-in
    /// for an input that is not read.
    #[must_use]
    fn placeholder(&self, samples: usize) -> Self;
}

impl NetworkInput for Tensor<4> {
    const MIXES_SAMPLES: bool = false;
    const KIND: SampleKind = SampleKind::Images;

    fn from_samples(samples: &Samples, preprocessing: &Preprocessing) -> Result<Self> {
        preprocessing
            .normalisation()?
            .apply(samples.images()?.clone())
    }

    fn samples(&self) -> usize {
        self.dims()[0]
    }

    fn block(&self, first: usize, count: usize, filled: usize) -> Self {
        filled_block(self, first, count, filled)
    }

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }

    fn tracked(self) -> Self {
        Self::from_inner(self).require_grad()
    }

    fn is_read(&self, gradients: &Gradients) -> bool {
        self.grad(gradients).is_some()
    }

    fn placeholder(&self, samples: usize) -> Self {
        let [_batch_size, channels, height, width] = self.dims();
        let zero = Self::zeros([1, 1, 1, 1], &self.device());
        zero.expand([samples, channels, height, width])
    }
}

impl NetworkInput for Tensor<2, Int> {
    const MIXES_SAMPLES: bool = true;
    const KIND: SampleKind = SampleKind::Texts;

    fn from_samples(samples: &Samples, preprocessing: &Preprocessing) -> Result<Self> {
        match preprocessing {
            Preprocessing::Tokens | Preprocessing::Text(_) => samples.tokens().cloned(),
            Preprocessing::Images(_) => Err(wrong_kind("text")),
        }
    }

    fn samples(&self) -> usize {
        self.dims()[0]
    }

    fn block(&self, first: usize, count: usize, filled: usize) -> Self {
        let block = self.clone().narrow(0, first, count);
        if count == filled {
            return block;
        }
        let last = self.clone().narrow(0, first + count - 1, 1);
        Self::cat(vec![block, last.repeat_dim(0, filled - count)], 0)
    }

    fn lifted(self) -> Self {
        Self::from_inner(self)
    }

    fn tracked(self) -> Self {
        Self::from_inner(self)
    }

    fn is_read(&self, _gradients: &Gradients) -> bool {
        true
    }

    fn placeholder(&self, samples: usize) -> Self {
        let [_batch_size, tokens] = self.dims();
        Self::zeros([1, 1], &self.device()).expand([samples, tokens])
    }
}

/// The samples of `all` from `first` on, `count` of them, filled up to `filled` with copies of the last one.
pub(crate) fn filled_block<const D: usize>(
    all: &Tensor<D>,
    first: usize,
    count: usize,
    filled: usize,
) -> Tensor<D> {
    let block = all.clone().narrow(0, first, count);
    if count == filled {
        return block;
    }
    let last = all.clone().narrow(0, first + count - 1, 1);
    Tensor::cat(vec![block, last.repeat_dim(0, filled - count)], 0)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn samples_of_the_other_kind_are_refused_in_words() {
        let device = Device::flex();
        let text = Batch::new(
            Samples::Tokens(Tensor::zeros([2, 3], &device)),
            Tensor::zeros([2], &device),
        );
        let images = Batch::black([1, 2, 2], 2, &device);
        let normalise = Preprocessing::from(Normalisation::identity(1));
        assert_eq!(
            Preprocessing::Tokens
                .input::<Tensor<2, Int>>(&text)
                .unwrap()
                .dims(),
            [2, 3]
        );
        for (error, said) in [
            (
                normalise.input::<Tensor<4>>(&text).unwrap_err(),
                "`data` is text",
            ),
            (
                Preprocessing::Tokens
                    .input::<Tensor<2, Int>>(&images)
                    .unwrap_err(),
                "`data` is images",
            ),
            (
                normalise.input::<Tensor<2, Int>>(&text).unwrap_err(),
                "is not one for text",
            ),
            (
                Preprocessing::Tokens
                    .input::<Tensor<4>>(&images)
                    .unwrap_err(),
                "is not one for images",
            ),
        ] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_block_is_filled_with_its_last_sample() {
        let all = Tensor::<1, Int>::arange(0..5, &Device::flex())
            .float()
            .reshape([5, 1, 1, 1]);
        let block: Vec<f32> = NetworkInput::block(&all, 3, 2, 4)
            .into_data()
            .iter()
            .collect();
        assert_eq!(block, [3.0, 4.0, 4.0, 4.0]);
        let ids = Tensor::<1, Int>::arange(0..3, &Device::flex()).reshape([3, 1]);
        let block: Vec<i64> = ids.block(2, 1, 2).into_data().iter().collect();
        assert_eq!(block, [2, 2]);
    }

    #[test]
    fn a_result_tells_what_input_it_was_computed_from() {
        let device = Device::flex();
        let images = Tensor::<4>::ones([2, 1, 3, 3], &device);
        let read = images.clone().tracked();
        let gradients = read.clone().sum().backward();
        assert!(read.is_read(&gradients));
        assert!(!images.clone().tracked().is_read(&gradients));
        assert_eq!(images.placeholder(5).dims(), [5, 1, 3, 3]);
        let ids = Tensor::<2, Int>::ones([2, 4], &device);
        assert!(ids.clone().tracked().is_read(&gradients));
        assert_eq!(ids.placeholder(3).sum().into_scalar::<i64>(), 0);
        assert_eq!(ids.placeholder(3).dims(), [3, 4]);
    }
}
