//! What launches did and moved.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::passes::Work;

/// What the device layer counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernel launches, those of replays among them.
    pub launches: u64,
    /// Replays of a graph.
    pub replays: u64,
    /// Buffers read back by the host.
    pub downloads: u64,
    /// Bytes that launches had to read.
    pub bytes_read: u64,
    /// Bytes that launches had to write.
    pub bytes_written: u64,
    /// Buffers reserved.
    pub allocations: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) launches: AtomicU64,
    pub(crate) replays: AtomicU64,
    pub(crate) downloads: AtomicU64,
    pub(crate) bytes_read: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) allocations: AtomicU64,
}

impl Counters {
    /// All of them now.
    pub(crate) fn read(&self) -> Counts {
        Counts {
            launches: self.launches.load(Ordering::Relaxed),
            replays: self.replays.load(Ordering::Relaxed),
            downloads: self.downloads.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            bytes_written: self.bytes_written.load(Ordering::Relaxed),
            allocations: self.allocations.load(Ordering::Relaxed),
        }
    }

    /// Counts launches; returns how many there were before.
    pub(crate) fn book(&self, launches: u64, work: Work) -> u64 {
        self.bytes_read.fetch_add(work.read, Ordering::Relaxed);
        self.bytes_written.fetch_add(work.written, Ordering::Relaxed);
        self.launches.fetch_add(launches, Ordering::Relaxed)
    }
}
