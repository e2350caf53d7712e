//! Devices and buffers: the one place that touches the runtimes, and the only `unsafe`.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytemuck::Pod;
use cubecl::MemoryScope;
use cubecl::ir::features::TypeUsage;
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};

use crate::counts::Counters;
use crate::error::{KernelError, Result};
use crate::graph;
use crate::guard::Guards;
use crate::models::FEW;
use crate::passes::Work;
use crate::prims::state::{BLOCK, Element, Layout};

pub use crate::counts::Counts;
pub use crate::graph::Graph;
pub use crate::probe::{Found, Limits, list};
pub use crate::request::{Backend, Request};

/// Launches the CPU runtime may hold unfinished: from about 48 on its workers starve each other
/// (430 us a launch instead of 10).
const CPU_QUEUE: u64 = 16;
/// Slots from which a group's padding to double vectors no longer matters.
const LONG_GROUP: usize = 256;
/// Slots from which a GPU is busy though a unit takes a vector of them.
const WIDE_GROUP: usize = 1 << 17;
/// Blocks of a group, while they are smaller than [`BLOCK`]: a GPU of 132 processors took 38 us for 16 blocks of 1024.
const BUSY: usize = 128;

/// An opened device.
#[derive(Clone)]
pub struct Device {
    client: Client,
    backend: Backend,
    name: String,
    threads: u32,
    lanes: usize,
    counters: Arc<Counters>,
    guards: Option<Guards>,
    /// Panics of the runtimes' threads before this device was opened.
    faults: u64,
    planning: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({} '{}')", self.backend, self.name)
    }
}

impl Device {
    /// Opens what `request` names. A missing driver is an error that says what to install.
    pub fn open(request: Request) -> Result<Self> {
        let backend = match request {
            Request::Exactly(backend) => backend,
            Request::Auto => crate::probe::best(),
        };
        let device = crate::probe::find(backend)?;
        let faults = crate::faults::seen();
        let client = catch_unwind(AssertUnwindSafe(|| device.client())).map_err(|cause| {
            KernelError::DeviceMissing { name: backend.to_string(), why: crate::probe::reason(&cause) }
        })?;
        let properties = client.properties();
        let cores = properties.hardware.max_units_per_cube;
        let (threads, lanes) = match backend {
            // One lane of f32 for every 32 bits that the processor loads at once.
            Backend::Cpu(n) => {
                let n = if n == 0 { cores as usize } else { n };
                if n > cores as usize {
                    return Err(KernelError::DeviceMissing {
                        name: backend.to_string(),
                        why: format!("this machine has {cores} cores"),
                    });
                }
                (n as u32, (properties.hardware.load_width as usize / 32).clamp(4, 16))
            }
            _ => (properties.hardware.max_units_per_cube.min(256), 1),
        };
        let name = properties.identity.name.clone();
        let counters = Arc::default();
        Ok(Self { client, backend, name, threads, lanes, counters, guards: None, faults, planning: false })
    }

    /// Opens a device whose buffers lie between guard zones and start out as NaN bits; every launch
    /// reads all zones back and fails where one was touched. For tests: slow.
    pub fn open_guarded(request: Request) -> Result<Self> {
        Ok(Self { guards: Some(Guards::default()), ..Self::open(request)? })
    }

    /// A device like this one whose buffers have their sizes and no memory, to see what a run would hold. Nothing
    /// is sent to it, and nothing should be launched on it.
    pub fn planning(&self) -> Self {
        Self { planning: true, guards: None, counters: Arc::default(), ..self.clone() }
    }

    /// The runtime's client, for kernels of one's own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which runtime and device this is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The device as it names itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the runtime compiles for, for example `ptx_sm90`; as close to a driver version as every
    /// backend can say.
    pub fn driver(&self) -> &str {
        &self.client.properties().identity.fingerprint
    }

    /// Particles side by side in one vector: 4 to 16 on the CPU, 1 on a GPU.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// The same for groups of `slots` of `dim` coordinates: twice as many where they are long, so that two vectors of the
    /// processor are under way at a time; on CUDA four in large groups whose coordinates fit into registers, which share
    /// what is loaded of a model.
    pub fn lanes_for(&self, slots: usize, dim: usize) -> usize {
        if self.is_cpu() && slots >= LONG_GROUP {
            2 * self.lanes
        } else if self.is_cuda() && slots >= WIDE_GROUP && dim <= FEW {
            4 * self.lanes
        } else {
            self.lanes
        }
    }

    /// Slots of a block at most in groups of `slots`, where `asked` were asked for: on CUDA fewer in groups that would
    /// keep few of its processors busy, unless it was another number that was asked for.
    pub fn block_for(&self, asked: usize, slots: usize) -> usize {
        if !self.is_cuda() || asked != BLOCK {
            return asked;
        }
        (slots / BUSY).next_power_of_two().min(BLOCK)
    }

