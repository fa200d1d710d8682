//! Devices by name.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{Error, Result};

/// A device by its name: `cpu`, `cuda`, `cuda:1`, `wgpu`, `auto`.
///
/// Which of them can be had is decided when kd is built: each is a feature of kd-core that turns on the
/// backend in Burn, and none is on by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The first of `cuda`, `wgpu`, `cpu` that this build has and this machine offers.
    #[default]
    Auto,
    /// The CPU, through Burn's flex backend (feature `flex`).
    Cpu,
    /// An NVIDIA GPU by its index (feature `cuda`).
    Cuda(usize),
    /// The best GPU that Vulkan, Metal or WebGPU offers (feature `wgpu`).
    Wgpu,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu => f.write_str("wgpu"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "auto" => Self::Auto,
            "cpu" => Self::Cpu,
            "cuda" => Self::Cuda(0),
            "wgpu" => Self::Wgpu,
            _ => {
                let index = name
                    .strip_prefix("cuda:")
                    .and_then(|index| index.parse().ok());
                Self::Cuda(index.ok_or_else(|| {
                    Error::unknown_name("device", name, ["auto", "cpu", "cuda", "cuda:1", "wgpu"])
                })?)
            }
        })
    }
}

impl DeviceName {
    /// What `auto` is on this machine; every other name is itself.
    ///
    /// # Errors
    ///
    /// As [`DeviceName::open`].
    pub fn resolve(self) -> Result<Self> {
        if self != Self::Auto {
            return Ok(self);
        }
        [Self::Cuda(0), Self::Wgpu, Self::Cpu]
            .into_iter()
            .find(|name| name.open().is_ok())
            .ok_or_else(no_backend)
    }

    /// Opens the device, in its plain form; call `.autodiff()` on it to train there.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] if this build lacks the backend (it says which feature to build with) or the machine
    /// lacks the device.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => open_cpu(),
            Self::Cuda(index) => open_cuda(index),
            Self::Wgpu => open_wgpu(),
            Self::Auto => self.resolve()?.open(),
        }
    }
}

fn no_backend() -> Error {
    Error::Device {
        name: "auto".into(),
        problem: "this build has no backend; build with one of the features `flex`, `cuda`, `wgpu`"
            .into(),
    }
}

#[cfg(not(all(feature = "flex", feature = "cuda", feature = "wgpu")))]
fn not_built_in(name: &str, feature: &str) -> Error {
    Error::Device {
        name: name.into(),
        problem: format!("is not in this build; build it with the feature `{feature}`"),
    }
}

#[cfg(feature = "flex")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as without the feature"
)]
fn open_cpu() -> Result<Device> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn open_cpu() -> Result<Device> {
    Err(not_built_in("cpu", "flex"))
}

#[cfg(feature = "cuda")]
fn open_cuda(index: usize) -> Result<Device> {
    probe(
        DeviceName::Cuda(index),
        "needs an NVIDIA driver, a GPU of that index, and NVRTC",
        move || Device::cuda(index),
    )
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(index: usize) -> Result<Device> {
    Err(not_built_in(&DeviceName::Cuda(index).to_string(), "cuda"))
}

#[cfg(feature = "wgpu")]
fn open_wgpu() -> Result<Device> {
    probe(
        DeviceName::Wgpu,
        "needs a GPU with a Vulkan, Metal or WebGPU driver",
        || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
    )
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu() -> Result<Device> {
    Err(not_built_in("wgpu", "wgpu"))
}

/// Opens a device and computes one sum there, turning the panic of a missing driver into an error in words.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn probe(
    name: DeviceName,
    needs: &str,
    open: impl FnOnce() -> Device + Send + 'static,
) -> Result<Device> {
    use burn::tensor::Tensor;

    let failed = || Error::Device {
        name: name.to_string(),
        problem: format!("cannot be opened on this machine; it {needs}; use `cpu` to run without"),
    };
    // The backends panic, some of them on a thread of their own, with texts that help nobody here.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::thread::spawn(move || {
        let device = open();
        let sum = Tensor::<1>::ones([8], &device)
            .sum()
            .into_data()
            .try_to_vec::<f32>();
        (device, sum.is_ok_and(|sum| sum == [8.0]))
    })
    .join();
    std::panic::set_hook(hook);
    match opened {
        Ok((device, true)) => Ok(device),
        _ => Err(failed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_shown_alike() {
        for (typed, shown) in [
            ("cpu", "cpu"),
            ("cuda", "cuda:0"),
            ("cuda:3", "cuda:3"),
            ("auto", "auto"),
        ] {
            assert_eq!(
                typed
                    .parse::<DeviceName>()
                    .map(|d| d.to_string())
                    .ok()
                    .as_deref(),
                Some(shown)
            );
        }
        let error = "gpu".parse::<DeviceName>().unwrap_err().to_string();
        assert!(error.starts_with("unknown device `gpu`"), "{error}");
        assert!("cuda:x".parse::<DeviceName>().is_err());
    }
}
