//! Any text as a network's configuration or as an analytic target: an answer or an error, no panic.
#![no_main]

use std::path::Path;

use feynkac::Target;
use feynkac::netconfig::{ClassifierConfig, NetConfig};
use feynkac::unet::{Scheduler, UnetConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = Path::new("fuzz");
    if let Ok((config, _)) = NetConfig::parse(path, text) {
        assert!(!config.tensors().is_empty());
    }
    if let Ok((config, _)) = ClassifierConfig::parse(path, text) {
        assert!(!config.tensors().is_empty());
    }
    if let Ok((scheduler, _)) = Scheduler::parse(path, text) {
        assert!(scheduler.time_at(scheduler.range.0).is_ok());
    }
    let _ = UnetConfig::parse(path, text);
    let _ = Target::parse(path, text);
});
