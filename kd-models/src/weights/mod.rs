//! Weights: read from files of any kind, and loaded into a network.
//!
//! | file | holds |
//! |---|---|
//! | `format` | which kind of file it is, by its first bytes |
//! | `archive`, `legacy` | the two formats of `torch.save` |
//! | `sharded` | safetensors in several files |
//! | `unpickle`, `callable`, `value`, `element`, `gather` | pickles, read without running anything |
//! | `choice`, `rename` | which of the tensors of a file are meant, and what they are called |
//! | `report`, `fit` | tensors against a network |
//! | `source` | reading within the bounds of a file |

mod archive;
mod callable;
mod choice;
mod element;
mod fit;
mod format;
mod gather;
mod legacy;
mod rename;
mod report;
mod sharded;
mod source;
mod unpickle;
mod value;

use std::path::{Path, PathBuf};

use kd_core::{Result, Tensors, hash_tensors, read_tensors};

pub use choice::WeightChoice;
pub use fit::WeightFit;
pub use format::WeightFormat;
pub(crate) use report::{BATCH_COUNTER, is_counter};
pub use report::{LoadReport, ShapeDifference};

use crate::model_config::{ModelConfig, read_description};
use crate::model_folder::WEIGHTS_FILE;

/// The tensors of a weight file, in PyTorch's names and layouts, on the host.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::{Names, export, write_tensors};
/// use kd_models::{Network, NetworkSpec, WeightFit, Weights};
///
/// let spec = NetworkSpec::new("resnet8", 10, [3, 32, 32]);
/// let trained = Network::build(&spec, 7, &Device::flex())?;
/// let path = std::env::temp_dir().join("kd-weights-example.safetensors");
/// write_tensors(&path, &export(&trained, Names::PyTorch))?;
///
/// let weights = Weights::read(&path)?;
/// let (network, report) = weights.load_into(&Network::build(&spec, 0, &Device::flex())?, WeightFit::Exact)?;
/// assert!(report.is_exact());
/// assert_eq!(export(&network, Names::PyTorch), export(&trained, Names::PyTorch));
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Weights {
    /// The file or folder that they were read from.
    pub path: PathBuf,
    /// The kind of file.
    pub format: WeightFormat,
    /// The tensors by name, as the file has them, without wrappers such as `module.` before the names and
    /// without the `num_batches_tracked` of PyTorch's batch norms.
    pub tensors: Tensors,
    /// Remarks on what was chosen, removed and ignored in reading, a sentence each.
    pub remarks: Vec<String>,
    /// The description beside the weights, if they are those of a model folder.
    pub config: Option<ModelConfig>,
}

impl Weights {
    /// Reads a weight file of any kind, which is told by its content and not by its name.
    ///
    /// * a model folder, as [`crate::save_model`] writes it;
    /// * a safetensors file, any floating point or integer type;
    /// * a folder of Hugging Face's with `model.safetensors`, or with `model.safetensors.index.json` and the
    ///   files that it names;
    /// * a PyTorch file (`.pt`, `.pth`, `.tar`), as `torch.save` writes it now or wrote it before version
    ///   1.6, with a state dictionary at its top or under a key; parameters, views, shared and non-contiguous
    ///   tensors of any type.
    ///
    /// Nothing that is in a file is ever run: a pickle that names a callable other than the few of PyTorch
    /// that make tensors is refused. No more is allocated than the file's own size accounts for. The members
    /// of a PyTorch archive are compared with their checksums; safetensors and older PyTorch files have none,
    /// so that a changed number in them goes unseen.
    ///
    /// # Errors
    ///
    /// [`kd_core::Error::Io`] if the file cannot be read, [`kd_core::Error::BadFile`] if it is damaged or
    /// would run code, [`kd_core::Error::Input`] if it is of a kind that is not read here or holds several
    /// state dictionaries.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_chosen(path, &WeightChoice::default())
    }

    /// As [`Weights::read`], of a file that holds more than one network.
    ///
    /// # Errors
    ///
    /// As [`Weights::read`], and [`kd_core::Error::UnknownName`] for a key that the file does not have.
    pub fn read_chosen(path: &Path, choice: &WeightChoice) -> Result<Self> {
        let (format, length) = WeightFormat::detect(path)?;
        if let Some(key) = choice.key.as_ref().filter(|_| !format.has_keys()) {
            return Err(kd_core::Error::config(
                "key",
                format!(
                    "is `{key}`, and `{}` ({format}) has no keys; leave it out",
                    path.display()
                ),
            ));
        }
        let mut config = None;
        let (tensors, mut remarks) = match format {
            WeightFormat::ModelFolder => {
                config = Some(read_description(path)?);
                (read_tensors(&path.join(WEIGHTS_FILE))?, Vec::new())
            }
            WeightFormat::Safetensors => (read_tensors(path)?, Vec::new()),
            WeightFormat::SafetensorsFolder => {
                (read_tensors(&path.join(WEIGHTS_FILE))?, Vec::new())
            }
            WeightFormat::Sharded => (sharded::read(path)?, Vec::new()),
            WeightFormat::PytorchZip => {
                let (tensors, chosen) = archive::read(path, length, choice)?;
                (tensors, chosen.remarks)
            }
            WeightFormat::PytorchLegacy => {
                let (tensors, chosen) = legacy::read(path, length, choice)?;
                (tensors, chosen.remarks)
            }
        };
        let mut tensors = choice::rename(tensors, choice, path, &mut remarks)?;
        tensors.retain(|name, _| !is_counter(name));
        Ok(Self {
            path: path.to_owned(),
            format,
            tensors,
            remarks,
            config,
        })
    }

    /// The SHA-256 of names, types, shapes and numbers, in hexadecimal.
    pub fn hash(&self) -> String {
        hash_tensors(&self.tensors)
    }
}
