//! What a user asks for, and what a device is called.

use crate::error::{KernelError, Result};

/// Which runtime, and which of its devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The CPU runtime on this many threads; 0 means all.
    Cpu(usize),
    /// wgpu adapter by its index in [`crate::device::list`].
    Wgpu(usize),
    /// CUDA device by index.
    Cuda(usize),
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Backend::Cpu(0) => write!(f, "cpu"),
            Backend::Cpu(n) => write!(f, "cpu:{n}"),
            Backend::Wgpu(i) => write!(f, "wgpu:{i}"),
            Backend::Cuda(i) => write!(f, "cuda:{i}"),
        }
    }
}

/// What a user asks for: a backend, or the best there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// CUDA, else a hardware GPU through wgpu, else the CPU runtime.
    Auto,
    /// Exactly this one.
    Exactly(Backend),
}

impl std::str::FromStr for Request {
    type Err = KernelError;

    fn from_str(s: &str) -> Result<Self> {
        let bad = || KernelError::DeviceName { found: s.to_owned() };
        let (name, number) = match s.split_once(':') {
            Some((name, n)) => (name, Some(n.parse::<usize>().map_err(|_| bad())?)),
            None => (s, None),
        };
        Ok(match (name, number) {
            ("auto", None) => Request::Auto,
            ("cpu", Some(0)) => return Err(bad()),
            ("cpu", n) => Request::Exactly(Backend::Cpu(n.unwrap_or(0))),
            ("wgpu", n) => Request::Exactly(Backend::Wgpu(n.unwrap_or(0))),
            ("cuda", n) => Request::Exactly(Backend::Cuda(n.unwrap_or(0))),
            _ => return Err(bad()),
        })
    }
}
