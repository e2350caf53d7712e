//! Buffers between guard zones, for tests: NaN bits before, behind and inside every fresh buffer.

use std::sync::{Arc, Mutex, Weak};

use cubecl::client::Client;
use cubecl::server::Handle;

use crate::error::{KernelError, Result};

/// Bytes of a guard zone; a multiple of every backend's binding alignment.
const ZONE: usize = 1024;
/// A NaN, whatever is made of it.
const PATTERN: [u8; 4] = 0x7fc0_dead_u32.to_le_bytes();

/// Every guarded buffer that is still in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guards {
    all: Arc<Mutex<Vec<Guarded>>>,
}

#[derive(Debug)]
struct Guarded {
    what: &'static str,
    whole: Handle,
    bytes: usize,
    alive: Weak<()>,
}

impl Guards {
    /// A buffer holding `data`, or NaN bits where there is none, between two zones. The token
    /// keeps the buffer under watch.
    pub(crate) fn place(
        &self,
        client: &Client,
        what: &'static str,
        bytes: usize,
        data: Option<&[u8]>,
    ) -> (Handle, Arc<()>) {
        let mut image: Vec<u8> =
            PATTERN.iter().copied().cycle().take(2 * ZONE + bytes.next_multiple_of(4)).collect();
        if let Some(data) = data {
            image[ZONE..ZONE + bytes].copy_from_slice(data);
        }
        let whole = client.create_from_slice(&image);
        let behind = (image.len() - ZONE - bytes) as u64;
        let inner = whole.clone().offset_start(ZONE as u64).offset_end(behind);
        let token = Arc::new(());
        if let Ok(mut all) = self.all.lock() {
            all.retain(|g| g.alive.strong_count() > 0);
            all.push(Guarded { what, whole, bytes, alive: Arc::downgrade(&token) });
        }
        (inner, token)
    }

    /// Reads every live buffer whole and compares its zones.
    pub(crate) fn check(&self, client: &Client) -> Result<()> {
        let Ok(all) = self.all.lock() else { return Ok(()) };
        for guarded in all.iter().filter(|g| g.alive.strong_count() > 0) {
            let fault = |message: String| KernelError::Device { during: "checking guard zones", message };
            let image = client.read_one(guarded.whole.clone()).map_err(|e| fault(e.to_string()))?;
            let behind = (ZONE + guarded.bytes).next_multiple_of(4);
            let intact = |zone: &[u8]| zone.chunks_exact(4).all(|word| word == PATTERN);
            if !intact(&image[..ZONE]) || !intact(&image[behind..behind + ZONE - 4]) {
                return Err(fault(format!("something wrote outside of buffer '{}'", guarded.what)));
            }
        }
        Ok(())
    }
}
