//! Requests to a teacher, and its answers.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::network::output::{NetworkOutput, Output};

/// The tap of the dense representation: the input of the head, as a map.
pub const DENSE_TAP: &str = "dense";

/// A request to a teacher: its output, the maps at some taps, or both.
///
/// A method states it once, before the first step. So a teacher computes no map that nobody reads, stages
/// behind the last one that is read are not run, and it is known beforehand what a cache of the answers must
/// hold.
///
/// ```
/// use kd_core::Requested;
///
/// let requested = Requested::output().with_tap("layer2").with_tap("layer2");
/// assert!(requested.has_output());
/// assert_eq!(requested.taps(), ["layer2"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requested {
    output: bool,
    taps: Vec<String>,
}

impl Requested {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The output.
    pub fn output() -> Self {
        Self::nothing().with_output()
    }

    /// The maps at `taps`, without the output; a name that stands there twice counts once.
    pub fn at_taps<S: Into<String>>(taps: impl IntoIterator<Item = S>) -> Self {
        taps.into_iter().fold(Self::nothing(), Self::with_tap)
    }

    /// And the output.
    #[must_use]
    pub fn with_output(mut self) -> Self {
        self.output = true;
        self
    }

    /// And the map at `tap`: the name of a stage, or [`DENSE_TAP`].
    #[must_use]
    pub fn with_tap(mut self, tap: impl Into<String>) -> Self {
        self.add_tap(tap);
        self
    }

    /// Adds the map at `tap`, if it is not requested yet, and gives its position in [`Answer::maps`].
    pub fn add_tap(&mut self, tap: impl Into<String>) -> usize {
        let tap = tap.into();
        let known = self.taps.iter().position(|known| *known == tap);
        known.unwrap_or_else(|| {
            self.taps.push(tap);
            self.taps.len() - 1
        })
    }

    /// Whether the output is requested.
    pub fn has_output(&self) -> bool {
        self.output
    }

    /// The taps whose maps are requested, in the order of [`Answer::maps`].
    pub fn taps(&self) -> &[String] {
        &self.taps
    }

    /// Whether nothing is requested.
    pub fn is_nothing(&self) -> bool {
        !self.output && self.taps.is_empty()
    }
}

/// A teacher's answer for a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The output of the network, if it was requested.
    pub output: Option<Output>,
    /// The maps at the taps that were requested, in that order, each `[batch_size, channels, height, width]`.
    pub maps: Vec<Tensor<4>>,
}

impl Answer {
    /// An answer.
    pub fn new(output: Option<Output>, maps: Vec<Tensor<4>>) -> Self {
        Self { output, maps }
    }

    /// The output as `Tensor<2>`, logits of each sample, or `Tensor<4>`, logits of each pixel.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it was not requested, or is of another task.
    pub fn output_as<O: NetworkOutput>(&self) -> Result<O> {
        let missing = || Error::config("teacher", "has not been asked for its output");
        O::from_output(self.output.clone().ok_or_else(missing)?)
    }

    /// The logits of each sample, `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// As [`Answer::output_as`].
    pub fn logits(&self) -> Result<Tensor<2>> {
        self.output_as()
    }
}
