//! Every kernel compiled to PTX with no GPU in reach, as the CUDA runtime would compile it.
//!
//! An entry of [`all`] is a kernel under a compile key that a launch on a CUDA device uses: cubes of 256 units (fewer
//! where each wants shared memory), one particle a unit, bounds checked. Kernels are named by the module that
//! `#[cube(launch)]` makes of them, so that a test can tell whether one was forgotten.
//! Math functions come out of libdevice, which cubecl looks for below `CUDA_PATH`.

mod target;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cubecl::Compiler;
use cubecl::ir::nvidia::SmArch;
use cubecl::prelude::*;
use cubecl_llvm::nvptx::ptx_version::PtxVersion;
use cubecl_llvm::{LlvmTarget, PlironArtifact, PlironCompiler, PlironOptions};

use crate::models::ModelsCompilationArg;
use crate::passes::Sharing;
use crate::passes::classes::kernel::ExtentsCompilationArg as ClassesExtentsCompilationArg;
use crate::passes::copy::kernel::{copy_kernel, widen_kernel};
use crate::passes::crew::Crew;
use crate::passes::divergence::kernel::SizesCompilationArg as ProbeSizesCompilationArg;
use crate::passes::draws::kernel::{draws_kernel, normals_kernel};
use crate::passes::energy::kernel::ExtentsCompilationArg;
use crate::passes::gather::kernel::gather_kernel;
use crate::passes::genealogy::kernel::genealogy_kernel;
use crate::passes::increments::kernel::{BeganCompilationArg, MildKey, increments_kernel};
use crate::passes::init::kernel::{Kept, init_kernel};
use crate::passes::jumps::kernel::{births_kernel, deaths_kernel};
use crate::passes::ladder::kernel::{ClimbCompilationArg, ladder_kernel};
use crate::passes::mlp::kernel::{NumbersCompilationArg, SizesCompilationArg};
use crate::passes::mlp::kernel_tensor::{TensorNumbersCompilationArg, TensorSizesCompilationArg};
use crate::passes::priority::kernel::priority_kernel;
use crate::passes::resample::kernel_copies::{copies_kernel, copies_serial_kernel};
use crate::passes::resample::kernel_cube::resample_kernel;
use crate::passes::resample::kernel_draws::{Draw, DrawKey};
use crate::passes::resample::kernel_draws_cube::draw_kernel;
use crate::passes::resample::kernel_draws_serial::draw_serial_kernel;
use crate::passes::resample::kernel_serial::resample_serial_kernel;
use crate::passes::scaffold::kernel_move::BeforeCompilationArg;
use crate::passes::scan::kernel::{offsets_kernel, prefix_kernel, totals_kernel};
use crate::passes::scan::{Integers, LogWeights, Maxima, Source, Values};
use crate::passes::step::key::{CarryCompilationArg, CommonCompilationArg, TablesCompilationArg};
use crate::passes::survivors::kernel::survivors_kernel;
use crate::passes::weights::Weights;
use crate::passes::weights::kernel::{TallyKey, tally_kernel};
use crate::prims::monoid::{FixedSum, LogSumExp, Max, Monoid, Sum};
use crate::prims::state::{Element, Layout, ShapeCompilationArg};
use target::properties;

/// Units of a cube on a GPU.
const UNITS: u32 = 256;
/// Bytes of shared memory of a cube.
const SHARED: usize = 48 << 10;
/// Particles side by side in a unit on a GPU.
const LANES: usize = 1;
/// The driver to write PTX for, as CUDA 12.8 reports itself.
const DRIVER: i32 = 12_080;
/// The units of a cube share a block of slots: groups of 128 particles and more.
const TOGETHER: Sharing = Sharing { together: true, units: UNITS };
/// Each unit has blocks of its own: many small groups.
const APART: Sharing = Sharing { together: false, units: UNITS };

/// A kernel under one compile key.
pub struct Offline {
    /// The kernel function, as the source names it.
    pub kernel: &'static str,
    /// What tells this entry from the others of its kernel.
    pub variant: String,
    define: Box<dyn Fn() -> KernelDefinition + Send + Sync>,
}

impl std::fmt::Debug for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Offline({} {})", self.kernel, self.variant)
    }
}

/// What came out of the compiler.
#[derive(Clone, Debug)]
pub struct Ptx {
    /// The assembly.
    pub text: String,
    /// Bytes of shared memory that a launch asks for.
    pub shared: usize,
}

