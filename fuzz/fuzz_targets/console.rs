//! Kernel text of any kind must be read without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcoroner::crash::{Source, SourceKind};

fuzz_target!(|bytes: &[u8]| {
    let source = Source::new("fuzz", SourceKind::Console);
    let _ = vmcoroner::console::read(bytes, &source);
});
