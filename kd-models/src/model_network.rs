//! What networks that go by a name have in common, whatever they say of an image.

use burn::tensor::Device;
use kd_core::{CountCosts, Result, StagedNetwork};

use crate::known::{NetworkSpec, NetworkTask};
use crate::network::Network;

/// A type of networks that are built by name and kept in model folders: [`Network`] and [`UNet`](crate::UNet).
///
/// All names stand in one table ([`known_networks`](crate::known_networks)), which says for each whether a [`Network`] or a
/// [`UNet`](crate::UNet) is built of it. They are two types because their outputs are: logits of an image and logits of
/// each of its pixels.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::{Normalisation, Result};
/// use kd_models::{
///     ModelConfig, ModelNetwork, Network, NetworkSpec, UNet, load_model_as, save_model,
/// };
///
/// fn kept<N: ModelNetwork>(spec: NetworkSpec, folder: &std::path::Path) -> Result<N> {
///     let network = N::build(&spec, 0, &Device::flex())?;
///     save_model(folder, &network, &ModelConfig::new(spec, Normalisation::identity(3)))?;
///     Ok(load_model_as(folder, &Device::flex())?.0)
/// }
///
/// let folder = std::env::temp_dir().join("kd-models-any-task");
/// kept::<Network>(NetworkSpec::new("resnet8", 10, [3, 32, 32]), &folder.join("classifier"))?;
/// let spec = NetworkSpec::new("skd-unet-small-resnet10", 12, [3, 32, 32]);
/// kept::<UNet>(spec.clone(), &folder.join("unet"))?;
/// let error = kept::<Network>(spec, &folder.join("other")).unwrap_err();
/// assert!(error.to_string().contains("a segmentation network"));
/// # Ok::<(), kd_core::Error>(())
/// ```
pub trait ModelNetwork: StagedNetwork + CountCosts {
    /// Which of the known networks are of this type.
    const TASK: NetworkTask;

    /// The network of `spec` with all weights zero, to be filled or counted.
    ///
    /// Nothing is drawn and the weights take up no memory before they are looked at.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check_for`] with [`Self::TASK`].
    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self>;

    /// The network of `spec` with initial weights that are a function of `seed` and the path of each tensor alone.
    ///
    /// Give an autodiff device (`device.autodiff()`) for a network that is to be trained, a plain one for one that is to
    /// be used.
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check_for`] with [`Self::TASK`].
    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self>;
}

impl ModelNetwork for Network {
    const TASK: NetworkTask = NetworkTask::Classification;

    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self> {
        Self::blank(spec, device)
    }

    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self> {
        Self::build(spec, seed, device)
    }
}
