//! The device under test, and the CPU.

use std::sync::OnceLock;

use burn::tensor::Device;
use kd_core::DeviceName;

/// The name of the device under test. With `cpu` the tests themselves are tried, where there is no GPU.
pub(crate) fn gpu_name() -> DeviceName {
    let usual = if cfg!(feature = "cuda") {
        "cuda"
    } else {
        "wgpu"
    };
    let name = std::env::var("KD_TEST_DEVICE").unwrap_or_else(|_| usual.to_owned());
    let name: DeviceName = name.parse().unwrap();
    assert!(
        matches!(
            name,
            DeviceName::Cuda(_) | DeviceName::Wgpu | DeviceName::Cpu
        ),
        "KD_TEST_DEVICE is `{name}`; give wgpu, cuda, cuda:N, or cpu to try the tests themselves"
    );
    name
}

/// The device under test in its plain form. There is no test without it.
pub(crate) fn gpu() -> Device {
    static OPENED: OnceLock<Device> = OnceLock::new();
    let open = || {
        let name = gpu_name();
        name.open()
            .unwrap_or_else(|error| panic!("NO DEVICE, NOTHING WAS TESTED: {error}"))
    };
    OPENED.get_or_init(open).clone()
}

/// The device that it is compared with.
pub(crate) fn cpu() -> Device {
    Device::flex()
}

#[test]
fn there_is_a_device() {
    gpu();
}
