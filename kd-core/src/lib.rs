#![doc = include_str!("../README.md")]

mod cache;
mod cost;
mod data;
mod device;
mod epoch_log;
mod error;
mod evaluate;
mod initialise;
mod loader;
mod metrics;
mod network;
mod normalise;
mod optim;
mod phase;
mod random;
mod recipe;
mod run;
mod runner;
mod schedule;
mod state;
mod suggest;
mod training;
mod views;

pub use cache::{
    Cache, CacheDescription, CacheDtype, CacheField, CacheReader, CacheWriter, CachedData,
    build_cache, partial_path,
};
pub use cost::{Cost, Costs, CountCosts, LayerCost, LayerKind, count_parameters};
pub use device::DeviceName;
pub use error::{Error, ErrorKind, Result};
pub use evaluate::{evaluate, evaluate_segmentation};
pub use initialise::{Scheme, initialise, initialise_parts};
pub use metrics::{
    ClassificationMetrics, ClassificationSummary, ConfusionMatrix, SegmentationMetrics,
    SegmentationSummary, TeacherComparison,
};
pub use network::{Frozen, ImageClassifier, StagedNetwork, Trace, network_hash};
pub use normalise::Normalisation;
pub use random::Draws;
pub use state::{
    Names, Tensors, count_norms, detached_copy, export, hash_tensors, import, read_tensors,
    tensor_shapes, write_atomically, write_folder, write_tensors,
};
pub use suggest::nearest;

pub use epoch_log::EpochLog;
pub use optim::{NamedGradients, Optimizer, OptimizerConfig};
pub use phase::{LossTerms, Method, Metrics, Phase, PhaseState, Plan, Selection, StepContext};
pub use recipe::read_recipe;
pub use run::{Best, Kept, PhaseOutcome, RunFolder};
pub use runner::{Observer, Runner};
pub use schedule::{LearningRate, Schedule};
pub use training::Training;

pub use data::{
    CifarLabels, DataRoots, DataSource, Dataset, DatasetInfo, ImageFit, ImageFolder, ImageShape,
    Masks, Split, Subset, Task, class_folders, read_camvid, read_cifar10, read_cifar100, read_idx,
    read_svhn, write_idx, write_image_folder,
};
pub use loader::{Batch, Epoch, Loader, LoaderConfig};
pub use views::{Augment, ViewParams, ViewPolicy};
