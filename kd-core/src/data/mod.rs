//! Data sets: what they are, how they are read, where they are found.

mod catalogue;
mod cifar;
mod dataset;
mod idx;
mod info;
mod mini;
mod roots;
mod shape;
mod split;
mod stream;
mod subset;

pub use cifar::{CifarLabels, read_cifar10, read_cifar100};
pub use dataset::Dataset;
pub use idx::read_idx;
pub use info::DatasetInfo;
pub use roots::DataRoots;
pub use shape::ImageShape;
pub use split::Split;
pub use subset::Subset;
