//! What devices there are: asked of the runtimes without ever panicking.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cubecl::Device as Runtime;
use cubecl::device::WgpuDeviceKind;
use cubecl::features::Plane;
use cubecl::ir::{ElemType, FloatKind};

use crate::device::Backend;
use crate::error::{KernelError, Result};

/// One row of [`list`].
#[derive(Clone, Debug)]
pub struct Found {
    /// The name to give to `--device`.
    pub backend: Backend,
    /// The device as it names itself, or why there is none and what to install.
    pub device: std::result::Result<(String, Limits), String>,
    /// A software driver; `auto` never takes it.
    pub software: bool,
}

/// What a device can do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Units of a cube.
    pub units_per_cube: u32,
    /// Smallest and largest plane.
    pub plane: (u32, u32),
    /// Shared memory of a cube, bytes.
    pub shared_memory: usize,
    /// Bits of one load.
    pub load_width: u32,
    /// Half precision.
    pub f16: bool,
    /// Double precision.
    pub f64: bool,
    /// Plane instructions (a portable kernel must not need them).
    pub plane_ops: bool,
    /// Largest buffer, bytes.
    pub max_binding: u64,
    /// Memory of the device in bytes, where the runtime says.
    pub memory: Option<u64>,
}

/// The message of a caught panic.
pub(crate) fn reason(cause: &Box<dyn Any + Send>) -> String {
    cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "the runtime panicked without a message".to_owned())
}

/// Runs `f` without letting a panic out or its message onto stderr: cudarc panics where there is
/// no driver.
fn quietly<T>(f: impl FnOnce() -> T) -> std::result::Result<T, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    outcome.map_err(|cause| reason(&cause))
}

/// The wgpu adapters in the order of their indices: hardware first, the software one last.
fn wgpu_kinds() -> [fn(usize) -> WgpuDeviceKind; 4] {
    [WgpuDeviceKind::DiscreteGpu, WgpuDeviceKind::IntegratedGpu, WgpuDeviceKind::VirtualGpu, |_| {
        WgpuDeviceKind::Cpu
    }]
}

/// On Linux only Vulkan is asked: looking for OpenGL prints onto stderr where there is no display.
fn named(kind: WgpuDeviceKind) -> std::result::Result<Runtime, cubecl::device::DeviceUnavailable> {
    if cfg!(target_os = "linux") { Runtime::vulkan(kind) } else { Runtime::wgpu(kind) }
}

/// Asked once a process: enumeration loads every driver.
fn wgpu_devices() -> Vec<(Runtime, bool)> {
    static FOUND: std::sync::OnceLock<Vec<(Runtime, bool)>> = std::sync::OnceLock::new();
    FOUND.get_or_init(enumerate_wgpu).clone()
}

fn enumerate_wgpu() -> Vec<(Runtime, bool)> {
    let mut found = Vec::new();
    for kind in wgpu_kinds() {
        for index in 0..16 {
            let kind = kind(index);
            let software = matches!(kind, WgpuDeviceKind::Cpu);
            match quietly(|| named(kind)) {
                Ok(Ok(device)) => found.push((device, software)),
                _ => break,
            }
            if software {
                break;
            }
        }
    }
    found
}

/// The runtime's device for `backend`, or why there is none.
pub(crate) fn find(backend: Backend) -> Result<Runtime> {
    let missing = |why: String| KernelError::DeviceMissing { name: backend.to_string(), why };
    match backend {
        Backend::Cpu(_) => Runtime::cpu().map_err(|e| missing(e.to_string())),
        Backend::Wgpu(index) => {
            let devices = wgpu_devices();
            let count = devices.len();
            devices.into_iter().nth(index).map(|(device, _)| device).ok_or_else(|| {
                missing(if !cfg!(feature = "wgpu") {
                    "this build does not link wgpu (feature `wgpu`)".to_owned()
                } else if count == 0 {
                    "no Vulkan, Metal or DX12 driver was found; on Debian install mesa-vulkan-drivers and libvulkan1, or the GPU's own driver".to_owned()
                } else {
                    format!("this machine has {count} wgpu device(s), numbered from 0")
                })
            })
        }
        Backend::Cuda(index) => {
            if !cfg!(feature = "cuda") {
                return Err(missing("this build does not link CUDA (feature `cuda`)".to_owned()));
            }
            match quietly(|| Runtime::cuda(index)) {
                Ok(Ok(device)) => Ok(device),
                Ok(Err(error)) => Err(missing(format!(
                    "{error}; install the NVIDIA driver, and the CUDA toolkit for libdevice (CUDA_PATH)"
                ))),
                Err(_) => Err(missing(
                    "no NVIDIA driver (libcuda) was found; install it, and the CUDA toolkit for libdevice (CUDA_PATH)".to_owned(),
                )),
            }
        }
    }
}

/// CUDA, else hardware through wgpu, else the CPU.
pub(crate) fn best() -> Backend {
    if find(Backend::Cuda(0)).is_ok() {
        return Backend::Cuda(0);
    }
    match wgpu_devices().iter().position(|(_, software)| !software) {
        Some(index) => Backend::Wgpu(index),
        None => Backend::Cpu(0),
    }
}

/// Every linked runtime with its devices, and why where it has none.
pub fn list() -> Vec<Found> {
    let mut rows = vec![describe(Backend::Cpu(0), false)];
    let wgpu = wgpu_devices();
    if wgpu.is_empty() {
        rows.push(describe(Backend::Wgpu(0), false));
    }
    rows.extend(wgpu.iter().enumerate().map(|(i, (_, software))| describe(Backend::Wgpu(i), *software)));
    rows.push(describe(Backend::Cuda(0), false));
    let more = (1..16).take_while(|&i| find(Backend::Cuda(i)).is_ok());
    rows.extend(more.map(|i| describe(Backend::Cuda(i), false)));
    rows
}

fn describe(backend: Backend, software: bool) -> Found {
    let device = find(backend).map_err(|e| e.to_string()).and_then(|device| {
        quietly(|| {
            let client = device.client();
            let p = client.properties();
            let limits = Limits {
                units_per_cube: p.hardware.max_units_per_cube,
                plane: (p.hardware.plane_size_min, p.hardware.plane_size_max),
                shared_memory: p.hardware.max_shared_memory_size,
                load_width: p.hardware.load_width,
                f16: p.features.types.elem.contains_key(&ElemType::Float(FloatKind::F16)),
                f64: p.features.types.elem.contains_key(&ElemType::Float(FloatKind::F64)),
                plane_ops: p.features.plane.contains(Plane::Ops),
                max_binding: p.memory.max_page_size,
                memory: p.memory.max_memory(),
            };
            (p.identity.name.clone(), limits)
        })
    });
    Found { backend, device, software }
}
