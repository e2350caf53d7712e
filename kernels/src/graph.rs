//! Launches that are recorded once and replayed: what was recorded, and what keeps its buffers alive.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use cubecl::server::Handle;

use crate::device::{Device, asked};
use crate::error::KernelError;
use crate::passes::Work;

/// What was launched while a graph was recorded.
#[derive(Default)]
pub(crate) struct Tape {
    /// Every buffer that was bound.
    handles: Vec<Handle>,
    /// Kernel launches.
    pub(crate) launches: u64,
    /// What they have to move.
    pub(crate) work: Work,
}

thread_local! {
    // Of this thread, because a thread has its own stream on every device.
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// From here to [`taken`], what this thread launches is written down.
fn start() {
    TAPE.set(Some(Tape::default()));
}

/// What was written down.
fn taken() -> Tape {
    TAPE.take().unwrap_or_default()
}

/// A buffer that a launch will bind.
pub(crate) fn binds(handle: &Handle) {
    TAPE.with_borrow_mut(|tape| {
        if let Some(tape) = tape {
            tape.handles.push(handle.clone());
        }
    });
}

/// Writes a launch down; `false` where nothing is recorded, and the launch is done.
pub(crate) fn recorded(work: Work) -> bool {
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return false };
        tape.launches += 1;
        tape.work.read += work.read;
        tape.work.written += work.written;
        true
    })
}

/// Launches recorded on a device, for [`crate::device::Device::replay`]. It keeps the buffers that they bind, and
/// stays on the thread that recorded it: replays are in order with the launches and reads of that thread alone.
pub struct Graph {
    // Dropped before what it reads and writes.
    pub(crate) inner: cubecl::client::Graph,
    pub(crate) tape: Tape,
    pinned: PhantomData<*const ()>,
}

impl Graph {
    /// Kernel launches of a replay.
    pub fn launches(&self) -> u64 {
        self.tape.launches
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graph({} launches of {} buffers)", self.tape.launches, self.tape.handles.len())
    }
}

impl Device {
    /// Records what `record` launches, and does not run it. `warm_up` launches the same before, and runs it: it
    /// compiles, and leaves behind whatever the launches bind beside buffers of ours, which must not be made while
    /// they are recorded. `record` may launch, and no more: no upload, no read, no new buffer. On an error, or where
    /// the runtime records nothing, what `record` would have written has to be written anew before it is read.
    ///
    /// Waits for the device at most. While it records, no thread that shares this one's stream may use the device:
    /// cubecl has 128 streams, for threads in the order in which they first came.
    pub fn capture<E: From<KernelError>>(
        &self,
        warm_up: impl FnOnce() -> Result<(), E>,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph, E> {
        let during = "recording a graph";
        self.captures().map_err(|why| KernelError::Device { during, message: why.to_owned() })?;
        asked(during, || self.client().graph_prepare())?;
        let close = || asked(during, || self.client().stop_capture());
        if let Err(error) = warm_up().and_then(|()| Ok(asked(during, || self.client().start_capture())?)) {
            // It was prepared; nothing was recorded that could come of it.
            drop(close());
            return Err(error);
        }
        start();
        let recorded = catch_unwind(AssertUnwindSafe(record));
        let tape = taken();
        let sealed = close();
        recorded.unwrap_or_else(|cause| resume_unwind(cause))?;
        self.no_faults()?;
        Ok(Graph { inner: sealed?, tape, pinned: PhantomData })
    }
}
