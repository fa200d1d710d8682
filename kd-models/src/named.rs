//! Types of networks that are built from a spec and kept in model folders.

use burn::tensor::Device;
use kd_core::{
    CountCosts, Error, NetworkInput, NetworkOutput, Result, SampleKind, Task, TaskNetwork,
};

use crate::spec::NetworkSpec;

/// A type of networks that are built from a spec and kept in model folders: [`Network`](crate::Network) and
/// [`UNet`](crate::UNet), or a type of your own.
///
/// [`Network`](crate::Network) and [`UNet`](crate::UNet) are two types because their outputs are: logits of
/// an image and logits of each of its pixels. [`Families`](crate::Families) shows how another crate brings a
/// type.
///
/// # Examples
///
/// ```
/// use burn::tensor::Device;
/// use kd_core::{Normalisation, Result};
/// use kd_models::{
///     ModelConfig, ModelNetwork, Network, NetworkSpec, UNet, load_model, save_model,
/// };
///
/// fn kept<N: ModelNetwork>(spec: NetworkSpec, folder: &std::path::Path) -> Result<N> {
///     let network = N::build(&spec, 0, &Device::flex())?;
///     save_model(folder, &network, &ModelConfig::new(spec, Normalisation::identity(3)))?;
///     Ok(load_model(folder, &Device::flex())?.0)
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
pub trait ModelNetwork: TaskNetwork + CountCosts + 'static {
    /// The families of the structures that networks of this type are built of. No two types share one.
    const FAMILIES: &'static [&'static str];
    /// The task, which the type of the output tells.
    const TASK: Task = <Self::Output as NetworkOutput>::TASK;

    /// The network of `spec` with all weights zero, to be filled or counted.
    ///
    /// Nothing is drawn and the weights take up no memory before they are read. A spec may come from a
    /// damaged file: check widths and depths against bounds before anything is made of them, as kd-models
    /// does of its own.
    ///
    /// # Errors
    ///
    /// As [`check_spec`](Self::check_spec).
    fn blank(spec: &NetworkSpec, device: &Device) -> Result<Self>;

    /// The network of `spec` with initial weights that are a function of `seed` and the path of each tensor
    /// alone ([`kd_core::initialise`]).
    ///
    /// Give an autodiff device (`device.autodiff()`) for a network that is to be trained, a plain one for one
    /// that is to be used.
    ///
    /// # Errors
    ///
    /// As [`check_spec`](Self::check_spec).
    fn build(spec: &NetworkSpec, seed: u64, device: &Device) -> Result<Self>;

    /// As [`NetworkSpec::check`], and that the network of `spec` is of this type.
    ///
    /// ```
    /// use kd_models::{ModelNetwork, Network, NetworkSpec, UNet};
    ///
    /// let spec = NetworkSpec::new("skd-unet-resnet10", 12, [3, 480, 640]);
    /// assert!(UNet::check_spec(&spec).is_ok());
    /// let error = Network::check_spec(&spec).unwrap_err();
    /// assert!(error.to_string().starts_with("`name` is `skd-unet-resnet10`, a segmentation network"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`NetworkSpec::check`], and [`Error::Config`] for a network of another type.
    fn check_spec(spec: &NetworkSpec) -> Result<()> {
        if let Some((found, wanted)) = other_type::<Self>(spec)? {
            let name = &spec.name;
            let problem = format!("is `{name}`, {found}, where {wanted} is wanted; name another");
            return Err(Error::config("name", problem));
        }
        spec.check()
    }

    /// The same function in operations that interchange formats such as ONNX have.
    ///
    /// Its tensors may have other names than those of the network. By default it is the network itself; a
    /// network that holds another one has that do it.
    #[must_use]
    fn portable(self) -> Self {
        self
    }
}

/// What networks of type `N` take.
fn kind<N: ModelNetwork>() -> SampleKind {
    <N::Input as NetworkInput>::KIND
}

/// The network of a spec and the networks of type `N` in words, if they are of different families.
pub(crate) fn other_type<N: ModelNetwork>(spec: &NetworkSpec) -> Result<Option<(String, String)>> {
    let structure = spec.structure()?;
    let family = structure.family();
    if N::FAMILIES.contains(&family) {
        return Ok(None);
    }
    Ok(Some(match structure.task() {
        Some(task) if task != N::TASK => {
            let wanted = N::TASK;
            (format!("a {task} network"), format!("a {wanted} network"))
        }
        _ if structure.takes().is_some_and(|takes| takes != kind::<N>()) => {
            let takes = structure.takes().unwrap_or_default();
            (
                format!("a network for {takes}"),
                format!("a network for {}", kind::<N>()),
            )
        }
        _ => {
            let families = N::FAMILIES.join(", ");
            (
                format!("a network of family {family}"),
                format!("one of {families}"),
            )
        }
    }))
}
