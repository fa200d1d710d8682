//! The errors of the crate: inputs that a loss cannot be computed from.

use burn::tensor::DType;
use core::fmt;

/// The result of a loss or of making one.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// An error in the inputs of a loss: its cause, its place, and the remedy.
///
/// Every check is made on shapes, dtypes and constants, which are known without asking the device;
/// values inside the tensors (a target out of range, a NaN) are not looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A constant is outside its range.
    #[error("`{name}` must be {range}, got {value}; {advice}")]
    OutOfRange {
        /// The argument or the field of the config.
        name: &'static str,
        /// The allowed range in words.
        range: &'static str,
        /// The value given.
        value: f64,
        /// The value in common use.
        advice: &'static str,
    },

    /// A tensor has no elements, so a mean over it is undefined.
    #[error("`{loss}`: `{name}` {shape:?} has no elements; skip empty batches")]
    Empty {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// Two tensors that belong together have different sizes along an axis.
    #[error(
        "`{loss}`: `{left}` {left_shape:?} and `{right}` {right_shape:?} differ in {axis}; {}",
        axis.advice()
    )]
    UnequalShapes {
        /// The loss that was called.
        loss: &'static str,
        /// The axis along which the shapes differ.
        axis: Axis,
        /// The first argument.
        left: &'static str,
        /// Its shape.
        left_shape: Vec<usize>,
        /// The second argument.
        right: &'static str,
        /// Its shape.
        right_shape: Vec<usize>,
    },

    /// A feature map does not have the number of channels the regressor was made for.
    #[error(
        "`{loss}`: `{name}` {shape:?} has {} channels, but the regressor was made for {expected}; \
         give `RegressorConfig` the widths of the two taps",
        shape[1]
    )]
    UnexpectedChannels {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Its shape, `[batch_size, channels, height, width]`.
        shape: [usize; 4],
        /// The number of channels in the config of the regressor.
        expected: usize,
    },

    /// A module was made for another number of channels or features.
    #[error(
        "`{loss}`: `{name}` {shape:?} has a width of {}, but the module was made for {expected}; \
         make it with the widths of the taps",
        shape[1]
    )]
    UnexpectedWidth {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// The width that the module was made for.
        expected: usize,
    },

    /// A list, or a vector, has another number of entries than there are channels.
    #[error(
        "`{loss}`: `{name}` has {found} entries, but there are {channels} channels; \
         give one for each channel of the teacher's map"
    )]
    NotOneForEachChannel {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Entries that were given.
        found: usize,
        /// Channels that there are.
        channels: usize,
    },

    /// A list has another number of entries than it should.
    #[error("`{loss}`: `{name}` has {found} entries, expected {expected}; give one for each tap")]
    UnexpectedCount {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Entries in the list.
        found: usize,
        /// Entries that were expected.
        expected: usize,
    },

    /// A loss compares samples with each other and needs more of them.
    #[error("`{loss}`: a batch of {found} is too small, at least {needed} are needed; {advice}")]
    TooFewSamples {
        /// The loss that was called.
        loss: &'static str,
        /// Samples in the batch.
        found: usize,
        /// Samples that are needed.
        needed: usize,
        /// The remedy.
        advice: &'static str,
    },

    /// A loss sets the label against the other classes, and there are none.
    #[error(
        "`{loss}`: `{name}` {shape:?} has {} class, at least 2 are needed; \
         give the output of a classifier",
        shape[1]
    )]
    TooFewClasses {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Its shape, `[batch_size, num_classes]`.
        shape: [usize; 2],
    },

    /// A loss was made for batches of another size.
    #[error(
        "`{loss}`: a batch of {found}, but the loss was made for batches of {expected}; \
         leave out the last batch of an epoch where it is smaller"
    )]
    UnexpectedBatch {
        /// The loss that was called.
        loss: &'static str,
        /// Samples in the batch.
        found: usize,
        /// The batch size that `init` was given.
        expected: usize,
    },

    /// A sample has no row in a memory.
    #[error(
        "`{loss}`: there is no sample {id} in a memory of {num_samples}; \
         give the positions of the samples in the training set, from 0"
    )]
    UnknownSample {
        /// The loss that was called.
        loss: &'static str,
        /// The sample that was asked for.
        id: usize,
        /// Samples that the memory was made for.
        num_samples: usize,
    },

    /// A contrastive loss has nothing to compare with.
    #[error("`{loss}`: there are no negatives: {reason}")]
    NoNegatives {
        /// The loss that was called.
        loss: &'static str,
        /// The reason.
        reason: &'static str,
    },

    /// The stored state of a loss does not fit it.
    #[error(
        "`{loss}`: `{name}` {problem}; restore the state of a loss that was made with the same config and \
         data"
    )]
    WrongState {
        /// The loss that was called.
        loss: &'static str,
        /// The entry of the state.
        name: String,
        /// The problem.
        problem: String,
    },

    /// Two tensors that belong together have different element types.
    #[error(
        "`{loss}`: `{left}` is {left_dtype:?}, `{right}` is {right_dtype:?}; \
         cast the teacher's tensor to the student's dtype"
    )]
    UnequalDtypes {
        /// The loss that was called.
        loss: &'static str,
        /// The first argument.
        left: &'static str,
        /// Its element type.
        left_dtype: DType,
        /// The second argument.
        right: &'static str,
        /// Its element type.
        right_dtype: DType,
    },

    /// Two tensors that belong together live on different hardware.
    #[error(
        "`{loss}`: `{left}` is on {left_device}, `{right}` is on {right_device}; \
         move both to one device"
    )]
    UnequalDevices {
        /// The loss that was called.
        loss: &'static str,
        /// The first argument.
        left: &'static str,
        /// Its device, as Burn writes it.
        left_device: String,
        /// The second argument.
        right: &'static str,
        /// Its device, as Burn writes it.
        right_device: String,
    },

    /// A list has fewer entries than a loss needs.
    #[error("`{loss}`: `{name}` has {found} entries, at least {needed} are needed; {advice}")]
    TooFewEntries {
        /// The loss that was called.
        loss: &'static str,
        /// The argument.
        name: &'static str,
        /// Entries in the list.
        found: usize,
        /// Entries that are needed.
        needed: usize,
        /// The remedy.
        advice: &'static str,
    },

    /// Two tensors that should be alike differ in shape, dtype or device.
    #[error("`{loss}`: {left} and {right} differ in {what}; {advice}")]
    Unlike {
        /// The loss that was called.
        loss: &'static str,
        /// The property in which they differ.
        what: &'static str,
        /// The first tensor and what it has.
        left: String,
        /// The other tensor and what it has.
        right: String,
        /// The remedy.
        advice: &'static str,
    },

    /// A weighted sum has no terms.
    #[error("a weighted sum has no terms; add one at least")]
    NoTerms,

    /// Two terms of a weighted sum have one name.
    #[error("a weighted sum has two terms called `{name}`; give each a name of its own")]
    EqualTerms {
        /// The name.
        name: String,
    },

    /// The weight of a term is not finite.
    #[error("the weight of the term `{name}` must be finite, got {weight}; 0 turns a term off")]
    WeightOfTerm {
        /// The term.
        name: String,
        /// The value given.
        weight: f64,
    },

    /// The value of a term is not one number.
    #[error(
        "the term `{name}` {shape:?} is not one number; reduce it to `[1]`, for example by its mean"
    )]
    NotOneNumber {
        /// The term.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// Two terms of a weighted sum cannot be added.
    #[error(
        "the terms `{left}` ({left_has}) and `{right}` ({right_has}) differ in {what}; bring all terms to one"
    )]
    UnlikeTerms {
        /// The property in which they differ.
        what: &'static str,
        /// The first term.
        left: String,
        /// Its dtype or device.
        left_has: String,
        /// The other term.
        right: String,
        /// Its dtype or device.
        right_has: String,
    },
}

/// The axis along which two shapes were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Axis {
    /// The number of samples.
    Batch,
    /// The number of classes.
    Classes,
    /// The number of channels of a feature map.
    Channels,
    /// The number of features of a dense representation.
    Features,
    /// Height or width of a feature map.
    MapSize,
}

impl Axis {
    fn advice(self) -> &'static str {
        match self {
            Self::Batch => "take both from the same batch",
            Self::Classes => "give teacher and student the same classes in the same order",
            Self::Features => "bring the student to the teacher's width with an adapter",
            Self::Channels => "bring the student to the teacher's width with a `Regressor`",
            Self::MapSize => "tap layers of one map size, or pool the larger map first",
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batch => "batch size",
            Self::Classes => "number of classes",
            Self::Channels => "channels",
            Self::Features => "number of features",
            Self::MapSize => "height or width",
        })
    }
}