    /// How coordinates lie in memory: on the CPU tiles take 0.25 to 0.9 of the time of columns
    /// (bench/records/cpu/2026-11-24.md); on a GPU it has not been measured.
    pub fn layout(&self) -> Layout {
        if self.is_cpu() { Layout::Tiles } else { Layout::Columns }
    }

    /// Units of a cube: the threads on the CPU, up to 256 on a GPU.
    pub fn units(&self) -> u32 {
        self.threads
    }

    /// True where units must not wait for each other inside a kernel (barriers on the CPU
    /// runtime cost up to milliseconds).
    pub fn is_cpu(&self) -> bool {
        matches!(self.backend, Backend::Cpu(_))
    }

    /// True on CUDA: what a launch is shaped for there was measured there (bench/records/cuda).
    pub fn is_cuda(&self) -> bool {
        matches!(self.backend, Backend::Cuda(_))
    }

    /// Bytes in use on the device by this process, and bytes it has reserved there.
    pub fn memory(&self) -> (u64, u64) {
        let usage = self.client.memory_report(MemoryScope::CurrentStream).usage();
        (usage.bytes_in_use, usage.bytes_reserved)
    }

    /// Bytes that the device has, by this process and others, where its runtime says.
    pub fn capacity(&self) -> Option<u64> {
        self.client.properties().memory.max_memory()
    }

    /// Most turns that all loops of one unit may take in a launch. Mesa's software Vulkan leaves every loop
    /// when they are used up, and says nothing.
    pub fn max_turns(&self) -> Option<u64> {
        self.name.contains("llvmpipe").then_some(65_535)
    }

    /// Whether kernels can keep numbers like this in memory.
    pub fn keeps(&self, element: Element) -> bool {
        let usage = self.client.properties().type_usage(element.kind());
        usage.is_superset(TypeUsage::Buffer | TypeUsage::Conversion)
    }

    /// Bytes of memory that the units of a cube can share.
    pub fn shared_memory(&self) -> usize {
        self.client.properties().hardware.max_shared_memory_size
    }

    /// Most bytes one buffer may have.
    pub fn max_binding(&self) -> u64 {
        self.client.properties().memory.max_page_size
    }

    /// Launches, downloads, bytes and allocations since the device was opened.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// An uninitialised buffer. Refused above the device's binding limit.
    pub fn empty<T: Pod>(&self, what: &'static str, len: usize) -> Result<Buf<T>> {
        let bytes = self.fits(what, len.max(1) * size_of::<T>())?;
        let (handle, token) = match &self.guards {
            Some(guards) => guards.place(&self.client, what, bytes, None),
            None => (self.client.empty(if self.planning { size_of::<T>() } else { bytes }), Arc::default()),
        };
        Ok(Buf { handle, len: len.max(1), real: !self.planning, token, kind: PhantomData })
    }

    /// A buffer holding `data` (one zero where it is empty: a launch cannot bind nothing).
    pub fn upload<T: Pod>(&self, what: &'static str, data: &[T]) -> Result<Buf<T>> {
        let zero = [T::zeroed()];
        let data = if data.is_empty() { &zero[..] } else { data };
        if self.planning {
            return self.empty(what, data.len());
        }
        let bytes: &[u8] = bytemuck::cast_slice(data);
        self.fits(what, bytes.len())?;
        let (handle, token) = match &self.guards {
            Some(guards) => guards.place(&self.client, what, bytes.len(), Some(bytes)),
            None => (self.client.create_from_slice(bytes), Arc::default()),
        };
        Ok(Buf { handle, len: data.len(), real: true, token, kind: PhantomData })
    }

    fn fits(&self, what: &'static str, bytes: usize) -> Result<usize> {
        // Kernels index with 32 bits.
        let limit = self.max_binding().min(u64::from(u32::MAX));
        if bytes as u64 > limit {
            let hint = "use fewer particles, or split the run";
            return Err(KernelError::TooLarge { what, needed: bytes as u64, limit, hint });
        }
        self.counters.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Reads a buffer back; here the faults of earlier launches surface.
    pub fn download<T: Pod>(&self, buf: &Buf<T>) -> Result<Vec<T>> {
        self.counters.downloads.fetch_add(1, Ordering::Relaxed);
        let during = "reading a buffer";
        let bytes = asked(during, || self.client.read_one(buf.handle.clone()))?;
        self.no_faults()?;
        let size = buf.bound() * size_of::<T>();
        if bytes.len() < size {
            let message = format!("{} bytes came back of {size}", bytes.len());
            return Err(KernelError::Device { during, message });
        }
        Ok(bytemuck::pod_collect_to_vec(&bytes[..size]))
    }

    /// Waits until every launch so far has ended.
    pub fn sync(&self) -> Result<()> {
        cubecl::future::block_on(self.client.sync())
            .map_err(|error| KernelError::Device { during: "waiting", message: error.to_string() })?;
        self.no_faults()
    }

    /// A launch that a runtime's thread could not even begin.
    pub(crate) fn no_faults(&self) -> Result<()> {
        let during = "compiling or launching a kernel";
        crate::faults::since(self.faults)
            .map_or(Ok(()), |message| Err(KernelError::Device { during, message }))
    }

    /// Whether launches can be recorded and replayed here, or why not.
    pub fn captures(&self) -> std::result::Result<(), &'static str> {
        if self.is_cpu() {
            Err("the CPU runtime records no graphs")
        } else if self.guards.is_some() {
            Err("guard zones are read after every launch")
        } else {
            Ok(())
        }
    }

