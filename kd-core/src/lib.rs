#![doc = include_str!("../README.md")]

mod cache;
mod counted_work;
mod data;
mod device;
mod draws;
mod error;
mod finding;
mod interruption;
mod loader;
mod memory;
mod metrics;
mod network;
mod quiet_panic;
#[cfg(feature = "schema")]
mod schema;
mod sealed;
mod settings_over;
mod suggest;
mod teacher;
#[cfg(feature = "testing")]
pub mod testing;
mod training;
mod views;

pub use counted_work::{CountedWork, listening, tell_counted};
pub use device::DeviceName;
pub use draws::Draws;
pub use error::{Error, ErrorKind, Result};
pub use finding::{Finding, Grade, Topic};
pub use interruption::interruptible;
pub use memory::{check_memory, meminfo, memory_limit};
pub use quiet_panic::catch_quietly;
pub use sealed::{from_sealed_json, to_sealed_json};
pub use settings_over::{InnerTables, settings_of, settings_over};
pub use suggest::nearest;

#[cfg(feature = "schema")]
pub use schema::settings_schema;

pub use network::change::change_parameters;
pub use network::cost::{Cost, Costs, CountCosts, LayerCost, LayerKind, count_parameters};
pub use network::frozen::{Frozen, network_hash};
pub use network::head::AffineHead;
pub use network::initialise::{Scheme, initialise, initialise_parts};
pub use network::large_file::{CountedFile, FileProgress};
pub use network::normalisation::Normalisation;
pub use network::output::{NetworkOutput, Output};
pub use network::preprocessing::{NetworkInput, Preprocessing};
pub use network::rows::Rows;
pub use network::staged::{StagedNetwork, Trace};
pub use network::task_network::{Classifier, ImageClassifier, TaskNetwork};
pub use network::tensor_files::{read_tensors, write_atomically, write_folder, write_tensors};
pub use network::tensor_order::{NamedTensor, tensor_order};
pub use network::tensors::{
    Names, Tensors, check_finite, count_norms, detached_copy, export, hash_tensors, import,
    import_owned, non_finite, tensor_shapes,
};
pub use network::tokenizer_file::TokenizerFile;

pub use data::{
    CifarLabels, Contents, DataFiles, DataRoots, DataSource, Dataset, DatasetInfo, ImageFit,
    ImageFolder, ImageShape, MaskClass, MaskFolder, MaskSurvey, MaskValue, Masks, SampleKind,
    Split, StretchedImages, Subset, Task, Tokens, ValuedClass, class_folders, image_size,
    is_image_path, read_camvid, read_cifar10, read_cifar100, read_cinic10, read_idx, read_images,
    read_stretched, read_svhn, sample_findings, write_idx, write_image_folder, write_mask,
};
pub use loader::{Batch, BatchSource, Epoch, FEW, Loader, LoaderConfig, Samples};
pub use views::{Augment, ViewParams, ViewPolicy};

pub use cache::{
    Cache, CacheDescription, CacheDtype, CacheField, CacheReader, CacheWriter, CachedData, Store,
    StoreBuild, StoreRows, build_cache, partial_path, store_bytes,
};
pub use teacher::answer::{Answer, DENSE_TAP, Requested};
pub use teacher::cache_config::CacheConfig;
pub use teacher::cache_request::CacheRequest;
pub use teacher::cached::{CachedTeacher, KeptAnswers, OUTPUT_FIELD};
pub use teacher::contract::Teacher;
pub use teacher::frozen::{FrozenTeacher, stage_tensors};
pub use teacher::missing::MissingTeacher;
pub use teacher::resized::ResizedTeacher;

pub use training::class_weights::{ClassWeights, NamedWeights};
pub use training::epoch_log::EpochLog;
pub use training::method::Method;
pub use training::observer::Observer;
pub use training::optim::{NamedGradients, Optimizer, OptimizerConfig};
pub use training::outcome::{Best, PhaseOutcome, Snapshot};
pub use training::phase::{LossTerms, Metrics, Phase, StepContext};
pub use training::phase_state::PhaseState;
pub use training::plan::{Plan, Selection};
pub use training::run_folder::RunFolder;
pub use training::runner::Runner;
pub use training::schedule::{LearningRate, Schedule};
pub use training::sequence::Sequence;
pub use training::settings::Training;
pub use training::trained::Trained;

pub use metrics::{
    ClassificationMetrics, ClassificationSummary, ConfusionMatrix, Latency, SegmentationMetrics,
    SegmentationSummary, TeacherComparison, evaluate, evaluate_segmentation,
};
