//! Who is learnt from: a classifier that never changes, and through which images learn.

use std::fmt;

use burn::tensor::{Device, Tensor};
use kd_core::{
    Error, Frozen, ImageClassifier, ImageShape, Normalisation, Result, count_norms, network_hash,
};
use kd_kernels::{NormInput, watch_norms};

/// What a teacher says of images, and what was seen inside it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// `[batch_size, num_classes]`.
    pub logits: Tensor<2>,
    /// What goes into the head, `[batch_size, features]`.
    pub dense: Tensor<2>,
    /// The map of each stage, `[batch_size, channels, height, width]`.
    pub maps: Vec<Tensor<4>>,
    /// What went into each batch norm.
    pub norms: Vec<NormInput>,
}

/// A classifier that never changes. Gradients pass through it to the images.
///
/// It is object-safe, so that teacher and student may be of different types; [`FrozenClassifier`] makes one of any classifier.
/// What it learnt from is never asked for.
pub trait ImageTeacher: fmt::Debug {
    /// Everything there is to see on the way through the teacher.
    ///
    /// # Shapes
    ///
    /// `input`: `[batch_size, channels, height, width]` *after* the teacher's normalisation, on either form of the device.
    fn look(&self, input: Tensor<4>) -> Seen;

    /// The shape of its images.
    fn image(&self) -> ImageShape;

    /// The number of its classes.
    fn classes(&self) -> usize;

    /// What pixels in `[0, 1]` are normalised with before they go in.
    fn normalisation(&self) -> &Normalisation;

    /// How many batch norms [`Seen::norms`] shows; 0 for a teacher without.
    fn norms(&self) -> usize;

    /// How many of the first [`Seen::maps`] are of a stem: methods that compare stages, as their codes hook them, leave those out. By default
    /// none.
    fn stem(&self) -> usize {
        0
    }

    /// The SHA-256 of what it is: weights, running statistics, normalisation.
    fn hash(&self) -> String;
}

/// A frozen classifier as it was trained, its batch norms where they were.
#[derive(Debug)]
pub struct FrozenClassifier<N> {
    network: Frozen<N>,
    normalisation: Normalisation,
    image: ImageShape,
    classes: usize,
    norms: usize,
    hash: String,
}

impl<N: ImageClassifier> FrozenClassifier<N> {
    /// A frozen copy of `network`, which takes images of shape `image`, moved to the plain form of `device`.
    ///
    /// One black image goes through it.
    ///
    /// # Errors
    ///
    /// If the normalisation is not one of so many channels, and [`Error::Config`] if the network has batch norms that it does not
    /// run by [`batch_norm`](kd_kernels::batch_norm).
    pub fn new(
        network: &N,
        normalisation: Normalisation,
        image: ImageShape,
        device: &Device,
    ) -> Result<Self> {
        let hash = network_hash(network, &normalisation);
        let plain = device.clone().inner();
        let held = count_norms(network);
        let network = Frozen::new(&network.valid().to_device(&plain));
        let ImageShape {
            channels,
            height,
            width,
        } = image;
        let black = normalisation.apply(Tensor::zeros([1, channels, height, width], &plain))?;
        let (logits, norms) = watch_norms(|| network.network().forward(&black));
        if norms.len() < held {
            let problem = format!(
                "has {held} batch norms, of which {} can be seen; run them by `kd_kernels::batch_norm`",
                norms.len()
            );
            return Err(Error::config("teacher", problem));
        }
        Ok(Self {
            network,
            normalisation,
            image,
            classes: logits.dims()[1],
            norms: norms.len(),
            hash,
        })
    }

    /// The network as it is asked.
    pub fn network(&self) -> &N {
        self.network.network()
    }
}

impl<N: ImageClassifier> ImageTeacher for FrozenClassifier<N> {
    fn look(&self, input: Tensor<4>) -> Seen {
        let (trace, norms) = watch_norms(|| self.network().forward_traced(&input));
        Seen {
            logits: trace.output,
            dense: trace.dense,
            maps: trace.maps,
            norms,
        }
    }

    fn image(&self) -> ImageShape {
        self.image
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn normalisation(&self) -> &Normalisation {
        &self.normalisation
    }

    fn norms(&self) -> usize {
        self.norms
    }

    fn stem(&self) -> usize {
        stem(self.network())
    }

    fn hash(&self) -> String {
        self.hash.clone()
    }
}

/// How many stages stand before the first that methods count: 1 where the first is called `stem`.
pub(crate) fn stem<N: ImageClassifier>(network: &N) -> usize {
    let names = network.stage_names();
    usize::from(names.len() > 1 && names[0] == "stem")
}