    /// Runs everything that was recorded once more, in order; its launches count as launches.
    #[allow(unsafe_code)]
    pub fn replay(&self, graph: &Graph) -> Result<()> {
        // SAFETY: the graph keeps every buffer that `Buf::arg` handed to its launches, and neither leaves the thread
        // whose stream it was recorded on.
        asked("replaying a graph", || unsafe { graph.inner.replay() })?;
        self.counters.replays.fetch_add(1, Ordering::Relaxed);
        self.book(graph.tape.launches, graph.tape.work);
        Ok(())
    }

    /// Counts launches; returns how many there were before.
    fn book(&self, launches: u64, work: Work) -> u64 {
        self.counters.book(launches, work)
    }

    /// Books one launch and what it has to move; on the CPU keeps the queue short.
    pub fn launched(&self, work: Work) -> Result<()> {
        if graph::recorded(work) {
            return Ok(());
        }
        let before = self.book(1, work);
        if let Some(guards) = &self.guards {
            return guards.check(&self.client);
        }
        if self.is_cpu() && before % CPU_QUEUE == CPU_QUEUE - 1 { self.sync() } else { Ok(()) }
    }
}

/// The runtime's answer, or its panic, as an error of ours.
pub(crate) fn asked<T>(
    during: &'static str,
    ask: impl FnOnce() -> std::result::Result<T, ServerError>,
) -> Result<T> {
    let fault = |message: String| KernelError::Device { during, message };
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(answer) => answer.map_err(|error| fault(error.to_string())),
        Err(cause) => Err(fault(crate::probe::reason(&cause))),
    }
}

/// A typed device buffer.
#[derive(Debug)]
pub struct Buf<T> {
    handle: Handle,
    len: usize,
    /// There are `len` elements; else, of a device that plans, one.
    real: bool,
    token: Arc<()>,
    kind: PhantomData<T>,
}

// Not derived: a clone shares the memory and needs no `T: Clone`.
impl<T> Clone for Buf<T> {
    fn clone(&self) -> Self {
        let (handle, token) = (self.handle.clone(), self.token.clone());
        Self { handle, len: self.len, real: self.real, token, kind: PhantomData }
    }
}

impl<T: Pod> Buf<T> {
    /// Elements.
    #[allow(clippy::len_without_is_empty)] // never empty
    pub fn len(&self) -> usize {
        self.len
    }

    /// Elements that are there.
    fn bound(&self) -> usize {
        if self.real { self.len } else { 1 }
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        (self.len * size_of::<T>()) as u64
    }

    /// The launch argument of a buffer that claims `more` elements too many, reaching into the zone
    /// behind it: for the test of the guard zones alone. Panics on a buffer without zones.
    #[doc(hidden)]
    #[allow(unsafe_code)]
    pub fn arg_longer(&self, more: usize) -> BufferArg {
        let mut handle = self.handle.clone();
        let zone = handle.offset_end.as_mut().expect("a guarded buffer");
        let bytes = (more * size_of::<T>()) as u64;
        assert!(*zone >= bytes, "a claim within the zone");
        *zone -= bytes;
        // SAFETY: the zone behind the buffer belongs to the same allocation and is at least `more`
        // elements long.
        unsafe { BufferArg::from_raw_parts(handle, self.len + more) }
    }

    /// The launch argument of a kernel to which the buffer is vectors of `lanes` numbers.
    #[allow(unsafe_code)]
    pub(crate) fn arg_of(&self, lanes: usize) -> BufferArg {
        graph::binds(&self.handle);
        // SAFETY: as for `arg`, of which these are whole vectors.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.bound() / lanes) }
    }

    /// The launch argument.
    #[allow(unsafe_code)]
    pub fn arg(&self) -> BufferArg {
        graph::binds(&self.handle);
        // SAFETY: `bound` elements of `T` were allocated for this handle in `empty` or `upload`,
        // and nothing changes either afterwards.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.bound()) }
    }
}
