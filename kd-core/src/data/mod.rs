//! Data sets: what they are, how they are read, where they are found.

mod camvid;
mod catalogue;
mod cifar;
mod dataset;
mod folder;
mod idx;
mod info;
mod masks;
mod mat;
mod mini;
mod parallel;
mod published;
mod roots;
mod shape;
mod source;
mod split;
mod statistics;
mod stream;
mod subset;
mod svhn;
mod task;

pub use camvid::read_camvid;
pub use cifar::{CifarLabels, read_cifar10, read_cifar100};
pub use dataset::Dataset;
pub use folder::{ImageFit, ImageFolder, class_folders, write_image_folder};
pub use idx::{read_idx, write_idx};
pub use info::DatasetInfo;
pub use masks::Masks;
pub use roots::DataRoots;
pub use shape::ImageShape;
pub use source::DataSource;
pub use split::Split;
pub use subset::Subset;
pub use svhn::read_svhn;
pub use task::Task;
