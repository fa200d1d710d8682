//! The data set that is part of this crate: a balanced part of Fashion-MNIST, 500 + 200 images a class.
//!
//! It is embedded so that an installed `kd` has something real to train on without a file or a network. Its
//! licence (MIT) and where it comes from are beside the files in `data/fashion-mnist-mini`.

use crate::data::dataset::Dataset;
use crate::data::idx::read_streams;
use crate::data::published::Published;
use crate::data::split::Split;
use crate::data::stream::Stream;
use crate::error::Result;

macro_rules! embedded {
    ($file:literal) => {
        (
            concat!("fashion-mnist-mini/", $file),
            include_bytes!(concat!("../../data/fashion-mnist-mini/", $file)).as_slice(),
        )
    };
}

/// Decodes one split; it has none to validate on.
pub(super) fn read(name: &str, split: Split, classes: usize) -> Result<Dataset> {
    let (images, labels) = match split {
        Split::Train => (
            embedded!("train-images-idx3-ubyte.gz"),
            embedded!("train-labels-idx1-ubyte.gz"),
        ),
        Split::Validation | Split::Test => (
            embedded!("t10k-images-idx3-ubyte.gz"),
            embedded!("t10k-labels-idx1-ubyte.gz"),
        ),
    };
    let images = Stream::embedded(images.0, images.1)?;
    read_streams(
        name.to_owned(),
        split,
        classes,
        images,
        Stream::embedded(labels.0, labels.1)?,
        Published::default(),
    )
}