impl Offline {
    /// Compiles for compute capability `arch` (80 is 8.0; from 90 on the target is `sm_90a` and so
    /// forth).
    pub fn compile(&self, arch: u32) -> Result<Ptx, String> {
        let options = PlironOptions {
            sm_arch: Some(SmArch::new(arch, true)),
            ptx_version: PtxVersion::for_driver(DRIVER),
            // As the CUDA runtime sets it from compute capability 7.0 on.
            grid_constants: true,
            ..Default::default()
        };
        let mut compiler = PlironCompiler { target: LlvmTarget::Nvptx };
        let compiled = catch_unwind(AssertUnwindSafe(|| compiler.compile((self.define)(), &options)))
            .map_err(|cause| format!("{self:?} panicked: {}", crate::probe::reason(&cause)))?;
        match compiled {
            Ok(PlironArtifact::NvptxCode(module)) => {
                let text: Vec<u8> = module.ptx.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
                let text = String::from_utf8_lossy(&text).into_owned();
                Ok(Ptx { text, shared: module.shared_memory_size })
            }
            Ok(_) => Err(format!("{self:?}: the compiler made something that is not PTX")),
            Err(error) => Err(format!("{self:?}: {error}")),
        }
    }
}

/// A compilation argument that says nothing: a buffer that aliases no other, or a scalar.
trait Blank {
    fn blank() -> Self;
}

impl Blank for () {
    fn blank() -> Self {}
}

impl Blank for BufferCompilationArg {
    fn blank() -> Self {
        Self { inplace: None }
    }
}

macro_rules! blank {
    ($($arg:ident $(<$e:ident>)? { $($field:ident)* })*) => {
        $(impl $(<$e: Float>)? Blank for $arg $(<$e>)? {
            fn blank() -> Self {
                Self { $($field: Blank::blank()),* }
            }
        })*
    };
}

blank! {
    ClimbCompilationArg { share steps }
    ShapeCompilationArg { groups slots padded dim block blocks unit spare }
    CarryCompilationArg<E> { x scores log_w log_p roots clock }
    CommonCompilationArg { ancestors norms rows blocks handed }
    ModelsCompilationArg { params levels map }
    TablesCompilationArg { coeffs seeds rungs }
    ProbeSizesCompilationArg { count dim slots probe probes first apart level }
    ClassesExtentsCompilationArg { count classes class first }
    ExtentsCompilationArg { count rows dim first apart level }
    BeganCompilationArg { log_w handed ancestors norms }
    BeforeCompilationArg { x scores pulls log_psi ancestors norms seeds }
    NumbersCompilationArg { weights biases cond levels }
    TensorNumbersCompilationArg { weights biases cond levels }
    TensorSizesCompilationArg { count conditions dim hidden layers outputs out_first level }
    SizesCompilationArg { count conditions dim hidden hidden_padded layers outputs outputs_padded pack pack_out out_first level }
}

/// `entry!(variant, function::Struct<types>(run-time arguments; vector widths and compile keys))`.
macro_rules! entry {
    (cubes of $units:expr, $variant:expr, $kernel:ident::$name:ident $(<$($ty:ty),+>)? ($($arg:ident)*; $($key:expr),*)) => {
        Offline {
            kernel: stringify!($kernel),
            variant: $variant.into(),
            define: Box::new(move || {
                let dim = CubeDim::new_1d($units).into();
                let settings = KernelSettings::new(dim, ExecutionMode::Checked, AddressType::U32);
                $(let $arg = Blank::blank();)*
                let target = Arc::new(TargetProperties::default());
                $kernel::$name $(::<$($ty),+>)? ::new(settings, properties(), target, $($arg,)* $($key),*).define()
            }),
        }
    };
    ($variant:expr, $($kernel:tt)+) => {
        entry!(cubes of UNITS, $variant, $($kernel)+)
    };
}

mod frames;
mod layers;
mod networks;
mod paths;
mod scaffold;
mod steps;

