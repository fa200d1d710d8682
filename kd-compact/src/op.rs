//! Nodes of a [`Graph`](crate::Graph): what each does, and with which tensors.

use crate::function::Function;

/// A convolution of a [`Graph`](crate::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Output channels.
    pub width: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// The stride in both directions.
    pub stride: usize,
    /// Pixels of zeros above and below, and on the left and the right.
    pub padding: [usize; 2],
    /// Groups of channels that do not mix: 1, or as many as there are input channels.
    pub groups: usize,
    /// Whether it has a bias.
    pub bias: bool,
}

impl ConvShape {
    /// A square convolution without bias that keeps the size.
    pub fn square(width: usize, kernel: usize) -> Self {
        Self {
            width,
            kernel: [kernel, kernel],
            stride: 1,
            padding: [kernel / 2, kernel / 2],
            groups: 1,
            bias: false,
        }
    }

    /// A depthwise convolution of so many channels.
    pub fn depthwise(width: usize, kernel: usize) -> Self {
        Self {
            groups: width,
            ..Self::square(width, kernel)
        }
    }

    /// With this stride.
    #[must_use]
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// With a bias.
    #[must_use]
    pub fn with_bias(mut self) -> Self {
        self.bias = true;
        self
    }
}

/// How maps of one shape become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    Sum,
    Difference,
    Product,
}

/// Where a channel that is moved comes from: an input of the node and a channel of it; none is a channel of
/// zeros.
pub(crate) type Origin = Option<(usize, usize)>;

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    Input,
    Conv {
        path: String,
        shape: ConvShape,
    },
    Norm {
        path: String,
    },
    Each(Function),
    /// Something within each channel that makes `c` times the factor of a constant `c`; where there is none,
    /// only of 0 is known what becomes of it.
    Pool(Option<f64>),
    Join(Join),
    /// Channels in other places.
    Move(Vec<Origin>),
    Pad {
        path: String,
        padding: [usize; 2],
    },
    Linear {
        path: String,
        bias: bool,
    },
    /// An operation of which nothing is known, with the names and shapes of the tensors that it alone reads.
    Unknown {
        name: String,
        tensors: Vec<(String, Vec<usize>)>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<usize>,
    pub(crate) block: String,
    /// Channels, height, width; features and 1 by 1 after a flattening.
    pub(crate) shape: [usize; 3],
}

impl Op {
    /// The path of a layer.
    pub(crate) fn path(&self) -> Option<&str> {
        match self {
            Self::Conv { path, .. }
            | Self::Norm { path }
            | Self::Pad { path, .. }
            | Self::Linear { path, .. } => Some(path),
            _ => None,
        }
    }
}
