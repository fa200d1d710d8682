//! Outputs of networks, by what they are about: a class of each sample, or of each pixel.

use burn::tensor::Tensor;

use crate::data::task::Task;
use crate::error::{Error, Result};
use crate::network::rows::Rows;

/// The output of a network of whatever task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Logits of each sample, `[batch_size, num_classes]`.
    Classes(Tensor<2>),
    /// Logits of each pixel, `[batch_size, num_classes, height, width]`.
    Pixels(Tensor<4>),
}

impl Output {
    /// The task that it answers.
    pub fn task(&self) -> Task {
        match self {
            Self::Classes(_) => Task::Classification,
            Self::Pixels(_) => Task::Segmentation,
        }
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Self::Classes(logits) => logits.dims()[1],
            Self::Pixels(logits) => logits.dims()[1],
        }
    }

    /// Waits until the device has computed it and it has arrived on the host.
    pub fn wait(self) {
        drop(match self {
            Self::Classes(logits) => logits.into_data(),
            Self::Pixels(logits) => logits.into_data(),
        });
    }

    /// The logits of each sample, `[batch_size, num_classes]`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if it has a class for each pixel.
    pub fn logits(self) -> Result<Tensor<2>> {
        Tensor::from_output(self)
    }
}

/// A type of output: logits of each sample, `Tensor<2>`, or of each pixel, `Tensor<4>`.
pub trait NetworkOutput: Rows {
    /// The task that it answers.
    const TASK: Task;

    /// As an [`Output`].
    fn into_output(self) -> Output;

    /// The opposite.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an output of another task.
    fn from_output(output: Output) -> Result<Self>;
}

fn other_task(wanted: Task, found: &Output) -> Error {
    let problem = format!(
        "is a {} network, and a {wanted} network is needed; use another",
        found.task()
    );
    Error::config("teacher", problem)
}

impl NetworkOutput for Tensor<2> {
    const TASK: Task = Task::Classification;

    fn into_output(self) -> Output {
        Output::Classes(self)
    }

    fn from_output(output: Output) -> Result<Self> {
        match output {
            Output::Classes(logits) => Ok(logits),
            other @ Output::Pixels(_) => Err(other_task(Self::TASK, &other)),
        }
    }
}

impl NetworkOutput for Tensor<4> {
    const TASK: Task = Task::Segmentation;

    fn into_output(self) -> Output {
        Output::Pixels(self)
    }

    fn from_output(output: Output) -> Result<Self> {
        match output {
            Output::Pixels(logits) => Ok(logits),
            other @ Output::Classes(_) => Err(other_task(Self::TASK, &other)),
        }
    }
}
