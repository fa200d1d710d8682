//! Files: model folders, their structures and families, and weight files of any kind.
#![expect(clippy::unwrap_used, reason = "tests")]

mod brought;
mod damaged_weights;
mod ensemble;
mod families;
mod model_folder;
mod narrow;
#[cfg(feature = "onnx")]
mod onnx;

mod pickles;
mod structures;
mod trained_model;
mod unet;
mod weights;