/// Every kernel, under at least one key.
pub fn all() -> Vec<Offline> {
    let mut list = Vec::new();
    list.push(entry!("", draws_kernel::DrawsKernel(seed raw uniforms gaussians count step tag block; LANES)));
    list.push(entry!("", normals_kernel::NormalsKernel(seed out vectors step tag; LANES, false)));
    list.push(entry!("", copy_kernel::CopyKernel(from to first count; 4, false)));
    list.push(entry!("", widen_kernel::WidenKernel(from to first rows dim; false)));
    list.push(entry!("", genealogy_kernel::GenealogyKernel(
        ancestors norms rows stride padded step clock; false
    )));
    for lanes in [1, 4] {
        let variant = format!("pieces of {lanes}");
        list.push(entry!(variant, gather_kernel::GatherKernel(
            rows ancestors out slots padded groups pieces; lanes, false
        )));
    }
    for kind in [Weights::Log, Weights::Linear] {
        let key = |sharing| TallyKey { kind, wide: false, sharing };
        for (variant, sharing) in [("a block a cube", TOGETHER), ("a block a unit", APART)] {
            let key = key(sharing);
            let variant = format!("{kind:?}, {variant}");
            list.push(entry!(variant, tally_kernel::TallyKernel(values records shape; LANES, key)));
        }
        let (together, apart) = (key(TOGETHER), key(APART));
        list.push(entry!(format!("{kind:?}"), resample_kernel::ResampleKernel(
            values records coeffs norms history seeds ancestors clock shape step pieces; together
        )));
        list.push(entry!(format!("{kind:?}"), resample_serial_kernel::ResampleSerialKernel(
            values records coeffs norms history seeds ancestors clock shape step pieces; LANES, apart
        )));
        draws(&mut list, kind, together, apart);
    }
    for (variant, sharing) in [("a block a cube", TOGETHER), ("a block a unit", APART)] {
        let key = TallyKey { kind: Weights::Log, wide: false, sharing };
        list.push(entry!(variant, priority_kernel::PriorityKernel(
            log_w records coeffs table norms history priorities handed own_records clock shape step; LANES, key
        )));
        list.push(entry!(variant, births_kernel::BirthsKernel(
            log_w records coeffs norms history priorities deficits own_records clock shape step; LANES, key
        )));
        list.push(entry!(variant, ladder_kernel::LadderKernel(
            log_w rewards coeffs records rungs clock shape climb step; LANES, key
        )));
        for handed in [false, true] {
            let key = MildKey { quantile: true, centre: true, clamp: true, handed, tally: key };
            let variant = format!("{variant}{}", if handed { ", weights handed on" } else { "" });
            list.push(entry!(variant, increments_kernel::IncrementsKernel(
                began after records centres clock shape quantile most step; LANES, key
            )));
        }
    }
    for (variant, runs_on) in [("drawn anew", false), ("by the clock", true)] {
        list.push(entry!(variant, deaths_kernel::DeathsKernel(
            norms deficits seeds ancestors clocks clock shape step; LANES, runs_on
        )));
    }
    for (crew, sharing, pieces) in [(Crew::Cube, TOGETHER, 1), (Crew::One, APART, 4)] {
        let key = TallyKey { kind: Weights::Log, wide: false, sharing };
        list.push(entry!(format!("{crew:?}, pieces of {pieces}"), survivors_kernel::SurvivorsKernel(
            values records coeffs norms history seeds ancestors rows out shape step row_pieces; LANES, pieces, crew, key
        )));
    }
    for (variant, sharing) in [("a block a cube", TOGETHER), ("a block a unit", APART)] {
        scans::<Sum, Values>(&mut list, &format!("sum, {variant}"), sharing);
        scans::<Max, Maxima>(&mut list, &format!("max, {variant}"), sharing);
        scans::<LogSumExp, LogWeights>(&mut list, &format!("log-sum-exp, {variant}"), sharing);
        scans::<FixedSum, Integers>(&mut list, &format!("61-bit sum, {variant}"), sharing);
    }
    for (variant, paired, rows, element, logs) in [
        ("D=2", true, false, Element::F32, 0),
        ("D=2, rows", true, true, Element::F32, 0),
        ("D=64, rows", false, true, Element::F32, 0),
        ("D=64, rows, f16", false, true, Element::F16, 0),
        ("D=64, rows, first log-densities", false, true, Element::F32, 2),
    ] {
        let kept = Kept { weighed: true, roots: true, scores: 1 + logs, logs, layout: Layout::Columns };
        list.push(entry!(variant, init_kernel::InitKernel(
            x log_w scores ancestors roots clock norms rows_out start seeds shape; LANES, paired, rows, kept, TOGETHER, element.kind()
        )));
    }
    frames::all(&mut list);
    layers::layers(&mut list);
    networks::networks(&mut list);
    networks::energies(&mut list);
    networks::classes(&mut list);
    networks::divergences(&mut list);
    paths::all(&mut list);
    scaffold::all(&mut list);
    steps::all(&mut list);
    list
}

/// The kernels of every resampling scheme but the systematic one.
fn draws(list: &mut Vec<Offline>, kind: Weights, together: TallyKey, apart: TallyKey) {
    for draw in Draw::ALL {
        let (cube, unit) = (DrawKey { draw, tally: together }, DrawKey { draw, tally: apart });
        let variant = format!("{kind:?}, {draw:?}");
        list.push(entry!(variant.clone(), draw_kernel::DrawKernel(
            values records parts coeffs norms history seeds ancestors clock shape step steps depth; cube
        )));
        list.push(entry!(variant.clone(), draw_serial_kernel::DrawSerialKernel(
            values records parts coeffs norms history seeds ancestors clock shape step steps depth pieces; LANES, unit
        )));
        if draw == Draw::Residual {
            list.push(entry!(variant.clone(), copies_kernel::CopiesKernel(
                values records parts coeffs clock shape step; cube
            )));
            list.push(entry!(variant, copies_serial_kernel::CopiesSerialKernel(
                values records parts coeffs clock shape step; LANES, unit
            )));
        }
    }
}

/// The three kernels of a scan.
fn scans<M: Monoid, S: Source<M>>(list: &mut Vec<Offline>, variant: &str, sharing: Sharing) {
    list.push(entry!(variant, totals_kernel::TotalsKernel<M, S>(input totals shape; sharing)));
    list.push(entry!(variant, offsets_kernel::OffsetsKernel<M>(totals offsets shape; sharing)));
    list.push(entry!(variant, prefix_kernel::PrefixKernel<M, S>(
        input offsets prefix shape; sharing
    )));
}
