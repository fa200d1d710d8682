//! The teacher: a frozen network that answers for a batch.

use std::fmt::Debug;

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::loader::batch::Batch;
use crate::network::preprocessing::Preprocessing;
use crate::network::tensors::Tensors;
use crate::teacher::answer::{Answer, Requested};

/// Something that never changes and answers for a batch with its output and the maps of its stages.
///
/// It is object-safe, so that teachers of different architectures, with different preprocessing, stand side
/// by side, and a student may be of another type. [`FrozenTeacher`](crate::FrozenTeacher) makes one of any
/// network; [`CachedTeacher`](crate::CachedTeacher) makes one of any teacher and the answers that are kept of
/// it, so that a method need not know whether a teacher is run or read.
///
/// The answer for a sample must be a function of that sample alone, not of the batch that it stands in:
/// answers are kept and read back in other batches.
pub trait Teacher: Debug {
    /// The names of its stages, first to last: its taps beside [`DENSE_TAP`](crate::DENSE_TAP).
    fn stage_names(&self) -> Vec<String>;

    /// The answer for a batch, on the plain form of the device of the batch.
    ///
    /// # Errors
    ///
    /// If the samples do not fit the teacher, or it has no such tap.
    fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer>;

    /// The SHA-256 of what it is: weights, running statistics, preprocessing.
    fn hash(&self) -> String;

    /// What it does to samples first, if that is known; a check tries others in its place.
    fn preprocessing(&self) -> Option<&Preprocessing> {
        None
    }

    /// The logits that its head gives for dense representations that are not its own. The head is a constant,
    /// but gradients pass through it to `dense`.
    ///
    /// # Shapes
    ///
    /// - `dense`: `[batch_size, features]`, on either form of the device
    /// - result: `[batch_size, num_classes]`
    ///
    /// # Errors
    ///
    /// If the teacher does not lend its head, which is so where it is not said otherwise.
    fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
        drop(dense);
        let problem =
            "is a teacher that does not lend its head; use a `FrozenTeacher` of a classifier";
        Err(Error::config("teacher", problem))
    }

    /// As [`Teacher::classify`], of a network that outputs a class for each pixel.
    ///
    /// # Shapes
    ///
    /// - `dense`: `[batch_size, features, height, width]`, on either form of the device
    /// - result: `[batch_size, num_classes, height, width]`
    ///
    /// # Errors
    ///
    /// As [`Teacher::classify`].
    fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
        drop(dense);
        let problem = "is a teacher that does not lend its head; use a `FrozenTeacher` of a network for \
                       segmentation";
        Err(Error::config("teacher", problem))
    }

    /// The number of its learnable parameters, if it is known.
    fn parameters(&self) -> Option<u64> {
        None
    }

    /// The tensors of stage `stage` by their whole paths in Burn's names, to be copied into a student's stage
    /// of the same names and shapes. None where it does not lend them.
    fn stage_tensors(&self, _stage: usize) -> Option<Tensors> {
        None
    }
}

macro_rules! forward_to_the_teacher {
    ($($holder:ty),*) => {$(
        impl<T: Teacher + ?Sized> Teacher for $holder {
            fn stage_names(&self) -> Vec<String> {
                (**self).stage_names()
            }

            fn answer(&self, batch: &Batch, requested: &Requested) -> Result<Answer> {
                (**self).answer(batch, requested)
            }

            fn hash(&self) -> String {
                (**self).hash()
            }

            fn preprocessing(&self) -> Option<&Preprocessing> {
                (**self).preprocessing()
            }

            fn classify(&self, dense: Tensor<2>) -> Result<Tensor<2>> {
                (**self).classify(dense)
            }

            fn classify_pixels(&self, dense: Tensor<4>) -> Result<Tensor<4>> {
                (**self).classify_pixels(dense)
            }

            fn parameters(&self) -> Option<u64> {
                (**self).parameters()
            }

            fn stage_tensors(&self, stage: usize) -> Option<Tensors> {
                (**self).stage_tensors(stage)
            }
        }
    )*};
}

forward_to_the_teacher!(&T, Box<T>, std::rc::Rc<T>, std::sync::Arc<T>);
