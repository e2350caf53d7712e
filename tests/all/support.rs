//! Devices for tests, one test a backend.

use feynkac::kernels::device::{Device, Request};

/// The device called `name`; `None` (said on stderr) only where CUDA has no driver.
pub fn device(name: &str) -> Option<Device> {
    let request: Request = name.parse().expect("a device name");
    match Device::open(request) {
        Ok(device) => Some(device),
        Err(error) if name == "cuda" => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// `on_every_device! { a, b }` makes tests cpu::a, wgpu::a, cuda::a, ... of `fn a(&Device)`.
#[macro_export]
macro_rules! on_every_device {
    ($($name:ident),* $(,)?) => {
        mod cpu { $(#[test] fn $name() { super::$name(&$crate::support::device("cpu").expect("the CPU")) })* }
        mod wgpu { $(#[test] fn $name() { super::$name(&$crate::support::device("wgpu").expect("a Vulkan driver")) })* }
        mod cuda { $(#[test] fn $name() { if let Some(d) = $crate::support::device("cuda") { super::$name(&d) } })* }
    };
}
