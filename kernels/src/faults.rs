//! Panics on a runtime's own threads. A kernel that does not compile panics there, its launch is lost, and
//! reading what it should have written gives what was there before: without this nobody would know.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

/// How the runtimes name the threads that serve devices.
const SERVERS: &str = "DSD-";

static SEEN: AtomicU64 = AtomicU64::new(0);
static LAST: Mutex<String> = Mutex::new(String::new());

/// Panics seen so far; the first call starts to watch.
pub(crate) fn seen() -> u64 {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().name().is_some_and(|name| name.starts_with(SERVERS)) {
                *LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = info.to_string();
                SEEN.fetch_add(1, Ordering::Release);
            }
            others(info);
        }));
    });
    SEEN.load(Ordering::Acquire)
}

/// What the last one said, if there were more than `before`.
pub(crate) fn since(before: u64) -> Option<String> {
    (seen() > before).then(|| LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone())
}
