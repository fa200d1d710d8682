//! Data sets, their files and formats, and the folders that they are found in.

mod broken;
pub(crate) mod camvid;
pub(crate) mod catalogue;
pub(crate) mod checksums;
pub(crate) mod cifar;
mod cifar_pickle;
pub(crate) mod cinic;
pub(crate) mod dataset;
pub(crate) mod findings;
pub(crate) mod folder;
pub(crate) mod idx;
pub(crate) mod info;
pub(crate) mod kind;
pub(crate) mod mask_folder;
pub(crate) mod masks;
pub(crate) mod mat;
pub(crate) mod mini;
pub(crate) mod parallel;
pub(crate) mod published;
pub(crate) mod roots;
pub(crate) mod shape;
pub(crate) mod source;
pub(crate) mod split;
pub(crate) mod statistics;
pub(crate) mod stream;
pub(crate) mod subset;
pub(crate) mod svhn;
pub(crate) mod task;
pub(crate) mod tokens;

pub use camvid::read_camvid;
pub use checksums::Contents;
pub use cifar::{CifarLabels, read_cifar10, read_cifar100};
pub use cinic::read_cinic10;
pub use dataset::Dataset;
pub use findings::sample_findings;
pub use folder::{
    ImageFit, ImageFolder, StretchedImages, class_folders, image_size, is_image_path, read_images,
    read_stretched, write_image_folder, write_mask,
};
pub use idx::{read_idx, write_idx};
pub use info::DatasetInfo;
pub use kind::SampleKind;
pub use mask_folder::{MaskClass, MaskFolder, MaskSurvey, MaskValue, ValuedClass};
pub use masks::Masks;
pub use roots::DataRoots;
pub use shape::ImageShape;
pub use source::{DataFiles, DataSource};
pub use split::Split;
pub use subset::Subset;
pub use svhn::read_svhn;
pub use task::Task;
pub use tokens::Tokens;
