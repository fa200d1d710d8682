//! Data sets, their files, views and batches.

/// CamVid: images, masks, sizes, splits.
mod camvid;
/// CINIC-10: splits and classes as folders.
mod cinic;
/// Damaged and cut-off files.
mod damaged;
/// Folders of images.
mod folder;
/// IDX and CIFAR files.
mod formats;
/// Batches: order, residency, threads.
mod loader;
/// Finding the files of a data set.
mod lookup;
/// Images and masks of one's own.
mod mask_folder;
/// Masks on the way through subsets and batches.
mod masks;
/// The published files, where they are.
mod real;
/// Data sets and subsets.
mod sets;
/// MATLAB files of SVHN.
mod svhn;
/// Texts as token ids.
mod texts;
/// Views: augmentation and its draws.
mod views;
/// Folders and IDX files that kd writes.
mod written;
