//! The device that kernels are compiled for where there is none.

use std::sync::Arc;

use cubecl::ir::{
    DeviceIdentity, ElemType, FloatKind, HardwareProperties, IntKind, MemoryDeviceProperties, UIntKind,
    features::{Features, Plane, TypeUsage},
};
use cubecl::prelude::*;
use cubecl::profile::TimingMethod;

/// What the CUDA runtime reports of a device, as far as kernels can see it.
pub(super) fn properties() -> Arc<DeviceProperties> {
    let hardware = HardwareProperties {
        load_width: 128,
        vector_register_count: None,
        plane_size_min: 32,
        plane_size_max: 32,
        max_bindings: 1024,
        max_shared_memory_size: super::SHARED,
        max_cube_count: (i32::MAX as u32, 65_535, 65_535),
        max_units_per_cube: 1024,
        max_cube_dim: (1024, 1024, 64),
        num_streaming_multiprocessors: Some(108),
        num_tensor_cores: None,
        min_tensor_cores_dim: None,
        num_cpu_cores: None,
        last_level_cache_size: None,
        max_vector_size: VectorSize::MAX,
        cube_mma_reserved_shared_memory: 0,
    };
    let name = "offline".to_owned();
    let identity = DeviceIdentity { fingerprint: name.clone(), name, physical: None };
    let memory = MemoryDeviceProperties::new(1 << 34, 512);
    let mut all =
        DeviceProperties::new(Features::default(), memory, hardware, TimingMethod::Device, identity);
    all.register_address_type(AddressType::U32);
    all.register_address_type(AddressType::U64);
    for kind in [
        ElemType::Index,
        ElemType::Bool,
        ElemType::UInt(UIntKind::U32),
        ElemType::UInt(UIntKind::U64),
        ElemType::Int(IntKind::I32),
        ElemType::Int(IntKind::I64),
        ElemType::Float(FloatKind::F16),
        ElemType::Float(FloatKind::BF16),
        ElemType::Float(FloatKind::F32),
        ElemType::Float(FloatKind::F64),
    ] {
        all.register_type_usage(kind, TypeUsage::all());
    }
    all.features.memory_reinterpret = true;
    all.features.alignment = true;
    all.features.device_memory_scope = true;
    all.features.plane.insert(Plane::Ops);
    all.features.plane.insert(Plane::Sync);
    all.features.plane.insert(Plane::NonUniformControlFlow);
    Arc::new(all)
}
